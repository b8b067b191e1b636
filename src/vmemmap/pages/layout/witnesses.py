"""Pages of which it is known what they are without their flags: what they show of a layout.

The pages of the kernel's image are reserved. The blocks on the free lists are free, each of the
order of its list. The page that the tail of a compound names is the head of one. What such pages
have in common is evidence of which bit, which value and which place means that.

How they are found is in ``pages/known_pages.py``; here is what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from vmemmap.address import ByteOrder
from vmemmap.pages.layout.unsettled import FLAG_BITS

_ALL_FLAGS = (1 << FLAG_BITS) - 1
_SIGN = 1 << 31
_NO_COUNT = 0xFFFF_FFFF
_ORDERS_ENOUGH = 2
"""How many orders have to be seen, so that a word which has them is no chance."""


@dataclass(frozen=True, slots=True)
class FreeHead:
    """The head of a block on a free list.

    Attributes:
        order: The list's.
        data: The struct page.
    """

    order: int
    data: bytes


class KnownPages(Protocol):
    """Finds struct pages of which it is known what they are; none where that cannot be had."""

    @property
    def image(self) -> Sequence[tuple[int, bytes]]:
        """The pfns and struct pages of some pages of the kernel's image."""
        ...

    @property
    def free_heads(self) -> Sequence[FreeHead]:
        """The heads of some blocks on the free lists."""
        ...

    def compound_heads(self, head: int) -> Sequence[bytes]:
        """Give some struct pages that the tails of compounds name.

        Args:
            head: Offset of the word whose bit 0 marks a tail (bytes).
        """
        ...

    def types_at(self, at: int) -> frozenset[int] | None:
        """Give the page types that stand at an offset in some pages of all kinds.

        Args:
            at: Offset of the word (4 bytes).

        Returns:
            All of them, as 32-bit numbers; None where no pages can be had.
        """
        ...

    def are_unlisted(self, lru: int) -> bool:
        """Tell whether pages of the kernel's image, which are on no list, show ``lru`` to be there.

        Args:
            lru: An offset in the struct page (bytes).
        """
        ...

    @property
    def free_orders(self) -> int:
        """How many orders have free lists in a zone; 0 where that cannot be seen."""
        ...


class NoKnownPages:
    """No pages: of a VMCOREINFO without a dump."""

    image: Sequence[tuple[int, bytes]] = ()
    free_heads: Sequence[FreeHead] = ()
    free_orders = 0

    def compound_heads(self, head: int) -> Sequence[bytes]:
        """Give none."""
        return ()

    def types_at(self, at: int) -> frozenset[int] | None:
        """Give none."""
        return None

    def are_unlisted(self, lru: int) -> bool:
        """Show nothing."""
        return False


@dataclass(frozen=True)
class Witnesses:
    """What known pages say, if the members of a struct page are where they are thought to be.

    Attributes:
        pages: The pages.
        order: The memory's byte order.
        size: Bytes in a struct page.
        flags: Offset of the flags.
        mapcount: Offset of ``_mapcount``, or None.
        private: Offset of ``private``, or None.
        head: Offset of the word whose bit 0 marks a tail, or None.
        lru: Offset of the links of a list, of which the first is that word in 4.4 and 4.5.
    """

    pages: KnownPages
    order: ByteOrder
    size: int
    flags: int
    mapcount: int | None
    private: int | None
    head: int | None
    lru: int

    @cached_property
    def image_flags(self) -> int:
        """The flags that all known pages of the kernel's image have, as a mask."""
        return self._common(data for _, data in self.pages.image)

    @property
    def image_detail(self) -> str:
        """Which pages those are, in words."""
        return "pfn " + ", ".join(str(pfn) for pfn, _ in self.pages.image)

    @cached_property
    def compound_flags(self) -> int:
        """The flags that all pages have which tails name as their heads, as a mask."""
        return 0 if self.head is None else self._common(self.pages.compound_heads(self.head))

    def names_heads(self, at: int) -> bool:
        """Tell whether some tails name their heads in the word at an offset."""
        return bool(self.pages.compound_heads(at))

    @cached_property
    def free_flags(self) -> int:
        """The flags that all heads of free blocks have, as a mask."""
        return self._common(head.data for head in self.pages.free_heads)

    @property
    def free_blocks(self) -> int:
        """How many heads of free blocks were looked at."""
        return len(self.pages.free_heads)

    @cached_property
    def free_type(self) -> int | None:
        """The page type of all heads of free blocks; None if they have none, or none was seen."""
        return None if self.mapcount is None else self._type_at(self.mapcount)

    @cached_property
    def types_seen(self) -> frozenset[int] | None:
        """The page types of some pages of all kinds; None where there are no pages."""
        return None if self.mapcount is None else self.pages.types_at(self.mapcount)

    @cached_property
    def marks_tails_by_word(self) -> bool:
        """Tails name their heads in the word that has done so since 4.4."""
        return self.head is not None or self.names_heads(self.lru)

    def type_places(self, values: frozenset[int]) -> list[int]:
        """Give where all heads of free blocks have the same one of some page types (offsets)."""
        links = range(self.lru, self.lru + 16)  # of which a half may look like a type by chance
        places = (at for at in range(0, self.size - 3, 4) if at not in links)
        return [at for at in places if self._type_at(at) in values]

    def order_places(self) -> list[int]:
        """Give where all heads of free blocks have their order (offsets); [] if too few tell."""
        heads = self.pages.free_heads
        if len({head.order for head in heads}) < _ORDERS_ENOUGH:
            return []
        return [
            at
            for at in range(0, self.size - 7, 8)
            if all(self._number(head.data, at, 8) == head.order for head in heads)
        ]

    def _type_at(self, at: int) -> int | None:
        found = {self._number(head.data, at, 4) for head in self.pages.free_heads}
        if len(found) != 1:
            return None
        (value,) = found
        return value if value & _SIGN and value != _NO_COUNT else None

    def _common(self, pages: Iterable[bytes]) -> int:
        mask = None
        for data in pages:
            flags = self._number(data, self.flags, 8)
            mask = flags if mask is None else mask & flags
        return 0 if mask is None else mask & _ALL_FLAGS

    def _number(self, data: bytes, at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], self.order)
