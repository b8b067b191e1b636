"""Writes struct pages of any era into a synthetic machine: free blocks, caches, slabs, compounds.

Knows the layouts from ppc64-kernel.md 5.3, 5.5, 5.6 and 5.9 alone, and keeps what each page is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .byte_order import prefix
from .kernel_data import PAGE_OFFSET
from .kernel_era import Version, version_of
from .machine_state import Machine
from .vmcoreinfo import mapcount_values, page_flag_numbers, page_offsets

MAPPING = PAGE_OFFSET + 0x123450
"""An address_space, as far as anybody can tell."""
TAIL_MAPPING = 0x5DEADBEEF0000400
"""What the kernel puts into the mapping of a tail, so that nobody uses it."""
FREE_HUGE_PAGE = PAGE_OFFSET + 0x7770
HUGETLB_DTOR = 2


@dataclass
class StructPages:
    """The struct pages of a machine.

    Attributes:
        machine: Where they are written.
        node_bits: How many of the highest flag bits name the node.
        zone_bits: How many below them name the zone.
        kinds: What each page was made to be; the others are "other".
    """

    machine: Machine
    node_bits: int = 8
    zone_bits: int = 2
    kinds: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.version: Version = version_of(self.machine.release)
        self.bits = page_flag_numbers(self.version)
        self.types = mapcount_values(self.version)
        self.at = page_offsets(self.version)
        if self.machine.release.startswith("2.6.35"):
            self.bits |= {"buddy": 19, "swapbacked": 20, "hwpoison": 23}
            self.types["buddy"] = 0
        if self.version < (4, 4):
            self.bits["tail"] = 15

    def clear(self, pfns: Iterable[int], *, node: int = 0, zone: int = 0) -> None:
        """Make pages as the kernel leaves them when nobody uses them."""
        unused = self.bytes_of(node=node, zone=zone)
        numbers = list(pfns)
        cuts = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1]
        for first, last in pairwise([0, *cuts, len(numbers)]):
            if first < last:  # one write for a run of pages: thousands are cleared for each test
                self.poke(numbers[first], 0, unused * (last - first))

    def write(self, pfn: int, *flags: str, **members: Any) -> None:
        """Write one struct page whole; see `bytes_of`."""
        self.poke(pfn, 0, self.bytes_of(*flags, **members))

    def bytes_of(
        self,
        *flags: str,
        mapcount: int = -1,
        refcount: int = 0,
        mapping: int = 0,
        private: int = 0,
        lru: tuple[int, int] = (0, 0),
        node: int = 0,
        zone: int = 0,
    ) -> bytes:
        """Give a struct page."""
        word = sum(1 << self.bits[flag] for flag in flags)
        word |= node << (64 - self.node_bits) | zone << (64 - self.node_bits - self.zone_bits)
        size, mark = self.machine.struct_page_size, prefix(self.machine.byte_order)
        page = bytearray(size)
        struct.pack_into(mark + "Q", page, 0, word)
        struct.pack_into(mark + "QQ", page, self.at["at_lru"], *lru)
        struct.pack_into(mark + "Q", page, self.at["at_mapping"], mapping)
        struct.pack_into(mark + "Q", page, self.at["at_private"], private)
        struct.pack_into(mark + "i", page, self.at["at_mapcount"], mapcount)
        struct.pack_into(mark + "i", page, self.at["at_refcount"], refcount)
        return bytes(page)

    def poke(self, pfn: int, offset: int, data: bytes) -> None:
        """Write bytes inside a struct page, which may lie in two blocks."""
        virt = self.machine.page_virt(pfn) + offset
        block = self.machine.block_size
        while data:
            room = block - (virt - self.machine.vmemmap_base) % block
            self.machine.poke(virt, data[:room])
            virt, data = virt + room, data[room:]

    def poke_number(self, pfn: int, offset: int, width: int, value: int) -> None:
        """Write an unsigned number inside a struct page."""
        self.poke(pfn, offset, value.to_bytes(width, self.machine.byte_order))

    # What pages can be

    def free(self, pfn: int, order: int) -> None:
        """Make a free block of 2**order pages."""
        self.clear(range(pfn, pfn + (1 << order)))
        if "buddy" in self.bits:
            self.write(pfn, "buddy", private=order)
        else:
            self.write(pfn, mapcount=self._signed(self.types["buddy"]), private=order)
        self._are(range(pfn, pfn + (1 << order)), "free")

    def cache(self, pfn: int, *, private: bool = False) -> None:
        """Make a page of the page cache."""
        flags = ("lru", "private") if private else ("lru",)
        self.write(pfn, *flags, mapping=MAPPING, refcount=2)
        self._are([pfn], "cache_private" if private else "cache")

    def anon(self, pfn: int, *flags: str) -> None:
        """Make an anonymous page, mapped once."""
        self.write(pfn, "lru", "swapbacked", *flags, mapping=MAPPING | 1, refcount=1, mapcount=0)
        self._are([pfn], "anon")

    def reserved(self, pfn: int) -> None:
        """Make a page that was never given to the allocator."""
        self.write(pfn, "reserved", refcount=1)
        self._are([pfn], "reserved")

    def hwpoison(self, pfn: int) -> None:
        """Make a page whose memory has failed."""
        self.write(pfn, "hwpoison", refcount=1)
        self._are([pfn], "hwpoison")

    def offline(self, pfn: int) -> bool:
        """Make a page that is logically offline; False where that does not exist (before 5.1)."""
        if self.version < (5, 2):
            return False
        self.write(pfn, mapcount=self._signed(self.types["offline"]))
        self._are([pfn], "offline")
        return True

    def slab(self, pfn: int, order: int = 0) -> None:
        """Make a slab; since 6.2 it has something else where others have the mapping."""
        mapping = PAGE_OFFSET + 0x4321 if self.version >= (6, 2) else 0
        if self.version >= (6, 10):
            make = {"mapcount": self._signed(self.types["slab"]), "mapping": mapping}
            self._compound(pfn, order, (), make, "slab")
        else:
            self._compound(pfn, order, ("slab",), {"mapping": mapping}, "slab")

    def kernel_compound(self, pfn: int, order: int) -> None:
        """Make a larger allocation of the kernel."""
        self._compound(pfn, order, (), {}, "other")
        self._are(range(pfn + 1, pfn + (1 << order)), "compound_tail")

    def thp(self, pfn: int, order: int) -> None:
        """Make a transparent huge page."""
        make = {"mapping": MAPPING | 1, "mapcount": 0}
        self._compound(pfn, order, ("lru", "swapbacked"), make, "anon")

    def hugetlb(self, pfn: int, order: int) -> None:
        """Make a huge page of hugetlbfs, in the pool."""
        make = {}
        if self.version >= (6, 9):
            make["mapcount"] = self._signed(self.types["hugetlb"])
        self._compound(pfn, order, (), make, "hugetlb", hugetlb=True)

    @property
    def knows_hugetlb(self) -> bool:
        """Whether VMCOREINFO says how to recognise hugetlb: not in 4.4, 4.5, nor before 3.16."""
        return self.version >= (4, 6) or (3, 16) <= self.version < (4, 4)

    def _compound(
        self,
        pfn: int,
        order: int,
        flags: tuple[str, ...],
        make: dict[str, int],
        kind: str,
        *,
        hugetlb: bool = False,
    ) -> None:
        if order == 0:
            self._write_head(pfn, flags, make)
            self._are([pfn], kind)
            return
        self._write_head(pfn, ("head", *flags), make)
        head = self.machine.page_virt(pfn)
        for tail in range(pfn + 1, pfn + (1 << order)):
            if self.version < (4, 4):
                at = self.at["at_private"]
                self.write(tail, "tail", mapping=TAIL_MAPPING)
                self.poke_number(tail, at, 8, head)
            else:
                self.write(tail, lru=(head | 1, 0), mapping=TAIL_MAPPING)
        self._say_order(pfn + 1, order, hugetlb)
        self._are(range(pfn, pfn + (1 << order)), kind)

    def _write_head(self, pfn: int, flags: tuple[str, ...], make: dict[str, int]) -> None:
        mapcount, mapping = make.get("mapcount", -1), make.get("mapping", 0)
        self.write(pfn, *flags, refcount=1, mapcount=mapcount, mapping=mapping)

    def _say_order(self, second: int, order: int, hugetlb: bool) -> None:
        """Put order and kind into a compound's second struct page, the way of the era."""
        version, at = self.version, self.at
        if version >= (6, 6):
            word = order | (1 << 8 if hugetlb and version < (6, 9) else 0)
            word |= self._flags_above(second)
            self.poke_number(second, 0, 8, word)
        elif version >= (4, 16):
            self.poke_number(second, at["at_dtor"], 1, HUGETLB_DTOR if hugetlb else 1)
            self.poke_number(second, at["at_order"], 1, order)
        elif version >= (4, 4):
            self.poke_number(second, 40, 4, HUGETLB_DTOR if hugetlb else 1)
            self.poke_number(second, 44, 4, order)
        else:
            self.poke_number(second, at["at_lru"], 8, FREE_HUGE_PAGE if hugetlb else 0)
            self.poke_number(second, at["at_lru"] + 8, 8, order)

    def _flags_above(self, pfn: int) -> int:
        """Node and zone of a page, which its flags keep."""
        word = self.machine.read(self.machine.page_virt(pfn), 8)
        return int.from_bytes(word, self.machine.byte_order) >> 50 << 50

    def _are(self, pfns: Iterable[int], kind: str) -> None:
        self.kinds |= dict.fromkeys(pfns, kind)

    @staticmethod
    def _signed(value: int) -> int:
        return value - (1 << 32) if value >> 31 == 1 else value
