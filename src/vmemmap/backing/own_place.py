"""Where blocks of struct pages say themselves that they belong.

When memory gets struct pages, each one's ``lru`` is made an empty list, whose two pointers are its
own address. It stays so in pages that were never on a list since: what the boot reserved, and all
of a free block but its first page. A word of a block that holds the virtual address of that word,
twice, names the block's place in the vmemmap, whatever the layout of struct page. By example, two
entries with blocks of 64 KiB, of which the second has the wrong one::

    virt                 phys       words of it                       says that it belongs to
    0xf000000000010000   0x450000   0x450020: 0xf000000000010020 x 2  0xf000000000010000
    0xf000000000020000   0x450000   (the same)                        0xf000000000010000

Source: Linux mm/mm_init.c (mm/page_alloc.c before 6.4), __init_single_page().
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, Run, numpy_prefix
from vmemmap.backing.table import BackingTable
from vmemmap.distinct import is_among
from vmemmap.errors import ReadError
from vmemmap.intervals import Intervals, holds, intersect
from vmemmap.source.base import PhysicalSource

WORDS_AT_LEAST = 4
"""So many struct pages of a block have to agree on its place."""
OTHERS_AT_MOST = 0.1
_BLOCKS_ASKED = 2048
"""Of a longer list so many entries are looked at, spread over it."""
_CONTESTED = 256
_PIECE_BYTES = 4 << 10
_PIECES = 9
"""So many pieces of a block are looked at, until one says something."""


@dataclass(frozen=True, slots=True)
class OwnPlaces:
    """What asks blocks for their place.

    Args:
        source: The dump.
        order: The kernel's byte order.
        region: The vmemmap.
        block_size: Bytes in a block.
    """

    source: PhysicalSource
    order: ByteOrder
    region: Run
    block_size: int

    def claims(self, phys: int, data: memoryview) -> Counter[tuple[int, int]]:
        """Count the words that name a place, for each block in some memory and each place.

        Args:
            phys: Where the memory begins, a multiple of 8.
            data: What is in it.
        """
        word = np.frombuffer(data, numpy_prefix(self.order) + "u8")
        word = word.astype(np.uint64, copy=False)
        start, end = np.uint64(self.region.start), np.uint64(self.region.end)
        inside = np.flatnonzero(word[:-1] - start < end - start)  # what lies before wraps round
        twice = inside[word[inside] == word[inside + 1]]
        value, at = word[twice], np.uint64(phys) + np.uint64(8) * twice.astype(np.uint64)
        mask = np.uint64(self.block_size - 1)
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

    def of_block(self, phys: int, parts: Intervals) -> int | None:
        """Give the vmemmap address to which a block says that it belongs; None if it does not say.

        Args:
            phys: Where it begins.
            parts: What of it may be believed, in bytes from its first.
        """
        for start, end in _pieces(parts):
            try:
                data = self.source.view(phys + start, end - start)
            except ReadError:
                continue
            counts = self.claims(phys + start, data)
            if not counts:
                continue
            (_, place), most = counts.most_common(1)[0]
            if most >= WORDS_AT_LEAST and most >= (1 - OTHERS_AT_MOST) * counts.total():
                return place
        return None

    def misplaced(
        self,
        phys: NDArray[np.uint64],
        virt: NDArray[np.uint64],
        initialised: Intervals,
        base: int,
    ) -> NDArray[np.uint64]:
        """Find entries whose block says that it belongs to another place than they say.

        Args:
            phys: Where each block begins; of more than 2,048 so many are looked at, as far as the
                dump has their beginning.
            virt: The place that each entry gives it, in the vmemmap.
            initialised: The part of the vmemmap whose struct pages were made when their memory came
                into use, in bytes from the base; what lies elsewhere may be what lay there before.
            base: Virtual address of the struct page of pfn 0.

        Returns:
            For each entry the place that its block names; 0 where that is its own, or unknown.
        """
        places = np.zeros(len(phys), dtype=np.uint64)
        rows = np.flatnonzero(virt >= np.uint64(base))
        if len(rows) > _BLOCKS_ASKED:
            rows = rows[np.linspace(0, len(rows) - 1, _BLOCKS_ASKED).astype(np.int64)]
        rows = rows[self.source.stored_many(phys[rows])]
        phys, virt = phys[rows], virt[rows]
        # Nearly all say at their beginning that they are right: that is seen of all at once.
        offset = (virt - np.uint64(base)).astype(np.int64)
        doubtful = ~self._agree(phys, virt, holds(initialised, offset, _PIECE_BYTES))
        columns = rows[doubtful].tolist(), phys[doubtful].tolist(), offset[doubtful].tolist()
        for row, start, at in zip(*columns, strict=True):
            block = np.array([[at, at + self.block_size]], dtype=np.int64)
            place = self.of_block(start, intersect(initialised, block) - at)
            if place is not None and place != at + base:
                places[row] = place
        return places

    def _agree(
        self, phys: NDArray[np.uint64], virt: NDArray[np.uint64], there: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Tell which blocks say at their beginning that they belong where their entries say.

        Args:
            phys: Where each begins.
            virt: What its entry says.
            there: Of which the beginning may be believed.
        """
        size = min(_PIECE_BYTES, self.block_size)
        rows, data = [], []
        for row in np.flatnonzero(there).tolist():
            with suppress(ReadError):
                data.append(self.source.view(int(phys[row]), size))
                rows.append(row)
        agree = np.zeros(len(phys), dtype=np.bool_)
        word = np.frombuffer(b"".join(data), numpy_prefix(self.order) + "u8")
        word = word.reshape(len(rows), size // 8)
        named = virt[rows, None] + np.arange(0, size, 8, dtype=np.uint64)
        own = (word[:, :-1] == named[:, :-1]) & (word[:, 1:] == named[:, :-1])
        agree[rows] = own.sum(axis=1) >= WORDS_AT_LEAST
        return agree

    def contested(self, table: BackingTable) -> NDArray[np.uint64]:
        """Find newer entries that have the place of an older one, and not the block for it.

        Both blocks have to say so: kernels that leave old entries leave them with blocks that may
        be in use for anything, and of such the newest is right.

        Returns:
            As for `misplaced`; at most 256 older entries are looked at.
        """
        places = np.zeros(len(table), dtype=np.uint64)
        whole = np.array([[0, self.block_size]], dtype=np.int64)
        older = np.flatnonzero(table.outdated)[:_CONTESTED]
        used = np.flatnonzero(table.usable)
        used = used[is_among(table.virt[used], table.virt[older])]
        newest = dict(zip(table.virt[used].tolist(), used.tolist(), strict=True))
        for row in older.tolist():
            virt = int(table.virt[row])
            newer = newest[virt]
            place = self.of_block(int(table.phys[newer]), whole)
            if place not in (None, virt) and self.of_block(int(table.phys[row]), whole) == virt:
                places[newer] = place
        return places


def _pieces(parts: Intervals) -> list[tuple[int, int]]:
    """Give some pieces of what may be believed: its beginning, its middle, its end."""
    found = []
    for number in range(_PIECES):
        if not len(parts):
            break
        start, end = parts[number * (len(parts) - 1) // (_PIECES - 1)].tolist()
        first = -(-start // 8) * 8
        room = max(end - first - _PIECE_BYTES, 0)
        at = first + room * number // (_PIECES - 1) // 8 * 8
        piece = at, min(at + _PIECE_BYTES, end // 8 * 8)
        if piece not in found and piece[0] < piece[1]:
            found.append(piece)
    return found
