"""Entries that a damaged list does not reach, found again by evidence in the dump's memory.

Nodes are cut from whole pages in order, so a page of nodes shows itself by its first slots; read as
an array it gives nodes that no pointer leads to any more. Which of those were in use, and which had
been freed, the pointers tell that are left: a list in use ends at the oldest node, whose pointer is
NULL, while freed nodes end at a slot that was never used. See ``rescue_blocks.py`` for what is left
when the nodes themselves are lost.

Source: Linux arch/powerpc/mm/init_64.c, vmemmap_list_alloc(), vmemmap_list_free().
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run, numpy_prefix
from vmemmap.backing.rescue_search import DEFAULT_EFFORT, Effort, Found, Search
from vmemmap.distinct import distinct, is_among, repeats
from vmemmap.errors import ReadError
from vmemmap.facts.backing import BackingLayout
from vmemmap.facts.mmu import VMEMMAP_BLOCK_SHIFTS
from vmemmap.linear_map import linear_phys_many, linear_virt
from vmemmap.source.base import PhysicalSource

_HEAD_SLOTS = 2
_CLEAR_MAJORITY = 0.9
_END, _LIVE, _ABSENT, _DEAD = range(4)
"""Where the pointers from a node come to: the list's end, a node of the list, memory that the dump
does not have, or what is no node."""


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
    pages = distinct(listed & np.uint64((1 << 60) - search.page_size))
    known = set(pages.tolist())
    ended = _add_node_pages(search, known) if everywhere else None
    slots, unread = _all_slots(search, known)
    unseen = _unseen(search, ended, unread)
    if not slots:
        nothing = np.empty(0, np.uint64)
        return Found(nothing, nothing, nothing, unseen)
    node, following, phys, virt = (np.concatenate(column) for column in zip(*slots, strict=True))
    reached = is_among(node, listed)
    ends, depth = _follow(search, node, following, reached)
    chosen = np.flatnonzero((ends != _DEAD) & ~reached & search.is_wanted(virt))
    # Of several nodes for one place the one whose end is certain, then the newest.
    chosen = chosen[np.lexsort((-depth[chosen], ends[chosen]))]
    chosen = chosen[~repeats(virt[chosen])]
    chosen = chosen[~is_among(phys[chosen], search.taken)]
    chosen = chosen[~repeats(phys[chosen])]
    return Found(node[chosen], phys[chosen], virt[chosen], unseen)


def _add_node_pages(search: Search, known: set[int]) -> int | None:
    """Add the pages whose first or second slot is a node, by physical address.

    Returns:
        Where it ended because the effort was spent, or None if all of the dump was looked at.
    """
    layout, effort = search.layout, search.effort
    word = numpy_prefix(layout.order) + "u8"
    left = effort.page_heads
    for heads in search.source.heads(search.page_size, _HEAD_SLOTS * layout.size):
        if len(heads.phys) and (not left or len(known) > effort.node_pages):
            return int(heads.phys[0])
        data = heads.data[:left]
        page = np.zeros(len(data), dtype=np.bool_)
        for slot in range(_HEAD_SLOTS):
            phys, virt = (
                np.ascontiguousarray(data[:, at : at + 8]).view(word)[:, 0].astype(np.uint64)
                for at in (
                    slot * layout.size + layout.phys_offset,
                    slot * layout.size + layout.virt_offset,
                )
            )
            page |= search.fits(phys, virt)
        known.update(heads.phys[: len(data)][page].tolist())
        if len(data) < len(heads.phys):
            return int(heads.phys[len(data)])
        left -= len(data)
    return None


def _all_slots(search: Search, known: set[int]) -> tuple[list[tuple[NDArray[np.uint64], ...]], int]:
    """Give the slots of the known pages, and of those that their nodes point to, and so on.

    Returns:
        The slots that can be nodes by page, ascending, and how many pages were not read because the
        effort was spent.
    """
    found: dict[int, tuple[NDArray[np.uint64], ...]] = {}
    waiting = sorted(known)
    seen = set(waiting)
    while waiting and len(seen) <= 2 * search.effort.node_pages:
        page = waiting.pop()
        slots = _slots(search, page)
        if slots is None:
            continue
        _, following, phys, virt = slots
        fits = search.fits(phys, virt)
        found[page] = tuple(column[fits] for column in slots)
        target, linear = linear_phys_many(following[fits])
        pages = distinct(target[linear] // np.uint64(search.page_size))
        more = {number * search.page_size for number in pages.tolist()} - seen
        waiting += sorted(more)
        seen |= more
    return [found[page] for page in sorted(found)], len(waiting)


def _unseen(search: Search, ended: int | None, unread: int) -> tuple[str, ...]:
    """Say what a search for nodes did not look at."""
    out = []
    if ended is not None:
        out.append(f"memory from {ended:#x} on was not looked at for pages of nodes")
    if unread:
        out.append(f"{unread:,} pages that may hold nodes were not read")
    return tuple(out)


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
    step = np.concatenate([at, count + np.arange(4)])
    rows = np.flatnonzero(~inner)
    phys, linear = linear_phys_many(following[rows])
    absent = linear & ~search.source.stored_many(np.where(linear, phys, np.uint64(0)))
    outer = np.where(following[rows] == 0, _END, np.where(absent, _ABSENT, _DEAD))
    step[rows] = count + outer
    step[:count][listed] = count + _LIVE
    length = np.concatenate([np.ones(count, np.int64), np.zeros(4, np.int64)])
    for _ in range(max(count, 1).bit_length()):
        if bool((step >= count).all()):
            break
        length = length + length[step]
        step = step[step]
    ends = step[:count] - count
    ends[ends < 0] = _DEAD  # goes round
    return ends, length[:count]


def guess_block_size(
    source: PhysicalSource,
    layout: BackingLayout,
    page_size: int,
    region: Run,
    effort: Effort = DEFAULT_EFFORT,
) -> int | None:
    """Tell the block size by nodes found in the dump, where neither it nor the list can be read.

    Args:
        source: The dump.
        layout: Where a node's members lie.
        page_size: The kernel's page size in bytes.
        region: The vmemmap.
        effort: When to end.
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
        initialised=np.empty((0, 2), dtype=np.int64),
        memory=ranges,
        taken=np.empty(0, np.uint64),
        effort=effort,
    )
    known = set[int]()
    _add_node_pages(search, known)
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
