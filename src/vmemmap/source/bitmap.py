"""The page bitmaps of a kdump file: which pfns are set, how many before one, in which ranges.

Bit p of the map is pfn p, least significant bit of each byte first, whatever the byte order. Maps
of machines with memory far apart are huge and almost all zero, so ranks are counted in chunks,
and only as far as they are asked for. A map that is far away is fetched piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals, intersect
from vmemmap.source.file_view import ByteView

_CHUNK_BYTES = 4096
_BATCH_CHUNKS = 256
_FAR_BYTES = 64 << 10
_AHEAD_BYTES = 4 << 20


class FarBytes:
    """A stretch of a far file as if it were an array of bytes; what is asked for is fetched.

    Args:
        view: The file.
        at: Where the stretch begins in it.
        size: How many bytes it has, all of them in the file.
    """

    def __init__(self, view: ByteView, at: int, size: int) -> None:
        self._view, self._at, self._size = view, at, size
        self._next = self._ahead = 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int) -> np.uint8: ...
    @overload
    def __getitem__(self, key: slice | NDArray[np.int64]) -> NDArray[np.uint8]: ...
    def __getitem__(self, key: int | slice | NDArray[np.int64]) -> np.uint8 | NDArray[np.uint8]:
        """Give bytes as an array would: one, a stretch without steps, or those at many places."""
        if isinstance(key, slice):
            start, end, _ = key.indices(self._size)
            if start == self._next and end > self._ahead:
                # All of the map goes by, and nothing of what is behind it.
                self._ahead = min(end + _AHEAD_BYTES, self._size)
                self._view.prefetch(np.array([self._at + start]), np.array([self._ahead - start]))
            self._next = end
            data = self._view.view(self._at + start, max(end - start, 0))
            return np.frombuffer(data, dtype=np.uint8)
        if isinstance(key, np.ndarray):
            return self._at_many(key)
        return np.uint8(self._view.view(self._at + key, 1)[0])

    def _at_many(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        out = np.empty(places.shape, dtype=np.uint8)
        chunk = places // _FAR_BYTES
        chunks = np.unique(chunk)
        starts = self._at + chunks * _FAR_BYTES
        self._view.prefetch(starts, np.full(len(starts), _FAR_BYTES, dtype=np.int64))
        for number in chunks.tolist():
            mine = chunk == number
            part = self[number * _FAR_BYTES : (number + 1) * _FAR_BYTES]
            out[mine] = part[places[mine] - number * _FAR_BYTES]
        return out


class Bitmap:
    """A bitmap in a file.

    Args:
        data: The map's bytes, as far as the file has them; what is missing reads as clear.
        bits: How many bits count; any beyond are ignored.
    """

    def __init__(self, data: memoryview | FarBytes, bits: int) -> None:
        self._bits = bits
        self._bytes: NDArray[np.uint8] | FarBytes
        self._single: memoryview | FarBytes  # the same, for one bit: without an object of numpy's
        if isinstance(data, FarBytes):
            self._bytes = self._single = data
        else:
            self._single = data[: (bits + 7) // 8].cast("B")
            self._bytes = np.frombuffer(self._single, dtype=np.uint8)
        chunks = -(-len(self._bytes) // _CHUNK_BYTES)
        self._rank = np.zeros(chunks + 1, dtype=np.int64)
        self._counted = 0

    def test(self, pfn: int) -> bool:
        """Tell whether the bit of *pfn* is set."""
        if not 0 <= pfn < self._bits or pfn >> 3 >= len(self._single):
            return False
        return bool(self._single[pfn >> 3] >> (pfn & 7) & 1)

    def test_many(self, pfns: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell for each pfn whether its bit is set; same shape."""
        limit = min(self._bits, len(self._bytes) * 8)
        inside = pfns < np.uint64(limit)
        if not limit:
            return inside
        safe = np.where(inside, pfns, 0).astype(np.int64)
        return np.asarray(inside & ((self._bytes[safe >> 3] >> (safe & 7) & 1) == 1))

    def rank(self, pfn: int) -> int:
        """Count the set bits below *pfn*."""
        pfn = min(pfn, self._bits, len(self._bytes) * 8)
        chunk = (pfn >> 3) // _CHUNK_BYTES
        if chunk > self._counted:
            self._count_to(chunk)
        # One large number: several times faster than an array, for a few hundred bytes.
        bits = int.from_bytes(self._single[chunk * _CHUNK_BYTES : (pfn + 7) >> 3], "little")
        below = bits & ((1 << (pfn - chunk * _CHUNK_BYTES * 8)) - 1)
        return int(self._rank[chunk]) + below.bit_count()

    def rank_many(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the set bits below each pfn; these rise, and lie inside the map."""
        out = np.empty(len(pfns), dtype=np.int64)
        if not len(pfns):
            return out
        chunk = (pfns >> 3) // _CHUNK_BYTES
        self._count_to(int(chunk[-1]))
        edges = np.r_[0, np.flatnonzero(np.diff(chunk)) + 1, len(pfns)]
        for start, end in pairwise(edges.tolist()):
            first = int(chunk[start]) * _CHUNK_BYTES
            # As far as the last that is asked for: what is set below each, and in it.
            part = self._bytes[first : (int(pfns[end - 1]) >> 3) + 1]
            bits = np.unpackbits(part, bitorder="little")
            upto = np.cumsum(bits, dtype=np.int32)
            at = pfns[start:end] - first * 8
            out[start:end] = self._rank[chunk[start]] + upto[at] - bits[at]
        return out

    def nth(self, index: int) -> int:
        """Give the pfn of a set bit by how many are set before it, fewer than there are."""
        low, high = 0, self._bits
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.rank(middle) <= index else (low, middle)
        return low

    def set_bits(self, start: int, end: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the set bits in ``[start, end)`` in batches: where a batch begins, and its pfns."""
        end = min(end, self._bits, len(self._bytes) * 8)
        for at in range(start // 8 // _CHUNK_BYTES * _CHUNK_BYTES, (end + 7) // 8, _CHUNK_BYTES):
            part = self._bytes[at : at + _CHUNK_BYTES]
            if part.any():
                pfns = np.flatnonzero(np.unpackbits(part, bitorder="little")) + at * 8
                yield at * 8, pfns[(pfns >= start) & (pfns < end)]

    def runs(self, limit: int) -> tuple[NDArray[np.uint64], bool]:
        """Give the ranges of set bits.

        Args:
            limit: At most this many ranges are given.

        Returns:
            Shape (n, 2): first pfn and the pfn after the last, sorted; and whether the limit cut
            the answer short.
        """
        edges: list[NDArray[np.int64]] = []
        found = 0
        before = 0  # the last bit of what came before
        for start in range(0, len(self._bytes), _CHUNK_BYTES):
            part = self._bytes[start : start + _CHUNK_BYTES]
            if not before and not part.any():
                continue
            if before and part.all() and bool((part == 0xFF).all()):
                continue
            bits = np.unpackbits(part, bitorder="little")[: self._bits - start * 8]
            turns = np.flatnonzero(np.diff(bits, prepend=np.uint8(before)))
            edges.append(turns.astype(np.int64) + start * 8)
            found += len(turns)
            before = int(bits[-1])
            if found > 2 * limit:
                break
        flat = np.concatenate(edges) if edges else np.empty(0, dtype=np.int64)
        if len(flat) % 2:
            flat = np.append(flat, min(self._bits, len(self._bytes) * 8))
        pairs = flat.reshape(-1, 2).astype(np.uint64)
        return pairs[:limit], len(pairs) > limit

    def within(self, start: int, end: int) -> Intervals:
        """Give the set bits in ``[start, end)`` as intervals."""
        start, end = max(start, 0), min(end, self._bits, len(self._bytes) * 8)
        turns: list[NDArray[np.int64]] = []
        before = 0  # the last bit of what came before
        for at in range(start // 8, (end + 7) // 8, _CHUNK_BYTES):
            part = self._bytes[at : min(at + _CHUNK_BYTES, (end + 7) // 8)]
            if not before and not part.any():
                continue
            bits = np.unpackbits(part, bitorder="little")
            turns.append(np.flatnonzero(np.diff(bits, prepend=np.uint8(before))) + at * 8)
            before = int(bits[-1])
        if before:
            turns.append(np.array([end], dtype=np.int64))
        flat = np.concatenate(turns) if turns else np.empty(0, dtype=np.int64)
        wanted = np.array([[start, max(end, start)]], dtype=np.int64)
        return intersect(flat.reshape(-1, 2), wanted)

    def _count_to(self, chunk: int) -> None:
        """Make sure that the ranks of all chunks up to *chunk* are known."""
        while self._counted < chunk:
            first = self._counted
            last = min(first + _BATCH_CHUNKS, len(self._rank) - 1)
            part = self._bytes[first * _CHUNK_BYTES : last * _CHUNK_BYTES]
            whole = np.zeros((last - first) * _CHUNK_BYTES, dtype=np.uint8)
            whole[: len(part)] = part
            sums = _count_bits(whole).reshape(last - first, -1).sum(axis=1, dtype=np.int64)
            self._rank[first + 1 : last + 1] = self._rank[first] + np.cumsum(sums)
            self._counted = last


def _count_bits(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Count the set bits of each word, of 8 bytes or, where numpy cannot, of 2."""
    if hasattr(np, "bitwise_count"):  # since numpy 2.0; distributions for ppc64le still have 1.26
        return np.bitwise_count(data.view(np.uint64))
    return _bits_of_words()[data.view(np.uint16)]


@cache
def _bits_of_words() -> NDArray[np.uint8]:
    words = np.arange(1 << 16, dtype=np.uint16)
    bits = np.unpackbits(words.view(np.uint8)).reshape(-1, 16)
    return np.asarray(bits.sum(axis=1, dtype=np.uint8))
