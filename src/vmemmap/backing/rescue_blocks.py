"""Lost blocks, found by the struct pages in them, which say where they belong: `OwnPlaces`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from vmemmap.backing.own_place import OTHERS_AT_MOST, WORDS_AT_LEAST
from vmemmap.backing.rescue_search import Found, Search
from vmemmap.distinct import is_among
from vmemmap.errors import ReadError
from vmemmap.intervals import join, subtract

_CHUNK_BYTES = 4 << 20
_SPAN_BYTES = 64 << 30


def find_blocks(search: Search) -> Found:
    """Find blocks by what is in them.

    Returns:
        Blocks that are wanted and not in use, where exactly one claims the place. All stored memory
        but that of blocks in use is read, as far as the effort goes.
    """
    own_places = search.own_places
    votes: Counter[tuple[int, int]] = Counter()
    unseen: tuple[str, ...] = ()
    left = search.effort.block_bytes
    for low, size in _stored(search):
        if left <= 0 or len(votes) > search.effort.claims:
            unseen = (f"memory from {low:#x} on was not read for blocks",)
            break
        left -= size
        for start, data in _read(search, low, size):
            votes.update(own_places.claims(start, data))
    best: dict[int, list[int]] = {}
    totals = Counter[int]()
    for (block, _), count in votes.items():
        totals[block] += count
    for (block, place), count in votes.items():
        if count >= WORDS_AT_LEAST and count >= (1 - OTHERS_AT_MOST) * totals[block]:
            best.setdefault(place, []).append(block)
    rows = sorted((place, found[0]) for place, found in best.items() if len(found) == 1)
    virt = np.array([row[0] for row in rows], dtype=np.uint64)
    phys = np.array([row[1] for row in rows], dtype=np.uint64)
    chosen = search.fits(phys, virt) & ~is_among(phys, search.taken)
    chosen[chosen] = search.is_wanted(virt[chosen])
    return Found(np.zeros(int(chosen.sum()), np.uint64), phys[chosen], virt[chosen], unseen)


def _stored(search: Search) -> Iterator[tuple[int, int]]:
    """Yield start and size of what the dump has, in pieces of whole pages, without blocks in use.

    Of a list that lost little that leaves little to read. Memory can be a terabyte of which hardly
    anything is stored, and is asked for in large spans.
    """
    page, taken = search.page_size, np.sort(search.taken).astype(np.int64)
    in_use = join(taken, taken + search.block_size)
    for start, end in search.source.ranges().tolist():
        low, end = -(-start // page) * page, end // page * page
        for span in range(low, end, _SPAN_BYTES):
            there = search.source.present_runs(span, min(span + _SPAN_BYTES, end))
            # A page counts where its first byte is there.
            pages = join(-(-there[:, 0] // page), -(-there[:, 1] // page)) * page
            for at, stop in subtract(pages, in_use).tolist():
                while at < stop:
                    border = at + _CHUNK_BYTES - (at - low) % _CHUNK_BYTES
                    yield at, min(border, stop) - at
                    at = border


def _read(search: Search, phys: int, size: int) -> Iterator[tuple[int, memoryview]]:
    """Read a piece; where a page of it cannot be decoded, the others one by one."""
    try:
        yield phys, search.source.view(phys, size)
        return
    except ReadError:
        if size <= search.page_size:
            return
    for at in range(phys, phys + size, search.page_size):
        yield from _read(search, at, search.page_size)
