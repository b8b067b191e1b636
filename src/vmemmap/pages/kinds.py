"""What a page can be, as one word: the kinds that `vmemmap usage` counts.

Every page of a section has exactly one. A tail of a compound page has its head's kind; tails of
kernel allocations, of which no more is known, are compound_tail.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar


class Kind(IntEnum):
    """A page's kind; where several would do, the one that stands first in `rules.KIND_RULES`.

    It prints as its word, and is equal to it (``page.kind == "free"``); in arrays it is its number.
    """

    ABSENT = 0
    """In no section: it has no struct page."""
    OTHER = 1
    """Used by the kernel, or free in a CPU's own list; nothing in the struct page tells."""
    RESERVED = 2
    """Never given to the page allocator: the kernel's image, firmware, boot-time tables."""
    CACHE = 3
    """Page cache, shared memory included."""
    CACHE_PRIVATE = 4
    """Page cache with private data of a filesystem."""
    ANON = 5
    """Memory of a process that is in no file."""
    COMPOUND_TAIL = 6
    """Part of a larger kernel allocation, after its first page."""
    HUGETLB = 7
    """Huge pages of hugetlbfs, used or in its pool."""
    SLAB = 8
    """Memory of the slab allocator."""
    OFFLINE = 9
    """Logically offline, as a balloon makes pages; or in a section of RAM that is not online."""
    HWPOISON = 10
    """Its memory has failed."""
    FREE = 11
    """In the page allocator's free lists."""
    DAMAGED = 12
    """Its struct page contradicts itself or its neighbours."""
    UNKNOWN = 13
    """Its struct page cannot be read."""
    UNDECIDED = 14
    """Its struct page was read, but what would tell its kind is not established for this kernel."""

    DEVICE = 15
    """Memory of a device (ZONE_DEVICE), which is not the kernel's to give away."""

    @property
    def word(self) -> str:
        """The kind as programs see it, such as ``cache_private``."""
        return self.name.lower()

    def __str__(self) -> str:
        return self.word

    def __repr__(self) -> str:
        return f"<Kind.{self.name}: {self.value}>"

    def __format__(self, form: str) -> str:
        # As the word, but for whoever asks for the number that arrays have.
        return format(self.value if form[-1:] in ("d", "x", "b", "o") else self.word, form)

    def __eq__(self, other: object) -> bool:
        return self.word == other if isinstance(other, str) else int.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = IntEnum.__hash__  # of the number: as the key of a dict it is that, or `word`


_Count = TypeVar("_Count")


class ByKind(dict[str, _Count]):
    """Something for each kind, by its word; a `Kind` leads to the same."""

    def __getitem__(self, kind: str | Kind) -> _Count:
        return super().__getitem__(_word(kind))

    def __contains__(self, kind: object) -> bool:
        return super().__contains__(_word(kind))

    def get(self, kind: str | Kind, default: Any = None) -> Any:
        """Give what a kind has, or *default*."""
        return super().get(_word(kind), default)


def _word(kind: Any) -> Any:
    return kind.word if isinstance(kind, Kind) else kind


COUNTED = tuple(kind for kind in Kind if kind is not Kind.ABSENT)
"""The kinds that a page with a section can have."""

TITLES = {
    Kind.FREE: "free",
    Kind.CACHE: "page cache",
    Kind.CACHE_PRIVATE: "page cache, private",
    Kind.ANON: "anonymous",
    Kind.SLAB: "slab",
    Kind.HUGETLB: "hugetlb",
    Kind.COMPOUND_TAIL: "compound tails",
    Kind.RESERVED: "reserved",
    Kind.OTHER: "kernel, other",
    Kind.HWPOISON: "hwpoison",
    Kind.OFFLINE: "offline",
    Kind.DEVICE: "device memory",
    Kind.DAMAGED: "damaged",
    Kind.UNDECIDED: "undecided",
    Kind.UNKNOWN: "unknown",
}
"""What people read for each kind, in the order in which they are shown."""
