"""The record of ``vmemmap list``: the backing list, head first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.report import as_csv
from vmemmap.report.as_json import LongRecord
from vmemmap.report.members import EntryRecord, FindingRecord, finding_records
from vmemmap.report.palette import paint
from vmemmap.report.text import count_text, fitted, line_width, size_text, wrapped

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore


class ListRecord(TypedDict):
    """The backing list.

    Attributes:
        block_size: Bytes in a block; null where the kernel keeps no list.
        entries: The entries, head (newest) first, as far as the list goes; what was rescued last.
        findings: What is wrong with the list.
    """

    block_size: int | None
    entries: list[EntryRecord]
    findings: list[FindingRecord]


def record(core: Vmcore) -> LongRecord:
    """Make the record of a dump, a `ListRecord`; its entries are made as they are written."""
    return LongRecord(
        "entries",
        _json_rows(core),
        head={"block_size": core.backing.block_size or None},
        tail=lambda: {"findings": finding_records(core.findings)},
    )


def columns(core: Vmcore) -> tuple[str, ...]:
    """Give the columns of the CSV form, one more where entries were rescued."""
    rescued = ("rescued",) if core.backing.rescued.any() else ()
    return ("node", "phys", "virt", "pfn_start", "pfn_end", *rescued)


def entries(core: Vmcore) -> Iterator[EntryRecord]:
    """Yield the entries, head first; what was rescued comes last, marked."""
    from vmemmap.report.entry_lines import walk_parts

    for part in walk_parts(core):
        yield from part.records()


def _json_rows(core: Vmcore) -> Iterator[EntryRecord | str]:
    from vmemmap.report.entry_lines import walk_parts

    for part in walk_parts(core):
        if not part.plain:
            yield from part.records()
            continue
        names = ('{"node": "0x', '", "phys": "0x', '", "virt": "0x', '", "pfn_start": ')
        text = part.text(*names, ', "pfn_end": ', "},\n    ")
        yield text.removesuffix(",\n    ")


def csv_lines(core: Vmcore) -> Iterator[str]:
    """Give the entries as CSV, with a heading."""
    from vmemmap.report.entry_lines import walk_parts

    names = columns(core)
    yield ",".join(names) + "\n"
    for part in walk_parts(core):
        if part.plain and len(names) == 5:
            yield part.text("0x", ",0x", ",0x", ",", ",", "\n")
        else:
            yield from as_csv.rows(names, part.records())


def lines(core: Vmcore) -> Iterator[str]:
    """Give the list as plain lines, one entry each, and a last line that sums it up.

    Plain text and not a rich table: a list can have a million entries.
    """
    from vmemmap.report.entry_lines import fitting_columns, walk_parts

    columns = fitting_columns(core, line_width())
    yield paint(columns.heading(), "heading") + "\n"
    for part in walk_parts(core):
        if part.plain:
            yield part.lines(columns)
            continue
        for number, row in enumerate(part.records(), part.first):
            mark = [f"rescued ({row['rescued']})"] if "rescued" in row else []
            yield from fitted(columns.line(number, row), mark)
    yield from wrapped(_summary(core))


def crash_lines(core: Vmcore) -> Iterator[str]:
    """Give the lines that crash's ``help -m`` prints for the list; it would rescue nothing."""
    from vmemmap.report.entry_lines import walk_parts

    for part in walk_parts(core):
        yield part.crash_lines()


def _summary(core: Vmcore) -> str:
    backing = core.backing
    if len(backing):
        return (
            f"{count_text(len(backing), 'entry')}, blocks of {size_text(backing.block_size)}, "
            f"{size_text(backing.size_bytes)}; "
            f"{count_text(backing.node_pages, 'node page')}, "
            f"{count_text(backing.unused_slots, 'slot')} unused"
        )
    if core.findings:
        return "no entries"
    return "the list is empty: this kernel ran on the radix MMU, where kernels since 6.6 keep none"
