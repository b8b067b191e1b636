"""Records to text for people: tables for a few rows, plain columns for many.

The records are those of the JSON form, so that the two cannot say different things.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console  # imported only where a table is printed: it takes a while

_PIPE_WIDTH = 200
_LINE_WIDTH = 80
_INDENT = "    "


def console() -> Console:
    """Give a console that collects its text: colours on a terminal, no wrapping in pipes.

    It does not write: rich would end the program itself when a pipe closes.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else _PIPE_WIDTH
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
    )


def fitted(start: str, parts: Iterable[str], gap: str = "  ") -> Iterator[str]:
    """Give a line, or where it would be wider than the terminal (80 columns in pipes), several.

    Args:
        start: What the line begins with, if anything; stays alone if not all parts fit behind it.
        parts: What is kept in one piece.
        gap: What stands between parts.
    """
    words = list(parts)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else _LINE_WIDTH
    whole = f"{start}  {gap.join(words)}"
    if len(whole) <= width:
        yield f"{whole.rstrip()}\n"
        return
    if start:
        yield f"{start.rstrip()}\n"
    line = ""
    for word in words:
        if line and len(_INDENT) + len(line) + len(gap) + len(word) > width:
            yield f"{_INDENT}{line}\n"
            line = ""
        line += (gap if line else "") + word
    if line:
        yield f"{_INDENT}{line}\n"


def plain(value: object) -> str:
    """Give a text that cannot do anything to a terminal: all but printable ASCII is escaped."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")


def size_text(size_bytes: int) -> str:
    """Put a size into words: 64 KiB, 1.5 MiB."""
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size_bytes >= 1 << shift:
            return f"{size_bytes / (1 << shift):.4g} {unit}"
    return f"{size_bytes} bytes"


def count_text(count: int, noun: str) -> str:
    """Put a count into words: 1 page, 3 pages; *noun* is the word for one."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count} {noun if count == 1 else plural}"


def print_info(record: dict[str, Any]) -> None:
    """Print what `vmemmap info` found."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    dump, kernel, vmemmap = record["dump"], record["kernel"], record["vmemmap"]
    ranges = dump["ranges"]
    total = sum(int(end, 16) - int(start, 16) for start, end in ranges)
    level = dump["dump_level"]
    incomplete = "INCOMPLETE, " if dump["incomplete"] else ""
    _section(
        out,
        "Dump",
        {
            "file": dump["path"],
            "format": dump["format"] + (f", dump level {level}" if level is not None else ""),
            "byte order": f"container {dump['container_byte_order']}, "
            f"memory {dump['memory_byte_order'] or 'unknown'}",
            "memory": f"{incomplete}{size_text(total)} in {count_text(len(ranges), 'range')}",
        },
    )
    for start, end in ranges[:8]:
        out.print(f"  {'':12}{start} - {end}", style="dim")
    if len(ranges) > 8:
        out.print(f"  {'':12}and {len(ranges) - 8} more (--format json has all)", style="dim")
    _section(
        out,
        "Kernel",
        {
            "release": kernel["release"] or "unknown",
            "machine": kernel["machine"] or "unknown",
            "MMU": kernel["mmu"] or "unknown",
            "page size": size_text(kernel["page_size"]) if kernel["page_size"] else "unknown",
        },
    )
    if vmemmap is not None:
        block = vmemmap["block_size"]
        _section(
            out,
            "vmemmap",
            {
                "base": vmemmap["base"] or "unknown",
                "entries": f"{vmemmap['entries']}"
                + (f", blocks of {size_text(block)}" if block and vmemmap["entries"] else "")
                + (f", {size_text(vmemmap['bytes'])} in all" if vmemmap["entries"] else ""),
                "list nodes": f"{count_text(vmemmap['node_pages'], 'page')} of them, "
                f"{count_text(vmemmap['unused_slots'], 'slot')} unused",
                "struct page": f"{vmemmap['struct_page_size'] or 'unknown'} bytes",
            },
        )
        if not vmemmap["entries"] and kernel["mmu"] == "radix":
            out.print(
                "  the list is empty: on the radix MMU the vmemmap is in the page tables "
                "(kernels from 6.6 on keep no list there)",
                style="dim",
            )
    out.print("\nFacts, and where each comes from", style="bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for name, style in (("  name", ""), ("value", "bold"), ("origin", "cyan"), ("evidence", "dim")):
        table.add_column(name, style=style, overflow="fold")
    for fact in record["facts"]:
        cells = (f"  {fact['name']}", fact["value"], fact["origin"], fact["detail"])
        table.add_row(*(Text(plain(cell)) for cell in cells))
    out.print(table)
    text = out.file
    assert isinstance(text, io.StringIO)
    sys.stdout.writelines(line.rstrip(" ") + "\n" for line in text.getvalue().splitlines())


def list_lines(rows: Iterable[dict[str, Any]], summary: str) -> Iterator[str]:
    """Give the backing list as plain lines, one entry each, and a last line that sums it up.

    Plain text and not a rich table: a list can have a million entries.
    """
    yield f"{'#':>7}  {'node':18}  {'virt':18}  {'phys':>16}  {'pfns':>23}\n"
    for number, row in enumerate(rows):
        start, end = row["pfn_start"], row["pfn_end"]
        pfns = f"{start:#x} - {end:#x}" if start is not None else "unknown"
        mark = f"  rescued ({row['rescued']})" if "rescued" in row else ""
        place = f"{number:7}  {row['node']:18}  {row['virt']:18}  {row['phys']:>16}"
        yield f"{place}  {pfns:>23}{mark}\n"
    yield summary + "\n"


def crash_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Give the lines that crash's ``help -m`` prints for the list."""
    for number, row in enumerate(rows):
        virt, phys = row["virt"][2:], row["phys"][2:]
        yield f"      vmemmap_list[{number}]: virt: {virt}  phys: {phys}\n"


def vtop_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Give translations as plain lines, what does not fit behind an address below it."""
    yield f"{'virtual':18}  {'physical':18}  {'method':15}  {'in dump':7}  where\n"
    for row in rows:
        named = f" ({plain(row['symbol'])})" if row.get("symbol") else ""
        if "error" in row:
            # The line begins with the address already.
            where = row["reason"].removeprefix(f"cannot translate {row['virt']}: ") + named
            start = f"{row['virt']:18}  {'-':18}  {row['error']:15}  {'-':7}"
            yield from fitted(start, where.split(" "), " ")
            continue
        where = row["region"] + named
        if row.get("entry") is not None:
            how = f", rescued: {row['rescued']}" if "rescued" in row else ""
            where += f", entry {row['entry']} (block {row['block_virt']}{how})"
        if "absence" in row:
            where += f": {row['reason']}"
        stored = "yes" if row["in_dump"] else "no"
        start = f"{row['virt']:18}  {row['phys']:18}  {row['method']:15}  {stored:7}"
        yield from fitted(start, where.split(" "), " ")


def _section(out: Console, title: str, lines: dict[str, str]) -> None:
    from rich.text import Text

    out.print(f"{title}" if title == "Dump" else f"\n{title}", style="bold")
    for name, value in lines.items():
        out.print(Text.assemble(f"  {name:12}", plain(value)), soft_wrap=True)
