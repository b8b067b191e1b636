"""One struct page, decoded for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmemmap.address import Pfn, Phys, Virt
from vmemmap.pages.kinds import Kind
from vmemmap.pages.struct_pages import Why

if TYPE_CHECKING:
    from vmemmap.pages.array import PageArray

_WORDS = {
    Why.NO_ENTRY: "no vmemmap_list entry, or page table entry, says where its struct page is",
    Why.EXCLUDED: "the memory of its struct page was left out of the dump",
    Why.LOST: "the memory of its struct page was never written to the dump",
    Why.NOT_IN_DUMP: "no memory range of the dump has its struct page",
    Why.TRUNCATED: "the file ends before its struct page",
    Why.CORRUPT: "the page with its struct page is in the file and cannot be decoded",
}


@dataclass(frozen=True, slots=True)
class PageInfo:
    """What one struct page says. Members are None where it cannot be known.

    Attributes:
        pfn: Page frame number.
        phys: Physical address of the page that it describes (bytes).
        virt: Virtual address of the struct page itself.
        kind: What the page is.
        reason: For unknown, absent and damaged pages: why.
        flags: Names of the flags that are set, lowest bit first.
        flags_raw: The flags word.
        refcount: How many references there are.
        mapcount: How often it is mapped; None where the field has a page type instead.
        page_type: The page type as it stands in ``_mapcount``, or None.
        mapping: The mapping word.
        mapping_kind: ``anon``, ``ksm``, ``movable``, ``file``, ``none``, or ``other`` where the
            word is something else, as in slab pages and tails.
        private: The private word.
        head: pfn of the compound's head, the page itself if it is that; None outside compounds.
        order: Order of the compound or of the free block that it heads or lies in.
        node: NUMA node.
        zone: Index of the zone.
        zone_name: Name of the zone.
        section: Number of the section.
        online: Whether the section is online.
        early: Whether the section has been there since boot.
        entry: Index in ``core.backing`` of the list entry that backs the struct page.
        struct_phys: Physical address of the struct page.
        file_offset: Where the dump file has its bytes, or, compressed, the page with them.
        fields_origin: Where the place of node and zone in the flags is known from.
    """

    pfn: Pfn
    phys: Phys
    virt: Virt
    kind: Kind
    reason: str = ""
    flags: tuple[str, ...] = ()
    flags_raw: int | None = None
    refcount: int | None = None
    mapcount: int | None = None
    page_type: int | None = None
    mapping: int | None = None
    mapping_kind: str | None = None
    private: int | None = None
    head: Pfn | None = None
    order: int | None = None
    node: int | None = None
    zone: int | None = None
    zone_name: str | None = None
    section: int | None = None
    online: bool | None = None
    early: bool | None = None
    entry: int | None = None
    struct_phys: Phys | None = None
    file_offset: int | None = None
    fields_origin: str | None = None

    def __str__(self) -> str:
        flags = "|".join(self.flags) or "no flags"
        return f"pfn {self.pfn:#x} ({self.phys:#x}): {self.kind.word}, {flags}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a page's description needs beyond the struct page.

    Attributes:
        phys_of: Gives the physical address of a vmemmap address, or None.
        entry_of: Gives the list entry that backs a vmemmap address, or None.
        file_offset_of: Gives where the dump file has a physical address, or None.
        zone_names: Node and zone index to the zone's name.
    """

    phys_of: Callable[[int], int | None]
    entry_of: Callable[[int], int | None] = lambda _: None
    file_offset_of: Callable[[int], int | None] = lambda _: None
    zone_names: Mapping[tuple[int, int], str] = field(default_factory=dict)


def describe(pages: PageArray, pfn: int, kind: Kind, order: int | None, reason: str) -> PageInfo:
    """Put together all that is known of one page.

    Args:
        pages: The array.
        pfn: Page frame number.
        kind: What it is.
        order: Order of the block or compound that holds it, or None.
        reason: What is wrong with it, if anything is.
    """
    virt = pages.struct_pages.base + pfn * pages.layout.size
    around = pages.surroundings
    struct_phys = around.phys_of(virt)
    section = pages.sections.find(pfn)
    where: dict[str, object] = {
        "section": pfn // pages.sections.pages_per_section,
        "online": section.online if section else None,
        "early": section.early if section and not section.assumed else None,
        "entry": around.entry_of(virt),
        "struct_phys": None if struct_phys is None else Phys(struct_phys),
        "file_offset": None if struct_phys is None else around.file_offset_of(struct_phys),
    }
    base = PageInfo(Pfn(pfn), Phys(pfn * pages.page_size), Virt(virt), kind)
    if section is None:
        why = "mem_section has no section, or part of one, with struct pages there"
        return _with(base, reason=why, section=where["section"])
    found = pages.struct_pages.read(pfn)
    if isinstance(found, Why):
        return _with(base, reason=_WORDS[found], **where)
    return _with(base, reason=reason, order=order, **where, **_members(pages, found, kind, pfn))


def _with(info: PageInfo, **members: object) -> PageInfo:
    known = {name: getattr(info, name) for name in ("pfn", "phys", "virt", "kind")}
    return PageInfo(**known, **members)  # type: ignore[arg-type]


def _members(pages: PageArray, data: bytes, kind: Kind, pfn: int) -> dict[str, object]:
    """Decode the members of a struct page."""
    layout = pages.layout

    def word(offset: int | None, width: int) -> int | None:
        if offset is None:
            return None
        return int.from_bytes(data[offset : offset + width], layout.order)

    flags = word(layout.flags, 8) or 0
    mapcount, refcount = word(layout.mapcount, 4), word(layout.refcount, 4)
    mapping, private = word(layout.mapping, 8), word(layout.private, 8)
    head = _head(pages, data, flags, pfn)
    is_tail = head is not None and head != pfn
    # A count is -1 or more; below that, since 2.6.38, stands what type of page it is.
    typed = mapcount is not None and _signed(mapcount) < -1
    members: dict[str, object] = {
        "flags": tuple(layout.flag_names(flags)),
        "flags_raw": flags,
        "refcount": None if refcount is None else _signed(refcount),
        # The kernel counts from -1, so that a page mapped once has 0.
        "mapcount": None if mapcount is None or typed else _signed(mapcount) + 1,
        "page_type": mapcount if typed else None,
        "mapping": mapping,
        "mapping_kind": _mapping_kind(mapping, kind, is_tail),
        "private": private,
        "head": head,
    }
    fields = pages.fields
    if fields is not None:
        node, zone = fields.node(flags), fields.zone(flags)
        members |= {
            "node": node,
            "zone": zone,
            "zone_name": pages.surroundings.zone_names.get((node, zone)),
            "fields_origin": str(fields.origin),
        }
    return members


def _head(pages: PageArray, data: bytes, flags: int, pfn: int) -> Pfn | None:
    layout = pages.layout
    offset = layout.head if layout.head is not None else layout.first_page
    if offset is not None:
        word = int.from_bytes(data[offset : offset + 8], layout.order)
        tail_bit = layout.bits.get("tail")
        is_tail = word & 1 if layout.head is not None else tail_bit and flags >> tail_bit & 1
        if is_tail:
            head, rest = divmod((word & ~1) - pages.struct_pages.base, layout.size)
            return Pfn(head) if not rest and head >= 0 else None
    bit = layout.bits.get("head")
    return Pfn(pfn) if bit is not None and flags >> bit & 1 else None


def _mapping_kind(mapping: int | None, kind: Kind, is_tail: bool) -> str | None:
    if mapping is None:
        return None
    if mapping == 0:
        return "none"
    if is_tail or kind in (Kind.SLAB, Kind.FREE) or mapping >> 61 != 6:
        return "other"
    return ("file", "anon", "movable", "ksm")[mapping & 3]


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
