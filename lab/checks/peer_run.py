"""Running a peer: a program of ppc64el under qemu-user, bounded in time, its output kept.

What a run said lies in the machine's folder under ``peers/``, with a key of all that it depends on
in its first line, and is used again while that is the same.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lab.checks.peer_input import rewrite
from lab.results import Dump, Result

EMULATOR = shutil.which("qemu-ppc64le-static") or shutil.which("qemu-ppc64le")
NATIVE = platform.machine() == "ppc64le"
KEPT = "peers"


def find(machine: Result, program: str) -> Path:
    """Find a program among the lab's tools, such as ``usr/bin/crash``; skips the test without."""
    if not (EMULATOR or NATIVE):
        pytest.skip("qemu-user is not installed, which the peers need here")
    path = Path(machine.tools) / program
    if not path.exists():
        pytest.skip(f"the lab's tools have no {path.name}")
    return path


def run(machine: Result, command: list[object], seconds: float, folder: Path | None = None) -> str:
    """Run a program of the lab's tools and give all that it printed, whatever its result.

    The run is ended, with all that it has started, when its time is over; that skips the test.

    Args:
        machine: Whose tools to use.
        command: The program, as `find` gave it, and its arguments.
        seconds: How long it may take.
        folder: Where it runs.
    """
    words = [] if NATIVE else [str(EMULATOR), "-L", machine.tools]
    words += [str(word) for word in command]
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C", "TERM": "dumb"},
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                pytest.skip(f"{Path(str(command[0])).name} took more than {seconds:.0f} s")
            raise
    return said.decode(errors="replace")


def kept(machine: Result, name: str, key: str) -> str | None:
    """Give what an earlier run with the same key said, or None."""
    path = machine.folder / KEPT / name
    if not path.exists():
        return None
    head, _, said = path.read_text(errors="surrogateescape").partition("\n")
    return said if head == f"# {key}" else None


def keep(machine: Result, name: str, key: str, said: str) -> None:
    """Keep what a run said."""
    path = machine.folder / KEPT / name
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(f"# {key}\n{said}", errors="surrogateescape")
    fresh.rename(path)


def key_of(words: list[str], *files: Path) -> str:
    """Give a key of words and files; a file counts as changed with its size or time."""
    parts = list(words)
    for file in files:
        status = file.stat()
        parts.append(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def readable(machine: Result, dump: Dump) -> Path:
    """Give a dump in a form that the peers read; skips the test if there is none.

    QEMU's ELF dumps are rewritten once, into the folder of what is kept.
    """
    path = machine.path(dump)
    if dump.maker != "qemu":
        return path
    target = machine.folder / KEPT / f"{dump.file}.{key_of([], path)[:12]}.elf"
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        for old in target.parent.glob(f"{dump.file}.*.elf"):
            old.unlink()
        try:
            rewrite(path, target)
        except ValueError as error:
            pytest.skip(f"{dump.file} cannot be put into a form that the peers read: {error}")
    return target
