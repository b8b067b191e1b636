"""The vmemmap as runs: stretches that are contiguous in virtual and in physical memory alike.

Blocks that lie side by side in both are one run, so that a reader takes them in one piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import ReadError, TranslateError
from vmemmap.translate.page_tables.walk import PageTable

_ROWS = 1 << 16
"""Rows that are compared together: of a million each array of numbers counts."""


class MappedRun(NamedTuple):
    """*size* bytes at the virtual address *virt* that lie at the physical address *phys*."""

    virt: int
    phys: int
    size: int


class VmemmapRuns(Protocol):
    """Whatever knows which parts of the vmemmap are backed, and where."""

    def clip(self, start: int, end: int) -> Iterator[MappedRun]:
        """Yield the runs inside ``[start, end)``, cut to it, sorted, without overlap."""
        ...

    def rows(self, start: int, end: int) -> NDArray[np.uint64]:
        """Give the runs that reach into ``[start, end)``, not cut: rows of virt, phys, size."""
        ...


class BlockRuns:
    """The runs of a list of equal blocks.

    Args:
        virt: Start of each block (bytes), uint64, any order, no address twice.
        phys: Physical start of each, same length.
        block_size: Bytes in a block.
    """

    def __init__(self, virt: NDArray[np.uint64], phys: NDArray[np.uint64], block_size: int) -> None:
        # Of a million blocks each array counts. Boot puts the highest first into the list.
        if (virt[1:] < virt[:-1]).all():
            virt, phys = virt[::-1], phys[::-1]
        else:
            order = np.argsort(virt, kind="stable")
            virt, phys = virt[order], phys[order]
            del order
        begins = _begin_runs(virt, phys, np.uint64(block_size))
        if not begins.all():
            first = np.flatnonzero(begins)
            sizes = np.diff(first, append=len(virt)).astype(np.uint64) * np.uint64(block_size)
            virt, phys = virt[first], phys[first]
        else:  # none lies beside another, as boot leaves them
            sizes = np.broadcast_to(np.uint64(block_size), virt.shape)
        self._virt, self._phys, self._size = virt, phys, sizes
        self._starts = virt.data

    def clip(self, start: int, end: int) -> Iterator[MappedRun]:
        """Yield the runs inside ``[start, end)``; see `VmemmapRuns.clip`."""
        return cut(self.rows(start, end), start, end)

    def rows(self, start: int, end: int) -> NDArray[np.uint64]:
        """Give the runs that reach into ``[start, end)``; see `VmemmapRuns.rows`."""
        at = max(bisect_right(self._starts, start) - 1, 0)
        some = slice(at, bisect_right(self._starts, end - 1))
        return np.stack([self._virt[some], self._phys[some], self._size[some]], axis=1)


class TableRuns:
    """The runs that the kernel's page tables map: the vmemmap on the radix MMU.

    Args:
        tables: The page tables.
        page_size: The kernel's page size in bytes.
    """

    def __init__(self, tables: PageTable, page_size: int) -> None:
        self._tables = tables
        self._page_size = page_size

    def clip(self, start: int, end: int) -> Iterator[MappedRun]:
        """Yield the runs inside ``[start, end)``; see `VmemmapRuns.clip`."""
        return cut(self.rows(start, end), start, end)

    def rows(self, start: int, end: int) -> NDArray[np.uint64]:
        """Give the runs that reach into ``[start, end)``; see `VmemmapRuns.rows`."""
        page = self._page_size
        return merge(self._tables.mapped(start // page * page, -(-end // page) * page))

    def why_lost(self, virt: int) -> str | None:
        """Tell why the tables for an address cannot be read; None where they can."""
        try:
            self._tables.translate(virt)
        except ReadError as error:
            return str(error)
        except TranslateError:
            pass
        return None


class NoRuns:
    """A vmemmap of which nothing is known to be backed."""

    def clip(self, start: int, end: int) -> Iterator[MappedRun]:
        """Yield nothing."""
        return iter(())

    def rows(self, start: int, end: int) -> NDArray[np.uint64]:
        """Give nothing."""
        return np.empty((0, 3), dtype=np.uint64)


def merge(leaves: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Join rows of (virt, phys, size) that follow each other in both; they are sorted by virt."""
    if not len(leaves):
        return leaves
    virt, phys, size = leaves.T
    first = np.flatnonzero(_begin_runs(virt, phys, size[:-1]))
    last = np.r_[first[1:] - 1, len(leaves) - 1]
    return np.stack([virt[first], phys[first], virt[last] + size[last] - virt[first]], axis=1)


def _begin_runs(
    virt: NDArray[np.uint64], phys: NDArray[np.uint64], size: NDArray[np.uint64] | np.uint64
) -> NDArray[np.bool_]:
    """Tell which rows do not follow the row before in both; *size* is of all but the last."""
    new, last = np.ones(len(virt), dtype=np.bool_), max(len(virt) - 1, 0)
    sizes = np.broadcast_to(size, last)
    for at in range(0, last, _ROWS):
        here, after = slice(at, min(at + _ROWS, last)), slice(at + 1, min(at + _ROWS, last) + 1)
        new[after] = virt[after] != virt[here] + sizes[here]
        new[after] |= phys[after] != phys[here] + sizes[here]
    return new


def cut(runs: NDArray[np.uint64], start: int, end: int) -> Iterator[MappedRun]:
    """Yield rows of (virt, phys, size) cut to ``[start, end)``."""
    for virt, phys, size in runs.tolist():
        low, high = max(virt, start), min(virt + size, end)
        if low < high:
            yield MappedRun(low, phys + low - virt, high - low)
