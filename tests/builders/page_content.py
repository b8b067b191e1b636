"""Struct pages by the gigabyte, array-wise: what a 6.1 kernel has after it has worked for a while.

Nine tenths of the memory are in use. Pages that are used one by one lie in runs, mostly short ones
and a few that are very long; between them are slabs and other compounds, and free blocks of all
orders. That is modelled on what /proc/kpageflags showed of a machine that built and tested
software (runs of 5 cached pages in the median and of 26 in the mean, 4 % free, 2 % slab), with more
anonymous memory, more slab, and in all with runs half as long.

It is painted from small to large, so that every block lies as the buddy allocator would have it::

    runs         c c c c c a c c p p p p p p . c      cache, anon, cache with buffers, kernel
    blocks of 4          S . . .                      slab, free, ... over some of them
    of 32        F . . . . . . . . . . . . . . .
    of 64 on     free blocks, kernel compounds, huge pages
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .byte_order import Order, prefix
from .kernel_era import VMEMMAP_BASES

STRUCT_PAGE_BYTES = 64
_HEAD = 1 << 16
_TAIL_MAPPING = 0xDEAD_0000_0000_0400
_NO_TYPE, _BUDDY, _TABLE = 0xFFFF_FFFF, 0xFFFF_FF7F, 0xFFFF_FDFF
_COMPOUND_DTOR = 1
# Bits that say nothing of the kind: referenced, uptodate, dirty, active, workingset, mappedtodisk.
_ASIDE = (1, 2, 3, 5, 6, 18)


@dataclass(frozen=True, slots=True)
class _Sort:
    """What a page can be: the words of its struct page, or of its head's in a block."""

    kind: str
    flags: int = 0
    mapping: int = 0
    page_type: int = _NO_TYPE
    refcount: int = 1
    tails: str = ""


_FILE, _ANON = 0xC000_0001_2345_6700, 0xC000_0001_2345_6701
_LRU, _SLAB, _RESERVED, _PRIVATE, _SWAPBACKED = (1 << bit for bit in (4, 9, 12, 13, 19))
_SORTS = {
    "cache": _Sort("cache", _LRU, _FILE, refcount=2),
    "private": _Sort("cache_private", _LRU | _PRIVATE, _FILE, refcount=3),
    "anon": _Sort("anon", _LRU | _SWAPBACKED, _ANON, page_type=0),
    "kernel": _Sort("other"),
    "table": _Sort("other", page_type=_TABLE),
    "reserved": _Sort("reserved", _RESERVED),
    "slab": _Sort("slab", _SLAB, tails="slab"),
    "compound": _Sort("other", tails="compound_tail"),
    "huge": _Sort("anon", _LRU | _SWAPBACKED, _ANON, tails="anon"),
    "free": _Sort("free", page_type=_BUDDY, refcount=0, tails="free"),
}
_CODE = {name: code for code, name in enumerate(_SORTS)}
_STAY = ("kernel", "table", "reserved", "slab", "compound")

# Runs of pages used one by one: how many of a hundred runs, the median length, and the sigma of its
# logarithm, which is normal.
_RUNS = {
    "cache": (40, 5, 1.7),
    "private": (14, 2, 1.8),
    "anon": (38, 2, 1.8),
    "kernel": (5.8, 3, 1.0),
    "table": (2, 1, 0.8),
    "reserved": (0.2, 60, 1.0),
}
_RUN_PAGES_MAX = 4096
# Blocks: the order, what it is, and how much of the memory is painted with it, smallest first.
_BLOCKS = (
    (0, "slab", 0.005),
    (0, "free", 0.003),
    (1, "slab", 0.008),
    (1, "free", 0.005),
    (2, "slab", 0.015),
    (2, "free", 0.01),
    (3, "slab", 0.04),
    (3, "free", 0.015),
    (4, "compound", 0.005),
    (4, "free", 0.015),
    (5, "free", 0.015),
    (6, "free", 0.01),
    (7, "free", 0.01),
    (8, "free", 0.01),
)
_TOP_ORDER = {4096: 12, 65536: 8}
_HUGE_PART = 0.12
"""How much of the memory is huge pages, with 64 KiB pages alone: the hash MMU maps no others."""


@dataclass
class PageContent:
    """Makes the struct pages of one machine, a stretch of pfns at a time.

    Attributes:
        page_size: 4096 or 65536.
        byte_order: Of the memory.
        compounds: Whether there are any. Their tails name their heads by address, so that such
            struct pages can stand for one pfn only; those without can be shown again and again.
        seed: Of the mix.
        counts: Pages by kind that were made so far.
    """

    page_size: int = 65536
    byte_order: Order = "little"
    compounds: bool = True
    seed: int = 1
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def unit_pages(self) -> int:
        """Pages in the largest free block: stretches begin and end at multiples of this."""
        return 1 << _TOP_ORDER[self.page_size]

    def make(self, first_pfn: int, pages: int) -> npt.NDArray[np.uint8]:
        """Give the struct pages of ``[first_pfn, first_pfn + pages)``, 64 bytes each."""
        assert first_pfn % self.unit_pages == pages % self.unit_pages == 0
        rng = np.random.default_rng((self.seed, first_pfn))
        sort, order = self._paint(rng, pages)
        row = np.arange(pages, dtype=np.int64)
        head = row & ~((np.int64(1) << order) - 1)
        is_tail = row != head
        table = list(_SORTS.values())
        self._count(sort, is_tail)

        out = np.zeros(pages, dtype=_dtype(self.byte_order))
        free = sort == _CODE["free"]
        compound = (order > 0) & ~free
        first, behind = compound & ~is_tail, compound & is_tail
        flags = np.array([each.flags for each in table], dtype=np.uint64)[sort]
        flags |= np.where(first, np.uint64(_HEAD), np.uint64(0))
        on_lru = flags & np.uint64(_LRU) != 0
        flags |= np.where(on_lru, _aside(rng, pages), np.uint64(0))
        flags[is_tail] = 0
        out["flags"] = flags
        pointer = rng.integers(1 << 8, 1 << 24, pages, dtype=np.uint64) << np.uint64(6)
        pointer |= np.uint64(0xC000_0000_0000_0000)
        listed = on_lru | (free & ~is_tail)
        out["first"] = np.where(listed, pointer, np.uint64(0))
        out["second"] = np.where(listed, pointer[::-1], np.uint64(0))
        out["mapping"] = np.array([each.mapping for each in table], dtype=np.uint64)[sort]
        out["index"] = np.where(on_lru, row.astype(np.uint64), np.uint64(0))
        out["type"] = np.array([each.page_type for each in table], dtype=np.uint32)[sort]
        out["refcount"] = np.array([each.refcount for each in table], dtype=np.uint32)[sort]
        out["type"][is_tail] = _NO_TYPE
        out["refcount"][is_tail] = 0
        base = VMEMMAP_BASES["c00c" if self.page_size == 65536 else "c0003f"]
        names = (head[behind] + first_pfn) * STRUCT_PAGE_BYTES
        out["first"][behind] = names.astype(np.uint64) + np.uint64(base | 1)
        out["mapping"][behind] = _TAIL_MAPPING
        out["private"][free & ~is_tail] = order[free & ~is_tail]
        content = out.view(np.uint8).reshape(pages, STRUCT_PAGE_BYTES)
        following = np.flatnonzero(first) + 1
        content[following, 16], content[following, 17] = _COMPOUND_DTOR, order[following]
        return content.reshape(-1)

    def stays(self, first_pfn: int, pages: int) -> npt.NDArray[np.bool_]:
        """Tell of each page whether no dump level leaves it out but for being full of zeros."""
        sort, _ = self._paint(np.random.default_rng((self.seed, first_pfn)), pages)
        return np.isin(sort, [_CODE[name] for name in _STAY])

    def _paint(
        self, rng: np.random.Generator, pages: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
        """Give for each page what it is, an index of `_SORTS`, and the order of its block."""
        top = _TOP_ORDER[self.page_size]
        sort, order = _runs(rng, pages), np.zeros(pages, dtype=np.int8)
        blocks = list(_BLOCKS) + [(size, "free", 0.008) for size in range(9, top)]
        if self.page_size == 65536 and self.compounds:
            blocks.append((top, "huge", _HUGE_PART))
        blocks.append((top, "free", 0.01))
        for size, name, part in blocks:
            if name != "free" and size and not self.compounds:
                continue
            chosen = rng.random(pages >> size) < part
            sort.reshape(-1, 1 << size)[chosen] = _CODE[name]
            order.reshape(-1, 1 << size)[chosen] = size
        return sort, order

    def _count(self, sort: npt.NDArray[np.uint8], is_tail: npt.NDArray[np.bool_]) -> None:
        for (name, each), alone, behind in zip(
            _SORTS.items(),
            np.bincount(sort[~is_tail], minlength=len(_SORTS)).tolist(),
            np.bincount(sort[is_tail], minlength=len(_SORTS)).tolist(),
            strict=True,
        ):
            assert not behind or each.tails, name
            for kind, count in ((each.kind, alone), (each.tails, behind)):
                if count:
                    self.counts[kind] = self.counts.get(kind, 0) + count


def _runs(rng: np.random.Generator, pages: int) -> npt.NDArray[np.uint8]:
    """Give for each page what it is if no block is over it."""
    names, (often, median, sigma) = list(_RUNS), np.array(list(_RUNS.values())).T
    codes = np.array([_CODE[name] for name in names], dtype=np.uint8)
    out: list[npt.NDArray[np.uint8]] = []
    have = 0
    while have < pages:
        which = rng.choice(len(names), pages // 8 + 1, p=often / often.sum())
        length = rng.lognormal(np.log(median)[which], sigma[which])
        length = np.clip(length, 1, _RUN_PAGES_MAX).astype(np.int64)
        out.append(np.repeat(codes[which], length))
        have += len(out[-1])
    return np.concatenate(out)[:pages]


def _aside(rng: np.random.Generator, pages: int) -> npt.NDArray[np.uint64]:
    """Give some of the flags that say nothing of the kind, other ones for each page."""
    chosen = rng.integers(0, 1 << len(_ASIDE), pages, dtype=np.uint64)
    table = [
        sum(1 << bit for at, bit in enumerate(_ASIDE) if number >> at & 1)
        for number in range(1 << len(_ASIDE))
    ]
    return np.array(table, dtype=np.uint64)[chosen]


def _dtype(order: Order) -> np.dtype[Any]:
    """Give the struct page of a 6.1 kernel: flags, a union, and what is counted of it."""
    mark = prefix(order)
    words = ("flags", "first", "second", "mapping", "index", "private")
    members = [(name, f"{mark}u8") for name in words]
    members += [("type", f"{mark}u4"), ("refcount", f"{mark}u4"), ("memcg", f"{mark}u8")]
    return np.dtype(members)
