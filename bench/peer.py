"""makedumpfile as a peer: a native one, that of VMEMMAP_MAKEDUMPFILE or of the PATH.

One that an emulator runs is none: that would measure the emulator.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import child
from rows import Spent

VARIABLE = "VMEMMAP_MAKEDUMPFILE"
_PATIENCE_SECONDS = 300.0
_BEFORE = b"STEP [Checking for memory holes"
_AFTER = b"STEP [Excluding unnecessary pages]"
_LETTERS = {"zstd": ("-z",), "zlib": ("-c",), "lzo": ("-l",), "snappy": ("-p",), "none": ()}
_MACHINE_AT = slice(18, 20)
"""Of an ELF header: for which processor it is."""


class CannotRead(Exception):
    """It came to its end without having looked at the pages."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What a run took until its pages were decided on: in all, and for that step alone."""

    whole: Spent
    exclusion: Spent


@dataclass(frozen=True, slots=True)
class Makedumpfile:
    """One that is here.

    Attributes:
        program: Where.
        version: What it says it is.
    """

    program: str
    version: str

    @property
    def name(self) -> str:
        """How the table calls it."""
        return f"makedumpfile {self.version}"

    def to_exclusion(self, dump: Path, level: int = 30) -> Steps:
        """Run it until the pages are decided on; it need not go further.

        It tells when it has come so far. Its processor time is read at that moment, by its clock.

        Raises:
            CannotRead: It does not come so far.
        """
        line = [self.program, "--message-level", "22", "--dry-run", "-d", str(level)]
        # A terminal, since into a pipe it would tell all at its very end.
        ours, theirs = pty.openpty()
        begun, seen, before = time.perf_counter(), b"", None
        with subprocess.Popen(
            [*line, str(dump), os.devnull + ".none"],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            try:
                while time.perf_counter() - begun < _PATIENCE_SECONDS:
                    part = b""
                    if select.select([ours], [], [], 1.0)[0]:
                        with suppress(OSError):  # it has ended
                            part = os.read(ours, 65536)
                        if not part:
                            break
                    now = _used(process.pid, begun)
                    seen += part
                    if before is None and _BEFORE in seen:
                        before = now
                    if before is not None and _AFTER in seen:
                        step = Spent(now.wall - before.wall, now.cpu - before.cpu, now.mib)
                        return Steps(now, step)
            finally:
                process.kill()
                os.close(ours)
        raise CannotRead(f"{self.program}: {seen[-300:].decode('latin-1')}")

    def whole(self, dump: Path, level: int) -> Spent:
        """Run it to its end, writing nothing."""
        options = ("--message-level", "0", "--dry-run", "-d", str(level))
        return child.run(self.program, *options, dump, os.devnull + ".none")

    def filter(self, dump: Path, out: Path, codec: str, level: int = 31) -> Spent:
        """Filter a dump, with one thread."""
        options = ("--message-level", "0", "-f", *_LETTERS[codec], "-d", str(level))
        return child.run(self.program, *options, dump, out)


def find_makedumpfile(dump: Path) -> Makedumpfile | None:
    """Give a makedumpfile of this machine's own processor, if one is here that reads such dumps.

    Most builds read dumps of the processor that they run on alone.

    Args:
        dump: One to try it on.
    """
    program = os.environ.get(VARIABLE) or shutil.which("makedumpfile")
    if program is None or _processor(program) != _processor(sys.executable):
        return None
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", said.stdout + said.stderr)
    if found is None:
        return None
    peer = Makedumpfile(program, found[1])
    try:
        peer.to_exclusion(dump)
    except CannotRead:
        return None
    return peer


def _processor(program: str) -> bytes:
    with Path(program).open("rb") as file:
        return file.read(64)[_MACHINE_AT]


def _used(pid: int, begun: float) -> Spent:
    """Give what a process has spent until now; its clock counts up to this very moment."""
    wall = time.perf_counter() - begun
    try:
        cpu = time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of a process, as Linux numbers it
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return Spent(wall, float("nan"))
    peak = re.search(r"VmHWM:\s*(\d+) kB", status)
    return Spent(wall, cpu, int(peak[1]) / 1024 if peak else None)
