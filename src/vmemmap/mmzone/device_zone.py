"""Which zone is ZONE_DEVICE, the zone of memory that belongs to a device.

It is the last of a node's zones, but not every kernel has it, and what stands before it differs:
until 5.0 a ppc64 kernel has ZONE_DMA, too. So its index is asked of the kernel's types, then of the
names of the zones, and only then of how many zones there are.

Source: Linux include/linux/mmzone.h (enum zone_type), arch/powerpc/Kconfig.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel_types import KernelTypes
from vmemmap.mmzone.nodes import NodeInfo
from vmemmap.mmzone.pgdat_layout import PgdatLayout, zone_counts

_NAME = "ZONE_DEVICE"
_ZONES_BESIDE = 2
"""Every ppc64 kernel with SPARSEMEM has at least a normal and a movable zone."""


def find_device_zone(
    types: KernelTypes, layout: PgdatLayout, nodes: Sequence[NodeInfo]
) -> Fact[int] | None:
    """Find the index of ZONE_DEVICE; None if the kernel has none, or nothing tells it.

    Args:
        types: The kernel's types.
        layout: Where things are in nodes and zones.
        nodes: What the kernel says of them; may be empty.
    """
    enum = types.enumerators("zone_type")
    if enum is not None:
        index = enum.get(_NAME)
        return None if index is None else types.note(_NAME, index)
    named = {zone.index: zone.name for node in nodes for zone in node.zones if zone.name}
    if named:
        found = [index for index, name in named.items() if name == "Device"]
        return Fact(_NAME, found[0], Origin.DERIVED, "by the zone's name") if found else None
    counts = zone_counts(layout)
    if len(counts) != 1 or counts[0] <= _ZONES_BESIDE:
        return None
    why = f"the last of {counts[0]} zones, by the size of pglist_data"
    return Fact(_NAME, counts[0] - 1, Origin.DERIVED, why)
