"""makedumpfile's decisions, one page after the other, from ppc64-kernel.md 5.7 to 5.9.

A second witness for ``vmemmap.pages.makedumpfile``: no numpy, no code of the package; it reads
struct pages out of the synthetic machine and VMCOREINFO out of its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from builders.machine_state import Machine

CLASSES = ("cache", "cache_private", "user", "free", "hwpoison", "offline")


class Look(NamedTuple):
    """What makedumpfile makes of one struct page; *free_order* is None unless it is free."""

    order: int
    huge: bool
    anon: bool
    cache: bool
    private: bool
    free_order: int | None
    hwpoison: bool
    offline: bool


class Model:
    """What makedumpfile knows of one machine, which does not change any more."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.info = machine.vmcoreinfo
        self.size = machine.struct_page_size
        self.orders = int(self.info["LENGTH(zone.free_area)"])
        self.lru = self.number("PG_lru", 5)
        self.private_bit = self.number("PG_private", 11)
        self.swapcache = self.number("PG_swapcache", 15)
        self.slab_bit = self.number("PG_slab", 7)
        swapbacked = self.info.get("NUMBER(PG_swapbacked)")
        if swapbacked is None and self.swapcache < self.private_bit:
            swapbacked = str(self.private_bit + 6)
        self.swapbacked = None if swapbacked is None else int(swapbacked)
        self.head_mask = self.number("PG_head_mask", 1 << 14)
        self._looked: dict[int, Look | None] = {}

    def number(self, name: str, default: int) -> int:
        return int(self.info.get(f"NUMBER({name})", default))

    def type_value(self, name: str) -> int | None:
        text = self.info.get(f"NUMBER(PAGE_{name}_MAPCOUNT_VALUE)")
        return None if text is None else int(text) & 0xFFFFFFFF

    def offset(self, member: str) -> int | None:
        text = self.info.get(f"OFFSET({member})")
        return None if text is None else int(text)

    def page(self, pfn: int) -> bytes:
        virt, left, out = self.machine.page_virt(pfn), self.size, b""
        while left:
            room = self.machine.block_size - (virt - self.machine.vmemmap_base) % (
                self.machine.block_size
            )
            out += self.machine.read(virt, min(room, left))
            virt, left = virt + room, left - min(room, left)
        return out

    def word(self, page: bytes, at: int, width: int) -> int:
        return int.from_bytes(page[at : at + width], self.machine.byte_order)

    def reads_free_marks(self) -> bool:
        return self.offset("page.private") is not None and (
            "NUMBER(PG_buddy)" in self.info
            or (self.type_value("BUDDY") is not None and self.offset("page._mapcount") is not None)
        )

    def compound(self, pfn: int, flags: int, mapcount: int) -> tuple[int, bool]:
        """Order, and whether it is hugetlb, of the page if it is a head."""
        if not flags & self.head_mask or pfn % 512 == 511:
            return 0, False
        second = self.page(pfn + 1)
        version = tuple(int(part) for part in self.machine.release.split("-")[0].split(".")[:2])
        huge = False
        if self.type_value("HUGETLB") is not None:
            order, huge = self.word(second, 0, 8) & 0xFF, mapcount == self.type_value("HUGETLB")
        elif "NUMBER(PG_hugetlb)" in self.info:
            word = self.word(second, 0, 8)
            order, huge = word & 0xFF, bool(word >> self.number("PG_hugetlb", 0) & 1)
        elif self.offset("folio._folio_order") is not None:
            order = second[int(self.info["OFFSET(folio._folio_order)"]) - self.size]
            dtor = second[int(self.info["OFFSET(folio._folio_dtor)"]) - self.size]
            huge = dtor == self.number("HUGETLB_PAGE_DTOR", -1)
        elif self.offset("page.compound_order") is not None:
            width = 1 if version >= (4, 16) else 4
            order = self.word(second, int(self.info["OFFSET(page.compound_order)"]), width)
            dtor = self.word(second, int(self.info["OFFSET(page.compound_dtor)"]), width)
            huge = dtor == self.number("HUGETLB_PAGE_DTOR", -1)
        elif version < (4, 4):
            lru = self.offset("page.lru") or 0
            order = self.word(second, lru + 8, 8)
            huge_page = self.info.get("SYMBOL(free_huge_page)")
            huge = huge_page is not None and self.word(second, lru, 8) == int(huge_page, 16)
        else:
            order = 0
        return (0 if order >= 64 or pfn % (1 << order) else order), huge

    def look(self, pfn: int) -> Look | None:
        """What a struct page says, whatever the level; None of a tail."""
        page = self.page(pfn)
        flags = self.word(page, 0, 8)
        mapping = self.word(page, self.offset("page.mapping") or 0, 8)
        at = self.offset("page._mapcount")
        mapcount = 0 if at is None else self.word(page, at, 4)
        order, huge = self.compound(pfn, flags, mapcount)
        head_at = self.offset("page.compound_info") or self.offset("page.compound_head")
        if head_at is not None and self.word(page, head_at, 8) & 1:
            return None
        slab = mapcount == self.type_value("SLAB") or bool(flags >> self.slab_bit & 1)
        swap = bool(flags >> self.swapcache & 1) and (
            self.swapbacked is None or bool(flags >> self.swapbacked & 1)
        )
        free = False
        if self.reads_free_marks():
            if "NUMBER(PG_buddy)" in self.info and self.type_value("BUDDY") is None:
                free = bool(flags >> self.number("PG_buddy", 0) & 1)
            else:
                free = mapcount == self.type_value("BUDDY") and not slab
        return Look(
            order=order,
            huge=huge,
            anon=bool(mapping & 1) and not slab,
            cache=bool(flags >> self.lru & 1) or swap,
            private=bool(flags >> self.private_bit & 1),
            free_order=self.word(page, self.offset("page.private") or 0, 8) if free else None,
            hwpoison="NUMBER(PG_hwpoison)" in self.info
            and bool(flags >> self.number("PG_hwpoison", 63) & 1),
            offline=self.type_value("OFFLINE") is not None
            and mapcount == self.type_value("OFFLINE")
            and not slab,
        )

    def decide(self, pfn: int, level: int) -> tuple[str, int] | None:
        """The class and the number of pages that go with this one, or None."""
        if pfn not in self._looked:
            self._looked[pfn] = self.look(pfn)
        look = self._looked[pfn]
        if look is None:
            return None
        if level & 16 and look.free_order is not None:
            return None if look.free_order >= self.orders else ("free", 1 << look.free_order)
        tests = (
            (level & 2 and look.cache and not look.private and not look.anon, "cache"),
            (
                level & 4 and look.cache and not look.anon,
                "cache_private" if look.private else "cache",
            ),
            (level & 8 and (look.anon or look.huge), "user"),
            (look.hwpoison, "hwpoison"),
            (look.offline, "offline"),
        )
        for holds, name in tests:
            if holds:
                return name, 1 << look.order
        return None

    def scans_at(self, level: int) -> bool:
        return (
            bool(level & 14)
            or "NUMBER(PG_hwpoison)" in self.info
            or bool(level & 16 and self.reads_free_marks())
        )

    def counts(self, pfns: range, level: int, end_pfn: int) -> dict[str, int]:
        """Count what goes by class."""
        out = dict.fromkeys(CLASSES, 0)
        for pfn, name, pages in self.decisions(pfns, level):
            out[name] += min(pages, end_pfn - pfn)
        return out

    def left_out(self, pfns: range, level: int) -> set[int]:
        """Give the pages that go."""
        return {
            page
            for pfn, _, pages in self.decisions(pfns, level)
            for page in range(pfn, pfn + pages)
        }

    def decisions(self, pfns: range, level: int) -> Iterator[tuple[int, str, int]]:
        """Go through the pages by sections, as makedumpfile does: what goes, and how many."""
        if not self.scans_at(level):
            return
        per = (1 << 24) // self.machine.page_size
        for first in range(pfns.start // per * per, pfns.stop, per):
            pfn = first
            while pfn < first + per:
                in_memory = pfn in self.machine.pages
                found = self.decide(pfn, level) if in_memory and pfn in pfns else None
                if found is None:
                    pfn += 1
                    continue
                name, pages = found
                yield pfn, name, pages
                pfn += pages
