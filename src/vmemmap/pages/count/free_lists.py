"""Free pages by the page allocator's own lists, where struct pages do not tell (to 3.8).

Followed as makedumpfile does, but never for ever: a list is left where it breaks, and that is told.

Source: Linux mm/page_alloc.c; makedumpfile.c, reset_bitmap_of_free_pages().
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from vmemmap.absence import Absence
from vmemmap.errors import ReadError
from vmemmap.findings import Finding, Severity
from vmemmap.linear_map import LinearMemory
from vmemmap.mmzone.nodes import NodeInfo
from vmemmap.mmzone.pgdat_layout import PgdatLayout
from vmemmap.pages.struct_pages import StructPages

_FINDINGS_MAX = 20
_ORDERS_MAX = 21


@dataclass(frozen=True, slots=True)
class FreeBlock:
    """One block on a free list: its first page and its order."""

    pfn: int
    order: int


class FreeLists:
    """The free lists of all zones.

    Args:
        memory: The kernel's data.
        layout: Where the lists are in a zone.
        nodes: What the kernel says of nodes and zones.
        pages: The struct pages, which the lists link.
        lru: OFFSET(page.lru) in bytes.
        orders: How many orders there are said to be.

    Attributes:
        orders: How many there are: more, where lists go on behind those.
        findings: What is wrong with the lists, after they were followed.
    """

    def __init__(
        self,
        memory: LinearMemory,
        layout: PgdatLayout,
        nodes: Sequence[NodeInfo],
        pages: StructPages,
        lru: int,
        orders: int,
    ) -> None:
        self._memory, self._layout, self._nodes, self._pages = memory, layout, nodes, pages
        self._lru = lru
        self.orders = self._orders_from(orders)
        self.findings: list[Finding] = []

    def blocks(self) -> Iterator[FreeBlock]:
        """Follow every list of every zone that has memory."""
        seen: set[int] = set()
        for order, head in self._heads():
            yield from self._follow(head, order, seen)

    def first_blocks(self) -> Iterator[FreeBlock]:
        """Give the first block of each list, and take no note of lists that are broken."""
        quiet = FreeLists(
            *(self._memory, self._layout, self._nodes, self._pages, self._lru, self.orders)
        )
        for order, head in self._heads():
            yield from islice(quiet._follow(head, order, set()), 1)

    def _orders_from(self, orders: int) -> int:
        """Count the orders of the first zone that has memory, of which so many are certain.

        Behind the last one there is something else than list heads.
        """
        layout = self._layout
        zone = next((zone for node in self._nodes for zone in node.zones if zone.spanned), None)
        if zone is None:
            return orders
        for order in range(orders, _ORDERS_MAX):
            area = zone.address + layout.free_area + order * layout.free_area_size
            heads = [area + layout.free_list + 16 * which for which in range(layout.list_count)]
            if not all(self._is_head(head) for head in heads):
                return order
        return orders

    def _is_head(self, at: int) -> bool:
        """Tell whether there is the head of a list: it links itself, or a page that links back."""
        try:
            after, before = self._memory.words(at, 2).tolist()
        except ReadError:
            return False
        if after == at:
            return bool(before == at)
        pfn, rest = divmod(after - self._lru - self._pages.base, self._pages.size)
        if rest or pfn < 0 or self._pages.sections.find(pfn) is None:
            return False
        data = self._pages.read(pfn)
        if isinstance(data, Absence):
            return False
        return int.from_bytes(data[self._lru + 8 : self._lru + 16], self._pages.order) == at

    def _heads(self) -> Iterator[tuple[int, int]]:
        """Yield order and head (virtual) of every list of every zone that has memory."""
        layout = self._layout
        for zone in (zone for node in self._nodes for zone in node.zones if zone.spanned):
            for order in range(self.orders):
                area = zone.address + layout.free_area + order * layout.free_area_size
                for which in range(layout.list_count):
                    yield order, area + layout.free_list + 16 * which

    def _follow(self, head: int, order: int, seen: set[int]) -> Iterator[FreeBlock]:
        try:
            at = self._memory.word(head)
        except ReadError as error:
            self._broken(f"the list head at {head:#x} cannot be read: {error}")
            return
        before = head
        while at != head:
            pfn, rest = divmod(at - self._lru - self._pages.base, self._pages.size)
            if rest or pfn < 0 or self._pages.sections.find(pfn) is None:
                self._broken(f"of order {order} leads to {at:#x}, which is in no struct page")
                return
            if pfn in seen:
                self._broken(f"of order {order} comes to pfn {pfn} a second time")
                return
            data = self._pages.read(pfn)
            if isinstance(data, Absence):
                self._broken(f"of order {order}: pfn {pfn} cannot be read")
                return
            links = [
                int.from_bytes(data[place : place + 8], self._pages.order)
                for place in (self._lru, self._lru + 8)
            ]
            if links[1] != before:
                self._broken(f"of order {order}: pfn {pfn} does not link back")
                return
            seen.add(pfn)
            yield FreeBlock(pfn, order)
            before, at = at, links[0]

    def _broken(self, what: str) -> None:
        if len(self.findings) < _FINDINGS_MAX:
            text = f"a free list {what}; the rest of it is not counted"
            self.findings.append(Finding("free_list", Severity.ERROR, text))
