"""The pieces of an extract that are the kernel's own data, structure by structure.

Each function knows one kind of structure and shows of it what the readers of the other layers look
at. What cannot be read is left out, as it is for them.

Source: as in the modules that read them: ``facts/uts``, ``facts/backing``, ``mmzone``,
``translate/vmalloc_areas``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.backing.table import BackingTable
from vmemmap.distinct import distinct, is_among
from vmemmap.errors import FactError, ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.image import Image
from vmemmap.extract.words import is_kernel_data, only
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.uts import FIELD_BYTES, FIELDS
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.intervals import join
from vmemmap.linear_map import LinearMemory, linear_phys, linear_phys_many
from vmemmap.mmzone.mem_section import MemSection, RootArray
from vmemmap.mmzone.nodes import NodeInfo, ZoneInfo
from vmemmap.mmzone.pgdat_layout import PgdatLayout
from vmemmap.mmzone.section_layout import IS_EARLY, IS_ONLINE, flags_of, map_base_of
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.regions import AddressLayout, Method
from vmemmap.translate.vmalloc_areas import find_known_areas

_HIDDEN_NAMES = {"nodename", "domainname"}
_USAGE_WORDS = 3
_USAGE_MAX = 1 << 16
_WITNESSES = 64
_PART_BYTES = 4096
"""What a dump has or lacks together."""
_SUBSECTION_SHIFT = 21
_COUNTER_END = 1 << 48


class KernelPieces:
    """Shows words of the kernel's data at their linear-map addresses.

    Args:
        image: Where they go.
        memory: The kernel's data.
        source: The same by physical address.
        hide_addresses: Leave out pointers that no reader follows.
    """

    def __init__(
        self,
        image: Image,
        memory: LinearMemory,
        source: PhysicalSource,
        *,
        hide_addresses: bool = False,
    ) -> None:
        self.image, self.memory, self.source = image, memory, source
        self._hide = hide_addresses

    def show(self, virt: int, size: int, shown: Shown) -> None:
        """Show *size* bytes as they are, if the dump has them."""
        with suppress(ReadError):
            self.put(virt, self.memory.read(virt, size), shown)

    def put(self, virt: int, data: bytes, shown: Shown) -> None:
        """Show *data* at an address."""
        phys = linear_phys(virt)
        if phys is not None:
            self.image.add(phys, data, shown)

    def show_room(self, virt: int, size: int, shown: Shown) -> None:
        """Have every page of some memory in the extract, as far as the dump has it: zero."""
        start = linear_phys(virt)
        if start is None or not size:
            return
        second = start // _PART_BYTES * _PART_BYTES + _PART_BYTES
        for at in (start, *range(second, start + size, _PART_BYTES)):
            if self.source.is_stored(at):
                self.image.add(at, b"\0", shown)

    def show_utsname(self, kernel: KernelFacts) -> None:
        """Show utsname, without the names of the machine and its domain."""
        uts = kernel.utsname
        if uts is None:
            return
        for number, field in enumerate(FIELDS):
            if field not in _HIDDEN_NAMES:
                phys = uts.phys + number * FIELD_BYTES
                text = self.source.read(phys, FIELD_BYTES).split(b"\0")[0]
                self.image.add(phys, text[: FIELD_BYTES - 1] + b"\0", Shown.KERNEL)

    def show_list_facts(self, facts: BackingFacts, kernel: KernelFacts) -> None:
        """Show the list's head, and what says how large a block is."""
        with suppress(FactError):
            self.show(facts.vmemmap_list.value, 8, Shown.LIST)
        with suppress(FactError):
            self.show(kernel.symbol("mmu_vmemmap_psize").value, 4, Shown.KERNEL)
            self.show(facts.block_shift_at.value, 4, Shown.KERNEL)

    def show_nodes_of_list(self, table: BackingTable, node_size: int, page_size: int) -> int:
        """Show the nodes of the list, and those that were rescued.

        A node that makes no sense is shown only if its page has one that does: a pointer that leads
        astray leads into anything.

        Returns:
            How many nodes of the list are not shown.
        """
        some = table.node != 0
        nodes, rescued = table.node[some], table.rescued[some]
        sound = distinct(table.node[table.usable & (table.node != 0)] // np.uint64(page_size))
        inside = is_among(nodes // np.uint64(page_size), sound)
        for shown, which in ((Shown.LIST, inside & ~rescued), (Shown.RESCUED, inside & rescued)):
            phys, linear = linear_phys_many(nodes[which].astype(np.uint64))
            starts = phys[linear].astype(np.int64)
            for start, end in join(starts, starts + node_size).tolist():
                with suppress(ReadError):
                    data = self.source.read(start, end - start)
                    self.image.add(start, data, shown)
        return len(nodes) - int(np.count_nonzero(inside))

    def show_sections(self, mem_section: MemSection, base: int) -> None:
        """Show mem_section: of each section that makes sense its map's word and the one beside it.

        Args:
            mem_section: Where it is.
            base: Virtual address of the struct page of pfn 0.
        """
        try:
            roots = mem_section.roots
        except FactError:
            return
        self.show(mem_section.symbol.value, 8, Shown.SECTIONS)
        array = RootArray(self.memory, mem_section.layout, roots.value)
        places = list(self._roots(array))
        roots_at = {at: self._show_root(array, base, at) for at in {at for _, at in places}}
        per_root = array.layout.per_root
        shown = [roots_at[at] + np.array([number * per_root, 0]) for number, at in places]
        if shown:
            self._show_usage(array, np.concatenate(shown))

    def _roots(self, array: RootArray) -> Iterator[tuple[int, int]]:
        """Show the root array; yield number and address of each root."""
        start, end = array.virt, array.virt + 8 * array.layout.root_count
        edges = [start, *range(start // _PART_BYTES * _PART_BYTES + _PART_BYTES, end, _PART_BYTES)]
        for at, stop in pairwise([*edges, end]):
            try:
                words = self.memory.words(at, (stop - at) // 8)
            except ReadError:
                continue
            linear = linear_phys_many(words.astype(np.uint64))[1]
            self.put(at, only(words, linear), Shown.SECTIONS)
            first = (at - start) // 8
            yield from ((first + i, int(words[i])) for i in np.flatnonzero(linear).tolist())

    def _show_root(self, array: RootArray, base: int, at: int) -> NDArray[np.int64]:
        """Show a root's sections; give the place in it and the flags of each."""
        layout, nothing = array.layout, np.empty((0, 2), dtype=np.int64)
        try:
            data = self.memory.read(at, layout.root_bytes)
        except ReadError:
            return nothing
        out = np.zeros(len(data), dtype=np.uint8)
        columns = [
            np.ndarray(layout.per_root, self.memory.word_type, buffer, offset, (layout.size,))
            for offset in (layout.map_offset, layout.map_offset + 8)
            if offset + 8 <= layout.size
            for buffer in (data, out.data)
        ]
        maps = columns[0].astype(np.uint64)
        sound = (map_base_of(maps) == np.uint64(base)) | (maps == flags_of(maps))
        columns[1][sound] = columns[0][sound]
        if len(columns) > 2:
            beside = sound & linear_phys_many(columns[2].astype(np.uint64))[1] & (not self._hide)
            columns[3][beside] = columns[2][beside]
        self.put(at, out.tobytes(), Shown.SECTIONS)
        used = np.flatnonzero(sound & (maps != 0))
        return np.column_stack([used, flags_of(maps)[used]]).astype(np.int64)

    def _show_usage(self, array: RootArray, sections: NDArray[np.int64]) -> None:
        """Show which parts there are of sections that came after boot and are not online.

        And of some that are online, by which it is told where the map of the parts is.
        """
        number, flags = sections.T
        doubtful = number[flags & (IS_EARLY | IS_ONLINE) == 0][:_USAGE_MAX]
        online = number[flags & IS_ONLINE != 0]
        if not len(doubtful) or not np.any(flags & IS_EARLY):
            return  # all are whole: before 5.3 there are no parts
        edges = np.flatnonzero(np.diff(online) != 1)
        ends = distinct(np.r_[online[:1], online[edges], online[edges + 1], online[-1:]])
        parts = 1 << array.layout.section_size_bits.value >> _SUBSECTION_SHIFT
        for section in [*doubtful.tolist(), *ends[:_WITNESSES].tolist()]:
            with suppress(ReadError):
                entry = array.find_entry(section)
                if entry is None:
                    continue
                usage = self.memory.word(entry + array.layout.map_offset + 8)
                words = self.memory.words(usage, _USAGE_WORDS)
                # A map of its parts, or a pointer; whatever else it could be is no concern.
                known = linear_phys_many(words.astype(np.uint64))[1] | (words >> parts == 0)
                self.put(usage, only(words, known), Shown.SECTIONS)
                self.show(entry + array.layout.map_offset + 8, 8, Shown.SECTIONS)

    def show_numa_nodes(
        self,
        kernel: KernelFacts,
        layout: PgdatLayout,
        nodes: tuple[NodeInfo, ...],
        orders: int,
        *,
        lists: bool,
    ) -> None:
        """Show the nodes' and zones' structures, and the names of the zones.

        Args:
            kernel: Says where they are.
            layout: How they lie.
            nodes: What was read there.
            orders: How many free lists a zone has.
            lists: Free pages are told by those lists.
        """
        with suppress(FactError):
            self.show(kernel.symbol("node_online_map").value, layout.nodemask_size, Shown.NODES)
        array = kernel.symbol("node_data").value if layout.numa else None
        for node in nodes:
            if array is not None:
                self.show(array + 8 * node.node, 8, Shown.NODES)
            for zone in node.zones:
                self._show_zone(zone, layout, orders, lists=lists)
            if not node.zones:
                continue
            first = node.zones[0]
            pgdat = first.address - layout.node_zones - first.index * layout.zone_size
            for offset, width in (
                (layout.start_pfn, 8),
                (layout.spanned_pages, 8),
                (layout.node_id, 4),
                (layout.nr_zones, 4),
            ):
                self.show(pgdat + offset, width, Shown.NODES)

    def _show_zone(self, zone: ZoneInfo, layout: PgdatLayout, orders: int, *, lists: bool) -> None:
        """Show a zone's counters and pointers, and its name.

        Of what has no name, which may be anything, only the counters and free lists that readers
        look at. Where addresses are hidden, of pointers only that to the name, and the free lists
        if they are what tells free pages.
        """
        start, size = zone.address, layout.zone_size
        words = self.memory.words(start, size // 8)
        value = words.astype(np.uint64)
        known = (np.abs(value.astype(np.int64)) < _COUNTER_END) | is_kernel_data(value)
        if not zone.name:
            rest = layout.zone_rest
            places = (layout.zone_spanned, rest.present, rest.managed, rest.start)
            free = layout.vm_stat + 8 * layout.nr_free_pages
            asked = np.zeros(len(words), dtype=np.bool_)
            asked[[place // 8 for place in (*places, free) if place is not None]] = True
            asked[self._list_words(layout, orders)] = True
            known &= asked
        name_at = self._find_name(zone, value)
        if self._hide:
            followed = np.zeros(len(words), dtype=np.bool_)
            followed[self._list_words(layout, orders)] = lists
            if name_at is not None:
                followed[name_at] = True
            known &= ~is_kernel_data(value) | followed
        self.put(start, only(words, known), Shown.NODES)
        if name_at is not None:
            text = (zone.name or "").encode("latin-1")[:7]
            self.put(int(value[name_at]), text.ljust(8, b"\0"), Shown.NODES)

    def _list_words(self, layout: PgdatLayout, orders: int) -> slice:
        """Give which words of a zone are its free lists."""
        first = layout.free_area // 8
        return slice(first, first + orders * layout.free_area_size // 8)

    def _find_name(self, zone: ZoneInfo, words: NDArray[np.uint64]) -> int | None:
        """Give which word of a zone leads to its name, if any does."""
        text = (zone.name or "").encode("latin-1")[:7] + b"\0"
        for row in np.flatnonzero(linear_phys_many(words)[1]).tolist() if len(text) > 1 else ():
            with suppress(ReadError):
                if self.memory.read(int(words[row]), len(text)) == text:
                    return int(row)
        return None

    def show_areas(self, info: Vmcoreinfo, layout: AddressLayout) -> None:
        """Show the words by which the kernel's list of vmalloc areas is followed."""
        seen = _Noted(self.memory)
        find_known_areas(info, seen)
        paged = [region for region in layout.regions if region.method is Method.PAGE_TABLE]
        for virt, word in seen.words_read.items():
            address = linear_phys(word) is not None or any(word in region for region in paged)
            if address or not word:
                self.show(virt, 8, Shown.AREAS)


class _Noted(LinearMemory):
    """The kernel's data, with a note of every word that was read.

    Attributes:
        words_read: Address of each word to its value.
    """

    def __init__(self, memory: LinearMemory) -> None:
        super().__init__(memory, memory.order)
        self._kernel_data = memory
        self.words_read: dict[int, int] = {}

    def word(self, virt: int, width: int = 8) -> int:
        value = self._kernel_data.word(virt, width)
        self.words_read[virt] = value
        return value
