"""The real makedumpfile as a witness: where it is, which version, and what it counts.

``python tools/fetch_peers.py`` fetches it; without it, and without qemu-user on another machine,
tests that ask `needed` are skipped.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lab.checks.peer_makedumpfile import MESSAGES, parse_report

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ROOT = CACHE / "vmemmap" / "peers" / "root"
PROGRAM = ROOT / "usr/bin/makedumpfile"
EMULATOR = shutil.which("qemu-ppc64le-static") or shutil.which("qemu-ppc64le")
NATIVE = platform.machine() == "ppc64le"
TIMEOUT_SECONDS = 100

needed = [
    pytest.mark.skipif(
        not PROGRAM.exists(), reason="makedumpfile is absent: python tools/fetch_peers.py"
    ),
    pytest.mark.skipif(
        not (EMULATOR or NATIVE),
        reason="qemu-user is absent (python tools/fetch_peers.py says how to install it)",
    ),
]


def command(*options: object) -> list[str]:
    """Give the command line that runs it with *options*."""
    run = [] if NATIVE else [str(EMULATOR), "-L", str(ROOT)]
    return [*run, str(PROGRAM), *map(str, options)]


def run(*options: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever the result."""
    return subprocess.run(
        command("--message-level", MESSAGES, *options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        errors="replace",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def counts(dump: Path, level: int, *options: object) -> dict[str, int]:
    """Let it filter a dump without writing anything; give its counts by our names."""
    done = run(*options, "--dry-run", "-d", level, dump, dump.with_suffix(".none"))
    report = done.stdout + done.stderr
    assert done.returncode == 0, report[-600:]
    found = parse_report(report)
    assert found is not None, report[-600:]
    return found


@functools.cache
def version() -> tuple[int, ...]:
    """Its version, such as (1, 7, 8)."""
    said = subprocess.run(command("-v"), capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"version (\d+)\.(\d+)\.(\d+)", said)[0]))


def skip_unless_it_knows(release: tuple[int, ...]) -> None:
    """Skip a test whose kernel is younger than what this makedumpfile can classify."""
    if release >= (6, 12) and version() < (1, 7, 7):
        # It then takes every page type for a slab's and finds no free page, on real dumps, too.
        text = ".".join(map(str, version()))
        pytest.skip(
            f"makedumpfile {text} does not know the page types of 6.12; 1.7.7 does "
            "(python tools/fetch_peers.py --suite sid)"
        )


def unflatten(flat: Path, out: Path) -> None:
    """Let it rearrange a flattened dump, which it reads from its standard input (-R)."""
    with flat.open("rb") as stream:
        done = subprocess.run(
            command("-f", "-R", out),
            stdin=stream,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-600:]
