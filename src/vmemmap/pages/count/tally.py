"""Windows counted, each by itself, and what a census has counted so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.distinct import distinct
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.exclusion_rules import Seen
from vmemmap.pages.exclusions import ExclusionCounts, Exclusions
from vmemmap.pages.heads import DamagedPage
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.one_pass import Combination, OnePass
from vmemmap.pages.rules import Mark
from vmemmap.pages.scanned import Scanned
from vmemmap.pages.struct_pages import Window

DAMAGE_KEPT = 1000
NOWHERE = -1
"""The zone of pages whose struct pages mean nothing: RAM that is not online."""


@dataclass(slots=True)
class Tally:
    """What was counted so far.

    Attributes:
        zones: Counts by kind for each value of the flag bits that name node and zone; pages that
            name none are under `NOWHERE`.
        free_blocks: Free blocks by order.
        why: Pages that cannot be read, by reason.
        heads: Compounds.
        tails: Tails.
        slab_tails: Tails that are slab pages.
        reserved: Pages with the reserved flag.
        maybe_reserved: Pages that may have it.
        may: What the undecided pages of each zone may be, as `bit_of` sums kinds.
        damaged: Damaged struct pages.
        damage: Some of them.
        exclusions: What makedumpfile sees.
    """

    free_blocks: NDArray[np.int64]
    zones: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    why: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Absence), dtype=np.int64))
    heads: int = 0
    tails: int = 0
    slab_tails: int = 0
    reserved: int = 0
    maybe_reserved: int = 0
    may: dict[int, int] = field(default_factory=dict)
    damaged: int = 0
    damage: list[DamagedPage] = field(default_factory=list)
    exclusions: ExclusionCounts = field(default_factory=ExclusionCounts)

    @classmethod
    def empty(cls, orders: int) -> Tally:
        """Give a tally of nothing, for free blocks of so many orders."""
        return cls(np.zeros(orders, dtype=np.int64))

    def zone(self, key: int) -> NDArray[np.int64]:
        """Give the counts by kind of a zone, which may be the first of them."""
        if key not in self.zones:
            self.zones[key] = np.zeros(len(Kind), dtype=np.int64)
        return self.zones[key]

    def add(self, other: Tally) -> None:
        """Add what was counted elsewhere."""
        for key, counts in other.zones.items():
            self.zones[key] = self.zones.get(key, 0) + counts
        self.free_blocks += other.free_blocks
        self.why += other.why
        self.heads += other.heads
        self.tails += other.tails
        self.slab_tails += other.slab_tails
        self.reserved += other.reserved
        self.maybe_reserved += other.maybe_reserved
        for key, kinds in other.may.items():
            self.may[key] = self.may.get(key, 0) | kinds
        self.damaged += other.damaged
        self.damage += other.damage[: max(DAMAGE_KEPT - len(self.damage), 0)]
        self.exclusions.add(other.exclusions)


class Counter:
    """Counts windows that were gone through page by page.

    Args:
        layout: The kernel's struct page.
        fields: Which bits of the flags have node and zone, or None.
        exclusions: makedumpfile's decisions, or None to leave them out.
    """

    def __init__(
        self, layout: PageLayout, fields: FlagFields | None, exclusions: Exclusions | None
    ) -> None:
        self._orders, self._exclusions = layout.orders, exclusions
        self._zone_mask = np.uint64(0 if fields is None else fields.mask >> 32 << 32)

    def count(self, scanned: Scanned) -> Tally:
        """Count one window."""
        blocks, kind, marks = scanned.blocks, scanned.judged.kind, scanned.judged.marks
        orders = blocks.free.orders.astype(np.intp)
        tally = Tally(np.bincount(orders, minlength=self._orders).astype(np.int64))
        tally.heads = len(blocks.compounds.rows)
        tally.damaged, tally.damage = blocks.damaged, blocks.damage
        tally.why += self.count_missing(scanned.window).why
        flags = scanned.members.flags
        undecided = np.flatnonzero(kind == Kind.UNDECIDED)
        if scanned.judged.may is not None and len(undecided):
            tally.may = _by_key(flags[undecided] & self._zone_mask, scanned.judged.may[undecided])
        doubt = scanned.judged.may_be_reserved
        if doubt is not None:
            tally.maybe_reserved = int(np.count_nonzero(doubt & (kind != Kind.ABSENT)))
        if scanned.unused:
            told = (kind != Kind.ABSENT) & (kind != Kind.UNKNOWN)
            for start, end in scanned.unused:
                nowhere = np.count_nonzero(told[start:end])
                tally.zone(NOWHERE)[Kind.OFFLINE] += nowhere
                told[start:end] = False
            rows = np.flatnonzero(told)
            kind, flags, marks = kind[rows], flags[rows], marks[rows]
        elif not scanned.window.complete:
            rows = np.flatnonzero((kind != Kind.ABSENT) & (kind != Kind.UNKNOWN))
            kind, flags, marks = kind[rows], flags[rows], marks[rows]
        tail = (marks & np.uint8(Mark.TAIL)) != 0
        tally.tails = int(np.count_nonzero(tail))
        tally.slab_tails = int(np.count_nonzero(tail & (kind == Kind.SLAB)))
        tally.reserved = int(np.count_nonzero(marks & np.uint8(Mark.RESERVED)))
        if len(kind):
            self._by_zone(kind, flags & self._zone_mask, tally)
        if self._exclusions is not None:
            tally.exclusions = self._exclusions.count(scanned)
        return tally

    def count_missing(self, window: Window) -> Tally:
        """Count a window of which no struct page can be read."""
        tally = Tally.empty(self._orders)
        for gap in window.missing:
            tally.why[gap.why] += gap.end - gap.start
        return tally

    @staticmethod
    def _by_zone(kind: NDArray[np.uint8], zone: NDArray[np.uint64], tally: Tally) -> None:
        first = zone[0]
        values = [first] if bool((zone == first).all()) else list(distinct(zone))
        for value in values:
            mine = kind if len(values) == 1 else kind[zone == value]
            tally.zone(int(value) >> 32)[:] += np.bincount(mine, minlength=len(Kind))


def _by_key(zone: NDArray[np.uint64], may: NDArray[np.uint32]) -> dict[int, int]:
    """Give what pages may be, by the zone that each is in."""
    found: dict[int, int] = {}
    for key, kinds in np.unique(np.column_stack([zone >> np.uint64(32), may]), axis=0).tolist():
        found[key] = found.get(key, 0) | kinds
    return found


def tally_of(counted: OnePass) -> Tally:
    """Give what the compiled pass has counted."""
    tally = Tally(counted.free_blocks.copy())
    tally.heads = counted.compounds
    for each in counted.combinations():
        pages = int(each.kinds.sum())
        if not pages:
            continue
        tally.zone(each.zone)[:] += each.kinds
        if each.marks & Mark.TAIL:
            tally.tails += pages
            tally.slab_tails += int(each.kinds[Kind.SLAB])
        if each.marks & Mark.RESERVED:
            tally.reserved += pages
        _add_exclusions(tally.exclusions, each)
    return tally


def _add_exclusions(out: ExclusionCounts, counted: Combination) -> None:
    """Add the pages that are seen in the dump's memory, and how many of them go with others."""
    pages, *blocks = counted.weights
    seen = counted.seen
    out.single[seen] += pages
    for which, as_seen in enumerate((seen, seen, seen | Seen.USER)):
        heads, together = blocks[2 * which : 2 * which + 2]
        free = 0 if which == 0 else 1
        out.single[seen] -= heads
        # One that heads a block of one sort counts alone where it is taken for the other.
        out.blocks[as_seen, free] += together
        out.blocks[as_seen, 1 - free] += heads
