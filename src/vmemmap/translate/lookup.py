"""Translation through a table of equal-sized blocks: one step per address, however long the table.

It knows nothing of where the table comes from; ``addresses.py`` fills it from the list. Of three
blocks of 0x10000 bytes at 0xf..00000, 0xf..10000 and 0xf..30000::

    slots                0: 0x70000   1: 0x90000   2: NOT_MAPPED   3: 0x50000   4: NOT_MAPPED
    virt                 0xf..10040   0xf..2ffff   0xf..30000   0xe000...
    (virt - first) >> 16 1            2            3            huge, so 4: outside
    out                  0x90040      NOT_MAPPED   0x50000      NOT_MAPPED
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOT_MAPPED = np.uint64((1 << 64) - 1)
"""What `BlockTable.translate_many` gives where no block covers an address."""

_DENSE_SLOTS_ALWAYS = 1 << 20
_DENSE_SLOTS_PER_BLOCK = 8
_CHUNK = 1 << 15
"""Addresses handled at a time, so that the intermediate arrays stay in the processor's cache."""


class Hit(NamedTuple):
    """A block found: its row, as `BlockTable` was given it, and the physical address asked for."""

    row: int
    phys: int


class _Numbered(NamedTuple):
    """Blocks by number from the lowest block on, in Python's own numbers, to find one at a time.

    Attributes:
        lowest: Virtual address of block 0.
        shift: log2 of the block size.
        mask: The block size less one.
        numbers: How many there are.
        rows: The row of each, or -1 where there is no block.
        phys: The physical address of each. Views: numpy makes an object of its own of a number.
    """

    lowest: int
    shift: int
    mask: int
    numbers: int
    rows: memoryview[int]
    phys: memoryview[int]


class BlockTable:
    """Blocks of one size, by virtual address.

    Args:
        virt: Start of each block (bytes, multiples of *block_size*), uint64, any order. Where one
            address stands twice the first wins, as in crash and makedumpfile.
        phys: Physical start of each block (bytes), uint64, same length.
        block_size: Bytes in a block; a power of two.
        rows: What to call each block, int64, same length; its place in the arrays if not given.
    """

    def __init__(
        self,
        virt: NDArray[np.uint64],
        phys: NDArray[np.uint64],
        block_size: int,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        order = np.argsort(virt, kind="stable")
        starts = virt[order]
        first = np.ones(len(starts), dtype=np.bool_)
        first[1:] = starts[1:] != starts[:-1]
        kept = order[first]
        self._row = kept if rows is None else rows[kept]
        self._starts = starts[first]
        self._view = self._starts.data
        self._phys = phys[kept]
        self._shift = np.uint64(block_size.bit_length() - 1)
        self._mask = np.uint64(block_size - 1)
        self._block_size = block_size

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, virt: int) -> Hit | None:
        """Find the block that holds *virt* (0 to 2**64 - 1), or None.

        O(1) where blocks lie near one another, else O(log n) in blocks.
        """
        numbered = self._numbered
        if numbered is not None:
            lowest, shift, mask, count, rows, phys = numbered
            number = (virt - lowest) >> shift
            if not 0 <= number < count or (row := rows[number]) < 0:
                return None
            return Hit(row, phys[number] + (virt & mask))
        at = self._below(virt)
        if at < 0:
            return None
        into = virt - int(self._starts[at])
        if into >= self._block_size:
            return None
        return Hit(int(self._row[at]), int(self._phys[at]) + into)

    def neighbours(self, virt: int) -> tuple[int | None, int | None]:
        """Give the start of the nearest block at or below *virt*, and of the nearest above."""
        at = self._below(virt)
        below = int(self._starts[at]) if at >= 0 else None
        above = int(self._starts[at + 1]) if at + 1 < len(self._starts) else None
        return below, above

    def translate_many(self, virt: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Translate addresses in bulk.

        Args:
            virt: Virtual addresses (bytes), uint64 in native byte order, one dimension.

        Returns:
            Physical addresses (bytes), uint64, same length; `NOT_MAPPED` where no block covers one.
            The cost per address does not depend on the number of blocks where they lie near one
            another, and grows with its logarithm where they are scattered.
        """
        out = np.full(len(virt), NOT_MAPPED, dtype=np.uint64)
        if not len(self._starts):
            return out
        translate = self._by_slot if self._slots is not None else self._by_search
        for start in range(0, len(virt), _CHUNK):
            part = virt[start : start + _CHUNK]
            translate(part, out[start : start + _CHUNK])
        return out

    @cached_property
    def _numbered(self) -> _Numbered | None:
        """The table for one address at a time, or None where that is wasteful."""
        slots = self._slots if len(self._starts) else None
        if slots is None:
            return None
        rows = np.full(len(slots) - 1, -1, dtype=np.int64)
        rows[(self._starts - self._starts[0]) >> self._shift] = self._row
        size = self._block_size
        return _Numbered(
            int(self._starts[0]), size.bit_length() - 1, size - 1, len(rows), rows.data, slots.data
        )

    @cached_property
    def _slots(self) -> NDArray[np.uint64] | None:
        """Physical start by block number from the lowest block on, or None where that is wasteful.

        One more slot at the end holds NOT_MAPPED, for every address outside.
        """
        span = int((self._starts[-1] - self._starts[0]) >> self._shift) + 1
        if span > max(_DENSE_SLOTS_ALWAYS, _DENSE_SLOTS_PER_BLOCK * len(self._starts)):
            return None
        slots = np.full(span + 1, NOT_MAPPED, dtype=np.uint64)
        slots[(self._starts - self._starts[0]) >> self._shift] = self._phys
        return slots

    def _by_slot(self, virt: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
        slots = self._slots
        assert slots is not None
        # An address below the first block wraps to a huge number and is caught by the minimum.
        number = (virt - self._starts[0]) >> self._shift
        np.minimum(number, np.uint64(len(slots) - 1), out=number)
        # take() with "clip" skips a second bounds check; the indices are in range already.
        np.take(slots, number.view(np.int64), out=out, mode="clip")
        # NOT_MAPPED has all bits set, so or-ing the offset in leaves it as it is. Blocks of phys
        # are aligned to their size (the caller drops others), so or is also addition.
        np.bitwise_or(out, virt & self._mask, out=out)

    def _by_search(self, virt: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
        at = np.searchsorted(self._starts, virt, side="right").astype(np.int64) - 1
        np.maximum(at, 0, out=at)
        into = virt - self._starts[at]
        inside = into <= self._mask
        out[inside] = self._phys[at[inside]] + into[inside]

    def _below(self, virt: int) -> int:
        """Give the position of the last start at or below *virt*, or -1."""
        # bisect over a view of the column is several times faster than searchsorted for one value.
        return bisect_right(self._view, virt) - 1
