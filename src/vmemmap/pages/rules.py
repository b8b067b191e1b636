"""What a page is, by its own struct page: the kernel's tests, and the table that makes a kind.

`KIND_RULES` is gone through from the first row to the last; the first test that holds gives the
kind. What it takes several struct pages to see (huge pages before 6.9, the pages of a free block,
the tails of a compound) is in ``blocks.py``; what makedumpfile makes of a page in
``exclusion_rules.py``.

Source: Linux include/linux/page-flags.h, include/linux/mm.h (folio_mapping), mm/page_alloc.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask, Members

_KERNEL_TOP = 0xE000_0000_0000_0000
_KERNEL_DATA = 0xC000_0000_0000_0000
"""The top three bits of any address of kernel data: 0xc... and, before 5.2, 0xd... for modules."""
_MAPPING_FLAGS, _MAPPING_ANON = 3, 1

MAPPING_MASK = _KERNEL_TOP | _MAPPING_FLAGS
"""The bits of a mapping that the tests below look at; one more is whether it is 0 at all."""


def tells_hugetlb(layout: PageLayout) -> bool:
    """Tell whether struct pages say which compounds are huge pages of hugetlbfs.

    They do where the kernel exports what marks them: not in 4.4 and 4.5, nor before 3.16.
    """
    by_tail = layout.compound_dtor is not None and layout.hugetlb_dtor is not None
    return layout.hugetlb is not None or by_tail


class PageTests:
    """The kernel's tests of a page by its names, on many struct pages at once.

    A test that a kernel has no bit or value for holds for no page.

    Args:
        layout: The kernel's struct page.
        members: The struct pages.
    """

    def __init__(self, layout: PageLayout, members: Members) -> None:
        self.layout = layout
        self.members = members

    def tail(self) -> Mask:
        """PageTail(): it belongs to the compound whose head it names."""
        return self.members.tail

    def head(self) -> Mask:
        """PageHead(); on kernels with one flag for heads and tails that is no tail."""
        return self._flag("head") & ~self.members.tail

    def buddy(self) -> Mask:
        """PageBuddy(): it heads a free block of the page allocator."""
        # Since Linux commit 5f24ce5fd34c ("thp: remove PG_buddy") (in v2.6.38) a value of
        # _mapcount says so; the flag before.
        return self._type_or_flag(self.layout.buddy, "buddy")

    def slab(self) -> Mask:
        """PageSlab(): a flag up to 6.9, a page type since."""
        return self._type_or_flag(self.layout.slab, "slab")

    def hugetlb(self) -> Mask:
        """PageHuge() as far as the head alone tells, since 6.9 (and stable kernels)."""
        return self.members.of_type(self.layout.hugetlb)

    def offline(self) -> Mask:
        """PageOffline()."""
        return self.members.of_type(self.layout.offline)

    def hwpoison(self) -> Mask:
        """PageHWPoison()."""
        return self._flag("hwpoison")

    def anon(self) -> Mask:
        """PageAnon(), if the mapping leads to kernel data: slab pages have other things there."""
        return self.members.mapping_is(_KERNEL_TOP | _MAPPING_ANON, _KERNEL_DATA | _MAPPING_ANON)

    def file(self) -> Mask:
        """Its mapping is an address_space, and it is no huge page as far as can be told."""
        found = self.members.mapping_is(MAPPING_MASK, _KERNEL_DATA)
        if not tells_hugetlb(self.layout):
            # Huge pages have an address_space too, and are on no list for reclaim.
            found &= ~self.head() | self.lru()
        return found

    def private_file(self) -> Mask:
        """The same with PagePrivate(): a filesystem keeps data of its own with it."""
        return self.file() & self._flag("private")

    def lru(self) -> Mask:
        """PageLRU(): it is on a list of pages that can be reclaimed."""
        return self._flag("lru")

    def reserved(self) -> Mask:
        """PageReserved()."""
        return self._flag("reserved")

    def wild_lru(self) -> Mask:
        """On a list for reclaim, where only files and processes are, and its mapping is neither's.

        A mapping of 0 is sound: what is being truncated has none.
        """
        wild = ~self.members.mapping_is(_KERNEL_TOP, _KERNEL_DATA)
        return self.lru() & wild & ~self.members.tail & ~self.slab()

    def _flag(self, name: str) -> Mask:
        return self.members.with_flag(self.layout.bits.get(name))

    def _type_or_flag(self, value: int | None, flag: str) -> Mask:
        return self._flag(flag) if value is None else self.members.of_type(value)


@dataclass(frozen=True, slots=True)
class KindRule:
    """One row of the table: a page for which *test* holds, and none before it, is of *kind*."""

    test: Callable[[PageTests], Mask]
    kind: Kind


KIND_RULES = (
    KindRule(PageTests.tail, Kind.COMPOUND_TAIL),
    KindRule(PageTests.buddy, Kind.FREE),
    KindRule(PageTests.hwpoison, Kind.HWPOISON),
    KindRule(PageTests.offline, Kind.OFFLINE),
    KindRule(PageTests.slab, Kind.SLAB),
    KindRule(PageTests.hugetlb, Kind.HUGETLB),
    KindRule(PageTests.anon, Kind.ANON),
    KindRule(PageTests.private_file, Kind.CACHE_PRIVATE),
    KindRule(PageTests.file, Kind.CACHE),
    KindRule(PageTests.reserved, Kind.RESERVED),
)
"""A page for which none holds is of kind OTHER."""


class Mark(IntFlag):
    """What else of a page matters to whoever looks at it together with its neighbours."""

    TAIL = 1
    """The tail of a compound."""
    HEAD = 2
    """The head of a compound."""
    FREE = 4
    """The head of a free block."""
    WILD_LRU = 8
    """See `PageTests.wild_lru`."""
    RESERVED = 16
    """Reserved, whatever its kind."""
    FAILED_TAIL = 32
    """A tail whose own memory has failed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What some pages are by themselves; arrays of one length.

    Attributes:
        kind: A `Kind` each (uint8).
        marks: A sum of `Mark` each (uint8).
    """

    kind: NDArray[np.uint8]
    marks: NDArray[np.uint8]

    def has(self, mark: Mark) -> Mask:
        """Tell which pages have a mark."""
        found: Mask = (self.marks & np.uint8(mark)) != 0
        return found


def judge(layout: PageLayout, members: Members) -> Judged:
    """Say of struct pages, each by itself, what the pages are.

    Args:
        layout: The kernel's struct page.
        members: The struct pages.
    """
    tests = PageTests(layout, members)
    kind = np.full(len(members), Kind.OTHER, dtype=np.uint8)
    # From the last row to the first, so that the first that holds is what stays.
    for rule in reversed(KIND_RULES):
        kind[rule.test(tests)] = rule.kind
    free, tail = kind == Kind.FREE, tests.tail()
    marks = np.zeros(len(members), dtype=np.uint8)
    for mark, found in (
        (Mark.TAIL, tail),
        (Mark.HEAD, tests.head() & ~free),
        (Mark.FREE, free),
        (Mark.WILD_LRU, tests.wild_lru()),
        (Mark.RESERVED, tests.reserved()),
        (Mark.FAILED_TAIL, tail & tests.hwpoison()),
    ):
        marks |= found.view(np.uint8) * np.uint8(mark)
    return Judged(kind, marks)
