"""The kernel's log beside what the guest's own dmesg had saved by then."""

from __future__ import annotations

import re

import pytest

from lab.checks.guest_kernel import Message, parse_kmsg
from lab.checks.machine_facts import said
from lab.checks.opened import Opened

LAST_WORDS = {
    "crash": r"sysrq: Trigger a crash|Kernel panic",
    "live": r"",
}


def test_log_begins_with_what_the_guest_saved(opened: Opened) -> None:
    """Line by line, time stamps included; afterwards comes only what was said later."""
    saved = opened.said_then("dmesg").splitlines()
    log = opened.core.dmesg()
    records = list(log)
    lines = "\n".join(record.line for record in records).split("\n")
    assert log.findings == ()
    assert len(saved) > 100
    if records[0].seq:
        assert "script" in opened.machine.spec, "nothing made it go round"
        pytest.skip("the log has gone round since, as it was to")
    # The guest's dmesg has no caller, and shows no control characters.
    assert [re.sub(r"^(\[ *\d+\.\d+\])\[ *[TC]\d+\]", r"\1", line) for line in lines][
        : len(saved)
    ] == saved
    after = "\n".join(lines[len(saved) :])
    assert re.search(LAST_WORDS[opened.dump.moment], after), after
    if opened.dump.moment == "live":
        assert len(lines) - len(saved) < 10, "QEMU dumped it a moment later"


def test_log_has_every_message_that_the_guest_could_still_read(opened: Opened) -> None:
    """``/dev/kmsg`` to its end, with number, time, level and facility, a moment before the dump."""
    expected = parse_kmsg(said(opened.machine, "kmsg"))
    found = [
        Message(
            record.seq or 0,
            (record.time_ns or 0) // 1000,
            record.level or 0,
            record.facility or 0,
            record.data,
        )
        for record in opened.core.dmesg()
    ]
    assert len(expected) > 100
    expected = [row for row in expected if row.seq >= found[0].seq]
    assert len(expected) > 100, "nearly all of it has gone"
    assert found[: len(expected)] == expected
    assert len(found) - len(expected) < 10
