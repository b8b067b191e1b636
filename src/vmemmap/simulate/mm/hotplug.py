"""Memory hotplug by the kernel's own names: from add_memory() down to vmemmap_populate().

Two chains. Until 5.2 a section is added whole; since 5.3 the parts of a section (2 MiB each) come
and go by themselves. Both end in the same vmemmap_populate(), and both leave what an unlucky kernel
leaves behind when something fails on the way.

Source: Linux mm/memory_hotplug.c, mm/sparse.c, arch/powerpc/mm/mem.c.
"""

from __future__ import annotations

from itertools import pairwise

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import SECTION_BYTES, SECTION_SHIFT
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.memory.physical import virt_of
from vmemmap.simulate.memory.supply import Altmap
from vmemmap.simulate.mm.init_pages import Occasion, stores_of
from vmemmap.simulate.mm.locks import HotplugLocks
from vmemmap.simulate.mm.outcome import Errno
from vmemmap.simulate.mm.page_tables import PageTables
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.mm.sparsemem import IS_EARLY, SparseMem
from vmemmap.simulate.mm.usage import PageUsage
from vmemmap.simulate.steps import Deed, Steps, Task, kernel_function


class MemoryHotplug:
    """Adds and removes memory on a running machine."""

    def __init__(
        self,
        vmemmap: Vmemmap,
        sparsemem: SparseMem,
        pages: PageAllocator,
        tables: PageTables,
        locks: HotplugLocks,
        usage: PageUsage,
    ) -> None:
        self.vmemmap = vmemmap
        self.kernel = vmemmap.kernel
        self.sparsemem = sparsemem
        self.pages = pages
        self.tables = tables
        self.locks = locks
        self.usage = usage
        self._altmaps: dict[int, Altmap] = {}
        self._idle_nodes: dict[int, int] = {}
        self._call = vmemmap.call

    @kernel_function
    def add_memory(
        self,
        task: Task,
        node: int,
        start: int,
        size: int,
        altmap_bytes: int = 0,
        *,
        device: bool = False,
        reserve: int = 0,
        compound_bytes: int = 0,
        online: bool = True,
    ) -> Steps[int]:
        """Add memory, then put it to use with online_pages().

        Args:
            task: Who asks.
            node: NUMA node of the memory.
            start: Physical address, aligned to a section (device memory since 5.3: to 2 MiB).
            size: Bytes, so aligned.
            altmap_bytes: How much of its beginning its own struct pages may use.
            device: It is device memory: it gets struct pages, and that is all.
            reserve: How much of the altmap's beginning holds something else.
            compound_bytes: Bytes of the compound pages that device memory is made of; 0 for none.
            online: Put it to use.

        Returns:
            0 or a negative errno. After an error the sections that were done stay, as they do in
            the kernel; their pages are not put to use.
        """
        self._call(task, "memremap_pages" if device else "add_memory")
        yield from self.locks.begin(task, device=device)
        try:
            altmap = None
            self._altmaps.pop(start, None)  # of an earlier attempt that failed
            if altmap_bytes:
                end, page = start + size, self.kernel.page_size
                altmap = Altmap(start, end, start + altmap_bytes, start + reserve, page)
                self._altmaps[start] = altmap
            compound = compound_bytes >> self.kernel.page_shift
            error = yield from self.arch_add_memory(task, node, start, size, altmap, compound)
            if device and not error:
                self.init_pages(node, start, start + size, "device")
            if device or not online:
                self._idle_nodes[start] = node
            elif not error:
                self.online_pages(node, start, size, altmap_bytes)
            return error
        finally:
            self.locks.end(task)

    @kernel_function
    def remove_memory(
        self, task: Task, start: int, size: int, *, device: bool = False, online: bool = True
    ) -> Steps[int]:
        """Take memory out of use with offline_pages(), then remove it.

        Returns:
            0, -EINVAL when the memory never came into use, or -EBUSY when the kernel itself has
            something there that cannot move.
        """
        # powerpc had neither remove_memory() nor arch_remove_memory() before 3.9.
        old = self.kernel.version < (3, 9)
        name = "pseries_remove_memblock" if old else "remove_memory"
        self._call(task, "memunmap_pages" if device else name)
        yield from self.locks.begin(task, device=device)
        try:
            shift = self.kernel.page_shift
            first, last = start >> shift, (start + size) >> shift
            altmap = self._altmaps.get(start)
            used = first + ((altmap.room_end - altmap.start) >> shift if altmap else 0)
            idle = device or not online
            node = self._idle_node(start) if idle else self.pages.node_of(used)
            if node is None:
                return -Errno.EINVAL
            if not idle:
                if not self.usage.move_away(used, last) or not self.pages.is_free(used, last):
                    return -Errno.EBUSY
                self.pages.disown(first, last)
            yield from self.arch_remove_memory(task, node, start, size, altmap)
            self._altmaps.pop(start, None)
            self._idle_nodes.pop(start, None)
            return 0
        finally:
            self.locks.end(task)

    @kernel_function
    def arch_add_memory(
        self, task: Task, node: int, start: int, size: int, altmap: Altmap | None, compound: int
    ) -> Steps[int]:
        """Map the new memory linearly, then add its pages."""
        self._call(task, "arch_add_memory")
        if self.kernel.mmu == "radix":
            for low, high in _by_section(start, start + size):
                self.tables.map(virt_of(low), low, high - low)
        error = yield from self.__add_pages(task, node, start, size, altmap, compound)
        return error

    @kernel_function
    def arch_remove_memory(
        self, task: Task, node: int, start: int, size: int, altmap: Altmap | None
    ) -> Steps[None]:
        """Remove the pages, then their linear mapping."""
        if self.kernel.version >= (3, 9):
            self._call(task, "arch_remove_memory")
        yield from self.__remove_pages(task, node, start, size, altmap)
        if self.kernel.mmu == "radix":
            self.tables.unmap(virt_of(start), start, size)

    def online_pages(self, node: int, start: int, size: int, altmap_bytes: int) -> None:
        """Give the pages to the page allocator, and mark the sections online."""
        shift = self.kernel.page_shift
        self.init_pages(node, start, start + size, "online")
        self.pages.adopt(node, start >> shift, (start + size) >> shift)
        self.pages.free_range((start + altmap_bytes) >> shift, (start + size) >> shift)
        physical = self.sparsemem.memory.physical
        flags = self.sparsemem.hotplug_flags(online=True)
        for low, _high in _by_section(start, start + size):
            at = self.sparsemem.entry_phys(low >> SECTION_SHIFT)
            assert at is not None
            physical.store_u64(at, physical.load_u64(at) | flags)

    @kernel_function
    def __add_pages(
        self, task: Task, node: int, start: int, size: int, altmap: Altmap | None, compound: int
    ) -> Steps[int]:
        self._call(task, "__add_pages")
        for low, high in _by_section(start, start + size):
            if self.kernel.at(eras.SUBSECTION_HOTPLUG):
                error = yield from self.sparse_add_section(task, node, low, high, altmap, compound)
            else:
                error = yield from self.sparse_add_one_section(task, node, low, altmap)
                if error == -Errno.EEXIST:
                    error = 0  # left to the check for overlapping resources, which came before
            if error:
                return error
            self.init_pages(node, low, high, "added")
        return 0

    def init_pages(self, node: int, start: int, end: int, occasion: Occasion) -> None:
        """Tell who watches what is stored into the struct pages of a range (bytes)."""
        stored = stores_of(self.kernel, node, occasion)
        if stored is None or self.vmemmap.map.watch is None:
            return
        first, last = self._memmap(start, end)
        pages = (last - first) // self.kernel.struct_page_size
        what = f"{pages} struct pages, {stored[1]} stores each: {stored[0]}"
        phys = self.vmemmap.map.find(first)
        self.vmemmap.map.tell(Deed("pages", what, last - first, phys, first))

    @kernel_function
    def __remove_pages(
        self, task: Task, node: int, start: int, size: int, altmap: Altmap | None
    ) -> Steps[None]:
        self._call(task, "__remove_pages")
        for low, high in _by_section(start, start + size):
            yield from self.locks.before_remove(task, node)
            try:
                if self.kernel.at(eras.SUBSECTION_HOTPLUG):
                    self._call(task, "sparse_remove_section")
                    yield from self.section_deactivate(task, low, high, altmap)
                else:
                    yield from self.sparse_remove_one_section(task, node, low, altmap)
            finally:
                self.locks.section_done(task, node)

    @kernel_function
    def sparse_add_one_section(
        self, task: Task, node: int, start: int, altmap: Altmap | None
    ) -> Steps[int]:
        """Give a section its struct pages, then say that it has them (until 5.2)."""
        self._call(task, "sparse_add_one_section")
        section = start >> SECTION_SHIFT
        self.sparsemem.ensure_root(section)
        yield from self.locks.before_populate(task, node)
        try:
            self._call(task, "kmalloc_section_memmap")
            self._call(task, "sparse_mem_map_populate")
            first, last = self._memmap(start, start + SECTION_BYTES)
            error = yield from self.vmemmap.vmemmap_populate(task, first, last, node, altmap)
            if error:
                # The callers between pass a pointer on, and have no other word.
                return -Errno.ENOMEM
            yield from self.locks.after_populate(task, node)
            if self.sparsemem.flags(section):
                return -Errno.EEXIST
            flags = self.sparsemem.hotplug_flags(online=False)
            yield from self.sparsemem.sparse_init_one_section(section, flags)
            return 0
        finally:
            self.locks.section_done(task, node)

    @kernel_function
    def sparse_remove_one_section(
        self, task: Task, node: int, start: int, altmap: Altmap | None
    ) -> Steps[None]:
        """Say that a section has no struct pages, then free them (until 5.2)."""
        self._call(task, "sparse_remove_one_section")
        yield from self.sparsemem.clear_section(start >> SECTION_SHIFT)
        self.locks.section_forgotten(task, node)
        first, last = self._memmap(start, start + SECTION_BYTES)
        if self.kernel.at(eras.VMEMMAP_FREE) == "missing":
            return
        self._call(task, "free_section_usemap")
        yield from self.vmemmap.vmemmap_free(task, first, last, altmap)

    @kernel_function
    def sparse_add_section(
        self, task: Task, node: int, start: int, end: int, altmap: Altmap | None, compound: int
    ) -> Steps[int]:
        """Add a section, or a part of one (since 5.3)."""
        self._call(task, "sparse_add_section")
        section = start >> SECTION_SHIFT
        self.sparsemem.ensure_root(section)
        error = yield from self.section_activate(task, node, start, end, altmap, compound)
        if error:
            return error
        flags = self.sparsemem.flags(section) | self.sparsemem.hotplug_flags(online=False)
        yield from self.sparsemem.sparse_init_one_section(section, flags)
        return 0

    @kernel_function
    def section_activate(
        self, task: Task, node: int, start: int, end: int, altmap: Altmap | None, compound: int
    ) -> Steps[int]:
        """Mark the parts valid and back their struct pages; on failure undo both."""
        self._call(task, "section_activate")
        if not self.sparsemem.flags(start >> SECTION_SHIFT):
            self.sparsemem.begin_section(start >> SECTION_SHIFT)
        if not self.sparsemem.fill_subsections(start, end):
            return -Errno.EEXIST
        yield from self.locks.before_populate(task, node)
        try:
            error = yield from self.populate_section_memmap(
                task, node, start, end, altmap, compound
            )
            if error:
                yield from self.section_deactivate(task, start, end, altmap)
                return -Errno.ENOMEM
            return 0
        finally:
            self.locks.section_done(task, node)

    @kernel_function
    def populate_section_memmap(
        self, task: Task, node: int, start: int, end: int, altmap: Altmap | None, compound: int
    ) -> Steps[int]:
        """Back the struct pages of a section, or of a part of one."""
        self._call(task, "populate_section_memmap")
        self._call(task, "__populate_section_memmap")
        first, last = self._memmap(start, end)
        if self.vmemmap.vmemmap_can_optimize(altmap, compound):
            return (
                yield from self.vmemmap.vmemmap_populate_compound_pages(
                    task, first, last, node, compound
                )
            )
        return (yield from self.vmemmap.vmemmap_populate(task, first, last, node, altmap))

    @kernel_function
    def section_deactivate(
        self, task: Task, start: int, end: int, altmap: Altmap | None
    ) -> Steps[None]:
        """Mark the parts invalid, free what only they needed, and forget an empty section."""
        self._call(task, "section_deactivate")
        section = start >> SECTION_SHIFT
        early = self.sparsemem.flags(section) & IS_EARLY
        empty = self.sparsemem.clear_subsections(start, end)
        first, last = self._memmap(start, end)
        if empty:
            yield from self.sparsemem.forget_mem_map(section)
        self._call(task, "free_map_bootmem" if early else "depopulate_section_memmap")
        yield from self.vmemmap.vmemmap_free(task, first, last, altmap)
        if empty:
            yield from self.sparsemem.clear_section(section)

    def _idle_node(self, start: int) -> int | None:
        """Tell the node of memory that is in nobody's use, by the piece that has its start."""
        before = [at for at in self._idle_nodes if at <= start]
        return self._idle_nodes[max(before)] if before else None

    def _memmap(self, start: int, end: int) -> tuple[int, int]:
        """Give where the struct pages of ``[start, end)`` lie in the vmemmap."""
        shift = self.kernel.page_shift
        return self.vmemmap.pfn_to_page(start >> shift), self.vmemmap.pfn_to_page(end >> shift)


def _by_section(start: int, end: int) -> list[tuple[int, int]]:
    """Cut ``[start, end)`` where sections meet."""
    cuts = range((start >> SECTION_SHIFT) + 1, -(-end >> SECTION_SHIFT))
    edges = [start, *(cut << SECTION_SHIFT for cut in cuts), end]
    return list(pairwise(edges))
