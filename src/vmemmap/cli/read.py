"""``vmemmap read``: memory as a hex dump, or as it is into a file."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, BinaryIO

import click

from vmemmap.cli.addresses import byte_count, physical, resolve, split_read
from vmemmap.cli.command import Command
from vmemmap.cli.options import (
    Opening,
    check_stdout,
    format_option,
    reads_dump,
    refuse_to_replace,
)
from vmemmap.cli.output import EXIT_FINDINGS, complain, emit, tell
from vmemmap.errors import ReadError, TranslateError
from vmemmap.report import read as report

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from vmemmap.vmcore import Vmcore

_DEFAULT_BYTES = 64
_SHOWN_BYTES_MAX = 16 << 20
_PHYSICAL_END = 1 << 60
"""Kernel addresses begin with 0xc or 0xd; no physical address is that large."""


@click.command("read", cls=Command)
@format_option()
@click.option(
    "--word",
    "-w",
    type=click.Choice(["1", "2", "4", "8"]),
    default="1",
    help="Show words of so many bytes, in the kernel's byte order.  [default: bytes]",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="Write the bytes as they are here, over what is there if it is no dump; - for stdout.",
)
@reads_dump(
    rescue=True,
    arguments="DUMP... ADDR [SIZE]",
    meaning="The vmcore; a virtual or (below 2**60) physical address with 0x, a symbol "
    "(name+0x10), or a page as pfn:23552; and how many bytes, as 256 or 4K (64, or the page).",
    split=split_read,
)
def command(dump: Opening, words: list[str], form: str, word: str, output: str | None) -> int:
    """Show memory at a kernel virtual or a physical address, or write it to a file.

    What is not in the dump is told with the reason in its place, and never shown as zeros (exit
    code 1); to a file nothing is written then.
    """
    size = byte_count(words[1]) if len(words) > 1 else None
    if output == "-":
        check_stdout("memory as it is")
    elif output is not None:
        refuse_to_replace(output, *dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    if output is None and size is not None and size > _SHOWN_BYTES_MAX:
        raise click.BadParameter(
            f"{words[1]} is more than can be looked at ({_SHOWN_BYTES_MAX >> 20}M): write it to a "
            "file with -o"
        )
    with dump.open() as core:
        wanted = _wanted(core, words[0], size)
        reading = report.Reading(core, wanted)
        if output is not None:
            return _write(core, reading, wanted, output)
        emit(
            form,
            reading.record() if form == "json" else {},
            text=reading.lines(int(word)),
            columns=report.COLUMNS,
            rows=reading.pieces(),
        )
        return EXIT_FINDINGS if reading.missing_bytes else 0


def _wanted(core: Vmcore, argument: str, size: int | None) -> report.Wanted:
    """Tell what to read.

    Raises:
        click.BadParameter: The argument names no address, or memory does not reach so far.
    """
    if argument.startswith("pfn:"):
        page = core.kernel.page_size.value if size is None else size
        found = report.Wanted(physical(core, argument), page, is_physical=True)
    else:
        named = resolve(core, argument)
        found = report.Wanted(
            named.address,
            _DEFAULT_BYTES if size is None else size,
            is_physical=named.symbol is None and named.address < _PHYSICAL_END,
            symbol=named.symbol,
        )
    if found.address + found.size > 1 << 64:
        raise click.BadParameter(
            f"{found.size} bytes from {found.address:#x} on go beyond the end of the address space"
        )
    return found


def _write(core: Vmcore, reading: report.Reading, wanted: report.Wanted, output: str) -> int:
    from vmemmap.write.new_file import new_file

    file: AbstractContextManager[BinaryIO] = (
        nullcontext(sys.stdout.buffer) if output == "-" else new_file(output)
    )
    try:
        with file as out:
            for data in reading.chunks():
                out.write(data)
            out.flush()
    except (TranslateError, ReadError) as error:
        written = "nothing more is" if output == "-" else "nothing is"
        complain(core.source.path, f"error: {error}; {written} written")
        return EXIT_FINDINGS
    if output != "-":
        tell(f"{output}: {wanted.size} bytes")
    return 0
