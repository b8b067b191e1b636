"""pg_data_t and its zone, one for each NUMA node, with the heads of the buddy lists.

Offsets that depend on the configuration are those of a Debian kernel with the same page size.

Source: Linux include/linux/mmzone.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.spec.checks import MAX_NODES

FreeBlocks = dict[int, dict[int, npt.NDArray[np.int64]]]
"""First page frames of free blocks, by node and order, ascending."""
LIST_HEAD_BYTES = 16
ZONE_FREE_AREA = 256
ZONEREF_BYTES = 16
NR_FREE_PAGES = 0
MIGRATE_CMA = 4
"""Behind the three that have lists of each processor's, and one."""


@dataclass(frozen=True, slots=True)
class PgdatLayout:
    """Bytes that differ between releases.

    Attributes:
        rest: From nr_zones to the end of the structure.
        spanned_pages: Offset of zone.spanned_pages.
    """

    rest: int
    spanned_pages: int


PGDAT_LAYOUTS: eras.Table[PgdatLayout] = (
    (eras.OLDEST, PgdatLayout(2016, 120)),
    ((6, 12), PgdatLayout(2528, 144), eras.Bracket("6.1.192", "6.12")),
    ((7, 2), PgdatLayout(2656, 144), eras.Bracket("6.12.117", "7.2")),
)
"""As Debian's 6.1, 6.12 and 7.2 have them."""
ZONE_DEVICE_SINCE = (6, 12)
"""Debian's 6.1 for ppc64el is built without ZONE_DEVICE, its 6.12 with it."""

ZONELIST_CACHE: eras.Table[bool] = (
    (eras.OLDEST, True),
    ((4, 4), False, eras.Bracket("2.6.35.6", "4.9.154", "4.4 by what is remembered")),
)
"""Whether a zonelist remembers which of its zones were full: a number of a node and a bit for each
zone, a pointer before and a time after them."""
START_AFTER_ZONES: eras.Table[int] = (
    (eras.OLDEST, 24),
    ((3, 18), 8, eras.Bracket("2.6.35.6", "4.9.154", "the pointer to bootmem's data went")),
)
"""From pglist_data.nr_zones to node_start_pfn (bytes)."""

ZONES: eras.Table[tuple[str, ...]] = (
    (eras.OLDEST, ("DMA", "Normal", "Movable")),
    (
        (3, 18),
        ("DMA", "DMA32", "Normal", "Movable"),
        eras.Bracket("3.10.99", "4.9.154", "a 4.9.154 names four zones at boot"),
    ),
    ((5, 0), ("Normal", "Movable"), eras.Bracket("4.9.154", "5.0", "a server's memory is in one")),
)
"""Without ZONE_DEVICE. All memory is in the first of them."""


@dataclass(frozen=True, slots=True)
class MigrateTypes:
    """The lists of a free area: how many, and which has the pages that can be moved."""

    count: int
    movable: int


MIGRATE_TYPES: eras.Table[MigrateTypes] = (
    (eras.OLDEST, MigrateTypes(5, 2)),
    ((3, 5), MigrateTypes(6, 2), eras.Bracket("2.6.35.6", "6.1.192", "one more with CMA")),
    ((4, 4), MigrateTypes(6, 1), eras.Bracket("3.10.99", "4.9.154")),
)


class Pgdat:
    """The node structures of one machine, in its memory.

    Attributes:
        kernel: Whose they are.
        zones: Zones of a node, that of device memory among them where the kernel has it.
        migrate_types: How many lists a free area has.
        free_area_bytes: sizeof(struct free_area): those lists, and a count.
    """

    def __init__(self, kernel: Kernel, *, has_devices: bool) -> None:
        self.kernel = kernel
        has_zone = has_devices or kernel.version >= ZONE_DEVICE_SINCE
        self.zones = len(kernel.at(ZONES)) + has_zone
        types = kernel.at(MIGRATE_TYPES)
        self.migrate_types, self._movable = types.count, types.movable
        self.free_area_bytes = types.count * LIST_HEAD_BYTES + 8
        big = kernel.page_size == 65536
        self.zone_bytes = 1664 if big else 2048
        self.vm_stat = 1408 if big else 1792
        layout = kernel.at(PGDAT_LAYOUTS)
        self.spanned_pages = layout.spanned_pages
        # Two lists, with fallback and without; an entry of each zone of each node, and the end.
        entries = MAX_NODES * self.zones
        zonelist = (entries + 1) * ZONEREF_BYTES
        if kernel.at(ZONELIST_CACHE):
            zonelist += 8 + entries * 2 + entries // 8 + 8
        self.nr_zones = self.zones * self.zone_bytes + 2 * zonelist
        self.node_start_pfn = self.nr_zones + kernel.at(START_AFTER_ZONES)
        self.node_spanned_pages = self.node_start_pfn + 16
        self.node_id = self.node_start_pfn + 24
        self.size = self.nr_zones + layout.rest
        self.phys: dict[int, int] = {}

    def add_node(self, memory: PhysicalMemory, node: int, phys: int) -> None:
        """Let a node's structure lie at *phys*; it is announced in node_data and online."""
        self.phys[node] = phys
        memory.store_u64(image_of(memory).phys["node_data"] + 8 * node, virt_of(phys))
        word = image_of(memory).phys["node_online_map"] + node // 64 * 8
        memory.store_u64(word, memory.load_u64(word) | 1 << node % 64)
        memory.store_u32(phys + self.node_id, node)
        memory.store_u32(phys + self.nr_zones, 1)

    def free_list(self, node: int, order: int, kind: int | None = None) -> int:
        """Give the virtual address of a buddy list's head; without *kind* of the movable pages'."""
        kind = self._movable if kind is None else kind
        at = ZONE_FREE_AREA + order * self.free_area_bytes + kind * LIST_HEAD_BYTES
        return virt_of(self.phys[node] + at)

    def write(
        self,
        memory: PhysicalMemory,
        pages: PageAllocator,
        blocks: FreeBlocks,
        cma: FreeBlocks,
        lru_of: int,
        devices: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """Write counts and list heads as they are now.

        Args:
            memory: Where to.
            pages: Which page frames each node has.
            blocks: First page frames of the free blocks, by node and order.
            cma: Those in CMA areas.
            lru_of: Virtual address of the ``lru`` member of page frame 0's struct page.
            devices: Node, first page frame and the one after the last of each device's memory.
        """
        for node, phys in self.phys.items():
            mine = [(start, end) for home, start, end in devices if home == node]
            self._write_span(memory, pages, node, phys, mine)
            for order in range(self.kernel.free_area_orders):
                for kind in range(self.migrate_types):
                    head = self.free_list(node, order, kind)
                    first = last = head
                    listed = {self._movable: blocks, MIGRATE_CMA: cma}.get(kind, {})
                    frames = listed.get(node, {}).get(order)
                    if frames is not None and len(frames):
                        size = self.kernel.struct_page_size
                        first, last = (lru_of + int(f) * size for f in (frames[0], frames[-1]))
                    at = head & ((1 << 60) - 1)
                    memory.store_u64(at, first)
                    memory.store_u64(at + 8, last)
                at = phys + ZONE_FREE_AREA + order * self.free_area_bytes
                found = [listed.get(node, {}).get(order, ()) for listed in (blocks, cma)]
                count = sum(map(len, found))
                memory.store_u64(at + self.migrate_types * LIST_HEAD_BYTES, count)

    def _write_span(
        self,
        memory: PhysicalMemory,
        pages: PageAllocator,
        node: int,
        phys: int,
        devices: list[tuple[int, int]],
    ) -> None:
        home = list(pages.home(node)) if node in pages.nodes else []
        first, last = _span(home)
        memory.store_u64(phys + self.spanned_pages, last - first)
        free = pages.free_ranges(node).total + pages.cma_ranges(node).total if home else 0
        memory.store_u64(phys + self.vm_stat + 8 * NR_FREE_PAGES, free)
        if devices:  # in a zone of their own, the last
            first, last = _span(devices)
            zone = phys + (self.zones - 1) * self.zone_bytes
            memory.store_u64(zone + self.spanned_pages, last - first)
            memory.store_u32(phys + self.nr_zones, self.zones)
            for order in range(self.kernel.free_area_orders):  # nothing of it is ever free
                for kind in range(self.migrate_types):
                    at = ZONE_FREE_AREA + order * self.free_area_bytes + kind * LIST_HEAD_BYTES
                    for word in (0, 8):
                        memory.store_u64(zone + at + word, virt_of(zone + at))
        first, last = _span([*home, *devices])
        memory.store_u64(phys + self.node_start_pfn, first)
        memory.store_u64(phys + self.node_spanned_pages, last - first)


def _span(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Give the first page frame of some parts, and the one after the last."""
    return min((start for start, _ in parts), default=0), max((end for _, end in parts), default=0)
