"""NUMA nodes and zones, as the kernel describes them.

A zone's own counters are the kernel's word on its memory, to compare a census with.

Source: Linux include/linux/mmzone.h.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.errors import FactInvalid, ReadError
from vmemmap.linear_map import LinearMemory
from vmemmap.mmzone.pgdat_layout import ZONES_MAX, PgdatLayout

ZONE_NAMES = frozenset({"DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"})
_PFN_LIMIT = 1 << 52


@dataclass(frozen=True, slots=True)
class ZoneInfo:
    """What the kernel says of one zone; None for what cannot be had.

    Attributes:
        node: Number of its node.
        index: Its place among the node's zones, as page flags have it.
        name: DMA, Normal, Movable or Device.
        address: Virtual address of the ``struct zone``.
        spanned: Pages from its start to its end, holes counted.
        present: Pages without the holes.
        managed: Pages that the page allocator was given.
        free: Its own count of free pages (vm_stat), which may lag a little.
    """

    node: int
    index: int
    name: str | None
    address: int
    spanned: int
    present: int | None
    managed: int | None
    free: int | None


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One NUMA node.

    Attributes:
        node: Its number.
        start_pfn: Its first page.
        spanned: Pages from there to its end.
        zones: Its zones, also those without memory.
    """

    node: int
    start_pfn: int
    spanned: int
    zones: tuple[ZoneInfo, ...]


class NodeReader:
    """Reads nodes and zones out of the kernel's memory.

    Args:
        memory: The kernel's data.
        layout: Where everything is.
    """

    def __init__(self, memory: LinearMemory, layout: PgdatLayout) -> None:
        self._memory = memory
        self._layout = layout

    def nodes(self, at: int, online_map: int | None) -> tuple[NodeInfo, ...]:
        """Read all online nodes.

        Args:
            at: Virtual address of node_data or contig_page_data.
            online_map: Virtual address of node_online_map, or None.

        Raises:
            ReadError: They are not in the dump.
            FactInvalid: What is there for an online node does not describe it.
        """
        if not self._layout.numa:
            found = self._node(at, 0)
            return (found,) if found else ()
        online = self._online(online_map)
        out = []
        for number in range(self._layout.node_count):
            if online is not None and not online >> number & 1:
                continue
            pgdat = self._memory.word(at + 8 * number)
            found = self._node(pgdat, number) if pgdat else None
            if found is not None:
                out.append(found)
            elif online is not None:
                # Without it, its memory would count as that of a node around it.
                raise FactInvalid(
                    f"node {number} is online, but node_data has {pgdat:#x} for it, which is no "
                    "description of that node",
                    name="node_data",
                )
        return tuple(out)

    def _online(self, address: int | None) -> int | None:
        """Read node_online_map as one number, bit n for node n."""
        size = self._layout.nodemask_size
        if address is None or not 8 <= size <= 1024 or size % 8:
            return None
        words: list[int] = self._memory.words(address, size // 8).tolist()
        return sum(word << 64 * i for i, word in enumerate(words))

    def _node(self, pgdat: int, number: int) -> NodeInfo | None:
        layout = self._layout
        start = self._memory.word(pgdat + layout.start_pfn)
        spanned = self._memory.word(pgdat + layout.spanned_pages)
        node_id = self._memory.word(pgdat + layout.node_id, 4)
        count = self._memory.word(pgdat + layout.nr_zones, 4)
        if node_id != number or start + spanned > _PFN_LIMIT or count > ZONES_MAX:
            return None  # not the description of this node
        room = (layout.pgdat_size - layout.node_zones) // layout.zone_size
        zones = [
            self._zone(pgdat + layout.node_zones + i * layout.zone_size, number, i, start, spanned)
            for i in range(min(ZONES_MAX, room, self._zones_with_name(pgdat, count, room)))
        ]
        return NodeInfo(number, start, spanned, tuple(zones))

    def _zones_with_name(self, pgdat: int, count: int, room: int) -> int:
        """Count the zones: nr_zones leaves out the empty ones at the end, which have a name too.

        Where a kernel does not say how many zones it can have, what lies behind the last is none,
        and need not be in the dump.
        """
        layout, most = self._layout, count
        while most < min(room, ZONES_MAX):
            try:
                name = self._name(pgdat + layout.node_zones + most * layout.zone_size)
            except ReadError:
                break
            if name is None:
                break
            most += 1
        return most

    def _zone(self, at: int, node: int, index: int, start: int, node_spanned: int) -> ZoneInfo:
        layout, places = self._layout, self._layout.zone_rest
        spanned = self._memory.word(at + layout.zone_spanned)
        present: int | None = self._memory.word(at + places.present)
        managed: int | None = None
        if present is not None and present > spanned:
            present = None
        if places.managed is not None and places.start is not None and present is not None:
            managed = self._memory.word(at + places.managed)
            first = self._memory.word(at + places.start)
            inside = start <= first <= first + spanned <= start + node_spanned
            if managed > present or (spanned and not inside):
                managed = None  # the words are something else in this kernel
        free: int | None = self._memory.word(at + layout.vm_stat + 8 * layout.nr_free_pages)
        if free is not None and free >> 63:
            free = 0  # the counters are signed and may be a little behind
        name = self._name(at)
        return ZoneInfo(node, index, name, at, spanned, present, managed, free)

    def _name(self, zone: int) -> str | None:
        """Find the zone's name: a pointer in it that leads to one of the known names.

        The member's place is not exported, but no other pointer leads to such a text.
        """
        known = self._layout.zone_rest.name
        if known is not None:
            return self._name_at(self._memory.word(zone + known))
        for word in self._memory.words(zone, self._layout.zone_size // 8).tolist():
            name = self._name_at(word)
            if name is not None:
                return name
        return None

    def _name_at(self, pointer: int) -> str | None:
        """Read a zone's name, or None if what is there is none."""
        try:
            text = self._memory.read(pointer, 8).split(b"\0")[0].decode("latin-1")
        except ReadError:
            return None
        return text if text in ZONE_NAMES else None
