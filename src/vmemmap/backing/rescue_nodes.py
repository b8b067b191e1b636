"""Entries that a damaged list does not reach, found again by evidence in the dump's memory.

Nodes are cut from whole pages in order, so a page of nodes shows itself by its first slots; read as
an array it gives nodes that no pointer leads to any more. Which of those were in use, and which had
been freed, the pointers tell that are left: a list in use ends at the oldest node, whose pointer is
NULL, while freed nodes end at a slot that was never used. See ``rescue_blocks.py`` for what is left
when the nodes themselves are lost.

Source: Linux arch/powerpc/mm/init_64.c, vmemmap_list_alloc(), vmemmap_list_free().
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run, numpy_prefix
from vmemmap.errors import ReadError
from vmemmap.facts.backing import BackingLayout
from vmemmap.facts.mmu import VMEMMAP_BLOCK_SHIFTS
from vmemmap.intervals import Intervals, holds, subtract, touches
from vmemmap.linear_map import LINEAR_SPAN, linear_phys_many, linear_virt
from vmemmap.source.base import PhysicalSource

_GUESS_SECONDS = 30.0
_PAGES_MAX = 1 << 16
_HEAD_SLOTS = 2
_CLEAR_MAJORITY = 0.9
_END, _LIVE, _ABSENT, _DEAD = range(4)
"""Where the pointers from a node come to: the list's end, a node of the list, memory that the dump
does not have, or what is no node."""


@dataclass(frozen=True, slots=True)
class Found:
    """Entries found again, in no order.

    Attributes:
        node: Virtual address of each node, uint64; 0 where only the block was found.
        phys: Physical start of each block.
        virt: vmemmap address of each.
        limited: The search was ended before it had seen all of the dump.
    """

    node: NDArray[np.uint64]
    phys: NDArray[np.uint64]
    virt: NDArray[np.uint64]
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for, and where.

    Attributes:
        source: The dump.
        layout: Where a node's members lie.
        page_size: The kernel's page size in bytes.
        block_size: Bytes in a vmemmap block.
        region: The vmemmap.
        base: Virtual address of the struct page of pfn 0.
        wanted: What of the vmemmap has no entry and should have one, in bytes from the base.
        memory: All memory that a block may lie in, in bytes.
        taken: Physical starts of blocks that are in use, uint64.
        deadline: When to end, by the monotonic clock.
    """

    source: PhysicalSource
    layout: BackingLayout
    page_size: int
    block_size: int
    region: Run
    base: int
    wanted: Intervals
    memory: Intervals
    taken: NDArray[np.uint64]
    deadline: float

    @property
    def late(self) -> bool:
        """The time is over."""
        return time.monotonic() > self.deadline

    def fits(self, phys: NDArray[np.uint64], virt: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of some entries can be what they claim."""
        mask, limit = np.uint64(self.block_size - 1), np.uint64(LINEAR_SPAN)
        start, end = np.uint64(self.region.start), np.uint64(self.region.end)
        fits = ((phys | virt) & mask == 0) & (phys < limit) & (virt >= start) & (virt < end)
        at = np.where(fits, phys, np.uint64(0)).astype(np.int64)
        return np.asarray(fits & holds(self.memory, at, self.block_size))

    def is_wanted(self, virt: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of some blocks hold struct pages that have no entry; all lie in the region."""
        inside = virt >= np.uint64(self.base)
        offset = np.where(inside, virt - np.uint64(self.base), np.uint64(0)).astype(np.int64)
        return np.asarray(inside & touches(self.wanted, offset, self.block_size))

    def without(self, found: Found) -> Intervals:
        """Give what is wanted still when *found* is used."""
        start = np.sort((found.virt - np.uint64(self.base)).astype(np.int64))
        return subtract(self.wanted, np.column_stack([start, start + self.block_size]))


def find_nodes(search: Search, listed: NDArray[np.uint64], *, everywhere: bool = True) -> Found:
    """Find nodes by their pages.

    Args:
        search: What to look for.
        listed: Virtual addresses of the nodes that the list reaches and that are sound.
        everywhere: Look in all of the dump, and not only in the pages of those.

    Returns:
        One entry for each block that is wanted and for which there is a node in use. Not more of
        memory is read than the first slots of each page, and the pages that hold nodes.
    """
    pages = np.unique(listed & np.uint64((1 << 60) - search.page_size))
    known = set(pages.tolist())
    limited = False
    for batch in _pages_of_nodes(search) if everywhere else ():
        known.update(batch)
        if search.late or len(known) > _PAGES_MAX:
            limited = True
            break
    slots = list(_all_slots(search, known))
    if not slots:
        nothing = np.empty(0, np.uint64)
        return Found(nothing, nothing, nothing, limited)
    node, following, phys, virt = (np.concatenate(column) for column in zip(*slots, strict=True))
    fits = search.fits(phys, virt)
    node, following, phys, virt = node[fits], following[fits], phys[fits], virt[fits]
    order = np.argsort(node)
    node, following, phys, virt = node[order], following[order], phys[order], virt[order]
    ends, depth = _follow(search, node, following, np.isin(node, listed))
    chosen = np.flatnonzero((ends != _DEAD) & ~np.isin(node, listed) & search.is_wanted(virt))
    # Of several nodes for one place the one whose end is certain, then the newest.
    chosen = chosen[np.lexsort((-depth[chosen], ends[chosen]))]
    chosen = chosen[np.sort(np.unique(virt[chosen], return_index=True)[1])]
    free = ~np.isin(phys[chosen], search.taken)
    chosen = chosen[free]
    chosen = chosen[np.sort(np.unique(phys[chosen], return_index=True)[1])]
    return Found(node[chosen], phys[chosen], virt[chosen], limited)


def _pages_of_nodes(search: Search) -> Iterator[list[int]]:
    """Yield pages whose first or second slot is a node, by physical address."""
    layout, word = search.layout, numpy_prefix(search.layout.order) + "u8"
    head_bytes = _HEAD_SLOTS * layout.size
    for heads in search.source.heads(search.page_size, head_bytes):
        page = np.zeros(len(heads.phys), dtype=np.bool_)
        for slot in range(_HEAD_SLOTS):
            phys, virt = (
                np.ascontiguousarray(heads.data[:, at : at + 8]).view(word)[:, 0].astype(np.uint64)
                for at in (
                    slot * layout.size + layout.phys_offset,
                    slot * layout.size + layout.virt_offset,
                )
            )
            page |= search.fits(phys, virt)
        yield heads.phys[page].tolist()


def _all_slots(search: Search, known: set[int]) -> Iterator[tuple[NDArray[np.uint64], ...]]:
    """Yield the slots of the known pages, and of those that their nodes point to, and so on."""
    waiting = sorted(known)
    seen = set(waiting)
    while waiting and len(seen) <= 2 * _PAGES_MAX:
        page = waiting.pop()
        slots = _slots(search, page)
        if slots is None:
            continue
        yield slots
        _, following, phys, virt = slots
        target, linear = linear_phys_many(following)
        target = target[search.fits(phys, virt) & linear]
        pages = np.unique(target // np.uint64(search.page_size))
        more = {number * search.page_size for number in pages.tolist()} - seen
        waiting += sorted(more)
        seen |= more


def _slots(search: Search, page: int) -> tuple[NDArray[np.uint64], ...] | None:
    """Give node, list, phys and virt_addr of all slots of a page, or None if it is not there."""
    layout = search.layout
    count = search.page_size // layout.size
    try:
        data = search.source.read(page, count * layout.size)
    except ReadError:
        return None
    word = np.dtype(numpy_prefix(layout.order) + "u8")
    own = np.uint64(linear_virt(page)) + np.arange(count, dtype=np.uint64) * np.uint64(layout.size)
    members = (layout.list_offset, layout.phys_offset, layout.virt_offset)
    return own, *(
        np.ndarray(count, word, data, at, (layout.size,)).astype(np.uint64) for at in members
    )


def _follow(
    search: Search,
    node: NDArray[np.uint64],
    following: NDArray[np.uint64],
    listed: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Follow every pointer to where it ends: all nodes at once, twice as far in every round.

    Returns:
        For each node how its pointers end, and how many nodes lie before that.
    """
    count = len(node)
    at = np.minimum(np.searchsorted(node, following), max(count - 1, 0))
    inner = node[at] == following
    phys, linear = linear_phys_many(following)
    absent = linear & ~search.source.stored_many(np.where(linear, phys, np.uint64(0)))
    outer = np.where(following == 0, _END, np.where(absent, _ABSENT, _DEAD))
    step = np.concatenate([np.where(inner, at, count + outer), count + np.arange(4)])
    step[:count][listed] = count + _LIVE
    length = np.concatenate([np.ones(count, np.int64), np.zeros(4, np.int64)])
    for _ in range(max(count, 1).bit_length()):
        length = length + length[step]
        step = step[step]
    ends = step[:count] - count
    ends[ends < 0] = _DEAD  # goes round
    return ends, length[:count]


def guess_block_size(
    source: PhysicalSource, layout: BackingLayout, page_size: int, region: Run
) -> int | None:
    """Tell the block size by nodes found in the dump, where neither it nor the list can be read.

    Args:
        source: The dump.
        layout: Where a node's members lie.
        page_size: The kernel's page size in bytes.
        region: The vmemmap.
    """
    ranges = source.ranges().astype(np.int64).reshape(-1, 2)
    search = Search(
        source=source,
        layout=layout,
        page_size=page_size,
        block_size=1 << min(VMEMMAP_BLOCK_SHIFTS),
        region=region,
        base=region.start,
        wanted=ranges[:0],
        memory=ranges,
        taken=np.empty(0, np.uint64),
        deadline=time.monotonic() + _GUESS_SECONDS,
    )
    known = set[int]()
    for batch in _pages_of_nodes(search):
        known.update(batch)
        if search.late or len(known) > _PAGES_MAX:
            break
    slots = [part for page in sorted(known) if (part := _slots(search, page)) is not None]
    if not slots:
        return None
    phys, virt = (np.concatenate([part[column] for part in slots]) for column in (2, 3))
    fits = search.fits(phys, virt)
    return infer_block_size(phys[fits], virt[fits])


def infer_block_size(phys: NDArray[np.uint64], virt: NDArray[np.uint64]) -> int | None:
    """Tell the block size by the list's own addresses, for want of anything else.

    Returns:
        The largest size to which nearly all of them are aligned, or None for an empty list.
    """
    for shift in sorted(VMEMMAP_BLOCK_SHIFTS, reverse=True):
        aligned = (phys | virt) & np.uint64((1 << shift) - 1) == 0
        if len(aligned) and aligned.mean() >= _CLEAR_MAJORITY:
            return 1 << shift
    return None
