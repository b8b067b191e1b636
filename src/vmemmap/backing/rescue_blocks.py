"""Blocks of struct pages that say themselves where in the vmemmap they belong.

When memory gets struct pages, each one's ``lru`` is made an empty list, whose two pointers are its
own address. It stays so in pages that were never on a list since: what the boot reserved, and all
of a free block but its first page. A word of a block that holds the virtual address of that word,
twice, names the block's place in the vmemmap, whatever the layout of struct page.

Source: Linux mm/mm_init.c (mm/page_alloc.c before 6.4), __init_single_page().
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from vmemmap.address import numpy_prefix
from vmemmap.backing.rescue_search import Found, Search
from vmemmap.distinct import is_among
from vmemmap.errors import ReadError
from vmemmap.intervals import join, subtract

_CHUNK_BYTES = 4 << 20
_SPAN_BYTES = 64 << 30
_WORDS_AT_LEAST = 4
"""So many struct pages of a block have to agree on its place."""
_OTHERS_AT_MOST = 0.1


def find_blocks(search: Search) -> Found:
    """Find blocks by what is in them.

    Returns:
        Blocks that are wanted and not in use, where exactly one claims the place. All stored memory
        but that of blocks in use is read, as far as the effort goes.
    """
    votes: Counter[tuple[int, int]] = Counter()
    unseen: tuple[str, ...] = ()
    left = search.effort.block_bytes
    for low, size in _stored(search):
        if left <= 0 or len(votes) > search.effort.claims:
            unseen = (f"memory from {low:#x} on was not read for blocks",)
            break
        left -= size
        for start, data in _read(search, low, size):
            votes.update(_claims(search, start, data))
    best: dict[int, list[int]] = {}
    totals = Counter[int]()
    for (block, _), count in votes.items():
        totals[block] += count
    for (block, place), count in votes.items():
        if count >= _WORDS_AT_LEAST and count >= (1 - _OTHERS_AT_MOST) * totals[block]:
            best.setdefault(place, []).append(block)
    rows = sorted((place, found[0]) for place, found in best.items() if len(found) == 1)
    virt = np.array([row[0] for row in rows], dtype=np.uint64)
    phys = np.array([row[1] for row in rows], dtype=np.uint64)
    chosen = search.fits(phys, virt) & ~is_among(phys, search.taken)
    chosen[chosen] = search.is_wanted(virt[chosen])
    return Found(np.zeros(int(chosen.sum()), np.uint64), phys[chosen], virt[chosen], unseen)


def _claims(search: Search, phys: int, data: memoryview) -> Counter[tuple[int, int]]:
    """Count, for each block in *data* and each place, the words that name it."""
    word = np.frombuffer(data, numpy_prefix(search.layout.order) + "u8")
    word = word.astype(np.uint64, copy=False)
    start, end = np.uint64(search.region.start), np.uint64(search.region.end)
    inside = np.flatnonzero(word[:-1] - start < end - start)  # what lies before wraps round
    twice = inside[word[inside] == word[inside + 1]]
    value, at = word[twice], np.uint64(phys) + np.uint64(8) * twice.astype(np.uint64)
    mask = np.uint64(search.block_size - 1)
    own = value & mask == at & mask
    block, place = at[own] & ~mask, value[own] & ~mask
    # Nearly all words of a block name the same place, so that there are few runs of the same.
    new = (block[1:] != block[:-1]) | (place[1:] != place[:-1])
    first = np.flatnonzero(np.r_[True, new])[: len(block)]
    times = np.diff(np.r_[first, len(block)])
    counts = Counter[tuple[int, int]]()
    columns = block[first].tolist(), place[first].tolist(), times.tolist()
    for own_block, own_place, count in zip(*columns, strict=True):
        counts[own_block, own_place] += count
    return counts


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
