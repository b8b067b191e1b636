"""Where the memory has gone: all pages of a dump counted, and the counts put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.findings import Finding
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.mmzone.nodes import NodeInfo
from vmemmap.pages.array import PageArray
from vmemmap.pages.count.tally import NOWHERE, Counter, Tally, tally_of
from vmemmap.pages.count.usage import Counts, Usage, ZoneUsage
from vmemmap.pages.exclusion_rules import LEVELS, Class, DumpLevel, Knowledge
from vmemmap.pages.exclusions import ExclusionCounts, Exclusions
from vmemmap.pages.kinds import COUNTED, ByKind, Kind
from vmemmap.pages.one_pass import RUN, OnePass, applies
from vmemmap.pages.rules import tells_hugetlb
from vmemmap.pages.scanned import Scanned
from vmemmap.pages.struct_pages import Window
from vmemmap.pages.undecided import kinds_in, kinds_undecided

_BATCH_BYTES = 32 << 20
"""Struct pages that the compiled pass goes over in one call."""


class Onlooker(Protocol):
    """Whoever wants to see every page as it is counted: one pass serves both."""

    def saw_runs(self, runs: NDArray[np.void], zones: list[int]) -> None:
        """Take note of runs of pages, which are `RUN`, and of what zones are meant in them."""
        ...

    def saw_free(self, zone: int, blocks: NDArray[np.int64]) -> None:
        """Take note of how many free blocks of each order are in the pages that came as runs."""
        ...

    def saw(self, scanned: Scanned) -> None:
        """Take note of a window that was gone through page by page; it must not be kept."""
        ...

    def missed(self, window: Window) -> None:
        """Take note of a window of which no struct page can be read."""
        ...


def count_all(
    pages: PageArray,
    exclusions: Exclusions | None,
    threads: int = 1,
    onlooker: Onlooker | None = None,
) -> Tally:
    """Count all pages: sound windows by the compiled pass, the others page by page.

    Args:
        pages: The array.
        exclusions: makedumpfile's decisions; None leaves them out.
        threads: How many to use; one where somebody looks on.
        onlooker: Is shown all pages, in the order of pfns.
    """
    careful = Counter(pages.layout, pages.fields, exclusions)
    if onlooker is not None:
        return _count_shown(pages, exclusions, careful, onlooker)
    if not applies(pages.layout):
        total = Tally.empty(pages.layout.orders)
        for tally in pages.each(careful.count, threads):
            total.add(tally)
        return total
    quick = OnePass(pages.struct_pages, pages.layout, pages.fields, exclusions)
    odd = Tally.empty(pages.layout.orders)
    count = pages.window_pages
    for firsts in pages.batches(max(_BATCH_BYTES // (count * pages.layout.size), 1), count):
        for first in quick.count(firsts, count):
            window = pages.struct_pages.window(first, count)
            odd.add(
                careful.count(pages.scanner.understand(window))
                if window.pieces
                else careful.count_missing(window)
            )
    total = tally_of(quick)
    total.add(odd)
    return total


def _count_shown(
    pages: PageArray, exclusions: Exclusions | None, careful: Counter, onlooker: Onlooker
) -> Tally:
    """Count all pages, and show them as they are counted."""
    quick = None
    if applies(pages.layout):
        quick = OnePass(pages.struct_pages, pages.layout, pages.fields, exclusions)
    total, count = Tally.empty(pages.layout.orders), pages.window_pages
    for firsts in pages.batches(max(_BATCH_BYTES // (count * pages.layout.size), 1), count):
        left, runs = firsts, np.empty(0, dtype=RUN)
        if quick is not None:
            left, runs = quick.count_runs(firsts, count)
        for first in left:
            before = int(np.searchsorted(runs["first"], first))
            onlooker.saw_runs(runs[:before], quick.zones if quick is not None else [])
            runs = runs[before:]
            total.add(_count_carefully(pages, careful, onlooker, first))
        onlooker.saw_runs(runs, quick.zones if quick is not None else [])
    if quick is not None:
        total.add(tally_of(quick))
        for each in quick.combinations():
            onlooker.saw_free(each.zone, each.free_blocks)
    return total


def _count_carefully(pages: PageArray, careful: Counter, onlooker: Onlooker, first: int) -> Tally:
    window = pages.struct_pages.window(first, pages.window_pages)
    if not window.pieces:
        onlooker.missed(window)
        return careful.count_missing(window)
    scanned = pages.scanner.understand(window)
    onlooker.saw(scanned)
    return careful.count(scanned)


def take_census(
    pages: PageArray,
    exclusions: Exclusions | None,
    nodes: Sequence[NodeInfo],
    findings: Iterable[Finding],
    fields_detail: str,
    original_pages: int,
    free_listed: int | None,
    threads: int = 1,
    onlooker: Onlooker | None = None,
) -> Usage:
    """Count all pages.

    Args:
        pages: The array.
        exclusions: makedumpfile's decisions; None leaves them out.
        nodes: What the kernel says of nodes and zones; may be empty.
        findings: What is wrong with mem_section, nodes and zones.
        fields_detail: The evidence for the place of node and zone in the flags.
        original_pages: Pages in the dump's memory ranges.
        free_listed: Free pages by the free lists, for kernels whose struct pages do not tell.
        threads: How many to use; see `PageArray.scan`.
        onlooker: Is shown all pages; see `count_all`.
    """
    total = count_all(pages, exclusions, threads, onlooker)
    kinds = sum(total.zones.values(), np.zeros(len(Kind), dtype=np.int64))
    kinds[Kind.UNKNOWN] += int(total.why.sum())
    may = 0
    for each in total.may.values():
        may |= each
    unused = int(total.zones.get(NOWHERE, np.zeros(1)).sum())
    undecided = int(kinds[Kind.UNDECIDED])
    if undecided:
        findings = (*findings, kinds_undecided(pages.layout, undecided, may))
    untold = {*kinds_in(may), *(() if tells_hugetlb(pages.layout) else (Kind.HUGETLB,))}
    sections = pages.sections
    levels: list[Counts | None] = [None for _ in LEVELS]
    if exclusions is not None:
        known = exclusions.knowledge
        levels = [_level(known, total.exclusions, level, free_listed) for level in LEVELS]
    read_all, unsettled = not total.why.any(), set(pages.layout.unsettled)
    told = "reserved" in {*pages.layout.bits, *unsettled} and not total.maybe_reserved
    knows_tails = not {"head", "tail"} & unsettled
    return Usage(
        pages=len(pages),
        kinds=ByKind({kind.word: int(kinds[kind]) for kind in COUNTED if kind not in untold}),
        untold=tuple(kind.word for kind in COUNTED if kind in untold),
        at_least=ByKind({kind.word: int(kinds[kind]) for kind in kinds_in(may)}),
        free_blocks=None if Kind.FREE in untold else tuple(total.free_blocks.tolist()),
        compound_heads=total.heads if knows_tails else None,
        compound_tails=total.tails if "tail" not in unsettled else None,
        slab_tails=total.slab_tails if knows_tails else None,
        managed=len(pages) - total.reserved - int(kinds[Kind.DEVICE]) - unused
        if read_all and told
        else None,
        unknown={why.word: int(total.why[why]) for why in Absence if total.why[why]},
        zones=tuple(_zones(total, pages.fields, nodes)),
        fields_origin=str(pages.fields.origin) if pages.fields else None,
        fields_detail=fields_detail,
        damaged=total.damaged,
        damage=tuple(total.damage),
        findings=tuple(findings),
        makedumpfile=tuple(levels),
        original_pages=original_pages,
        sections=len(sections),
        sections_removed=sections.removed,
        sections_offline=sections.not_online,
    )


def _level(
    knowledge: Knowledge, seen: ExclusionCounts, level: int, free_listed: int | None
) -> Counts | None:
    counts = seen.at_level(level)
    if not knowledge.scans_at(level):
        counts[:] = 0
    if level & DumpLevel.FREE and not knowledge.reads_free_marks:
        if free_listed is None:
            return None
        counts[Class.FREE] = free_listed
    return {found.word: int(counts[found]) for found in Class}


def _zones(
    counted: Tally, fields: FlagFields | None, nodes: Sequence[NodeInfo]
) -> Iterable[ZoneUsage]:
    known = {(zone.node, zone.index): zone for node in nodes for zone in node.zones}
    rows: dict[tuple[int, int] | None, NDArray[np.int64]] = {}
    may: dict[tuple[int, int] | None, int] = {}
    for key, counts in counted.zones.items():
        flags = key << 32
        place = (fields.node(flags), fields.zone(flags)) if fields and key != NOWHERE else None
        rows[place] = rows.get(place, 0) + counts
        may[place] = may.get(place, 0) | counted.may.get(key, 0)
    for place in sorted(rows, key=lambda place: place or (-1, -1)):
        counts, untold = rows[place], kinds_in(may[place])
        info = known.get(place) if place else None
        yield ZoneUsage(
            node=place[0] if place else None,
            zone=place[1] if place else None,
            name=info.name if info else None,
            pages=int(counts.sum()),
            kinds=ByKind(
                {
                    kind.word: None if kind in untold else int(counts[kind])
                    for kind in COUNTED
                    if counts[kind] or kind in untold
                }
            ),
            info=info,
        )
