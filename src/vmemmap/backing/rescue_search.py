"""What a search for lost entries is given and gives: where to look, how far, what was found.

It ends by the work it has done and never by the clock, so that it finds the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run
from vmemmap.backing.own_place import OwnPlaces
from vmemmap.distinct import is_among
from vmemmap.facts.backing import BackingLayout
from vmemmap.intervals import Intervals, holds, subtract, touches
from vmemmap.linear_map import LINEAR_SPAN
from vmemmap.source.base import PhysicalSource


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a search goes. What lies beyond is named in the finding ``rescue_limited``.

    Attributes:
        page_heads: Pages of which the first slots are looked at: as many as 16 TiB of memory have
            with 64 KiB pages, and 1 TiB with 4 KiB pages.
        node_pages: Pages of nodes that are taken up. Twice as many are read, with those that their
            nodes point to.
        block_bytes: Memory that is read whole for blocks that say their place themselves.
        claims: Such blocks that are kept in mind, with each place that one claims.
    """

    page_heads: int = 1 << 28
    node_pages: int = 1 << 16
    block_bytes: int = 1 << 38
    claims: int = 1 << 21

    def times(self, factor: int) -> Effort:
        """Give *factor* times this effort."""
        return Effort(
            self.page_heads * factor,
            self.node_pages * factor,
            self.block_bytes * factor,
            self.claims * factor,
        )


DEFAULT_EFFORT = Effort()


@dataclass(frozen=True, slots=True)
class Found:
    """Entries found again, in no order.

    Attributes:
        node: Virtual address of each node, uint64; 0 where only the block was found.
        phys: Physical start of each block.
        virt: vmemmap address of each.
        unseen: What was not looked at because the effort was spent, in words; empty if nothing.
    """

    node: NDArray[np.uint64]
    phys: NDArray[np.uint64]
    virt: NDArray[np.uint64]
    unseen: tuple[str, ...] = ()

    def only(self, left: NDArray[np.bool_]) -> Found:
        """Give some of the entries."""
        return Found(self.node[left], self.phys[left], self.virt[left], self.unseen)


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for, where, and how far.

    Attributes:
        source: The dump.
        layout: Where a node's members lie.
        page_size: The kernel's page size in bytes.
        block_size: Bytes in a vmemmap block.
        region: The vmemmap.
        base: Virtual address of the struct page of pfn 0.
        wanted: What of the vmemmap has no entry and should have one, in bytes from the base.
        initialised: What of it was made when its memory came into use, likewise.
        memory: All memory that a block may lie in, in bytes.
        taken: Physical starts of blocks that are in use, uint64.
        effort: When to end.
    """

    source: PhysicalSource
    layout: BackingLayout
    page_size: int
    block_size: int
    region: Run
    base: int
    wanted: Intervals
    initialised: Intervals
    memory: Intervals
    taken: NDArray[np.uint64]
    effort: Effort = DEFAULT_EFFORT

    @property
    def own_places(self) -> OwnPlaces:
        """What asks blocks for their place."""
        return OwnPlaces(self.source, self.layout.order, self.region, self.block_size)

    def fits(self, phys: NDArray[np.uint64], virt: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of some entries can be what they claim."""
        mask, limit = np.uint64(self.block_size - 1), np.uint64(LINEAR_SPAN)
        start, end = np.uint64(self.region.start), np.uint64(self.region.end)
        fits = ((phys | virt) & mask == 0) & (phys < limit) & (virt >= start) & (virt < end)
        at = np.where(fits, phys, np.uint64(0)).astype(np.int64)
        return np.asarray(fits & holds(self.memory, at, self.block_size))

    def in_place(self, found: Found, wrong: NDArray[np.uint64]) -> Found:
        """Give what was found but for nodes that have a block which is not theirs.

        Args:
            found: Nodes found again.
            wrong: Nodes of the list of which that is known.
        """
        found = found.only(~is_among(found.node, wrong))
        places = self.own_places.misplaced(found.phys, found.virt, self.initialised, self.base)
        return found.only(places == 0)

    def is_wanted(self, virt: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of some blocks hold struct pages that have no entry; all lie in the region."""
        inside = virt >= np.uint64(self.base)
        offset = np.where(inside, virt - np.uint64(self.base), np.uint64(0)).astype(np.int64)
        return np.asarray(inside & touches(self.wanted, offset, self.block_size))

    def without(self, found: Found) -> Intervals:
        """Give what is wanted still when *found* is used."""
        start = np.sort((found.virt - np.uint64(self.base)).astype(np.int64))
        return subtract(self.wanted, np.column_stack([start, start + self.block_size]))
