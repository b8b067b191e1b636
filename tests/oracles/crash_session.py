"""A session of crash on a dump of the machines beside the repository, command by command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from lab.checks.peer_crash import OPTIONS, is_complete

from oracles import makedumpfile

CRASH = makedumpfile.ROOT / "usr/bin/crash"
VMLINUX = makedumpfile.CACHE / "vmemmap/debuginfo/vmlinux-6.1.0-50-powerpc64le"
SECONDS = 280

needed = [
    pytest.mark.skipif(not CRASH.exists(), reason="crash is absent: python tools/fetch_peers.py"),
    pytest.mark.skipif(
        not VMLINUX.exists(),
        reason=f"{VMLINUX.name} is absent: python tools/fetch_peers.py --debuginfo",
    ),
]


def session(dump: Path, commands: Path, *options: str) -> str:
    """Give all that crash prints."""
    run = [] if makedumpfile.NATIVE else [str(makedumpfile.EMULATOR), "-L", str(makedumpfile.ROOT)]
    done = subprocess.run(
        [*run, str(CRASH), *OPTIONS, *options, "-i", str(commands), str(VMLINUX), str(dump)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    assert is_complete(done.stdout), (done.stdout + done.stderr)[-300:]
    return done.stdout


def answers(dump: Path, commands: Path) -> dict[str, list[str]]:
    """Give what crash answers to each command, line by line."""
    found = {}
    said = session(dump, commands, "--no_kmem_cache")
    for part in re.split(r"^crash> ", said, flags=re.MULTILINE)[1:]:
        command, _, body = part.partition("\n")
        found[command] = [line.rstrip() for line in body.splitlines()]
    return found
