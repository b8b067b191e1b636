"""The memory map as the page carries it: what every page is, whether the dump has it, and more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from vmemmap.errors import FactError
from vmemmap.intervals import Intervals, intersect, join, numbers, subtract, total
from vmemmap.pages.count.map_gatherer import MapGatherer, pages_of
from vmemmap.pages.kinds import TITLES
from vmemmap.picture.packed import Packed, pack
from vmemmap.picture.packed_runs import RunsRecord, pack_runs

if TYPE_CHECKING:
    from vmemmap.dump import Dump
    from vmemmap.pages.count.kind_runs import KindRuns
    from vmemmap.source.base import PhysicalSource

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
        kinds: The kinds: number, word, title.
        runs: All pages: the lower half of a word is the kind, the upper one whether the dump has
            the page, as `Stored` tells.
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
    kinds: list[tuple[int, str, str]]
    runs: RunsRecord
    uncovered: list[tuple[int, int, str]]
    unread: list[tuple[int, int, str]] | None
    zones: list[list[int]] | None
    zone_names: dict[str, str]
    entries: EntriesRecord | None
    why_no_entries: str


class ComparisonMapRecord(TypedDict):
    """What the script draws the map of two dumps from; what is as in `MapRecord` has its name.

    Attributes:
        compared: That this is such a map.
        runs: All pages: the lower half of a word is the kind before, the upper one the kind after.
        entries_before: The first dump's list; *entries* is the second's.
    """

    compared: bool
    page_size: int
    section_pages: int
    struct_page_size: int
    base: str
    kinds: list[tuple[int, str, str]]
    runs: RunsRecord
    entries: EntriesRecord | None
    why_no_entries: str
    entries_before: EntriesRecord | None


def look_on(dump: Dump) -> MapGatherer:
    """Give who has to look on while the pages of a dump are counted, so that it can be drawn.

    Raises:
        FactError: Where the struct pages are cannot be told.
    """
    array = dump.pages.array
    pages = pages_of(array)
    covered = _pages_of(dump.source.ranges().astype(np.int64), array.page_size, pages)
    stored = _pages_of(_stored(dump.source, pages, array.page_size), array.page_size, covered)
    return MapGatherer(array, None, covered, stored)


def make_map(dump: Dump, seen: MapGatherer, runs: KindRuns, budget: int) -> MapRecord:
    """Make the map of a dump.

    Args:
        dump: The dump.
        seen: What was kept of a census of it.
        runs: Its runs.
        budget: How many bytes the page has for it.

    Raises:
        FactError: Not even the vmemmap's place is known.
    """
    model = dump.pages
    array = model.array
    entries, why = _entries(dump, budget // 4)
    if entries is not None:
        budget -= len(entries["block"]["data"]) + len(entries["phys"]["data"])
    return {
        "page_size": array.page_size,
        "section_pages": array.sections.pages_per_section,
        "struct_page_size": array.layout.size,
        "base": f"{dump.evidence.vmemmap_base.value:#x}",
        "pages": len(array),
        "kinds": [(int(each), each.word, words) for each, words in TITLES.items()],
        "runs": pack_runs(runs, budget),
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


def make_comparison_map(
    before: Dump, after: Dump, pairs: KindRuns, budget: int
) -> ComparisonMapRecord:
    """Make the map of two dumps.

    Args:
        before: The first.
        after: The second.
        pairs: Their pages.
        budget: How many bytes the page has for it.

    Raises:
        FactError: Not even the vmemmap's place is known.
    """
    array = after.pages.array
    entries, why = _entries(after, budget // 6)
    earlier, _ = _entries(before, budget // 6)
    for each in (entries, earlier):
        if each is not None:
            budget -= len(each["block"]["data"]) + len(each["phys"]["data"])
    return {
        "compared": True,
        "page_size": array.page_size,
        "section_pages": array.sections.pages_per_section,
        "struct_page_size": array.layout.size,
        "base": f"{after.evidence.vmemmap_base.value:#x}",
        "kinds": [(int(each), each.word, words) for each, words in TITLES.items()],
        "runs": pack_runs(pairs, budget),
        "entries": entries,
        "why_no_entries": why,
        "entries_before": earlier,
    }


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
    if len(packed[0]["data"]) + len(packed[1]["data"]) > budget:
        return None, "the list is too long for this page: vmemmap page tells"
    return {
        "block_size": size,
        "block": packed[0],
        "phys": packed[1],
        "count": len(backing),
    }, ""
