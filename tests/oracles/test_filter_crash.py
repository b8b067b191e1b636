"""crash on what ``filter`` makes of a real dump: the same session, line for line.

The dump is filtered already, so that little more can go; whole ones are compared in the lab
(``lab/checks/test_filter_crash.py``), at every level.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lab.checks.peer_crash import OPTIONS, comparable, is_complete, script

import vmemmap
from oracles import makedumpfile

CRASH = makedumpfile.ROOT / "usr/bin/crash"
VMLINUX = makedumpfile.CACHE / "vmemmap/debuginfo/vmlinux-6.1.0-50-powerpc64le"
SECONDS = 280

pytestmark = [
    pytest.mark.full,
    *makedumpfile.needed,
    pytest.mark.skipif(not CRASH.exists(), reason="crash is absent: python tools/fetch_peers.py"),
    pytest.mark.skipif(
        not VMLINUX.exists(),
        reason=f"{VMLINUX.name} is absent: python tools/fetch_peers.py --debuginfo",
    ),
]


def session(dump: Path, commands: Path) -> list[str]:
    run = [] if makedumpfile.NATIVE else [str(makedumpfile.EMULATOR), "-L", str(makedumpfile.ROOT)]
    done = subprocess.run(
        [*run, str(CRASH), *OPTIONS, "-i", str(commands), str(VMLINUX), str(dump)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    assert is_complete(done.stdout), (done.stdout + done.stderr)[-300:]
    return comparable(done.stdout)


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
