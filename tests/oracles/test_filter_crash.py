"""crash on what ``filter`` makes of a real dump: the same session, line for line.

The dump is filtered already, so that little more can go; whole ones are compared in the lab
(``lab/checks/test_filter_crash.py``), at every level.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.checks.peer_crash import comparable, script

import vmemmap
from oracles import crash_session, makedumpfile

pytestmark = [pytest.mark.full, *makedumpfile.needed, *crash_session.needed]


def session(dump: Path, commands: Path) -> list[str]:
    return comparable(crash_session.session(dump, commands))


def test_session_is_the_same(tmp_path, real_dump) -> None:
    path = real_dump("hash-64k-6.1/vmcore.d31.zlib")
    with vmemmap.open(path) as core:
        core.filter(tmp_path / "made", 31, "lzo")
        entries = [int(entry.virt) for entry in core.backing]
    commands = tmp_path / "commands"
    commands.write_text(script(entries, [(virt, 64) for virt in entries]))
    expected = session(path, commands)
    assert len(expected) > 500
    assert session(tmp_path / "made", commands) == expected
