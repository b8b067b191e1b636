"""The few different things that struct pages say, each understood once and then known by number.

A dump has millions of runs of struct pages, but only some dozen combinations of flags, page type
and sort of mapping in them. They are found again by a hash and three comparisons.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.classify import tells_hugetlb
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.makedumpfile import MakedumpfileView

U64 = NDArray[np.uint64]

TAIL, HEAD, FREE, UNMAPPED_LRU, RESERVED, FAILED_TAIL = (1 << n for n in range(6))
"""Marks of a sort: of tails; heads of compounds; of free blocks; pages for reclaim whose mapping
has no tag of a kernel address; reserved pages; tails that have failed by themselves."""

_KERNEL_TOP, _KERNEL_TAG = 0xE000_0000_0000_0000, 0xC000_0000_0000_0000
TAG_MASK = _KERNEL_TOP | 3
"""The bits of a mapping that matter."""

_SLOT_BITS = 14
_SORTS_MAX = 1024
_MULTIPLIER = 0x9E37_79B9_7F4A_7C15
_TRIES = 200


_ALL = (1 << 64) - 1


class _Hash:
    """A hash table with two factors of its own; where two sorts meet in a slot one is not found."""

    def __init__(self, factor: int, other: int) -> None:
        self.factor = factor
        self._factors = np.uint64(factor), np.uint64(other)
        self.table = np.zeros(1 << _SLOT_BITS, dtype=np.int16)

    def find(self, said: U64, tags: U64, mapcount: NDArray[np.uint32]) -> NDArray[np.int16]:
        """Give the number that each has, if it is known at all."""
        return np.asarray(self.table[self.slot(said, tags, mapcount)])

    def one_of_each_slot(self, said: U64, tags: U64, mapcount: NDArray[np.uint32]) -> list[int]:
        """Give a row for each slot that any of the rows is in."""
        slots = self.slot(said, tags, mapcount)
        last = np.full(len(self.table), -1)
        last[slots] = np.arange(len(slots))
        rows: list[int] = last[last >= 0].tolist()
        return rows

    def slot(self, said: U64, tags: U64, mapcount: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Give the slots."""
        mixed = said ^ (tags * self._factors[1])
        mixed += mapcount.astype(np.uint64) * self._factors[0]
        mixed *= self._factors[0]
        mixed ^= mixed >> np.uint64(32)
        mixed *= self._factors[1]
        mixed >>= np.uint64(64 - _SLOT_BITS)
        return mixed.view(np.intp)


class Sorts:
    """The sorts of struct pages that one dump has been seen to have.

    Args:
        layout: The kernel's struct page.
        fields: Which bits of the flags have node and zone, or None.
        view: What makedumpfile would decide, or None.

    Attributes:
        flag_mask: The bits of the flags that matter; bit 0 is not among them.
        kind: The `Kind` of each sort.
        marks: Its marks.
        seen: What makedumpfile sees in it.
        zone: High half of the flags, of it the bits that name node and zone.
    """

    def __init__(
        self, layout: PageLayout, fields: FlagFields | None, view: MakedumpfileView | None
    ) -> None:
        self._layout, self._view = layout, view
        zone_mask = fields.mask if fields else 0
        self._zone_mask = zone_mask >> 32 << 32
        bits = set(layout.bits.values()) | set(view.bits.values() if view else ())
        self.flag_mask = sum(1 << bit for bit in bits) & ~1 | self._zone_mask
        self._words = np.dtype(f"{numpy_prefix(layout.order)}u8")
        self._halves = np.dtype(f"{numpy_prefix(layout.order)}u4")
        self._lock = threading.Lock()
        # The hash's two factors and the table go together, and are replaced together.
        self._hash = _Hash(_MULTIPLIER, 3 * _MULTIPLIER & _ALL)
        # Number 0 is what nothing says: a tail without being one of any kind.
        self._said = np.full(1, (1 << 64) - 1, dtype=np.uint64)
        self._tags = np.full(1, (1 << 64) - 1, dtype=np.uint64)
        self._mapcount = np.zeros(1, dtype=np.uint32)
        self.kind = np.zeros(1, dtype=np.uint8)
        self.marks = np.zeros(1, dtype=np.uint8)
        self.seen = np.zeros(1, dtype=np.uint8)
        self.zone: list[int] = [0]

    def __len__(self) -> int:
        return len(self.zone)

    def find(self, said: U64, tags: U64, mapcount: NDArray[np.uint32]) -> NDArray[np.int16] | None:
        """Give the number of each sort.

        Args:
            said: The flags that matter, and bit 0 for a tail; bytes as they are in the dump.
            tags: The bits of the mapping that matter, likewise.
            mapcount: ``_mapcount``, 0 where it is a count, likewise.

        Returns:
            The numbers; None if there are more sorts than can be kept.
        """
        while True:
            table = self._hash
            sort = table.find(said, tags, mapcount)
            known = self._known(sort, said, tags, mapcount)
            if known.all():
                return sort
            new = np.flatnonzero(~known)
            with self._lock:
                if not self._learn(said[new], tags[new], mapcount[new]) and table is self._hash:
                    return None

    def _known(
        self, sort: NDArray[np.int16], said: U64, tags: U64, mapcount: NDArray[np.uint32]
    ) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self._said[sort] == said
        known &= self._tags[sort] == tags
        known &= self._mapcount[sort] == mapcount
        return known

    def _learn(self, said: U64, tags: U64, mapcount: NDArray[np.uint32]) -> bool:
        """Take in sorts that are new, of those that share a slot one; tell whether there were any.

        Sorting the rows to take in all at once would cost more than coming again for the rest.
        """
        before = len(self.zone)
        if before >= _SORTS_MAX:
            return False
        for at in self._hash.one_of_each_slot(said, tags, mapcount):
            one = slice(at, at + 1)
            same = self._said == said[at]
            same &= (self._tags == tags[at]) & (self._mapcount == mapcount[at])
            if same.any():
                continue
            if len(self.zone) >= _SORTS_MAX:
                break
            flags = said[one].view(self._words).astype(np.uint64)
            mapping = tags[one].view(self._words).astype(np.uint64)
            count = mapcount[one].view(self._halves).astype(np.uint32)
            tail = (flags & np.uint64(1)) != 0
            kind = self._kind(int(flags[0]), int(mapping[0]), int(count[0]), bool(tail[0]))
            marks = self._marks(int(flags[0]), int(mapping[0]), kind, bool(tail[0]))
            self.kind = np.append(self.kind, np.uint8(kind))
            self.marks = np.append(self.marks, np.uint8(marks))
            if self._view is not None:
                seen = self._view.bits_of(flags, mapping, count, tail)
                self.seen = np.append(self.seen, seen)
            self.zone.append((int(flags[0]) & self._zone_mask) >> 32)
            self._said = np.append(self._said, said[one])
            self._tags = np.append(self._tags, tags[one])
            self._mapcount = np.append(self._mapcount, mapcount[one])
        if len(self.zone) == before:
            return False
        # Last, since others look things up without the lock.
        self._hash = self._rehash()
        return True

    def _rehash(self) -> _Hash:
        """Give a hash in which no two sorts share a slot; almost the first always does."""
        factor = self._hash.factor
        for _ in range(_TRIES):
            fresh = _Hash(factor, 3 * factor & _ALL)
            slots = fresh.slot(self._said[1:], self._tags[1:], self._mapcount[1:])
            numbers = np.arange(1, len(self._said))
            fresh.table[slots] = numbers
            if (fresh.table[slots] == numbers).all():
                break
            factor = factor * 6364136223846793005 + 1442695040888963407 & _ALL | 1
        return fresh

    def _has(self, flags: int, name: str) -> bool:
        bit = self._layout.bits.get(name)
        return bit is not None and bool(flags >> bit & 1)

    def _kind(self, flags: int, mapping: int, mapcount: int, tail: bool) -> Kind:
        """Say what a page is by itself, by the same rules as `Classifier.kinds`, highest first."""
        layout = self._layout
        typed = {
            layout.buddy: Kind.FREE,
            layout.offline: Kind.OFFLINE,
            layout.slab: Kind.SLAB,
            layout.hugetlb: Kind.HUGETLB,
        }
        of_type = typed.get(mapcount)
        may_be_huge = (
            not tells_hugetlb(layout) and self._has(flags, "head") and not self._has(flags, "lru")
        )
        cache = mapping == _KERNEL_TAG and not may_be_huge
        tests = (
            (tail, Kind.COMPOUND_TAIL),
            (of_type is Kind.FREE, Kind.FREE),
            (layout.buddy is None and self._has(flags, "buddy"), Kind.FREE),
            (self._has(flags, "hwpoison"), Kind.HWPOISON),
            (of_type is Kind.OFFLINE, Kind.OFFLINE),
            (of_type is Kind.SLAB, Kind.SLAB),
            (layout.slab is None and self._has(flags, "slab"), Kind.SLAB),
            (of_type is Kind.HUGETLB, Kind.HUGETLB),
            (mapping & (_KERNEL_TOP | 1) == _KERNEL_TAG | 1, Kind.ANON),
            (cache and self._has(flags, "private"), Kind.CACHE_PRIVATE),
            (cache, Kind.CACHE),
            (self._has(flags, "reserved"), Kind.RESERVED),
        )
        return next((kind for applies, kind in tests if applies), Kind.OTHER)

    def _marks(self, flags: int, mapping: int, kind: Kind, tail: bool) -> int:
        marks = TAIL if tail else 0
        if self._has(flags, "head") and not tail and kind is not Kind.FREE:
            marks |= HEAD
        if kind is Kind.FREE:
            marks |= FREE
        if self._has(flags, "lru") and not tail and mapping & _KERNEL_TOP != _KERNEL_TAG:
            marks |= UNMAPPED_LRU
        if self._has(flags, "reserved"):
            marks |= RESERVED
        if tail and self._has(flags, "hwpoison"):
            marks |= FAILED_TAIL
        return marks
