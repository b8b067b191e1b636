"""``vmemmap demo``: a simulated machine, crashed, and the other commands on what is left of it."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from importlib import import_module
from pathlib import Path

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import debug_option
from vmemmap.cli.output import EXIT_UNREADABLE, complain, write

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
_SPEC_NAME = "machine.toml"
ADDRESSES = ("0xc00c000000840040", "0xc00c000000800040", "0xc00c000000300000", "0xc0000000010a0000")
"""The struct page of a page that was added, of one that was removed, of the hole; a variable."""
_SHOWN = (
    ["simulate", _SPEC_NAME, "-o", "vmcore", "--compare-designs"],
    ["info", "vmcore"],
    ["list", "vmcore"],
    ["vtop", "vmcore", *ADDRESSES],
    ["page", "vmcore", "0x10000"],
    ["dmesg", "vmcore"],
    ["check", "vmcore"],
    ["usage", "vmcore"],
)
_LONG = "list"
"""The command of whose output only a part is shown."""
_KEPT_HEAD, _KEPT_TAIL = 9, 3
"""How many lines of it, at its beginning and its end."""


@click.command("demo", cls=Command)
@click.option(
    "--keep",
    "folder",
    metavar="FOLDER",
    help="Leave the spec and the dump here to try things on.",
)
@debug_option
def command(folder: str | None, debug: bool) -> int:
    """Simulate a machine, crash it, and show what the commands say of the dump.

    It takes a few seconds and nothing but this package.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="vmemmap-demo-") as temporary:
            (Path(temporary) / _SPEC_NAME).write_text(SPEC)
            return _show_all(Path(temporary), debug)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / _SPEC_NAME).write_text(SPEC)
    except OSError as error:
        complain(str(error.filename), f"cannot be made: {error.strerror}")
        return EXIT_UNREADABLE
    code = _show_all(Path(folder), debug)
    what = "spec and the dump are" if code == 0 else "spec is"
    write([f"\nThe {what} in {folder}\n"])
    return code


def _show_all(folder: Path, debug: bool) -> int:
    """Run the commands in *folder*; give the first exit code that is no answer."""
    write([f"A machine that was never built; {_SPEC_NAME} describes it. It boots, and crashes.\n"])
    for name, *arguments in _SHOWN:
        write([f"\n$ vmemmap {' '.join([name, *arguments])}\n"])
        shown = io.StringIO()
        with chdir(folder), redirect_stdout(shown):
            code = _answer(name, [*arguments, *["--debug"] * debug])
        lines = shown.getvalue().splitlines()
        write(f"{line}\n" for line in (_cut(lines) if name == _LONG else lines))
        if code not in (0, 1):
            return code
    return 0


def _answer(name: str, arguments: list[str]) -> int:
    """Run another command in this process, and give its exit code."""
    other = import_module(f"vmemmap.cli.{name}").command
    code = other.main(arguments, prog_name=f"vmemmap {name}", standalone_mode=False)
    assert isinstance(code, int)
    return code


def _cut(lines: Sequence[str]) -> Sequence[str]:
    left_out = len(lines) - _KEPT_HEAD - _KEPT_TAIL
    if left_out <= 1:
        return lines
    return [*lines[:_KEPT_HEAD], f"... {left_out} lines ...", *lines[-_KEPT_TAIL:]]
