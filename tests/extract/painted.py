"""A dump with every byte painted that is not on a list: what is painted must come through nowhere.

Each painted word of eight bytes is ``T`` and seven letters that its address makes, so that none is
zero, none is an address, and any eight of them in an extract are found. The two lowest bits of each
are clear: what tells a tail of a compound, or a mapping of processes, is no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.source.base import Located, PageHeads, PhysicalSource

_LETTERS = b"048dhlpt"
_POTS = 1 << 21
MARKER = re.compile(rb"T[048dhlpt]{7}")


def marks(phys: int, size: int) -> NDArray[np.uint8]:
    """Give the paint of some memory."""
    first, last = phys // 8, -(-(phys + size) // 8)
    pots, start = _pots(), first % _POTS
    if start + last - first <= _POTS:
        painted = pots[start : start + last - first]
    else:
        painted = _paint(np.arange(first, last, dtype=np.uint64))
    return painted.reshape(-1)[phys - first * 8 :][:size]


def _paint(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Paint words of memory, given by their numbers: eight bytes each, in another dimension."""
    return _pots()[(words % np.uint64(_POTS)).astype(np.intp)]


@cache
def _pots() -> NDArray[np.uint8]:
    """Mix the paint of the first words, shape (_POTS, 8); from there on it is the same again."""
    out = np.full((_POTS, 8), ord("T"), dtype=np.uint8)
    letters = np.frombuffer(_LETTERS, dtype=np.uint8)
    number = np.arange(_POTS, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(_POTS)
    for column in range(7):
        out[:, 1 + column] = letters[((number >> np.uint64(18 - 3 * column)) & np.uint64(7))]
    return out


class PaintedSource(PhysicalSource):
    """Another source's memory, painted.

    Args:
        inner: The source.
        kept: Bytes that stay as they are: sorted physical addresses, shape (n,).
    """

    def __init__(self, inner: PhysicalSource, kept: NDArray[np.int64]) -> None:
        self._inner, self._kept = inner, kept
        for name in ("path", "format", "container_byte_order", "block_size", "dump_level"):
            setattr(self, name, getattr(inner, name))
        for name in ("machine", "release", "notes", "vmcoreinfo", "warnings", "moves"):
            setattr(self, name, getattr(inner, name))

    def paint(self, phys: int, data: bytes | memoryview) -> bytes:
        """Paint some bytes."""
        out = np.frombuffer(data, dtype=np.uint8).copy()
        low, high = np.searchsorted(self._kept, [phys, phys + len(out)])
        painted = np.ones(len(out), dtype=np.bool_)
        painted[self._kept[low:high] - phys] = False
        out[painted] = marks(phys, len(out))[painted]
        return out.tobytes()

    def read(self, address: int, size: int) -> bytes:
        return self.paint(address, self._inner.read(address, size))

    def locate(self, runs: NDArray[np.int64]) -> Located:
        return PhysicalSource.locate(self, runs)

    def heads(self, unit_bytes: int, head_bytes: int, until: int = 1 << 64) -> Iterator[PageHeads]:
        for found in self._inner.heads(unit_bytes, head_bytes, until):
            starts = found.phys.astype(np.int64)
            words = starts[:, None] // 8 + np.arange(-(-head_bytes // 8))
            data = _paint(words.astype(np.uint64)).reshape(len(starts), -1)[:, :head_bytes]
            # Most pages have nothing that stays.
            low, high = np.searchsorted(self._kept, [starts, starts + head_bytes])
            for row in np.flatnonzero(high > low).tolist():
                painted = self.paint(int(starts[row]), found.data[row].tobytes())
                data[row] = np.frombuffer(painted, dtype=np.uint8)
            yield PageHeads(found.phys, data, found.done)

    def is_ram(self, address: int) -> bool:
        return self._inner.is_ram(address)

    def is_present(self, address: int) -> bool:
        return self._inner.is_present(address)

    def is_stored(self, address: int) -> bool:
        return self._inner.is_stored(address)

    def present_many(self, addresses: Any) -> NDArray[np.bool_]:
        return self._inner.present_many(addresses)

    def stored_many(self, addresses: Any) -> NDArray[np.bool_]:
        return self._inner.stored_many(addresses)

    def ranges(self) -> NDArray[np.uint64]:
        return self._inner.ranges()

    def is_incomplete(self) -> bool:
        return self._inner.is_incomplete()

    def close(self) -> None:
        self._inner.close()


def memory_of(path: Any) -> dict[int, bytes]:
    """Give every page that a dump has, by physical address."""
    from vmemmap.source.detect import open_source

    source = open_source(path)
    size = source.block_size or 4096  # what an ELF file leaves out can be that small
    pages = {}
    for start, end in source.ranges().tolist():
        at = np.arange(start, end, size, dtype=np.uint64)
        for phys in at[source.present_many(at)].tolist():
            pages[phys] = source.read(phys, min(size, end - phys))
    source.close()
    return pages
