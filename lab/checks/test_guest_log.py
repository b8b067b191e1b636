"""The kernel's log beside what the guest's own dmesg had saved by then."""

from __future__ import annotations

import re

from lab.checks.opened import Opened

LAST_WORDS = {
    "crash": r"sysrq: Trigger a crash|Kernel panic",
    "live": r"",
}


def test_log_begins_with_what_the_guest_saved(opened: Opened) -> None:
    """Line by line, time stamps included; afterwards comes only what was said later."""
    saved = opened.said_then("dmesg").splitlines()
    log = opened.core.dmesg()
    lines = "\n".join(record.line for record in log).split("\n")
    assert log.findings == ()
    assert len(saved) > 100
    # The guest's dmesg has no caller, and shows no control characters.
    assert [re.sub(r"^(\[ *\d+\.\d+\])\[ *[TC]\d+\]", r"\1", line) for line in lines][
        : len(saved)
    ] == saved
    after = "\n".join(lines[len(saved) :])
    assert re.search(LAST_WORDS[opened.dump.moment], after), after
    if opened.dump.moment == "live":
        assert len(lines) - len(saved) < 10, "QEMU dumped it a moment later"
