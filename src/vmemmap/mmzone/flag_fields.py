"""Which bits of ``page.flags`` name a page's node and zone.

VMCOREINFO does not have the widths of the two bit fields. They follow from the number of nodes,
which it has, and the number of zones, which the kernel's types have, and without them the size of
``struct pglist_data`` gives away. Whether that came out right is told by the pages themselves.

Source: Linux include/linux/page-flags-layout.h, kernel/bounds.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import U64_MAX, is_power_of_two
from vmemmap.facts.fact import Origin
from vmemmap.mmzone.nodes import NodeInfo
from vmemmap.mmzone.pgdat_layout import PgdatLayout, zone_counts
from vmemmap.units import count_text

_CHECKED_PER_NODE = 64
_ENOUGH = 0.9
_OF_EACH_NODE = 0.5
"""How many of its pages name a node, at least. Memory of another node lies within its span, and is
that node's alone, as long as it is not online; before 4.13 nothing marks it."""


@dataclass(frozen=True, slots=True)
class FlagFields:
    """Which bits of ``page.flags`` have the node and the zone.

    Attributes:
        node_shift: Lowest bit of the node number; its field reaches to the top.
        node_bits: How many bits it has.
        zone_shift: Lowest bit of the zone number.
        zone_bits: How many bits it has.
        origin: That of the number of zones; assumed where it cannot be told.
        detail: The evidence in words.
    """

    node_shift: int
    node_bits: int
    zone_shift: int
    zone_bits: int
    origin: Origin
    detail: str

    @property
    def mask(self) -> int:
        """All bits of both fields."""
        return U64_MAX & ~((1 << self.zone_shift) - 1)

    def node(self, flags: int) -> int:
        """Give the node number in *flags*."""
        return flags >> self.node_shift & ((1 << self.node_bits) - 1)

    @overload
    def zone(self, flags: int) -> int: ...
    @overload
    def zone(self, flags: NDArray[np.uint64]) -> NDArray[np.uint64]: ...
    def zone(self, flags: Any) -> Any:
        """Give the zone number in *flags*, or in many."""
        mask = (1 << self.zone_bits) - 1
        if isinstance(flags, np.ndarray):
            return flags >> np.uint64(self.zone_shift) & np.uint64(mask)
        return flags >> self.zone_shift & mask


def find_flag_fields(layout: PgdatLayout) -> FlagFields | None:
    """Work out which bits of the flags name node and zone; None if that does not add up.

    With SPARSEMEM_VMEMMAP the node is in the highest bits, and the zone right below.
    """
    if not is_power_of_two(layout.node_count):
        return None
    node_bits = layout.node_count.bit_length() - 1
    zones, nodes = zone_counts(layout), count_text(layout.node_count, "node")
    if layout.zone_total is not None:
        total = layout.zone_total.value
        origin = layout.zone_total.origin
        detail = f"{nodes} and {count_text(total, 'zone')}, by {layout.zone_total.detail}"
        zone_bits = (total - 1).bit_length()
    elif len(zones) == 1:
        origin = Origin.DERIVED
        detail = f"{nodes} and {count_text(zones[0], 'zone')}, by the size of pglist_data"
        # ZONES_SHIFT: one bit for two zones, two for up to four, three for up to eight.
        zone_bits = (zones[0] - 1).bit_length()
    else:
        origin = Origin.ASSUMED
        detail = f"{nodes}; two bits of zone, as in every ppc64 kernel"
        zone_bits = 2
    node_shift = 64 - node_bits
    return FlagFields(node_shift, node_bits, node_shift - zone_bits, zone_bits, origin, detail)


def check_fields(
    fields: FlagFields, nodes: Sequence[NodeInfo], flags_of: Callable[[int], int | None]
) -> tuple[FlagFields | None, str]:
    """See whether pages name the node that spans them, and a zone that it has.

    Args:
        fields: Where the flags are thought to have node and zone.
        nodes: What the kernel says.
        flags_of: Gives the flags of a pfn, or None if they are not to be had, or say nothing.

    Returns:
        The fields, and in words what was checked; None instead of them if pages disagree.
    """
    zones = {(zone.node, zone.index) for node in nodes for zone in node.zones if zone.spanned}
    checked = agreed = possible = 0
    unnamed = []
    for node in nodes:
        named = []
        for pfn in _samples(node):
            owners = [n.node for n in nodes if n.start_pfn <= pfn < n.start_pfn + n.spanned]
            flags = flags_of(pfn)
            if flags is None or len(owners) != 1:
                continue  # unreadable, or nodes that interleave
            named.append((fields.node(flags), fields.zone(flags)))
        there = [each for each in named if each in zones]
        mine = sum(number == node.node for number, _ in there)
        checked, possible, agreed = checked + len(named), possible + len(there), agreed + mine
        if mine < _OF_EACH_NODE * len(named):
            unnamed.append(node.node)
    if not checked:
        return fields, f"{fields.detail}; no page to check that with"
    if unnamed or possible < _ENOUGH * checked:
        return None, (
            f"{checked - agreed} of {checked} pages name another node or zone than the one that "
            f"spans them ({fields.detail})"
        )
    return fields, f"{fields.detail}; {agreed} of {checked} pages looked at agree"


def _samples(node: NodeInfo) -> Iterator[int]:
    step = max(node.spanned // _CHECKED_PER_NODE, 1)
    for i in range(min(node.spanned, _CHECKED_PER_NODE)):
        yield node.start_pfn + i * step
