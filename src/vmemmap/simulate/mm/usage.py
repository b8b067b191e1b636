"""Who uses which page: scatters the planned user pages over free memory, and remembers them.

Pages of a kind lie in small clusters with free gaps between, so that the free lists hold blocks of
every order, as on a machine that has run for a while. The scatter comes from the spec's seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from vmemmap.errors import SpecError
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.spec.parts import PagePlan


class Use(IntEnum):
    """What a page in use is used for."""

    CACHE = 1
    CACHE_PRIVATE = 2
    ANONYMOUS = 3
    SLAB = 4
    HUGE = 5
    HWPOISON = 6
    OFFLINE = 7
    VMALLOC = 8
    DEVICE = 9


CLUSTER_ORDERS = (0, 0, 1, 2, 3, 4, 5)
SLAB_ORDERS = (0, 1, 2, 3)
GAP_ORDERS = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class PageRun:
    """Pages ``[start, end)`` in one use; *order* is above 0 for compound pages."""

    start: int
    end: int
    use: Use
    order: int = 0


class PageUsage:
    """The user pages of one machine.

    Attributes:
        runs: All of them, in no order.
    """

    def __init__(self, kernel: Kernel, pages: PageAllocator, seed: int) -> None:
        self.kernel = kernel
        self.pages = pages
        self.runs: list[PageRun] = []
        self._random = random.Random(seed)

    def place(self, plan: PagePlan) -> None:
        """Give every planned page a place.

        Raises:
            SpecError: Free memory does not suffice.
        """
        gaps: list[tuple[int, int]] = []
        huge_order = self.kernel.huge_pages.bit_length() - 1
        for _ in range(plan.huge // self.kernel.huge_pages):
            self._take("huge", Use.HUGE, huge_order, compound=True)
        for name, use, orders, compound in (
            ("slab", Use.SLAB, SLAB_ORDERS, True),
            ("cache", Use.CACHE, CLUSTER_ORDERS, False),
            ("cache_private", Use.CACHE_PRIVATE, CLUSTER_ORDERS, False),
            ("anonymous", Use.ANONYMOUS, CLUSTER_ORDERS, False),
            ("hwpoison", Use.HWPOISON, (0,), False),
            ("offline", Use.OFFLINE, (0,), False),
            ("vmalloc", Use.VMALLOC, (0,), False),
        ):
            left = getattr(plan, name)
            while left:
                order = min(self._random.choice(orders), left.bit_length() - 1)
                self._take(name, use, order, compound=compound)
                left -= 1 << order
                self._leave_gap(gaps)
        for pfn, order in gaps:
            self.pages.free_pages(pfn, order)

    def place_gigantic(self, starts: Iterable[int]) -> None:
        """Let boot have set gigantic pages apart, by the first page frame of each."""
        size = self.kernel.gigantic_pages
        order = size.bit_length() - 1
        self.runs += [PageRun(start, start + size, Use.HUGE, order) for start in starts]

    def move_away(self, start: int, end: int) -> bool:
        """Move user pages out of ``[start, end)``, as offline_pages() does.

        Returns:
            False when one cannot be moved: there is no room, or it is no user page.
        """
        inside = [run for run in self.runs if run.start < end and start < run.end]
        for run in inside:
            if run.use in (Use.SLAB, Use.VMALLOC) or not (start <= run.start and run.end <= end):
                return False
            if run.order >= self.pages.orders:
                return False  # no block is as large
        left = self.pages.suspend(start, end)
        for run in inside:
            order = (run.end - run.start).bit_length() - 1
            pfn = self.pages.alloc_pages(order, self.pages.node_of(run.start) or 0)
            if pfn is None:
                self.pages.resume(left)
                return False
            self.runs.remove(run)
            self.runs.append(PageRun(pfn, pfn + (1 << order), run.use, run.order))
            left.append((run.start, run.end))
        self.pages.resume(left)
        return True

    def of(self, use: Use) -> list[PageRun]:
        """Give the runs in one use, ascending."""
        return sorted((run for run in self.runs if run.use is use), key=lambda run: run.start)

    def _take(self, name: str, use: Use, order: int, *, compound: bool) -> None:
        pfn = self.pages.alloc_pages(order, self._random.choice(self.pages.nodes))
        if pfn is None:
            raise SpecError(f"pages.{name}", "there is not enough free memory for all the pages")
        self.runs.append(PageRun(pfn, pfn + (1 << order), use, order if compound else 0))

    def _leave_gap(self, gaps: list[tuple[int, int]]) -> None:
        order = self._random.choice(GAP_ORDERS)
        pfn = self.pages.alloc_pages(order, self._random.choice(self.pages.nodes))
        if pfn is not None:
            gaps.append((pfn, order))
