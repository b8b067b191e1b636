"""The page bitmaps of a kdump file: which pfns are set, how many before one, in which ranges.

Bit p of the map is pfn p, least significant bit of each byte first, whatever the byte order. Maps
of machines with memory far apart are huge and almost all zero, so ranks are counted in chunks,
and only as far as they are asked for. A map that is far away is fetched piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals, intersect
from vmemmap.source.far_bytes import FarBytes
from vmemmap.source.ranks import CHUNK_BYTES, MapBytes, Ranks, count_set

_BATCH_BYTES = 1 << 20


class Bitmap:
    """A bitmap in a file.

    Args:
        data: The map's bytes, as far as the file has them; what is missing reads as clear.
        bits: How many bits count; any beyond are ignored.
        first: The bit from which on ranks count.
        end: The bit up to which they do; all of them if None.

    Attributes:
        bits: As given.
        ranks: The set bits in ``[first, end)``, counted.
        found_runs: What `runs` gave, by the limit.
        full: It is known without reading it that all bits are set.
    """

    def __init__(
        self, data: memoryview | FarBytes, bits: int, first: int = 0, end: int | None = None
    ) -> None:
        self.bits = bits
        self._bytes: MapBytes
        self._single: memoryview | FarBytes  # the same, for one bit: without an object of numpy's
        if isinstance(data, FarBytes):
            self._bytes = self._single = data
        else:
            self._single = data[: (bits + 7) // 8].cast("B")
            self._bytes = np.frombuffer(self._single, dtype=np.uint8)
        limit = min(bits, len(self._bytes) * 8)
        end = limit if end is None else min(end, limit)
        self.ranks = Ranks(self._bytes, min(first, end), end)
        self.found_runs: dict[int, tuple[NDArray[np.uint64], bool]] = {}
        self.full = False

    def test(self, pfn: int) -> bool:
        """Tell whether the bit of *pfn* is set."""
        if not 0 <= pfn < self.bits or pfn >> 3 >= len(self._single):
            return False
        return bool(self._single[pfn >> 3] >> (pfn & 7) & 1)

    def test_many(self, pfns: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell for each pfn whether its bit is set; same shape."""
        limit = min(self.bits, len(self._bytes) * 8)
        inside = pfns < np.uint64(limit)
        if not limit:
            return inside
        safe = np.where(inside, pfns, 0).astype(np.int64)
        return np.asarray(inside & ((self._bytes[safe >> 3] >> (safe & 7) & 1) == 1))

    def rank(self, pfn: int) -> int:
        """Count the set bits below *pfn*, from the first that counts on."""
        return self.ranks.below(pfn)

    def rank_many(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the set bits below each pfn; these rise, and lie among those that count."""
        return self.ranks.below_many(pfns)

    def nth(self, index: int) -> int:
        """Give the pfn of a set bit by its rank, which is less than there are."""
        return self.ranks.nth(index)

    def count(self, start: int, end: int) -> int:
        """Count the set bits in ``[start, end)``, wherever ranks begin."""
        end = min(end, self.bits, len(self._bytes) * 8)
        return count_set(self._bytes, start, end) if start < end else 0

    def set_bits(self, start: int, end: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the set bits in ``[start, end)`` in batches: where a batch begins, and its pfns."""
        end = min(end, self.bits, len(self._bytes) * 8)
        first = start // 8 // CHUNK_BYTES * CHUNK_BYTES
        self._expect(first, (end + 7) // 8)
        for at in range(first, (end + 7) // 8, CHUNK_BYTES):
            part = self._bytes[at : at + CHUNK_BYTES]
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
        if self.full:
            return np.array([[0, self.bits]], dtype=np.uint64), False
        if limit not in self.found_runs:
            flat = self._turns(2 * limit)
            if len(flat) % 2:
                flat = np.append(flat, min(self.bits, len(self._bytes) * 8))
            pairs = flat.reshape(-1, 2).astype(np.uint64)
            self.found_runs[limit] = pairs[:limit], len(pairs) > limit
        return self.found_runs[limit]

    def runs_cost(self, limit: int) -> int:
        """Tell how many bytes of a far file `runs` of that limit has to fetch."""
        at_hand = self.full or limit in self.found_runs or not isinstance(self._bytes, FarBytes)
        return 0 if at_hand else len(self._bytes)

    def last_end(self) -> int:
        """Give the bit after the last that is set, looked for from the end; 0 if none is."""
        for rows, cut in self.found_runs.values():
            if not cut:
                return int(rows[-1:, 1].max(initial=0))
        end, step = min(self.bits, len(self._bytes) * 8), CHUNK_BYTES
        while end > 0 and not self.full:
            start = max((end - 1) // 8 - step, 0)
            self._expect(start, (end + 7) // 8)
            part = self._bytes[start : (end + 7) // 8]
            if part.any():
                found = np.flatnonzero(np.unpackbits(part, bitorder="little")[: end - start * 8])
                if len(found):
                    return start * 8 + int(found[-1]) + 1
            end, step = start * 8, min(2 * step, _BATCH_BYTES)
        return end

    def _turns(self, limit: int) -> NDArray[np.int64]:
        """Give the bits that differ from the one before, until there are more than *limit*."""
        edges: list[NDArray[np.int64]] = []
        found = 0
        before = 0  # the last bit of what came before
        self._expect(0, len(self._bytes))
        for start in range(0, len(self._bytes), _BATCH_BYTES):
            batch = self._bytes[start : start + _BATCH_BYTES]
            if _are_all(batch, before):
                continue
            for at in range(start, start + len(batch), CHUNK_BYTES):
                part = batch[at - start : at - start + CHUNK_BYTES]
                if _are_all(part, before):
                    continue
                bits = np.unpackbits(part, bitorder="little")[: self.bits - at * 8]
                turns = np.flatnonzero(np.diff(bits, prepend=np.uint8(before)))
                edges.append(turns.astype(np.int64) + at * 8)
                found += len(turns)
                before = int(bits[-1])
                if found > limit:
                    return np.concatenate(edges)
        return np.concatenate(edges) if edges else np.empty(0, dtype=np.int64)

    def within(self, start: int, end: int) -> Intervals:
        """Give the set bits in ``[start, end)`` as intervals."""
        start, end = max(start, 0), min(end, self.bits, len(self._bytes) * 8)
        turns: list[NDArray[np.int64]] = []
        before = 0  # the last bit of what came before
        self._expect(start // 8, (end + 7) // 8)
        for at in range(start // 8, (end + 7) // 8, CHUNK_BYTES):
            part = self._bytes[at : min(at + CHUNK_BYTES, (end + 7) // 8)]
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

    def _expect(self, start: int, end: int) -> None:
        """Have what goes by fetched together, where it has to be fetched."""
        if isinstance(self._bytes, FarBytes):
            self._bytes.expect(start, end)


def _are_all(data: NDArray[np.uint8], bit: int) -> bool:
    """Tell whether all bits of some bytes are the same as *bit*."""
    return bool((data == (0xFF if bit else 0)).all())
