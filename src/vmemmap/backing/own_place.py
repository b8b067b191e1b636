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
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, Run, numpy_prefix
from vmemmap.backing.table import BackingTable
from vmemmap.distinct import is_among
from vmemmap.intervals import Intervals, holds
from vmemmap.source.base import PhysicalSource

WORDS_AT_LEAST = 4
"""So many struct pages of a block have to agree on its place."""
OTHERS_AT_MOST = 0.1
_BLOCKS_ASKED = 2048
"""Of a longer list so many entries are looked at, spread over it."""
_CONTESTED = 256
_PIECE = 4 << 10
"""Bytes that are looked at together."""


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
        own, place = self._own_words(word.astype(np.uint64, copy=False))
        at = np.uint64(phys) + np.uint64(8) * own.astype(np.uint64)
        mine = self._is_behind(place, at)
        mask = np.uint64(self.block_size - 1)
        block, place = at[mine] & ~mask, place[mine] & ~mask
        # Nearly all words of a block name the same place, so that there are few runs of the same.
        new = (block[1:] != block[:-1]) | (place[1:] != place[:-1])
        first = np.flatnonzero(np.r_[True, new])[: len(block)]
        times = np.diff(np.r_[first, len(block)])
        counts = Counter[tuple[int, int]]()
        columns = block[first].tolist(), place[first].tolist(), times.tolist()
        for own_block, own_place, count in zip(*columns, strict=True):
            counts[own_block, own_place] += count
        return counts

    def places(
        self, phys: NDArray[np.uint64], believed: Callable[[int], NDArray[np.bool_]]
    ) -> NDArray[np.uint64]:
        """Ask blocks for their place, a small piece of each at a time until it says something.

        Args:
            phys: Where each begins.
            believed: Tells of which blocks the piece that begins so many bytes behind their first
                may be believed.

        Returns:
            The vmemmap address that each names; 0 where it does not say, or is not in the dump.
        """
        found = np.zeros(len(phys), dtype=np.uint64)
        for at in _piece_offsets(self.block_size):
            asked = np.flatnonzero((found == 0) & believed(at))
            if len(asked):
                rows, word = self._read(phys[asked] + np.uint64(at))
                found[asked[rows]] = self._named(word, at)
        return found

    def _read(self, phys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Read a piece from each address on: the rows that can be had whole, and their words."""
        runs = np.empty((len(phys), 3), dtype=np.int64)
        runs[:, 0], runs[:, 1], runs[:, 2] = np.arange(len(phys)) * _PIECE, phys, _PIECE
        located = self.source.locate(runs)
        spans = located.spans[located.spans[:, 1] == _PIECE]
        data = np.frombuffer(located.data, dtype=np.uint8)
        pieces = data[spans[:, 2, None] + np.arange(_PIECE)]
        word = pieces.view(numpy_prefix(self.order) + "u8").astype(np.uint64, copy=False)
        return spans[:, 0] // _PIECE, word

    def _named(self, word: NDArray[np.uint64], at: int) -> NDArray[np.uint64]:
        """Give the place that the words of each piece name, *at* bytes behind a block's first."""
        own, place = self._own_words(word.ravel())
        row, column = np.divmod(own, word.shape[1])
        # What follows the last word of a piece is another's.
        mine = self._is_behind(place, np.uint64(at) + np.uint64(8) * column.astype(np.uint64))
        mine &= column < word.shape[1] - 1
        row, place = row[mine], place[mine] & ~np.uint64(self.block_size - 1)
        first = np.zeros(len(word), dtype=np.uint64)
        first[row[::-1]] = place[::-1]
        count = np.bincount(row, minlength=len(word))
        same = np.bincount(row[place == first[row]], minlength=len(word))
        sure = (same >= WORDS_AT_LEAST) & (same >= (1 - OTHERS_AT_MOST) * count)
        return np.where(sure, first, np.uint64(0))

    def _own_words(self, word: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """Find the words that are an address of the vmemmap twice: which, and the addresses."""
        start, end = np.uint64(self.region.start), np.uint64(self.region.end)
        inside = np.flatnonzero(word[:-1] - start < end - start)  # what lies before wraps round
        twice = inside[word[inside] == word[inside + 1]]
        return twice, word[twice]

    def _is_behind(self, place: NDArray[np.uint64], at: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which addresses lie as far behind a block's first byte as their words, at *at*."""
        mask = np.uint64(self.block_size - 1)
        return np.asarray(place & mask == at & mask)

    def misplaced(
        self,
        phys: NDArray[np.uint64],
        virt: NDArray[np.uint64],
        initialised: Intervals,
        base: int,
    ) -> NDArray[np.uint64]:
        """Find entries whose block says that it belongs to another place than they say.

        Args:
            phys: Where each block begins; of more than 2,048 so many are looked at.
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
        offset = (virt[rows] - np.uint64(base)).astype(np.int64)
        named = self.places(phys[rows], lambda at: holds(initialised, offset + at, _PIECE))
        places[rows] = np.where(named == virt[rows], np.uint64(0), named)
        return places

    def contested(self, table: BackingTable) -> NDArray[np.uint64]:
        """Find newer entries that have the place of an older one, and not the block for it.

        Both blocks have to say so: kernels that leave old entries leave them with blocks that may
        be in use for anything, and of such the newest is right.

        Returns:
            As for `misplaced`; at most 256 older entries are looked at.
        """
        places = np.zeros(len(table), dtype=np.uint64)
        older = np.flatnonzero(table.outdated)[:_CONTESTED]
        used = np.flatnonzero(table.usable)
        used = used[is_among(table.virt[used], table.virt[older])]
        newest = dict(zip(table.virt[used].tolist(), used.tolist(), strict=True))
        newer = np.array([newest[virt] for virt in table.virt[older].tolist()], dtype=np.int64)
        virt, all_of_it = table.virt[older], np.ones(len(older), dtype=np.bool_)
        right = self.places(table.phys[older], lambda _: all_of_it) == virt
        named = self.places(table.phys[newer], lambda _: all_of_it)
        wrong = right & (named != 0) & (named != virt)
        places[newer[wrong]] = named[wrong]
        return places


def _piece_offsets(block_size: int) -> list[int]:
    """Give where the pieces of a block begin: near its beginning, and all over it."""
    near = {0, _PIECE, *(_PIECE << power for power in (4, 6) if _PIECE << power < block_size)}
    spread = {block_size * part // 4 // _PIECE * _PIECE for part in range(4)}
    return sorted(at for at in near | spread if at + _PIECE <= block_size)
