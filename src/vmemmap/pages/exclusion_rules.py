"""Why makedumpfile leaves a page out: its tests, and the table that makes a decision of them.

It goes by VMCOREINFO alone and by numbers of its own where that is silent, so its view of a page
may differ from ours (``rules.py``); this module follows it, not us. `EXCLUSION_RULES` is gone
through from the first row to the last; the first row whose level is asked for and whose property
the page has decides. What it takes several struct pages to see, and how many pages go together, is
in ``exclusions.py``. Pages filled with zeros (level 1) are decided by their content.

Source: makedumpfile.c, __exclude_unnecessary_pages() (June 2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask, Members

LEVELS = range(32)
_TYPES = ("buddy", "slab", "hugetlb", "offline", "unaccepted")
_NOT_EXPORTED = {"lru": 5, "slab": 7, "private": 11, "swapcache": 15}
"""The bits that makedumpfile takes for those that VMCOREINFO does not have."""


class DumpLevel(IntFlag):
    """The classes of pages that a dump level asks to leave out; the level is their sum."""

    ALWAYS = 0
    ZERO = 1
    CACHE = 2
    CACHE_PRIVATE = 4
    USER = 8
    FREE = 16


class Class(IntEnum):
    """Why makedumpfile leaves a page out, in the order in which it reports them."""

    CACHE = 0
    CACHE_PRIVATE = 1
    USER = 2
    FREE = 3
    HWPOISON = 4
    OFFLINE = 5

    @property
    def word(self) -> str:
        """The class as programs see it."""
        return self.name.lower()


class Seen(IntFlag):
    """What makedumpfile sees in a page: one property for each of its tests."""

    FREE = 1
    UNACCEPTED = 2
    CACHE = 4
    CACHE_PRIVATE = 8
    USER = 16
    HWPOISON = 32
    OFFLINE = 64
    BAD_ORDER = 128
    """It heads a free block of an order that none has; told by the order, not by `see`."""


SEEN_VALUES = 256
"""Sums of properties are below this."""


@dataclass(frozen=True, slots=True)
class ExclusionRule:
    """One row of the table.

    Attributes:
        level: The level that asks for it.
        seen: The property that a page has to have.
        takes: Why such a page goes; None if it stays.
    """

    level: DumpLevel
    seen: Seen
    takes: Class | None


EXCLUSION_RULES = (
    ExclusionRule(DumpLevel.FREE, Seen.BAD_ORDER, None),
    ExclusionRule(DumpLevel.FREE, Seen.FREE, Class.FREE),
    ExclusionRule(DumpLevel.FREE, Seen.UNACCEPTED, Class.FREE),
    ExclusionRule(DumpLevel.CACHE, Seen.CACHE, Class.CACHE),
    ExclusionRule(DumpLevel.CACHE_PRIVATE, Seen.CACHE, Class.CACHE),
    ExclusionRule(DumpLevel.CACHE_PRIVATE, Seen.CACHE_PRIVATE, Class.CACHE_PRIVATE),
    ExclusionRule(DumpLevel.USER, Seen.USER, Class.USER),
    ExclusionRule(DumpLevel.ALWAYS, Seen.HWPOISON, Class.HWPOISON),
    ExclusionRule(DumpLevel.ALWAYS, Seen.OFFLINE, Class.OFFLINE),
)


_IN_NUMBERS = tuple((int(rule.level), int(rule.seen), rule.takes) for rule in EXCLUSION_RULES)
"""The same, for `decide`: what two flags have in common takes a microsecond to tell."""


def decide(seen: int, level: int) -> Class | None:
    """Say why a page goes at a dump level, or None if it stays.

    Args:
        seen: A sum of `Seen`.
        level: 0 to 31.
    """
    seen, level = int(seen), int(level)
    for asked, mark, takes in _IN_NUMBERS:
        if (not asked or level & asked) and seen & mark:
            return takes
    return None


class Knowledge:
    """What makedumpfile knows of one kernel.

    Args:
        layout: The kernel's struct page; of it, what VMCOREINFO exports.

    Attributes:
        bits: The flag bits that it goes by, by name.
        types: The page types that it goes by, by name; None for those that it does not know.
        reads_free_marks: Struct pages say which are free; else it follows the free lists.
        knows_tails: It can tell a tail; where not, it comes to those whose head stays.
        knows_hwpoison: It can tell pages whose memory has failed.
        knows_dtor: It can tell huge pages by their second struct page.
    """

    def __init__(self, layout: PageLayout) -> None:
        exported, numbers = layout.exported, layout.exported_numbers
        self.bits = {
            name: numbers.get(f"PG_{name}", number) for name, number in _NOT_EXPORTED.items()
        }
        if "PG_swapbacked" in numbers:
            self.bits["swapbacked"] = numbers["PG_swapbacked"]
        elif self.bits["swapcache"] < self.bits["private"]:
            self.bits["swapbacked"] = self.bits["private"] + 6
        for name in ("hwpoison", "buddy"):
            if f"PG_{name}" in numbers:
                self.bits[name] = numbers[f"PG_{name}"]
        head = numbers.get("PG_head", layout.bits.get("head"))
        if head is not None:
            self.bits["head"] = head
        self.types = {name: numbers.get(name) for name in _TYPES}
        self.reads_free_marks = "page.private" in exported and (
            {"buddy", "page._mapcount"} <= exported or "PG_buddy" in exported
        )
        self.knows_tails = "compound_head" in exported
        self.knows_hwpoison = "PG_hwpoison" in exported
        self.knows_dtor = "hugetlb_dtor" in exported

    def scans_at(self, level: int) -> bool:
        """Tell whether struct pages are looked at for a level at all."""
        if (
            level & (DumpLevel.CACHE | DumpLevel.CACHE_PRIVATE | DumpLevel.USER)
            or self.knows_hwpoison
        ):
            return True
        return bool(level & DumpLevel.FREE) and self.reads_free_marks


class ExclusionTests:
    """makedumpfile's tests of a page by its names, on many struct pages at once.

    Args:
        knowledge: What it knows of the kernel.
        members: The struct pages.
    """

    def __init__(self, knowledge: Knowledge, members: Members) -> None:
        self.knowledge = knowledge
        self.members = members

    def slab(self) -> Mask:
        """isSlab()."""
        return self.members.with_flag(self.knowledge.bits["slab"]) | self._of_type("slab")

    def anon(self) -> Mask:
        """isAnon(): the lowest bit of the mapping, whatever the rest is."""
        return self.members.mapping_is(1, 1) & ~self.slab()

    def cached(self) -> Mask:
        """is_cache_page(), and not anonymous."""
        bits = self.knowledge.bits
        swap = self.members.with_flag(bits["swapcache"])
        if "swapbacked" in bits:
            swap = swap & self.members.with_flag(bits["swapbacked"])
        return (self.members.with_flag(bits["lru"]) | swap) & ~self.anon()

    def cache(self) -> Mask:
        """Of the page cache, and not isPrivate()."""
        return self.cached() & ~self.members.with_flag(self.knowledge.bits["private"])

    def cache_private(self) -> Mask:
        """Of the page cache, and isPrivate()."""
        return self.cached() & self.members.with_flag(self.knowledge.bits["private"])

    def user(self) -> Mask:
        """isAnon(), or isHugetlb() of a head as far as the head alone tells."""
        head = self.members.with_flag(self.knowledge.bits.get("head"))
        return self.anon() | (self._of_type("hugetlb") & head)

    def free(self) -> Mask:
        """page_is_buddy(), where struct pages say so."""
        if not self.knowledge.reads_free_marks:
            return self.members.none()
        if self.knowledge.types["buddy"] is not None:
            return self._of_type("buddy") & ~self.slab()
        return self.members.with_flag(self.knowledge.bits["buddy"]) & ~self.slab()

    def unaccepted(self) -> Mask:
        """isUnaccepted()."""
        return self._of_type("unaccepted")

    def hwpoison(self) -> Mask:
        """isHWPOISON()."""
        if not self.knowledge.knows_hwpoison:
            return self.members.none()
        return self.members.with_flag(self.knowledge.bits["hwpoison"])

    def offline(self) -> Mask:
        """isOffline()."""
        return self._of_type("offline") & ~self.slab()

    def _of_type(self, name: str) -> Mask:
        return self.members.of_type(self.knowledge.types[name])


_TESTS: tuple[tuple[Seen, Callable[[ExclusionTests], Mask]], ...] = (
    (Seen.FREE, ExclusionTests.free),
    (Seen.UNACCEPTED, ExclusionTests.unaccepted),
    (Seen.CACHE, ExclusionTests.cache),
    (Seen.CACHE_PRIVATE, ExclusionTests.cache_private),
    (Seen.USER, ExclusionTests.user),
    (Seen.HWPOISON, ExclusionTests.hwpoison),
    (Seen.OFFLINE, ExclusionTests.offline),
)


def see(knowledge: Knowledge, members: Members) -> NDArray[np.uint8]:
    """Say what makedumpfile sees in struct pages, each by itself: a sum of `Seen` each.

    Nothing is seen in a tail, where it can tell one: it has gone, or stayed, with its head.
    """
    tests = ExclusionTests(knowledge, members)
    out = np.zeros(len(members), dtype=np.uint8)
    for seen, test in _TESTS:
        out |= test(tests).view(np.uint8) * np.uint8(seen)
    if knowledge.knows_tails:
        out *= (~members.tail).view(np.uint8)
    return out
