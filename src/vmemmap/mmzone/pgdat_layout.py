"""Where things are in ``struct pglist_data``, the description of a NUMA node, and ``struct zone``.

VMCOREINFO has most of the places; the kernel's types, and without them what stands beside a known
member, have the rest.

Source: Linux include/linux/mmzone.h, kernel/vmcore_info.c.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.facts.fact import Fact
from vmemmap.facts.kernel_types import KernelTypes, no_types
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo

ZONES_MAX = 8
NODES_MAX = 4096
_ZONEREF_BYTES = 16
_STRUCT_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class ZonePlaces:
    """Where a ``struct zone`` has what no VMCOREINFO tells; offsets in bytes.

    Attributes:
        present: Of present_pages.
        managed: Of managed_pages (since 3.8); None where older.
        start: Of zone_start_pfn, or None where it is not known.
        name: Of the pointer to its name, or None where it is not known.
    """

    present: int
    managed: int | None
    start: int | None
    name: int | None


@dataclass(frozen=True, slots=True)
class PgdatLayout:
    """Where things are in ``struct pglist_data`` and ``struct zone``; offsets and sizes in bytes.

    Attributes:
        numa: There is an array node_data; else one node, contig_page_data.
        node_count: LENGTH(node_data), or what follows from the room that its zonelists have; 1
            without NUMA.
        pgdat_size: SIZE(pglist_data).
        node_zones: Offset of the zones in it.
        nr_zones: Offset of their number (4 bytes).
        start_pfn: Offset of node_start_pfn.
        spanned_pages: Offset of node_spanned_pages.
        node_id: Offset of node_id (4 bytes).
        zone_size: SIZE(zone).
        zone_spanned: Offset of spanned_pages in a zone.
        zone_rest: What VMCOREINFO does not tell of a zone.
        zone_total: How many zones a node can have, as the fact that says so, or None.
        free_area: Offset of the free_area array in a zone.
        vm_stat: Offset of the counters in a zone.
        nr_free_pages: Index of the count of free pages in them.
        free_area_size: SIZE(free_area).
        free_list: Offset of the lists in a free_area.
        list_count: LENGTH(free_area.free_list), the number of migrate types.
        nodemask_size: SIZE(nodemask_t).
    """

    numa: bool
    node_count: int
    pgdat_size: int
    node_zones: int
    nr_zones: int
    start_pfn: int
    spanned_pages: int
    node_id: int
    zone_size: int
    zone_spanned: int
    zone_rest: ZonePlaces
    zone_total: Fact[int] | None
    free_area: int
    vm_stat: int
    nr_free_pages: int
    free_area_size: int
    free_list: int
    list_count: int
    nodemask_size: int


def read_pgdat_layout(
    info: Vmcoreinfo, numa: bool, types: KernelTypes | None = None
) -> PgdatLayout:
    """Read the places of nodes and zones out of VMCOREINFO.

    Args:
        info: VMCOREINFO.
        numa: Whether the kernel has an array node_data.
        types: The kernel's types, asked for what no VMCOREINFO has.

    Raises:
        FactError: A key is missing, its value impossible, or the number of nodes cannot be told.
    """
    pgdat, zone = info.size("pglist_data"), info.size("zone")
    area = info.size("free_area")
    for name, size in (("pglist_data", pgdat), ("zone", zone), ("free_area", area)):
        if not 8 <= size <= _STRUCT_MAX or size % 8:
            raise FactInvalid(
                f"VMCOREINFO has SIZE({name})={size}; expected a multiple of 8 up to 16 MiB",
                name=f"SIZE({name})",
            )

    def inside(member: str, size: int, width: int = 8) -> int:
        value = info.offset(member)
        if value % width or value + width > size:
            raise FactInvalid(
                f"VMCOREINFO has OFFSET({member})={value}; expected a multiple of {width} inside "
                f"{size} bytes",
                name=f"OFFSET({member})",
            )
        return value

    spanned = inside("zone.spanned_pages", zone)
    exported = numa and "LENGTH(node_data)" in info
    count = info.length("node_data") if exported else 1
    if not 1 <= count <= NODES_MAX:
        raise FactInvalid(
            f"VMCOREINFO has LENGTH(node_data)={count}; expected 1 to {NODES_MAX}",
            name="LENGTH(node_data)",
        )
    types = types or no_types(info)
    layout = PgdatLayout(
        numa=numa,
        node_count=count,
        pgdat_size=pgdat,
        node_zones=inside("pglist_data.node_zones", pgdat),
        nr_zones=inside("pglist_data.nr_zones", pgdat, 4),
        start_pfn=inside("pglist_data.node_start_pfn", pgdat),
        spanned_pages=inside("pglist_data.node_spanned_pages", pgdat),
        node_id=inside("pglist_data.node_id", pgdat, 4),
        zone_size=zone,
        zone_spanned=spanned,
        zone_rest=_zone_places(info, types, spanned, zone),
        zone_total=_zone_total(types),
        free_area=inside("zone.free_area", zone),
        vm_stat=inside("zone.vm_stat", zone),
        nr_free_pages=info.number("NR_FREE_PAGES"),
        free_area_size=area,
        free_list=inside("free_area.free_list", area),
        list_count=_list_count(info, area),
        nodemask_size=info.size("nodemask_t"),
    )
    return layout if exported or not numa else _with_node_count(layout)


def _zone_places(info: Vmcoreinfo, types: KernelTypes, spanned: int, size: int) -> ZonePlaces:
    """Say where a zone has what VMCOREINFO does not tell."""
    present = _typed(types, "zone.present_pages", size)
    if present is not None:
        managed, start = (
            _typed(types, f"zone.{member}", size) for member in ("managed_pages", "zone_start_pfn")
        )
        return ZonePlaces(present, managed, start, _typed(types, "zone.name", size))
    # Exported for the first time in 3.9, when zones had managed_pages since one release.
    has_managed = "OFFSET(page._mapcount)" in info and spanned >= 16
    managed = spanned - 8 if has_managed else None
    return ZonePlaces(spanned + 8, managed, spanned - 16 if has_managed else None, None)


def _typed(types: KernelTypes, member: str, size: int) -> int | None:
    """Give where a word of a zone is by the types, or None."""
    fact = types.value(f"OFFSET({member})")
    at = -1 if fact is None else fact.value
    return at if 0 <= at <= size - 8 else None


def _zone_total(types: KernelTypes) -> Fact[int] | None:
    zones = (types.enumerators("zone_type") or {}).get("__MAX_NR_ZONES")
    if zones is None or not 1 <= zones <= ZONES_MAX:
        return None
    return types.note("MAX_NR_ZONES", zones)


def _with_node_count(layout: PgdatLayout) -> PgdatLayout:
    """Work out how long node_data is where VMCOREINFO does not say it, as in 2.6.35 and 2.6.36.

    The zonelists in pglist_data have room for each zone of each node there can be.

    Raises:
        FactMissing: No number of nodes accounts for that room, or several do.
    """
    counts = (1 << bits for bits in range(1, NODES_MAX.bit_length()))
    fitting = [
        each for each in (replace(layout, node_count=n) for n in counts) if zone_counts(each)
    ]
    if len(fitting) != 1:
        raise FactMissing(
            "VMCOREINFO has no LENGTH(node_data), and the size of pglist_data does not tell it",
            name="LENGTH(node_data)",
        )
    return fitting[0]


def _list_count(info: Vmcoreinfo, area_bytes: int) -> int:
    """Give how many free lists a free_area has."""
    if "LENGTH(free_area.free_list)" not in info:
        return 1
    count = info.length("free_area.free_list")
    if not 1 <= count <= area_bytes // 16:
        raise FactInvalid(
            f"VMCOREINFO has LENGTH(free_area.free_list)={count}; expected what fits into "
            f"{area_bytes} bytes",
            name="LENGTH(free_area.free_list)",
        )
    return count


def zone_counts(layout: PgdatLayout) -> list[int]:
    """Give the numbers of zones with which zones and zonelists fill the room before nr_zones."""
    room = layout.nr_zones - layout.node_zones
    lists = 2 if layout.numa else 1
    fitting = []
    for zones in range(1, ZONES_MAX + 1):
        refs = layout.node_count * zones
        plain = (refs + 1) * _ZONEREF_BYTES
        # Until 4.3 each list had a pointer to a cache, and on NUMA the cache behind it: a short and
        # a bit for each zone of each node, and a time.
        cache = -(-2 * refs // 8) * 8 + -(-refs // 64) * 8 + 8 if layout.numa else 0
        sizes = (plain, plain + 8 + cache)
        if any(zones * layout.zone_size + lists * size == room for size in sizes):
            fitting.append(zones)
    return fitting
