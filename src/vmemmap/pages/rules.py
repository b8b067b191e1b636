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
from typing import Any, overload

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
    return "hugetlb" not in layout.unsettled and (layout.hugetlb is not None or by_tail)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a test gives for some pages; arrays of one length.

    Attributes:
        yes: It holds.
        may: It holds or, where what it looks for is not established, may hold. The same object as
            *yes* where nothing is left open.
    """

    yes: Mask
    may: Mask

    @classmethod
    def sure(cls, yes: Mask) -> Answer:
        """Give the answer of a test that leaves nothing open."""
        return cls(yes, yes)

    @property
    def is_sure(self) -> bool:
        """Nothing is left open."""
        return self.may is self.yes

    @property
    def doubt(self) -> Mask:
        """Tell which pages the test may or may not hold for."""
        return np.asarray(self.may & ~self.yes)

    def __and__(self, other: Answer) -> Answer:
        yes = np.asarray(self.yes & other.yes)
        return Answer(yes, yes if self.is_sure and other.is_sure else self.may & other.may)

    def __or__(self, other: Answer) -> Answer:
        yes = np.asarray(self.yes | other.yes)
        return Answer(yes, yes if self.is_sure and other.is_sure else self.may | other.may)

    def __invert__(self) -> Answer:
        yes = ~self.may
        return Answer(yes, yes if self.is_sure else ~self.yes)


class PageTests:
    """The kernel's tests of a page by its names, on many struct pages at once.

    A test that a kernel has no bit or value for holds for no page. One of which that is not
    established leaves the pages open that have any bit or value that it may be.

    Args:
        layout: The kernel's struct page.
        members: The struct pages.
    """

    def __init__(self, layout: PageLayout, members: Members) -> None:
        self.layout = layout
        self.members = members

    def tail(self) -> Answer:
        """PageTail(): it belongs to the compound whose head it names."""
        if "tail" in self.layout.unsettled:
            return self._flag("tail")
        return Answer.sure(self.members.tail)

    def head(self) -> Answer:
        """PageHead(); on kernels with one flag for heads and tails that is no tail."""
        return self._flag("head") & ~self.tail()

    def buddy(self) -> Answer:
        """PageBuddy(): it heads a free block of the page allocator."""
        # Since Linux commit 5f24ce5fd34c ("thp: remove PG_buddy") (in v2.6.38) a value of
        # _mapcount says so; the flag before.
        return self._type_or_flag(self.layout.buddy, "buddy")

    def slab(self) -> Answer:
        """PageSlab(): a flag up to 6.9, a page type since."""
        return self._type_or_flag(self.layout.slab, "slab")

    def hugetlb(self) -> Answer:
        """PageHuge() as far as the head alone tells, since 6.9 (and stable kernels)."""
        return self._type(self.layout.hugetlb, "hugetlb")

    def offline(self) -> Answer:
        """PageOffline()."""
        return self._type(self.layout.offline, "offline")

    def hwpoison(self) -> Answer:
        """PageHWPoison()."""
        return self._flag("hwpoison")

    def anon(self) -> Answer:
        """PageAnon(), if the mapping leads to kernel data: slab pages have other things there."""
        return self._mapped(_KERNEL_TOP | _MAPPING_ANON, _KERNEL_DATA | _MAPPING_ANON)

    def file(self) -> Answer:
        """Its mapping is an address_space, and it is no huge page as far as can be told."""
        found = self._mapped(MAPPING_MASK, _KERNEL_DATA)
        if not tells_hugetlb(self.layout):
            # Huge pages have an address_space too, and are on no list for reclaim.
            found &= ~self.head() | self.lru()
        return found

    def private_file(self) -> Answer:
        """The same with PagePrivate(): a filesystem keeps data of its own with it."""
        return self.file() & self._flag("private")

    def lru(self) -> Answer:
        """PageLRU(): it is on a list of pages that can be reclaimed."""
        return self._flag("lru")

    def reserved(self) -> Answer:
        """PageReserved()."""
        return self._flag("reserved")

    def wild_lru(self) -> Mask:
        """On a list for reclaim, where only files and processes are, and its mapping is neither's.

        A mapping of 0 is sound: what is being truncated has none.
        """
        wild = ~self._mapped(_KERNEL_TOP, _KERNEL_DATA).may
        return self.lru().yes & wild & ~self.tail().may & ~self.slab().may

    def _mapped(self, mask: int, value: int) -> Answer:
        if "mapping" in self.layout.unsettled:
            return Answer(self.members.none(), ~self.members.none())
        return Answer.sure(self.members.mapping_is(mask, value))

    def _flag(self, name: str) -> Answer:
        open_flag = self.layout.unsettled.get(name)
        if open_flag is not None:
            return Answer(self.members.none(), self.members.with_any_flag(open_flag.bits))
        return Answer.sure(self.members.with_flag(self.layout.bits.get(name)))

    def _type(self, value: int | None, name: str) -> Answer:
        open_type = self.layout.unsettled.get(name)
        if open_type is None:
            return Answer.sure(self.members.of_type(value))
        may = self.members.of_any_type(open_type.types)
        if open_type.any_type:
            may = may | self.members.of_other_type(self.layout.known_types)
        return Answer(self.members.none(), may)

    def _type_or_flag(self, value: int | None, flag: str) -> Answer:
        if flag in self.layout.unsettled:
            return self._type(value, flag) | self._flag(flag)
        return self._flag(flag) if value is None else self._type(value, flag)


@dataclass(frozen=True, slots=True)
class KindRule:
    """One row of the table: a page for which *test* holds, and none before it, is of *kind*."""

    test: Callable[[PageTests], Answer]
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

_KINDS_OF_COMPOUNDS = (
    *(Kind.COMPOUND_TAIL, Kind.HWPOISON, Kind.SLAB, Kind.HUGETLB, Kind.ANON),
    *(Kind.CACHE, Kind.CACHE_PRIVATE, Kind.RESERVED),
)
"""What the tail of a compound can be."""


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
        may: The kinds that each may be, as `bit_of` sums them (uint32); None where the layout
            leaves nothing open. It counts where the kind is UNDECIDED.
        may_be_reserved: Whether it may be reserved, and may not be; None likewise.
    """

    kind: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    may: NDArray[np.uint32] | None = None
    may_be_reserved: Mask | None = None

    def has(self, mark: Mark) -> Mask:
        """Tell which pages have a mark."""
        found: Mask = (self.marks & np.uint8(mark)) != 0
        return found


def bit_of(*kinds: Kind) -> int:
    """Give kinds as a number, of which each is a bit."""
    return sum(1 << kind for kind in kinds)


@overload
def tail_kinds(may: int) -> int: ...
@overload
def tail_kinds(may: NDArray[np.uint32]) -> NDArray[np.uint32]: ...
def tail_kinds(may: Any) -> Any:
    """Give what the tails of a compound may be, whose head may be of some kinds (or of many)."""
    # Of a kernel allocation no more is known than that.
    other, shift = may & bit_of(Kind.OTHER), Kind.COMPOUND_TAIL - Kind.OTHER
    return may ^ other | other << shift


def judge(layout: PageLayout, members: Members) -> Judged:
    """Say of struct pages, each by itself, what the pages are.

    A page is of a kind if every test before that kind's is known not to hold for it; where one of
    them is open, so is the page's kind, if it would be another one.

    Args:
        layout: The kernel's struct page.
        members: The struct pages.
    """
    tests = PageTests(layout, members)
    may = None
    if layout.unsettled:
        kind, may = _open_kinds(layout, tests)
    else:
        kind = np.full(len(members), Kind.OTHER, dtype=np.uint8)
        # From the last row to the first, so that the first that holds is what stays.
        for rule in reversed(KIND_RULES):
            kind[rule.test(tests).yes] = rule.kind
    free, tail, reserved = kind == Kind.FREE, tests.tail().yes, tests.reserved()
    marks = np.zeros(len(members), dtype=np.uint8)
    for mark, found in (
        (Mark.TAIL, tail),
        (Mark.HEAD, tests.head().yes & ~free),
        (Mark.FREE, free),
        (Mark.WILD_LRU, tests.wild_lru()),
        (Mark.RESERVED, reserved.yes),
        (Mark.FAILED_TAIL, tail & tests.hwpoison().may),
    ):
        marks |= found.view(np.uint8) * np.uint8(mark)
    return Judged(kind, marks, may, None if reserved.is_sure else reserved.doubt)


def _open_kinds(
    layout: PageLayout, tests: PageTests
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Give the kinds where tests may leave pages open, and what each page may be."""
    unmarked = bit_of(Kind.OTHER)
    if {"buddy", "order"} & set(layout.unsettled):
        unmarked |= bit_of(Kind.FREE)  # it may lie in a block, behind a head that does not tell
    may = np.full(len(tests.members), unmarked, dtype=np.uint32)
    for rule in reversed(KIND_RULES):
        answer, kinds = rule.test(tests), bit_of(rule.kind)
        if rule.kind is Kind.COMPOUND_TAIL and {"head", "tail"} & set(layout.unsettled):
            kinds = bit_of(*_KINDS_OF_COMPOUNDS)
        may[answer.yes] = kinds
        if not answer.is_sure:
            may[answer.doubt] |= np.uint32(kinds)
    kind = np.full(len(may), Kind.UNDECIDED, dtype=np.uint8)
    for each in Kind:
        kind[may == bit_of(each)] = each
    return kind, may
