"""Struct pages of a simulated machine as bytes, decoded by the tests' history and VMCOREINFO.

Widths matter: makedumpfile reads little-endian dumps only, and 16 bits of what is 32 bits wide in
some releases.
"""

from __future__ import annotations

from collections.abc import Callable

import vmemmap
from simulate.kernel_history import COMPOUND_MARKS, FLAG_BITS, STRUCT_PAGE
from vmemmap.address import ByteOrder
from vmemmap.simulate import Machine
from vmemmap.simulate.crash.snapshot import Snapshot

HUGETLB_PAGE_DTOR = 2
ORDER_AT_44 = ("4.4", "4.5")
"""What the keys of VMCOREINFO do not say in these: offset of compound_order, in the second page."""


class PageBytes:
    """The struct pages at one moment.

    Attributes:
        release: The kernel's release.
        keys: VMCOREINFO's lines.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        release: str,
        order: ByteOrder,
        base: int,
        vmcoreinfo: bytes,
    ) -> None:
        self._read = read
        self.release = release
        self.order: ByteOrder = order
        self.base = base
        self.keys = dict(line.split("=", 1) for line in vmcoreinfo.decode().splitlines())
        self.size = int(self.keys["SIZE(page)"])

    @classmethod
    def painted(cls, snapshot: Snapshot) -> PageBytes:
        """Take them as they go into a dump."""
        kernel, pages = snapshot.machine.kernel, snapshot.struct_pages
        return cls(
            lambda virt, size: pages.paint(virt, size).tobytes(),
            kernel.release,
            kernel.byte_order,
            kernel.vmemmap_base,
            snapshot.vmcoreinfo,
        )

    @classmethod
    def dumped(cls, core: vmemmap.Vmcore, machine: Machine) -> PageBytes:
        """Read them from a dump, through the project's reader."""
        kernel, told = machine.kernel, machine.snapshot().vmcoreinfo
        return cls(core.read, kernel.release, kernel.byte_order, kernel.vmemmap_base, told)

    def at(self, pfn: int) -> int:
        return self.base + pfn * self.size

    def word(self, pfn: int, offset: int, size: int = 8, *, signed: bool = False) -> int:
        data = self._read(self.at(pfn) + offset, size)
        return int.from_bytes(data, self.order, signed=signed)

    def offset(self, name: str) -> int:
        return int(self.keys[f"OFFSET({name})"])

    def number(self, name: str) -> int:
        return int(self.keys[f"NUMBER({name})"])

    # -- compound pages

    def is_head(self, pfn: int) -> bool:
        told = self.keys.get("NUMBER(PG_head_mask)")
        mask = 1 << FLAG_BITS[self.release].head if told is None else int(told)
        return bool(self.word(pfn, 0) & mask)

    def order_of(self, head: int) -> int:
        """Decode a compound page's order from its second page."""
        how = COMPOUND_MARKS[self.release].order
        if how == "lru.prev":
            return self.word(head + 1, STRUCT_PAGE[self.release].lru + 8)
        if how == "flags":
            return self.word(head + 1, 0) & 0xFF
        width = 4 if how == "32 bits" else 1
        if self.release.startswith(ORDER_AT_44):
            return self.word(head + 1, 44, width)
        if "OFFSET(folio._folio_order)" in self.keys:
            return self.word(head, self.offset("folio._folio_order"), width)
        return self.word(head + 1, self.offset("page.compound_order"), width)

    def is_hugetlb(self, head: int) -> bool | None:
        """Decode whether a compound page is hugetlb; None where VMCOREINFO does not tell how."""
        marks = COMPOUND_MARKS[self.release]
        if marks.hugetlb == "type":
            value = self.word(head, self.offset("page._mapcount"), 4, signed=True)
            return value == self.number("PAGE_HUGETLB_MAPCOUNT_VALUE")
        if marks.hugetlb == "PG_hugetlb":
            return bool(self.word(head + 1, 0) >> self.number("PG_hugetlb") & 1)
        if marks.hugetlb == "lru.next":
            symbol = self.keys.get("SYMBOL(free_huge_page)")
            lru = STRUCT_PAGE[self.release].lru
            return None if symbol is None else self.word(head + 1, lru) == int(symbol, 16)
        if "NUMBER(HUGETLB_PAGE_DTOR)" not in self.keys:
            return None
        assert self.number("HUGETLB_PAGE_DTOR") == HUGETLB_PAGE_DTOR
        width = 4 if marks.order == "32 bits" else 1
        if "OFFSET(folio._folio_dtor)" in self.keys:
            dtor = self.word(head, self.offset("folio._folio_dtor"), width)
        else:
            dtor = self.word(head + 1, self.offset("page.compound_dtor"), width)
        return dtor == HUGETLB_PAGE_DTOR

    def head_of(self, tail: int) -> int | None:
        """Decode which page a tail belongs to, as the address of its struct page."""
        if COMPOUND_MARKS[self.release].tail == "PG_tail":
            if not self.word(tail, 0) >> 15 & 1:
                return None
            return self.word(tail, STRUCT_PAGE[self.release].private)  # where first_page lies
        keys = ("OFFSET(page.compound_info)", "OFFSET(page.compound_head)")
        word = self.word(tail, next((int(self.keys[k]) for k in keys if k in self.keys), 32))
        return word - 1 if word & 1 else None
