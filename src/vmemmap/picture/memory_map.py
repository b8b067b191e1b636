"""The memory map as the page carries it: what fills each cell, whether the dump has it, and more.

As many details as the page has room for: single pages where they fit, else the smallest cells that
do. What is carried is exact at every size; the script sums cells up for coarser views.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import FactError
from vmemmap.intervals import Intervals, intersect, join, numbers, subtract, total
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.picture.cells import RUNS_MAX, CellGatherer, Cells
from vmemmap.picture.packed import Packed, pack

if TYPE_CHECKING:
    from vmemmap.dump import Dump
    from vmemmap.source.base import PhysicalSource

_TURNS_PER_BYTE = 2
"""Changes from one page to the next that a byte of the page has room for, at most."""
_REASONS_MAX = 256
_STORED_ASKED_MAX = 1 << 22
_NO_BLOCK = (1 << 32) - 1


class EntriesRecord(TypedDict):
    """The list's entries.

    Attributes:
        block_size: Bytes in a block.
        block: For each entry, head first, its place in the vmemmap in blocks; 2**32 - 1 for one
            that translation does not use.
        phys: Its physical address in blocks.
        count: How many there are.
    """

    block_size: int
    block: Packed
    phys: Packed
    count: int


class MapRecord(TypedDict):
    """What the page's script draws the map from.

    Attributes:
        page_size: Bytes in a page.
        section_pages: Pages in a section.
        struct_page_size: Bytes in a struct page.
        base: Virtual address of the struct page of pfn 0.
        pages: How many pages have a struct page.
        shift: log2 of the pages in a cell.
        ranges: First cell and the one after the last of each memory range.
        kinds: The kinds: number, word, title.
        kind: The kind of each page, in the order of pfns; null where cells are larger.
        counts: Else for each kind that there is, by its number, how many pages of each cell.
        covered: How many pages of each cell the dump's memory ranges cover.
        stored: How many of them are in the dump's file.
        uncovered: Pages that no memory range covers, and why: first pfn, end pfn, reason.
        unread: Pages whose struct page cannot be read: first pfn, end pfn, reason; null where
            there are too many to tell.
        zones: Pages of one node and zone: first pfn, end pfn, node, zone; null likewise.
        zone_names: The zones' names by node and zone, as "0/1".
        entries: The list; null where it cannot be had or there is no room.
        why_no_entries: Why.
    """

    page_size: int
    section_pages: int
    struct_page_size: int
    base: str
    pages: int
    shift: int
    ranges: list[list[int]]
    kinds: list[tuple[int, str, str]]
    kind: Packed | None
    counts: dict[str, Packed] | None
    covered: Packed
    stored: Packed
    uncovered: list[tuple[int, int, str]]
    unread: list[tuple[int, int, str]] | None
    zones: list[list[int]] | None
    zone_names: dict[str, str]
    entries: EntriesRecord | None
    why_no_entries: str


def make_map(dump: Dump, seen: CellGatherer, budget: int) -> MapRecord:
    """Make the map of a dump.

    Args:
        dump: The dump.
        seen: What was kept of a census of it.
        budget: How many bytes the page has for it.

    Raises:
        FactError: Not even the vmemmap's place is known.
    """
    model = dump.pages
    array = model.array
    entries, why = _entries(dump, budget // 4)
    if entries is not None:
        budget -= len(entries["block"]["data"]) + len(entries["phys"]["data"])
    shift, ranges, kind, counts, (covered, stored) = _fitting(dump, seen, array.page_size, budget)
    return {
        "page_size": array.page_size,
        "section_pages": array.sections.pages_per_section,
        "struct_page_size": array.layout.size,
        "base": f"{dump.evidence.vmemmap_base.value:#x}",
        "pages": len(array),
        "shift": shift,
        "ranges": ranges.tolist(),
        "kinds": [(int(each), each.word, words) for each, words in TITLES.items()],
        "kind": kind,
        "counts": counts,
        "covered": covered,
        "stored": stored,
        "uncovered": list(_uncovered(dump, seen.pages, array.page_size)),
        "unread": None
        if seen.unread is None
        else [(run.first_pfn, run.end_pfn, run.why.word) for run in seen.unread],
        "zones": None
        if seen.zones is None
        else [[run.first_pfn, run.end_pfn, run.node, run.zone] for run in seen.zones],
        "zone_names": {
            f"{zone.node}/{zone.index}": zone.name
            for node in model.nodes
            for zone in node.zones
            if zone.name
        },
        "entries": entries,
        "why_no_entries": why,
    }


def _fitting(
    dump: Dump, seen: CellGatherer, page_size: int, budget: int
) -> tuple[int, Intervals, Packed | None, dict[str, Packed] | None, tuple[Packed, Packed]]:
    """Give the map in the smallest cells that fit."""
    covered = _pages_of(dump.source.ranges().astype(np.int64), page_size, seen.pages)
    stored = _pages_of(_stored(dump.source, seen.pages, page_size), page_size, covered)
    shift = 0
    if seen.kinds is not None:
        turns = np.count_nonzero(np.diff(seen.kinds)) + 2 * len(stored)
        if turns < budget * _TURNS_PER_BYTE:
            kind = pack(seen.kinds)
            told = _told(covered, stored, seen.pages, 0)
            if len(kind["data"]) + _size(told) <= budget:
                return 0, seen.pages, kind, None, told
        shift = max((total(seen.pages) // budget).bit_length() - 1, 1)
    while True:
        cells = seen.cells(shift)
        counts = _counts(cells)
        told = _told(covered, stored, cells.ranges, cells.shift)
        size = sum(len(each["data"]) for each in counts.values()) + _size(told)
        if (size <= budget and len(cells.ranges) <= RUNS_MAX) or len(cells.counts) < 1024:
            return cells.shift, cells.ranges, None, counts, told
        over = max(size / budget, len(cells.ranges) / RUNS_MAX)
        shift = cells.shift + max(int(over).bit_length() - 1, 1)


def _size(told: tuple[Packed, Packed]) -> int:
    return sum(len(each["data"]) for each in told)


def _counts(cells: Cells) -> dict[str, Packed]:
    return {
        str(int(kind)): pack(cells.counts[:, kind]) for kind in Kind if cells.counts[:, kind].any()
    }


def _told(
    covered: Intervals, stored: Intervals, ranges: Intervals, shift: int
) -> tuple[Packed, Packed]:
    """Count the pages of each cell that ranges cover, and that the file has."""
    cells = numbers(ranges)
    return pack(_inside(covered, cells, shift)), pack(_inside(stored, cells, shift))


def _inside(intervals: Intervals, cells: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """Count for each cell how many of its pages lie in intervals."""
    lengths = intervals[:, 1] - intervals[:, 0]
    before = np.r_[0, np.cumsum(lengths)]

    def below(pfn: NDArray[np.int64]) -> NDArray[np.int64]:
        row = np.searchsorted(intervals[:, 0], pfn, side="right") - 1
        some = np.maximum(row, 0)
        if not len(intervals):
            return np.zeros(len(pfn), dtype=np.int64)
        into = np.minimum(pfn - intervals[some, 0], lengths[some])
        return np.where(row < 0, 0, before[some] + into)

    return below((cells + 1) << shift) - below(cells << shift)


def _pages_of(memory: Intervals, page_size: int, among: Intervals) -> Intervals:
    """Give the pages that lie in some memory, whole or in part."""
    return intersect(join(memory[:, 0] // page_size, -(-memory[:, 1] // page_size)), among)


def _stored(source: PhysicalSource, pages: Intervals, page_size: int) -> Intervals:
    """Give the memory that is really in the file, as far as that is known without much work."""
    end = int(source.ranges()[-1:, 1].max(initial=0))
    found = source.present_runs(0, end)
    kept = _pages_of(found, page_size, pages)
    if not source.is_incomplete() or total(kept) > _STORED_ASKED_MAX:
        return found
    pfns = numbers(kept)
    there = pfns[source.stored_many((pfns * page_size).astype(np.uint64))]
    return join(there, there + 1) * page_size


def _uncovered(dump: Dump, pages: Intervals, page_size: int) -> Iterator[tuple[int, int, str]]:
    """Yield the pages that no memory range of the dump covers, and why, by runs of sections."""
    covered = _pages_of(dump.source.ranges().astype(np.int64), page_size, pages)
    sections = dump.pages.sections
    own = np.column_stack([sections.first_pfn, sections.end_pfn])
    gaps = intersect(subtract(pages, covered), own)  # within a run of sections it is one reason
    for first, end in gaps[:_REASONS_MAX].tolist():
        why = dump.why_absent(first * page_size)
        if why is not None:
            yield first, end, why.word


def _entries(dump: Dump, budget: int) -> tuple[EntriesRecord | None, str]:
    """Give the list's entries for whoever asks which one backs a page."""
    try:
        backing, base = dump.backing, dump.evidence.vmemmap_base.value
    except FactError as error:
        return None, str(error)
    size = backing.block_size
    if not len(backing) or not size:
        return None, "the kernel keeps no list"
    block = (backing.virt - np.uint64(base)) // np.uint64(size)
    phys = backing.phys // np.uint64(size)
    fits = backing.usable & (block < _NO_BLOCK) & (phys < _NO_BLOCK)
    block[~fits], phys[~fits] = _NO_BLOCK, 0
    packed = pack(block, grows=True), pack(phys, grows=True)
    if _size(packed) > budget:
        return None, "the list is too long for this page: vmemmap page tells"
    return {
        "block_size": size,
        "block": packed[0],
        "phys": packed[1],
        "count": len(backing),
    }, ""
