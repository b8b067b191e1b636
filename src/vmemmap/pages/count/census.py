"""Where the memory has gone: every page counted once, by kind, node and zone.

Beside the count stands what the kernel says of itself, and what makedumpfile would leave out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.findings import Finding
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.mmzone.nodes import NodeInfo, ZoneInfo
from vmemmap.pages.array import PageArray, Scanned
from vmemmap.pages.blocks import Damage
from vmemmap.pages.classify import tells_hugetlb
from vmemmap.pages.count.quick_count import QuickCounter
from vmemmap.pages.count.tally import Tally
from vmemmap.pages.kinds import COUNTED, Kind
from vmemmap.pages.makedumpfile import (
    LEVELS,
    Class,
    Exclusions,
    MakedumpfileView,
)
from vmemmap.pages.raw_words import raw32
from vmemmap.pages.struct_pages import Why

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class ZoneUsage:
    """The pages whose flags name one zone.

    Attributes:
        node: NUMA node; None where the flags' layout cannot be known.
        zone: Index of the zone, likewise.
        name: Its name; None if it cannot be had.
        pages: How many pages name it.
        kinds: Pages by kind; kinds without any are left out.
        info: What the kernel says of the zone; None if that cannot be read.
    """

    node: int | None
    zone: int | None
    name: str | None
    pages: int
    kinds: Counts
    info: ZoneInfo | None


@dataclass(frozen=True, slots=True)
class Usage:
    """A census of all pages that have a struct page.

    Attributes:
        pages: How many there are: the sum of all kinds.
        kinds: Pages by kind, all kinds that this kernel's struct pages tell.
        untold: The kinds that they do not tell, so that there is no count; their pages are among
            those of other kinds.
        free_blocks: Free blocks by order, from order 0 on.
        compound_heads: How many compounds there are.
        compound_tails: How many pages are tails, whatever their kind.
        slab_tails: Slab pages among them: crash counts slabs by the pages that carry the mark, and
            where only heads do (since 4.18 with SLUB) these are missing from its figure.
        managed: Pages that are not reserved: what crash and /proc/zoneinfo call total or managed;
            None if a struct page could not be read.
        unknown: Pages of kind unknown by the reason why they cannot be read.
        zones: Pages by node and zone; unknown ones name none.
        fields_origin: Where the place of node and zone in the flags is known from; None if nowhere.
        fields_detail: The evidence for that, in words.
        damaged: How many struct pages are damaged.
        damage: The first of them, each with its pfn and reason.
        findings: What is wrong with mem_section and with nodes and zones.
        makedumpfile: For each dump level 0 to 31, pages that makedumpfile would leave out by class;
            pages filled with zeros, which are decided by content, are not among them. None where
            it would have to follow free lists that cannot be followed.
        original_pages: Pages in the dump's memory ranges, which is what it starts from.
        sections: How many sections have struct pages.
        sections_removed: How many are marked present without having any.
        sections_offline: How many are not online; None where the kernel has no such mark.
    """

    pages: int
    kinds: Counts
    untold: tuple[str, ...]
    free_blocks: tuple[int, ...]
    compound_heads: int
    compound_tails: int
    slab_tails: int
    managed: int | None
    unknown: Counts
    zones: tuple[ZoneUsage, ...]
    fields_origin: str | None
    fields_detail: str
    damaged: int
    damage: tuple[Damage, ...]
    findings: tuple[Finding, ...]
    makedumpfile: tuple[Counts | None, ...]
    original_pages: int
    sections: int
    sections_removed: int
    sections_offline: int | None

    @property
    def free(self) -> int:
        """Free pages, those whose own struct page cannot be read included."""
        return sum(count << order for order, count in enumerate(self.free_blocks))

    @property
    def as_crash(self) -> dict[str, int | None]:
        """The figures of crash's ``kmem -i``, in pages: total, free, cached, slab.

        crash takes free and cached from counters of the kernel, which lag behind by what each CPU
        has not added yet; free is that counter here too, where it can be read. Its slab is that of
        the pages which carry the mark, until version 8; later it is a counter again, in which
        tails and large kmallocs are.
        """
        kinds = self.kinds
        counted = [zone.info.free for zone in self.zones if zone.info is not None]
        known = [count for count in counted if count is not None]
        return {
            "total": self.managed,
            "free": sum(known) if known and len(known) == len(self.zones) else self.free,
            "cached": kinds["cache"] + kinds["cache_private"],
            "slab": kinds["slab"] - self.slab_tails,
        }


class Counter:
    """Counts windows.

    Args:
        pages: The array.
        view: makedumpfile's decisions, or None to leave them out.
    """

    def __init__(self, pages: PageArray, view: MakedumpfileView | None) -> None:
        self._pages, self._view = pages, view
        mask = pages.fields.mask >> 32 if pages.fields else 0
        self._mask = raw32(mask, pages.layout.order)
        self._word = np.dtype(f"{numpy_prefix(pages.layout.order)}u4")

    def count(self, scanned: Scanned) -> Tally:
        """Count one window."""
        window, columns, spread = scanned.window, scanned.columns, scanned.spread
        tally = Tally(
            np.bincount(
                spread.free_orders.astype(np.intp), minlength=self._pages.layout.orders
            ).astype(np.int64)
        )
        kind, high = columns.kind, columns.high
        tally.heads = len(spread.head_rows)
        tally.damaged, tally.damage = spread.damaged, spread.damage
        for gap in window.missing:
            tally.why[gap.why] += gap.end - gap.start
        tail, reserved = scanned.marks.tail, scanned.marks.reserved
        if not window.complete:
            rows = np.flatnonzero((kind != Kind.ABSENT) & (kind != Kind.UNKNOWN))
            kind, high, tail = kind[rows], high[rows], tail[rows]
            reserved = None if reserved is None else reserved[rows]
        tally.tails = int(np.count_nonzero(tail))
        if tally.tails:
            tally.slab_tails = int(np.count_nonzero(tail & (kind == Kind.SLAB)))
        if reserved is not None:
            tally.reserved = int(np.count_nonzero(reserved))
        if len(kind):
            self._by_zone(kind, high & self._mask, tally)
        if self._view is not None:
            tally.exclusions = self._view.count(scanned)
        return tally

    def _by_zone(self, kind: NDArray[np.uint8], zone: NDArray[np.uint32], tally: Tally) -> None:
        first = zone[0]
        one = bool((zone == first).all())
        values = [first] if one else list(np.unique(zone))
        for value in values:
            mine = kind if len(values) == 1 else kind[zone == value]
            key = int(np.asarray(value).view(self._word))
            tally.zones[key] = kind_counts(mine)


def kind_counts(kind: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count each `Kind`; a pass of comparisons for each is cheaper than one of additions."""
    counts = np.zeros(len(Kind), dtype=np.int64)
    left = len(kind)
    for value in Kind:
        counts[value] = np.count_nonzero(kind == np.uint8(value))
        left -= int(counts[value])
        if not left:
            break
    return counts


def take_census(
    pages: PageArray,
    view: MakedumpfileView | None,
    nodes: Sequence[NodeInfo],
    findings: Iterable[Finding],
    fields_detail: str,
    original_pages: int,
    free_listed: int | None,
    threads: int = 1,
) -> Usage:
    """Count all pages.

    Args:
        pages: The array.
        view: makedumpfile's decisions; None leaves them out.
        nodes: What the kernel says of nodes and zones; may be empty.
        findings: What is wrong with mem_section, nodes and zones.
        fields_detail: The evidence for the place of node and zone in the flags.
        original_pages: Pages in the dump's memory ranges.
        free_listed: Free pages by the free lists, for kernels whose struct pages do not tell.
        threads: How many to use; see `PageArray.scan`.
    """
    counter = Counter(pages, view)
    total = Tally(np.zeros(pages.layout.orders, dtype=np.int64))
    quick = QuickCounter(pages.layout, pages.fields, pages.struct_pages.base, pages.spreader, view)
    for tally in pages.each(counter.count, threads, quick=quick.count):
        total.add(tally)
    kinds = sum(total.zones.values(), np.zeros(len(Kind), dtype=np.int64))
    kinds[Kind.UNKNOWN] += int(total.why.sum())
    untold = () if tells_hugetlb(pages.layout) else (Kind.HUGETLB,)
    sections = pages.sections
    levels: list[Counts | None] = [None for _ in LEVELS]
    if view is not None:
        levels = [_level(view, total.exclusions, level, free_listed) for level in LEVELS]
    read_all = not total.why.any()
    return Usage(
        pages=len(pages),
        kinds={kind.word: int(kinds[kind]) for kind in COUNTED if kind not in untold},
        untold=tuple(kind.word for kind in untold),
        free_blocks=tuple(total.free_blocks.tolist()),
        compound_heads=total.heads,
        compound_tails=total.tails,
        slab_tails=total.slab_tails,
        managed=len(pages) - total.reserved
        if read_all and "reserved" in pages.layout.bits
        else None,
        unknown={why.name.lower(): int(total.why[why]) for why in Why if total.why[why]},
        zones=tuple(_zones(total.zones, pages.fields, nodes)),
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
    view: MakedumpfileView, seen: Exclusions, level: int, free_listed: int | None
) -> Counts | None:
    counts = seen.at_level(level)
    if not view.scans_at(level):
        counts[:] = 0
    if level & 16 and not view.reads_free_marks:
        if free_listed is None:
            return None
        counts[Class.FREE] = free_listed
    return {found.word: int(counts[found]) for found in Class}


def _zones(
    counted: dict[int, NDArray[np.int64]], fields: FlagFields | None, nodes: Sequence[NodeInfo]
) -> Iterable[ZoneUsage]:
    known = {(zone.node, zone.index): zone for node in nodes for zone in node.zones}
    rows: dict[tuple[int, int] | None, NDArray[np.int64]] = {}
    for key, counts in counted.items():
        flags = key << 32
        place = (fields.node(flags), fields.zone(flags)) if fields else None
        rows[place] = rows.get(place, 0) + counts
    for place in sorted(rows, key=lambda place: place or (-1, -1)):
        counts = rows[place]
        info = known.get(place) if place else None
        yield ZoneUsage(
            node=place[0] if place else None,
            zone=place[1] if place else None,
            name=info.name if info else None,
            pages=int(counts.sum()),
            kinds={kind.word: int(counts[kind]) for kind in COUNTED if counts[kind]},
            info=info,
        )
