"""Real logs that have gone round, against what the guest itself read from its /dev/kmsg."""

from __future__ import annotations

import hashlib
import lzma
import re
import tomllib
from pathlib import Path

import pytest

import vmemmap

LOGS = Path(__file__).resolve().parent.parent / "corpus" / "logs"
LAST = (3, 1, b"esc \x1b[1m tab\t \xc3\xa9 \xff end")
Row = tuple[int, int, int, int, bytes]


def kmsg_of(folder: Path) -> list[Row]:
    """Give sequence number, microseconds, level, facility and text of what /dev/kmsg had."""
    rows = []
    for line in lzma.decompress((folder / "kmsg.txt.xz").read_bytes()).split(b"\n"):
        if line and not line.startswith(b" "):  # such lines say which device it is about
            head, _, text = line.partition(b";")
            prefix, seq, micros = (int(word) for word in head.split(b",")[:3])
            text = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), text)
            rows.append((seq, micros, prefix & 7, prefix >> 3, text))
    return rows


@pytest.mark.parametrize("name", ["wrapped-6.12", "wrapped-7.2"])
def test_every_message_that_the_guest_could_still_read(name: str, tmp_path: Path) -> None:
    data = lzma.decompress((LOGS / name / "dump.xz").read_bytes())
    origin = tomllib.loads((LOGS / name / "origin.toml").read_text())
    assert hashlib.sha256(data).hexdigest() == origin["sha256"]
    path = tmp_path / "vmcore"
    path.write_bytes(data)
    with vmemmap.open(path) as core:
        log = core.dmesg()
        found = [
            (record.seq, (record.time_ns or 0) // 1000, record.level, record.facility, record.data)
            for record in log
        ]
    assert log.findings == ()
    expected = kmsg_of(LOGS / name)
    assert found[:-1] == expected
    assert found[-1][2:] == LAST
    assert len(expected) > 4000
    assert expected[0][0] > 5000, "the oldest are gone"
