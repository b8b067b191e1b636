"""The radix MMU's own vmemmap since 6.6: page tables only, no list.

Where a whole 2 MiB of struct pages begins, one 2 MiB page backs them; elsewhere, or when no such
page can be had, base pages do.

Source: Linux arch/powerpc/mm/book3s64/radix_pgtable.c, radix__vmemmap_populate(), since Linux
commit 368a0590d954 (in v6.6).
"""

from __future__ import annotations

from typing import Any

from vmemmap.simulate.kernel import MIB
from vmemmap.simulate.populate import EFAULT, ENOMEM, Vmemmap
from vmemmap.simulate.steps import Steps, Task
from vmemmap.simulate.supply import Altmap

PMD_BYTES = 2 * MIB


class RadixVmemmap(Vmemmap):
    """`Vmemmap` of a kernel that keeps no list under the radix MMU."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._huge: set[int] = set()
        self._paged: dict[int, int] = {}

    def vmemmap_populate(
        self, task: Task, start: int, end: int, node: int, altmap: Altmap | None = None
    ) -> Steps[int]:
        """Back the struct pages in ``[start, end)``: radix__vmemmap_populate().

        Returns:
            0, -ENOMEM or -EFAULT.
        """
        self.call(task, "vmemmap_populate")
        self.call(task, "radix__vmemmap_populate")
        page = self.kernel.page_size
        at = start // page * page
        while at < end:
            huge = at // PMD_BYTES * PMD_BYTES
            state = self._pmd_state(huge)
            if (
                state == "none"
                and at == huge
                and (yield from self._populate_huge(huge, node, altmap))
            ) or state == "huge":
                at = huge + PMD_BYTES
            else:
                error = yield from self._populate_page(at, node, altmap)
                if error:
                    return error
                at += page
        return 0

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
                self.tables.unmap(block)
                self._forget(block, huge)
                if not (altmap and altmap.holds(phys)):
                    self.supply.free_block(phys, size)
            at = block + size

    def _pmd_state(self, huge: int) -> str:
        """Tell what the PMD entry for 2 MiB holds: nothing, a leaf, or a table of pages."""
        if huge in self._huge:
            return "huge"
        return "pages" if self._paged.get(huge) else "none"

    def _populate_huge(self, huge: int, node: int, altmap: Altmap | None) -> Steps[bool]:
        if altmap is not None:
            phys = None if self._crosses_huge(huge, altmap) else altmap.alloc(PMD_BYTES)
        else:
            phys = self.supply.alloc_block(PMD_BYTES, node)
        if phys is None:
            return False
        if self.supply.faults.strikes("mapping"):
            if altmap is None:
                self.supply.free_block(phys, PMD_BYTES)
            return False
        self.map.map(huge, phys, PMD_BYTES)
        self.tables.map(huge, phys, PMD_BYTES)
        self._huge.add(huge)
        return True
        yield  # pragma: no cover (makes this a generator)

    def _populate_page(self, at: int, node: int, altmap: Altmap | None) -> Steps[int]:
        if self.map.find(at) is not None:
            return 0
        page = self.kernel.page_size
        phys = altmap.alloc(page) if altmap is not None else None
        if phys is None:
            phys = self.supply.alloc_block(page, node)
        if phys is None:
            return -ENOMEM
        if self.supply.faults.strikes("mapping"):
            return -EFAULT
        self.map.map(at, phys, page)
        self.tables.map(at, phys, page)
        huge = at // PMD_BYTES * PMD_BYTES
        self._paged[huge] = self._paged.get(huge, 0) + 1
        return 0
        yield  # pragma: no cover (makes this a generator)

    def _forget(self, block: int, huge: int) -> None:
        """Note that a leaf is gone."""
        if huge in self._huge:
            self._huge.remove(huge)
        elif block in range(huge, huge + PMD_BYTES) and self._paged.get(huge):
            self._paged[huge] -= 1

    def _crosses_huge(self, huge: int, altmap: Altmap) -> bool:
        first = self.page_to_pfn(huge)
        shift = self.kernel.page_shift
        count = PMD_BYTES // self.kernel.struct_page_size
        return altmap.crossed_by(first << shift, (first + count) << shift)
