"""What each page of a window is, from its own struct page: bit tests on whole columns.

Compounds and free blocks, which take several struct pages to understand, are in ``spread.py``.

Source: Linux include/linux/{mm_types,page-flags}.h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.raw_words import low_byte, low_half, raw32, raw64
from vmemmap.pages.struct_pages import Window

U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_KERNEL_TOP = 0xE000_0000_0000_0000
_KERNEL_TAG = 0xC000_0000_0000_0000
"""The top three bits of any address of kernel data: 0xc... and, before 5.2, 0xd... for modules."""


def tells_hugetlb(layout: PageLayout) -> bool:
    """Tell whether struct pages say which compounds are huge pages of hugetlbfs.

    They do where the kernel exports what marks them: not in 4.4 and 4.5, nor before 3.16.
    """
    by_tail = layout.compound_dtor is not None and layout.hugetlb_dtor is not None
    return layout.hugetlb is not None or by_tail


@dataclass(slots=True)
class Columns:
    """Room for a window's columns, used again for the next; one for each thread.

    Attributes:
        low: Low half of the flags.
        high: High half of the flags.
        mapping: The mapping.
        mapcount: ``_mapcount``, which is also the page type.
        tail: Lowest byte of the word that names a tail's head.
        kind: A `Kind` for each page.
    """

    low: NDArray[np.uint32]
    high: NDArray[np.uint32]
    mapping: NDArray[np.uint64]
    mapcount: NDArray[np.uint32]
    tail: U8
    kind: U8

    @classmethod
    def of(cls, count: int) -> Columns:
        """Make room for *count* pages."""
        return cls(
            np.zeros(count, dtype=np.uint32),
            np.zeros(count, dtype=np.uint32),
            np.zeros(count, dtype=np.uint64),
            np.zeros(count, dtype=np.uint32),
            np.zeros(count, dtype=np.uint8),
            np.zeros(count, dtype=np.uint8),
        )


@dataclass(slots=True)
class Marks:
    """What the bits of each page of a window say, before neighbours are looked at.

    Attributes:
        tail: It is the tail of a compound.
        head: It has the head flag, and is no tail.
        free: It heads a free block.
        slab: It is a slab page.
        anon: Its mapping says anonymous, and leads to kernel data.
        cache: Its mapping is an address_space, and it is no huge page as far as can be told.
        lru: It is on a list of pages that can be reclaimed.
        private: It has the private flag.
        hugetlb: It heads a huge page, as far as the head alone tells.
        offline: It is marked as logically offline.
        hwpoison: It is marked as failed.
        reserved: It is marked as reserved.
    """

    tail: Mask
    head: Mask
    free: Mask
    slab: Mask
    anon: Mask
    cache: Mask
    lru: Mask
    private: Mask
    hugetlb: Mask | None
    offline: Mask | None
    hwpoison: Mask | None
    reserved: Mask | None


class Classifier:
    """Knows the bits of one kernel.

    Args:
        layout: Its struct page.
    """

    def __init__(self, layout: PageLayout) -> None:
        self.layout = layout
        order, bits = layout.order, layout.bits
        self._half, self._byte = low_half(order), low_byte(order)
        self._bit = {name: raw32(1 << number, order) for name, number in bits.items()}
        self._types = {
            name: None if value is None else raw32(value, order)
            for name, value in (
                ("free", layout.buddy),
                ("slab", layout.slab),
                ("hugetlb", layout.hugetlb),
                ("offline", layout.offline),
            )
        }
        self._blind_to_hugetlb = not tells_hugetlb(layout)
        self._anon_mask = raw64(_KERNEL_TOP | 1, order)
        self._anon_tag = raw64(_KERNEL_TAG | 1, order)
        self._cache_mask = raw64(_KERNEL_TOP | 3, order)
        self._cache_tag = raw64(_KERNEL_TAG, order)

    def load(self, window: Window, columns: Columns) -> Columns:
        """Fill the columns from the window's struct pages, and give those of its rows."""
        layout, count = self.layout, window.count
        part = Columns(
            columns.low[:count],
            columns.high[:count],
            columns.mapping[:count],
            columns.mapcount[:count],
            columns.tail[:count],
            columns.kind[:count],
        )
        if not window.complete:
            for column in (part.low, part.high, part.mapping, part.mapcount, part.tail):
                column[:] = 0  # what the window before left there must not count
        members: list[tuple[int, NDArray[np.generic]]] = [
            (layout.flags + self._half, part.low),
            (layout.flags + 4 - self._half, part.high),
            (layout.mapping, part.mapping),
        ]
        if layout.head is not None:
            members.append((layout.head + self._byte, part.tail))
        if layout.mapcount is not None:
            members.append((layout.mapcount, part.mapcount))
        window.columns(members)
        return part

    def marks(self, columns: Columns) -> Marks:
        """Test the bits."""
        low, mapcount = columns.low, columns.mapcount
        if self.layout.head is not None:
            np.bitwise_and(columns.tail, np.uint8(1), out=columns.tail)
            tail = columns.tail.view(np.bool_)
        else:
            found = self._flag(low, "tail")
            tail = np.zeros(len(low), dtype=np.bool_) if found is None else found
        slab = self._either(low, mapcount, "slab", "slab")
        head = self._flag(low, "head")
        head = np.zeros(len(low), dtype=np.bool_) if head is None else head & ~tail
        # What else a slab page has where others have the mapping is nobody's address.
        anon = (columns.mapping & self._anon_mask) == self._anon_tag
        cache = (columns.mapping & self._cache_mask) == self._cache_tag
        lru = (low & self._bit["lru"]) != 0
        if self._blind_to_hugetlb:
            cache &= ~head | lru  # huge pages have an address_space too, and are on no such list
        return Marks(
            tail=tail,
            head=head,
            free=self._either(low, mapcount, "free", "buddy"),
            slab=slab,
            anon=anon,
            cache=cache,
            lru=lru,
            private=(low & self._bit["private"]) != 0,
            hugetlb=self._type(mapcount, "hugetlb"),
            offline=self._type(mapcount, "offline"),
            hwpoison=self._flag(low, "hwpoison"),
            reserved=self._flag(low, "reserved"),
        )

    def kinds(self, marks: Marks, kind: U8) -> None:
        """Put the `Kind` that each page has by itself into *kind*; tails get COMPOUND_TAIL."""
        kind[:] = Kind.OTHER
        used = ~marks.tail
        rows: tuple[tuple[Mask | None, Kind], ...] = (
            (marks.reserved, Kind.RESERVED),
            (marks.cache, Kind.CACHE),
            (marks.cache & marks.private, Kind.CACHE_PRIVATE),
            (marks.anon, Kind.ANON),
            (marks.hugetlb, Kind.HUGETLB),
            (marks.slab, Kind.SLAB),
            (marks.offline, Kind.OFFLINE),
            (marks.hwpoison, Kind.HWPOISON),
            (marks.free, Kind.FREE),
        )
        # Kinds are numbered by rank, so the highest that applies is the answer; a product and a
        # maximum of bytes are much cheaper than a masked store.
        for mask, value in rows:
            if mask is not None:
                np.maximum(kind, mask.view(np.uint8) * np.uint8(value), out=kind)
        kind *= used.view(np.uint8)
        np.maximum(kind, marks.tail.view(np.uint8) * np.uint8(Kind.COMPOUND_TAIL), out=kind)

    def _flag(self, low: NDArray[np.uint32], name: str) -> Mask | None:
        bit = self._bit.get(name)
        return None if bit is None else (low & bit) != 0

    def _type(self, mapcount: NDArray[np.uint32], name: str) -> Mask | None:
        value = self._types[name]
        return None if value is None else mapcount == value

    def _either(
        self, low: NDArray[np.uint32], mapcount: NDArray[np.uint32], kind: str, flag: str
    ) -> Mask:
        """Give the pages of a type; by the flag in kernels that have a flag for it."""
        found = self._type(mapcount, kind)
        if found is None:
            found = self._flag(low, flag)
        return np.zeros(len(low), dtype=np.bool_) if found is None else found
