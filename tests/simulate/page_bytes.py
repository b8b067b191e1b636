"""Struct pages of a simulated machine as bytes, decoded by the tests' history and VMCOREINFO.

Widths matter: makedumpfile reads little-endian dumps only, and 16 bits of what is 32 bits wide in
some releases.
"""

from __future__ import annotations

from collections.abc import Callable

import vmemmap
from simulate.kernel_history import COMPOUND_MARKS, COMPOUND_OFFSETS, FLAG_BITS, STRUCT_PAGE
from vmemmap.address import ByteOrder
from vmemmap.simulate import Machine
from vmemmap.simulate.crash.snapshot import Snapshot

HUGETLB_PAGE_DTOR = 2


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
        at = self._second("order")
        if at is None:  # 4.4 and 4.5 do not tell
            at = self.size + COMPOUND_OFFSETS[self.release].order
        return self.word(head, at, 4 if how == "32 bits" else 1)

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
        at, width = self._second("dtor"), 4 if marks.order == "32 bits" else 1
        assert at is not None
        return self.word(head, at, width) == HUGETLB_PAGE_DTOR

    def head_of(self, tail: int) -> int | None:
        """Decode which page a tail belongs to, as the address of its struct page."""
        if COMPOUND_MARKS[self.release].tail == "PG_tail":
            if not self.word(tail, 0) >> 15 & 1:
                return None
            return self.word(tail, STRUCT_PAGE[self.release].private)  # where first_page lies
        word = self.word(tail, self._told("page.compound_info", "page.compound_head") or 32)
        return word - 1 if word & 1 else None

    def check_offsets(self) -> None:
        """Compare the offsets that VMCOREINFO tells with those of the history."""
        known = COMPOUND_OFFSETS.get(self.release)
        if known is None:
            return
        assert self._told("page.compound_info", "page.compound_head") in (None, known.head)
        if known.dtor is not None:
            assert self._second("dtor") in (None, self.size + known.dtor)
            assert self._second("order") in (None, self.size + known.order)

    def _second(self, member: str) -> int | None:
        """Where a member of the second page lies, from the beginning of the first."""
        at = self._told(f"page.compound_{member}")
        return self._told(f"folio._folio_{member}") if at is None else self.size + at

    def _told(self, *names: str) -> int | None:
        keys = (f"OFFSET({name})" for name in names)
        return next((int(self.keys[key]) for key in keys if key in self.keys), None)
