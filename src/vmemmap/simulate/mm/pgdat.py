"""pg_data_t and its zone, one for each NUMA node, with the heads of the buddy lists.

Offsets that depend on the configuration are those of a Debian kernel with the same page size.

Source: Linux include/linux/mmzone.h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.spec.machine_spec import MAX_NODES

FREE_AREA_BYTES = 104
MIGRATE_TYPES = 6
MIGRATE_MOVABLE = 1
LIST_HEAD_BYTES = 16
ZONE_FREE_AREA = 256
ZONEREF_BYTES = 16
NR_FREE_PAGES = 0


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
    ((6, 12), PgdatLayout(2528, 144)),
    ((7, 2), PgdatLayout(2656, 144)),
)
"""As Debian's 6.1, 6.12 and 7.2 have them; the releases between are brackets."""
ZONE_DEVICE_SINCE = (6, 12)
"""Debian's 6.1 for ppc64el is built without ZONE_DEVICE, its 6.12 with it."""


class Pgdat:
    """The node structures of one machine, in its memory.

    Attributes:
        kernel: Whose they are.
        zones: Zones of a node: normal and movable, and ZONE_DEVICE where the kernel has it.
    """

    def __init__(self, kernel: Kernel, *, has_devices: bool) -> None:
        self.kernel = kernel
        self.zones = 3 if has_devices or kernel.version >= ZONE_DEVICE_SINCE else 2
        big = kernel.page_size == 65536
        self.zone_bytes = 1664 if big else 2048
        self.vm_stat = 1408 if big else 1792
        layout = kernel.at(PGDAT_LAYOUTS)
        self.spanned_pages = layout.spanned_pages
        # Two lists, with fallback and without; an entry of each zone of each node, and the end.
        zonelists = 2 * (MAX_NODES * self.zones + 1) * ZONEREF_BYTES
        self.nr_zones = self.zones * self.zone_bytes + zonelists
        self.node_start_pfn = self.nr_zones + 8
        self.node_spanned_pages = self.nr_zones + 24
        self.node_id = self.nr_zones + 32
        self.size = self.nr_zones + layout.rest
        self.phys: dict[int, int] = {}

    def add_node(self, memory: PhysicalMemory, node: int, phys: int) -> None:
        """Let a node's structure lie at *phys*; it is announced in node_data and online."""
        self.phys[node] = phys
        memory.store_u64(PHYS["node_data"] + 8 * node, virt_of(phys))
        word = PHYS["node_online_map"] + node // 64 * 8
        memory.store_u64(word, memory.load_u64(word) | 1 << node % 64)
        memory.store_u32(phys + self.node_id, node)
        memory.store_u32(phys + self.nr_zones, 1)

    def free_list(self, node: int, order: int, kind: int = MIGRATE_MOVABLE) -> int:
        """Give the virtual address of a buddy list's head."""
        at = ZONE_FREE_AREA + order * FREE_AREA_BYTES + kind * LIST_HEAD_BYTES
        return virt_of(self.phys[node] + at)

    def write(
        self,
        memory: PhysicalMemory,
        pages: PageAllocator,
        blocks: dict[int, dict[int, npt.NDArray[np.int64]]],
        lru_of: int,
    ) -> None:
        """Write counts and list heads as they are now.

        Args:
            memory: Where to.
            pages: Which page frames each node has.
            blocks: First page frames of the free blocks, by node and order.
            lru_of: Virtual address of the ``lru`` member of page frame 0's struct page.
        """
        for node, phys in self.phys.items():
            self._write_span(memory, pages, node, phys)
            for order in range(self.kernel.free_area_orders):
                for kind in range(MIGRATE_TYPES):
                    head = self.free_list(node, order, kind)
                    first = last = head
                    frames = blocks.get(node, {}).get(order) if kind == MIGRATE_MOVABLE else None
                    if frames is not None and len(frames):
                        size = self.kernel.struct_page_size
                        first, last = (lru_of + int(f) * size for f in (frames[0], frames[-1]))
                    at = head & ((1 << 60) - 1)
                    memory.store_u64(at, first)
                    memory.store_u64(at + 8, last)
                at = phys + ZONE_FREE_AREA + order * FREE_AREA_BYTES
                found = blocks.get(node, {}).get(order)
                count = 0 if found is None else len(found)
                memory.store_u64(at + MIGRATE_TYPES * LIST_HEAD_BYTES, count)

    def _write_span(
        self, memory: PhysicalMemory, pages: PageAllocator, node: int, phys: int
    ) -> None:
        home = list(pages.home(node)) if node in pages.nodes else []
        first, last = (home[0][0], home[-1][1]) if home else (0, 0)
        memory.store_u64(phys + self.node_start_pfn, first)
        memory.store_u64(phys + self.node_spanned_pages, last - first)
        memory.store_u64(phys + self.spanned_pages, last - first)
        free = pages.free_ranges(node).total if home else 0
        memory.store_u64(phys + self.vm_stat + 8 * NR_FREE_PAGES, free)
