"""``vmemmap demo``: a simulated machine, crashed, and the other commands on what is left of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vmemmap.cli.options import EXIT_UNREADABLE, DebugOption

SPEC = """\
# Two NUMA nodes with a hole between, the hash MMU, small vmemmap blocks. Memory is added, part of
# it taken away, and something else put in its place, so that list nodes are used a second time.
[kernel]
release = "6.1.0"
page_size = "64K"
block_size = "64K"

[[memory]]
node = 0
start = 0
size = "2G"

[[memory]]
node = 1
start = "4G"
size = "2G"

[[event]]
kind = "add"
start = "8G"
size = "512M"
node = 1

[[event]]
kind = "remove"
start = "8G"
size = "256M"

[[event]]
kind = "add"
start = "16G"
size = "128M"
node = 0

[pages]
cache = 9000
cache_private = 400
anonymous = 6000
slab = 900
huge = 1024
hwpoison = 3
"""
ADDRESSES = ("0xc00c000000840040", "0xc00c000000800040", "0xc00c000000300000", "0xc0000000010a0000")
"""The struct page of a page that was added, of one that was removed, of the hole; a variable."""
KEPT_HEAD, KEPT_TAIL = 9, 3
"""Lines shown of a long output, at its beginning and its end."""


def demo(
    folder: Annotated[
        str | None,
        typer.Option(
            "--keep", metavar="FOLDER", help="Leave the spec and the dump here to try things on."
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Simulate a machine, crash it, and show what the commands say of the dump.

    It takes a few seconds and nothing but this package.
    """
    if folder is not None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sys.stderr.write(f"vmemmap: {folder}: cannot be made: {error.strerror}\n")
            raise typer.Exit(EXIT_UNREADABLE) from None
        code = _run(Path(folder), debug=debug)
        sys.stdout.write(f"\nThe spec and the dump are in {folder}\n")
        raise typer.Exit(code)
    with tempfile.TemporaryDirectory(prefix="vmemmap-demo-") as temporary:
        raise typer.Exit(_run(Path(temporary), debug=debug))


def _run(folder: Path, *, debug: bool) -> int:
    """Run the commands in *folder*; give the first exit code that is no answer."""
    (folder / "machine.toml").write_text(SPEC)
    sys.stdout.write(
        "A machine that was never built; machine.toml describes it. It boots, and crashes.\n"
    )
    more = ["--debug"] if debug else []
    for arguments, long in _commands(folder):
        sys.stdout.write(f"\n$ vmemmap {' '.join(arguments)}\n")
        done = subprocess.run(
            [sys.executable, "-m", "vmemmap", *arguments, *more],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        _show(done.stdout.splitlines(), long=long)
        if done.returncode not in (0, 1):
            return done.returncode
    return 0


def _commands(folder: Path) -> list[tuple[list[str], bool]]:
    """Give the commands to show, as far as they exist, and whether each one's output is long."""
    from vmemmap.cli.main import app

    there = {command.name for command in app.registered_commands}
    wanted = [
        (["simulate", "machine.toml", "-o", "vmcore", "--compare-designs"], False),
        (["info", "vmcore"], False),
        (["list", "vmcore"], True),
        (
            ["vtop", "vmcore", *ADDRESSES],
            False,
        ),
        (["page", "vmcore", "0x10000"], False),
        (["dmesg", "vmcore"], False),
        (["check", "vmcore"], False),
        (["usage", "vmcore"], False),
    ]
    return [(arguments, long) for arguments, long in wanted if arguments[0] in there]


def _show(lines: Sequence[str], *, long: bool) -> None:
    if long and len(lines) > KEPT_HEAD + KEPT_TAIL + 1:
        left_out = len(lines) - KEPT_HEAD - KEPT_TAIL
        lines = [*lines[:KEPT_HEAD], f"... {left_out} lines ...", *lines[-KEPT_TAIL:]]
    sys.stdout.writelines(line + "\n" for line in lines)
    sys.stdout.flush()
