"""The radix MMU's own vmemmap since 6.6: page tables only, no list.

One 2 MiB page backs each 2 MiB of the vmemmap; base pages do where no such page can be had, where
an altmap's range begins or ends inside, and in 6.15 where populating begins inside.

Of device memory made of compound pages (device DAX) all tails say the same. So only the first two
pages of a compound page's struct pages are made, and the rest of them is mapped to the second::

    struct pages of one compound page   | 0 | 1 | 2 | 3 | 4 | ... |
    mapped to                           | a | b | b | b | b | ... |

Source: Linux arch/powerpc/mm/book3s64/radix_pgtable.c, radix__vmemmap_populate() and
vmemmap_populate_compound_pages(), since Linux commits 368a0590d954 and f2b79c0d7968 (in v6.6).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import MIB
from vmemmap.simulate.memory.supply import Altmap
from vmemmap.simulate.mm.outcome import Errno
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.steps import Steps, Task, kernel_function

PMD_BYTES = 2 * MIB
RESERVED_PAGES = 2
"""VMEMMAP_RESERVE_NR: pages of a compound page's struct pages that are its own."""


@dataclass(eq=False)
class RadixVmemmap(Vmemmap):
    """`Vmemmap` of a kernel that keeps no list under the radix MMU."""

    _huge: set[int] = field(init=False, default_factory=set)
    """Where 2 MiB are mapped by one leaf."""
    _paged: dict[int, int] = field(init=False, default_factory=dict)
    """How many base pages are mapped in each other 2 MiB."""
    _sharers: dict[int, int] = field(init=False, default_factory=dict)
    """How often each page is mapped that is mapped more than once, by physical address."""

    @kernel_function
    def vmemmap_populate(
        self, task: Task, start: int, end: int, node: int, altmap: Altmap | None = None
    ) -> Steps[int]:
        """Back the struct pages in ``[start, end)``: radix__vmemmap_populate().

        Returns:
            0, or -ENOMEM: a mapping can only fail for want of a page for the page table.
        """
        self.call(task, "vmemmap_populate")
        self.call(task, "radix__vmemmap_populate")
        page = self.kernel.page_size
        at = start // page * page
        while at < end:
            huge = at // PMD_BYTES * PMD_BYTES
            state = self._pmd_state(huge)
            if self.map.find(at) is None and self.supply.faults.strikes("mapping"):
                return -Errno.ENOMEM
            if state == "huge" or (state == "none" and self._populate_huge(at, node, altmap)):
                at = huge + PMD_BYTES
            elif self._populate_page(at, node, altmap):
                at += page
            else:
                return -Errno.ENOMEM
        return 0
        yield  # pragma: no cover (a generator, like the version that keeps a list)

    @kernel_function
    def vmemmap_free(
        self, task: Task, start: int, end: int, altmap: Altmap | None = None
    ) -> Steps[None]:
        """Take back what no valid subsection needs any more: radix__vmemmap_free()."""
        self.call(task, "vmemmap_free")
        self.call(task, "radix__vmemmap_free")
        page = self.kernel.page_size
        at = start // page * page
        while at < end:
            huge = at // PMD_BYTES * PMD_BYTES
            block, size = (huge, PMD_BYTES) if self._pmd_state(huge) == "huge" else (at, page)
            phys = self.map.find(block)
            if phys is not None and not (yield from self.vmemmap_populated(block, size)):
                self.map.unmap(block, size)
                self.tables.unmap(block, phys, size)
                self._forget(block, huge)
                if not (altmap and altmap.holds(phys)) and not self._still_shared(phys):
                    self.supply.free_block(phys, size)
            at = block + size

    def vmemmap_can_optimize(self, altmap: Altmap | None, compound: int) -> bool:
        """Tell whether struct pages of a compound page's tails may share their memory."""
        size = self.kernel.struct_page_size
        pages = compound * size // self.kernel.page_size
        return altmap is None and not size & (size - 1) and pages > RESERVED_PAGES

    @kernel_function
    def vmemmap_populate_compound_pages(
        self, task: Task, start: int, end: int, node: int, compound: int
    ) -> Steps[int]:
        """Back the struct pages in ``[start, end)``, those of tails with what their first has.

        Args:
            task: Who asks.
            start: Virtual address of the first struct page.
            end: The address after the last.
            node: NUMA node that the memory is to be on.
            compound: Base pages of a compound page.

        Returns:
            0 or -ENOMEM.
        """
        self.call(task, "vmemmap_populate_compound_pages")
        page = self.kernel.page_size
        exact, pfn = self.kernel.at(eras.COMPOUND_PFN_IS_EXACT), self.page_to_pfn(start)
        at = start
        while at < end:
            first = at // page * page
            huge = at // PMD_BYTES * PMD_BYTES
            if huge in self._huge:
                pfn += PMD_BYTES >> self.kernel.page_shift
                at = huge + PMD_BYTES
                continue
            if self.map.find(first) is None:
                offset = (self.page_to_pfn(at) if exact else pfn) % compound
                if not offset:
                    wanted: tuple[int, ...] = (first, first + page)
                    pfn += 1
                    at += page
                else:
                    # The second page of the struct pages of the compound page.
                    second = at - offset * self.kernel.struct_page_size + page
                    second = second // page * page
                    wanted = (second - page, second)
                if offset and second // PMD_BYTES * PMD_BYTES in self._huge:
                    wanted = (first,)  # it cannot be shared out of 2 MiB that are mapped at once
                if not all(self._populate_page(one, node, None) for one in wanted):
                    return -Errno.ENOMEM
                if offset:
                    self._share(first, wanted[-1])
            pfn += 1
            at += page
        return 0
        yield  # pragma: no cover (a generator, as `vmemmap_populate` is)

    def _share(self, at: int, second: int) -> None:
        """Map the page at *at* to what the page at *second* is mapped to, unless it is mapped."""
        phys = self.map.find(second)
        if phys is None or self.map.find(at) is not None:
            return
        page, huge = self.kernel.page_size, at // PMD_BYTES * PMD_BYTES
        self.map.map(at, phys, page)
        self.tables.map(at, phys, page)
        self._paged[huge] = self._paged.get(huge, 0) + 1
        self._sharers[phys] = self._sharers.get(phys, 1) + 1

    def _still_shared(self, phys: int) -> bool:
        """Count one mapping of a page less, and tell whether there are more."""
        left = self._sharers.get(phys, 1) - 1
        if left > 1:
            self._sharers[phys] = left
        else:
            self._sharers.pop(phys, None)
        return left > 0

    def _pmd_state(self, huge: int) -> str:
        """Tell what the PMD entry for 2 MiB holds: nothing, a leaf, or a table of pages."""
        if huge in self._huge:
            return "huge"
        return "pages" if self._paged.get(huge) else "none"

    def _populate_huge(self, at: int, node: int, altmap: Altmap | None) -> bool:
        """Back the 2 MiB around *at* with one page, if that may be and can be had."""
        huge = at // PMD_BYTES * PMD_BYTES
        if altmap is not None:
            if at != huge or self._crosses(huge, PMD_BYTES, altmap):
                return False
            phys = self.supply.alloc_from(altmap, PMD_BYTES)
        else:
            if at != huge and not self.kernel.at(eras.RADIX_HUGE_ANYWHERE):
                return False
            phys = self.supply.alloc_block(PMD_BYTES, node)
        if phys is None:
            return False
        self.map.map(huge, phys, PMD_BYTES)
        self.tables.map(huge, phys, PMD_BYTES)
        self._huge.add(huge)
        return True

    def _populate_page(self, at: int, node: int, altmap: Altmap | None) -> bool:
        """Back one base page, unless it is; False when no page can be had."""
        if self.map.find(at) is not None:
            return True
        page = self.kernel.page_size
        phys = None
        if altmap is not None and not self._crosses(at, page, altmap):
            phys = self.supply.alloc_from(altmap, page)
        if phys is None:
            phys = self.supply.alloc_block(page, node)
        if phys is None:
            return False
        self.map.map(at, phys, page)
        self.tables.map(at, phys, page)
        huge = at // PMD_BYTES * PMD_BYTES
        self._paged[huge] = self._paged.get(huge, 0) + 1
        return True

    def _forget(self, block: int, huge: int) -> None:
        """Note that a leaf is gone."""
        if huge in self._huge:
            self._huge.remove(huge)
        elif block in range(huge, huge + PMD_BYTES) and self._paged.get(huge):
            self._paged[huge] -= 1
