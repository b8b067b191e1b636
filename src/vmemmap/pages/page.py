"""One struct page, decoded for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vmemmap.absence import Absence
from vmemmap.address import Pfn, Phys, Virt, shown_in_hex
from vmemmap.backing.table import BackingTable
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.heads import NO_PFN, named_heads
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.struct_pages import StructPages
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.runs import VmemmapRuns

_WHY_UNKNOWN = {
    Absence.NO_ENTRY: "no vmemmap_list entry, or page table entry, says where its struct page is",
    Absence.EXCLUDED: "the memory of its struct page was left out of the dump",
    Absence.LOST: "the memory of its struct page was never written to the dump",
    Absence.NOT_IN_DUMP: "no memory range of the dump has its struct page",
    Absence.TRUNCATED: "the file ends before its struct page",
    Absence.CORRUPT: "the page with its struct page is in the file and cannot be decoded",
    Absence.ON_DEVICE: "its struct page lies on the device itself, which no dump contains",
}


_IN_HEX = ("phys", "virt", "flags_raw", "page_type", "mapping", "private", "struct_phys")
_NOT_ONLINE = (
    "its memory is present and not online: nobody has initialised its struct page, or nobody keeps "
    "it"
)


@dataclass(frozen=True, slots=True)
class PageInfo:
    """What one struct page says. Members are None where it cannot be known.

    Attributes:
        pfn: Page frame number.
        phys: Physical address of the page that it describes (bytes).
        virt: Virtual address of the struct page itself.
        kind: What the page is.
        reason: For unknown, absent and damaged pages, and those that are not online: why.
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
        early: Whether the section has been there since boot; None where the kernel has no such mark
            (before 5.3).
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

    def __repr__(self) -> str:
        return shown_in_hex(self, _IN_HEX)

    def __str__(self) -> str:
        flags = "|".join(self.flags) or "no flags"
        return f"pfn {self.pfn} ({self.phys:#x}): {self.kind.word}, {flags}"


class PageHomes:
    """Where struct pages lie: in physical memory, in the list, in the dump file.

    Args:
        runs: Which parts of the vmemmap are backed, and where.
        backing: The list; empty where the kernel keeps none.
        source: The dump's physical memory.
    """

    def __init__(self, runs: VmemmapRuns, backing: BackingTable, source: PhysicalSource) -> None:
        self._runs, self._backing, self._source = runs, backing, source

    def phys_of(self, virt: int) -> int | None:
        """Give the physical address of a vmemmap address, or None."""
        run = next(iter(self._runs.clip(virt, virt + 1)), None)
        return run.phys if run else None

    def entry_of(self, virt: int) -> int | None:
        """Give the list entry that backs a vmemmap address, or None."""
        return self._backing.entry_at(virt)

    def file_offset_of(self, phys: int) -> int | None:
        """Give where the dump file has a physical address, or None."""
        return self._source.file_offset(phys)


class PageDescriber:
    """Puts together all that is known of one page.

    Args:
        struct_pages: Where the struct pages are.
        layout: How one is laid out.
        fields: Which bits of the flags have node and zone, or None.
        page_size: The kernel's page size in bytes.
        homes: Where they lie.
        zone_names: Node and zone index to the zone's name.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        fields: FlagFields | None,
        page_size: int,
        homes: PageHomes,
        zone_names: Mapping[tuple[int, int], str],
    ) -> None:
        self._struct_pages, self._layout, self._fields = struct_pages, layout, fields
        self._page_size, self._homes, self._zone_names = page_size, homes, zone_names

    def describe(self, pfn: int, kind: Kind, order: int | None, reason: str) -> PageInfo:
        """Describe one page.

        Args:
            pfn: Page frame number.
            kind: What it is.
            order: Order of the block or compound that holds it, or None.
            reason: What is wrong with it, if anything is.
        """
        sections = self._struct_pages.sections
        virt = self._struct_pages.base + pfn * self._layout.size
        # Made once: replacing members of a record takes longer than all that is looked up here.
        known: dict[str, Any] = {"section": pfn // sections.pages_per_section}
        section = sections.find(pfn)
        if section is None:
            known["reason"] = "mem_section has no section, or part of one, with struct pages there"
        else:
            known |= self._place(virt)
            known["online"] = section.online
            known["early"] = section.early if sections.marks_early else None
            if section.online is False and kind is Kind.OFFLINE:
                known["reason"] = _NOT_ONLINE
            else:
                found = self._struct_pages.read(pfn)
                if isinstance(found, Absence):
                    known["reason"] = _WHY_UNKNOWN[found]
                else:
                    known |= self._members(pfn, kind, found)
                    known["reason"], known["order"] = reason, order
        return PageInfo(Pfn(pfn), Phys(pfn * self._page_size), Virt(virt), kind, **known)

    def _place(self, virt: int) -> dict[str, Any]:
        """Give the members that say where the struct page lies."""
        phys = self._homes.phys_of(virt)
        return {
            "entry": self._homes.entry_of(virt),
            "struct_phys": None if phys is None else Phys(phys),
            "file_offset": None if phys is None else self._homes.file_offset_of(phys),
        }

    def _members(self, pfn: int, kind: Kind, data: bytes) -> dict[str, Any]:
        """Give the members that the struct page itself says."""
        layout, fields = self._layout, self._fields

        def word(offset: int | None, width: int) -> int | None:
            if offset is None:
                return None
            return int.from_bytes(data[offset : offset + width], layout.order)

        flags = word(layout.flags, 8) or 0
        mapcount, refcount = word(layout.mapcount, 4), word(layout.refcount, 4)
        mapping = word(layout.mapping, 8)
        head = self._head(data, flags, pfn)
        is_tail = head is not None and head != pfn
        # A count is -1 or more; below that, since 2.6.38, stands what type of page it is.
        typed = mapcount is not None and _signed(mapcount) < -1
        said: dict[str, Any] = {
            "flags": tuple(layout.flag_names(flags)),
            "flags_raw": flags,
            "refcount": None if refcount is None else _signed(refcount),
            # The kernel counts from -1, so that a page mapped once has 0.
            "mapcount": None if mapcount is None or typed else _signed(mapcount) + 1,
            "page_type": mapcount if typed else None,
            "mapping": mapping,
            "mapping_kind": _mapping_kind(mapping, kind, is_tail),
            "private": word(layout.private, 8),
            "head": head,
        }
        if fields is not None:
            node, zone = fields.node(flags), fields.zone(flags)
            said |= {"node": node, "zone": zone, "zone_name": self._zone_names.get((node, zone))}
            said["fields_origin"] = str(fields.origin)
        return said

    def _head(self, data: bytes, flags: int, pfn: int) -> Pfn | None:
        layout = self._layout
        offset = layout.head if layout.head is not None else layout.first_page
        if offset is not None:
            word = int.from_bytes(data[offset : offset + 8], layout.order)
            tail_bit = layout.bits.get("tail")
            is_tail = word & 1 if layout.head is not None else tail_bit and flags >> tail_bit & 1
            if is_tail:
                words = np.array([word], dtype=np.uint64)
                named = int(named_heads(layout, self._struct_pages.base, words)[0])
                return None if named == NO_PFN else Pfn(named)
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
