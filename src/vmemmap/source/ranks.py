"""How many bits of a bitmap are set before one: counted in chunks, and only as far as needed.

Of a far file that is what bits cost, so it is counted from both ends, where it is known how many
are set in all, and what was counted once can be taken up again::

    bits     first ............ pfn ...................................... end
    known    0    counted up -->                    <-- counted down     total

Where as many are set between the two as there are bits, or none, nothing is left to be counted.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.source.far_bytes import FarBytes

CHUNK_BYTES = 4096
CHUNK_BITS = CHUNK_BYTES * 8
_BATCH_CHUNKS = 256
_FAR_CHUNKS = 16
_TRIED_CHUNKS = 128
"""So much at the beginning, 512 KiB, has the holes of most memories in it."""

MapBytes = NDArray[np.uint8] | FarBytes
"""The bytes of a bitmap, at hand or far away."""


class Ranks:
    """The set bits of ``[first, end)``, counted.

    Args:
        data: The map's bytes; all of ``[first, end)`` is in them.
        first: The first bit that counts.
        end: The one after the last.

    Attributes:
        anchored: It is known how many are set in all.
        counted_bytes: How much of a far map was fetched to be counted.
    """

    def __init__(self, data: MapBytes, first: int, end: int) -> None:
        self._bytes, self.first, self.end = data, first, max(end, first)
        # The same, for a few bytes: without an object of numpy's.
        self._single = data if isinstance(data, FarBytes) else data.data
        self._from = first // CHUNK_BITS
        self._to = self.end // CHUNK_BITS
        # At the beginning of each chunk, that of the end included: how many bits are set from
        # `first` to there; less than none where the chunk begins before it.
        self._rank = np.zeros(self._to - self._from + 1, dtype=np.int64)
        self._low = -1
        self._high = len(self._rank)
        self.anchored = self._doubted = False
        self.counted_bytes = 0

    def below(self, bit: int) -> int:
        """Count the set bits from the first one that counts up to *bit*."""
        bit = min(max(bit, self.first), self.end)
        chunk = bit // CHUNK_BITS
        place = chunk - self._from
        if place > self._low:
            self._know(place)
        return int(self._rank[place]) + self._inside(chunk, bit)

    def below_many(self, bits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the set bits below each; they rise, and lie in ``[first, end)``."""
        out = np.empty(len(bits), dtype=np.int64)
        if not len(bits):
            return out
        chunk = bits // CHUNK_BITS
        self._know(int(chunk[-1]) - self._from)
        edges = np.r_[0, np.flatnonzero(np.diff(chunk)) + 1, len(bits)]
        for start, end in pairwise(edges.tolist()):
            place = int(chunk[start])
            self._know(place - self._from)
            at = place * CHUNK_BYTES
            # As far as the last that is asked for: what is set below each, and in it.
            part = self._bytes[at : (int(bits[end - 1]) >> 3) + 1]
            flags = np.unpackbits(part, bitorder="little")
            upto = np.cumsum(flags, dtype=np.int32)
            into = bits[start:end] - at * 8
            out[start:end] = self._rank[place - self._from] + upto[into] - flags[into]
        return out

    def nth(self, index: int) -> int:
        """Give the set bit before which *index* others are set, fewer than there are."""
        self._know(0)
        # Further from where counting is nearest to it, until it has gone by.
        while self._low < self._high - 1 and not self._is_known(index):
            place = self._low + _BATCH_CHUNKS
            if self.anchored and index > (self._rank[self._low] + self._rank[self._high]) // 2:
                place = self._high - _BATCH_CHUNKS
            self._know(min(max(place, self._low + 1), self._high - 1))
        known = slice(0, self._low + 1)
        if self.anchored and index >= self._rank[self._high]:
            known = slice(self._high, len(self._rank))
        place = known.start + int(np.searchsorted(self._rank[known], index, side="right")) - 1
        left, at = index - int(self._rank[place]), (self._from + place) * CHUNK_BYTES
        flags = np.unpackbits(self._bytes[at : at + CHUNK_BYTES], bitorder="little")
        return at * 8 + int(np.flatnonzero(flags)[left])

    def anchor(self, total: int) -> None:
        """Say how many bits are set in all, so that they can be counted from the end, too."""
        if not (self.anchored or self._doubted) and self._low < len(self._rank) - 1:
            self._high = len(self._rank) - 1
            self._rank[self._high] = total - self._inside(self._to, self.end)
            self.anchored = True

    def known(self) -> dict[str, NDArray[np.int64]]:
        """Give what was counted, to be taken up again by `take`."""
        high = max(self._high, self._low + 1) if self.anchored else len(self._rank)
        return {"low": self._rank[: self._low + 1], "high": self._rank[high:]}

    def take(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> bool:
        """Take up what was counted before, if it can be true; tell whether that was done."""
        ends = len(low), len(self._rank) - len(high)
        if not len(low) or ends[0] > ends[1] or not (_rises(low) and _rises(high)):
            return False
        if len(high) and not 0 <= high[0] - low[-1] <= (ends[1] - ends[0] + 1) * CHUNK_BITS:
            return False
        self._rank[: ends[0]], self._rank[ends[1] :] = low, high
        self._low, self._high, self.anchored = ends[0] - 1, ends[1], bool(len(high))
        return True

    def _is_known(self, index: int) -> bool:
        up = self._low >= 0 and index < self._rank[self._low]
        return bool(up or (self.anchored and index >= self._rank[self._high]))

    def _inside(self, chunk: int, bit: int) -> int:
        """Count the set bits of a chunk below *bit*, which lies in it."""
        at = chunk * CHUNK_BYTES
        # One large number: several times faster than an array, for a few hundred bytes.
        bits = int.from_bytes(self._single[at : (bit + 7) >> 3], "little")
        return (bits & ((1 << (bit - at * 8)) - 1)).bit_count()

    def _know(self, place: int) -> None:
        """Make sure that the rank at the beginning of a chunk is known."""
        if self._low < 0:
            self._rank[0] = -self._inside(self._from, self.first)
            self._low = 0
        if self._is_bridged(place):
            return
        long_way = min(place - self._low, self._high - place) > 4 * _TRIED_CHUNKS
        far = isinstance(self._bytes, FarBytes)
        if far and self.anchored and long_way and self._low < _TRIED_CHUNKS:
            self._count_up(_TRIED_CHUNKS)
            if self._is_bridged(place):
                return
        if self.anchored and self._high - place < place - self._low:
            sums = self._sums(place, self._high)
            self._rank[place : self._high] = self._rank[self._high] - np.cumsum(sums[::-1])[::-1]
            self._high = place
            return
        self._count_up(place)

    def _is_bridged(self, place: int) -> bool:
        """Tell whether a rank is known; all are, where between the counts all is set, or nothing.

        ::

            low 8192 set ... high 8192 + 5 * 32768 set, five chunks on: all between them are set
        """
        if self._low >= place or self._high <= place:
            return True
        if not self.anchored:
            return False
        chunks = self._high - self._low
        between = int(self._rank[self._high] - self._rank[self._low])
        if not 0 <= between <= chunks * CHUNK_BITS:
            self._drop_anchor()
        if between not in (0, chunks * CHUNK_BITS):
            return False
        each = np.arange(1, chunks) * (between // chunks)
        self._rank[self._low + 1 : self._high] = self._rank[self._low] + each
        self._low = self._high - 1
        return True

    def _drop_anchor(self) -> None:
        """Forget what was said of the total, which is not true of this map."""
        self._high, self.anchored, self._doubted = len(self._rank), False, True

    def _count_up(self, place: int) -> None:
        """Count from the beginning on to a chunk."""
        step = _FAR_CHUNKS if isinstance(self._bytes, FarBytes) else _BATCH_CHUNKS
        end = min(self._low + -(-(place - self._low) // step) * step, self._high)
        end = min(end, len(self._rank) - 1)
        upto = self._rank[self._low] + np.cumsum(self._sums(self._low, end))
        if end == self._high and upto[-1] != self._rank[end]:
            self._drop_anchor()  # the two counts do not meet
        self._rank[self._low + 1 : end + 1] = upto
        self._low = end

    def _sums(self, start: int, end: int) -> NDArray[np.int64]:
        """Count the set bits of each of some chunks, all of which are whole."""
        start, end = self._from + start, self._from + end
        if isinstance(self._bytes, FarBytes):
            self._bytes.expect(start * CHUNK_BYTES, end * CHUNK_BYTES)
            self.counted_bytes += (end - start) * CHUNK_BYTES
        sums = np.empty(end - start, dtype=np.int64)
        for at in range(start, end, _BATCH_CHUNKS):
            stop = min(at + _BATCH_CHUNKS, end)
            words = _count_bits(self._bytes[at * CHUNK_BYTES : stop * CHUNK_BYTES])
            rows = words.reshape(stop - at, -1)
            rows.sum(axis=1, dtype=np.int64, out=sums[at - start : stop - start])
        return sums


def count_set(data: MapBytes, start: int, end: int) -> int:
    """Count the set bits of ``[start, end)``, all of it in the map, with no other to count."""
    ranks = Ranks(data, start, end)
    return ranks.below(end)


def _rises(ranks: NDArray[np.int64]) -> bool:
    """Tell whether ranks of chunks in a row can be some."""
    steps = np.diff(ranks)
    return ranks.dtype == np.int64 and bool(((steps >= 0) & (steps <= CHUNK_BITS)).all())


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
