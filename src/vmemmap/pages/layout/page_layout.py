"""How a ``struct page`` is laid out in the dumped kernel, and what the values in it mean.

Everything is asked of VMCOREINFO by key; what a kernel did not export (before 3.9 most of it) is
asked of its types, and only where there are none is it worked out from what was exported, or
assumed by name. Each value that VMCOREINFO lacks is a fact with its origin.

Source: Linux kernel/vmcore_info.c, include/linux/{mm_types,page-flags,mm,hugetlb}.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel_types import KernelTypes, no_types
from vmemmap.facts.release import Release
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.pages.layout.compound_words import Word, find_compound_words
from vmemmap.pages.layout.page_flags import FlagEra, era_by_types, find_era
from vmemmap.pages.layout.page_reader import PageReader

FLAGS_EXPORTED = ("lru", "slab", "private", "swapcache", "swapbacked", "hwpoison", "buddy")
FLAGS_USED = (*FLAGS_EXPORTED, "head", "tail", "reserved")
_ORDERS_MAX = 21
"""LENGTH(zone.free_area) is 9 or 13 by default and at most a little more by configuration."""
_GIGANTIC_BYTES_SHIFT = 34
"""The largest compound page of a ppc64 kernel is the 16 GiB huge page."""


@dataclass(frozen=True, slots=True)
class PageLayout:
    """A ``struct page`` of one kernel. Offsets and sizes are bytes; None is what it does not have.

    Attributes:
        size: SIZE(page).
        order: The memory's byte order.
        flags: Offset of the flags (8 bytes).
        refcount: Offset of ``_refcount`` or ``_count`` (4 bytes).
        mapcount: Offset of ``_mapcount`` (4 bytes), which is also the page type.
        mapping: Offset of ``mapping`` (8 bytes).
        private: Offset of ``private`` (8 bytes), the order of a free block.
        head: Offset of the word whose bit 0 marks a tail and whose rest is its head (8 bytes).
        first_page: Offset of the pointer to the head, where PG_tail marks a tail.
        bits: Flag name to bit number, of those that this kernel is known to have.
        era: Names of all bits, or None if no table agrees with the kernel's numbers.
        buddy: Value of ``_mapcount`` in the head of a free block; None: see ``bits["buddy"]``.
        slab: Its value in a slab page, likewise None: see ``bits["slab"]``.
        hugetlb: Its value in the head of a hugetlb page.
        offline: Its value in a page that is logically offline.
        unaccepted: Its value in the head of memory that was never accepted.
        compound_order: Where the second page of a compound has the order.
        compound_dtor: Where the second page of a compound has what kind of compound it is.
        hugetlb_dtor: The value of that in a hugetlb page.
        orders: How many orders of free blocks there are.
        max_compound_order: The highest order that any compound can have.
        facts: The values above that VMCOREINFO does not have itself, each with its evidence.
        exported: What VMCOREINFO has itself, for tools that go by that alone.
    """

    size: int
    order: ByteOrder
    flags: int
    refcount: int | None
    mapcount: int | None
    mapping: int
    private: int | None
    head: int | None
    first_page: int | None
    bits: dict[str, int]
    era: FlagEra | None
    buddy: int | None
    slab: int | None
    hugetlb: int | None
    offline: int | None
    unaccepted: int | None
    compound_order: Word | None
    compound_dtor: Word | None
    hugetlb_dtor: int | None
    orders: int
    max_compound_order: int
    facts: tuple[Fact[int], ...]
    exported: frozenset[str]

    def flag_names(self, flags: int) -> list[str]:
        """Name the flag bits that are set, lowest first; a bit without a name is ``bit_N``."""
        names = []
        known = {bit: name for name, bit in self.bits.items() if name != "swapcache"}
        known |= dict(enumerate(self.era.names)) if self.era else {}
        if "hwpoison" not in self.bits:  # a kernel without MEMORY_FAILURE, or one unknown
            known = {bit: name for bit, name in known.items() if name != "hwpoison"}
        for bit in (bit for bit in range(32) if flags >> bit & 1):
            if bit == self.bits.get("swapcache") and self._is_swapcache(flags):
                names.append("swapcache")
            else:
                names.append(known.get(bit, f"bit_{bit}"))
        return names

    def _is_swapcache(self, flags: int) -> bool:
        # Since Linux commit 6326fec1122c ("mm: Use owner_priv bit for PageSwapCache, valid when
        # PageSwapBacked") (in v4.10) the bit means swap cache only together with swapbacked.
        if self.era is not None and self.era.swapcache == "swapcache":
            return True
        return bool(flags >> self.bits.get("swapbacked", 63) & 1)


_BUDDY_VALUES = (
    ((0, 0, 0), -2),
    ((2, 6, 39), -128),
    ((4, 18, 0), ~0x80),
    ((6, 11, 0), ~0x4000_0000),
    ((6, 12, 0), 0xF0 << 24),
)
"""``_mapcount`` of a free block by the first release that has it so."""


def find_page_layout(
    info: Vmcoreinfo,
    size: int,
    order: ByteOrder,
    page_size: int,
    release: Release,
    types: KernelTypes | None = None,
) -> PageLayout:
    """Establish the layout of ``struct page``.

    Args:
        info: VMCOREINFO.
        size: SIZE(page) in bytes.
        order: The memory's byte order.
        page_size: The kernel's page size in bytes.
        release: The kernel's, which decides only where nothing is exported.
        types: The kernel's types, asked for what VMCOREINFO lacks.

    Raises:
        FactError: VMCOREINFO lacks an offset that every kernel exports and no types have it, or it
            is one that cannot be.
    """
    read = PageReader(info, size, types or no_types(info))
    version = release.numbers
    flags = read.required("page.flags")
    mapping = read.required("page.mapping")
    lru = read.required("page.lru")
    if lru + 16 > size:
        raise FactInvalid(
            f"VMCOREINFO has OFFSET(page.lru)={lru}; expected two words inside the {size} bytes of "
            "a struct page",
            name="OFFSET(page.lru)",
        )
    refcount = read.required("page._refcount", "page._count", width=4)
    bits, era = _flag_bits(read, version)
    private = read.offset("page.private")
    # A kernel that exports what marks a free block exports where its order is: it is missing.
    if private is None and "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)" not in info:
        # Until 3.1 it stands before mapping; with the layout made for SLUB (3.2) after lru.
        at = mapping - 8 if refcount % 8 == 0 else lru + 16
        why = "next to page.mapping and page.lru, as in 2.6.35 to 3.8"
        private = read.derive_offset("page.private", at, 8, why)
    mapcount = read.offset("page._mapcount", width=4)
    if mapcount is None:
        at = refcount + 4 if refcount % 8 == 0 else refcount - 4
        why = "in one 8-byte word with page._count, as in every kernel"
        mapcount = read.derive_offset("page._mapcount", at, 4, why)
    head = read.offset("page.compound_info", "page.compound_head")
    if head is None and "tail" not in bits and not read.types.known:
        # Since Linux commit 1d798ca3f164 ("mm: make compound_head() robust") (in v4.4); the offset
        # is exported since 4.6.
        why = "in the word of page.lru.next, as in 4.4 and 4.5"
        head = read.derive("page.compound_head", lru, why, Origin.ASSUMED)
    first_page = None
    if head is None:
        first_page = private if not read.types.known else read.offset("page.first_page")
    order_at, dtor_at, dtor = find_compound_words(read, flags, lru, head)
    slab = read.type_value("SLAB")
    orders = _orders(read, page_size)
    return PageLayout(
        size=size,
        order=order,
        flags=flags,
        refcount=refcount,
        mapcount=mapcount,
        mapping=mapping,
        private=private,
        head=head,
        first_page=first_page,
        bits=bits,
        era=era,
        buddy=_buddy_value(read, bits, version),
        slab=slab,
        hugetlb=read.type_value("HUGETLB"),
        offline=read.type_value("OFFLINE"),
        unaccepted=read.type_value("UNACCEPTED"),
        compound_order=order_at,
        compound_dtor=dtor_at,
        hugetlb_dtor=dtor,
        orders=orders,
        max_compound_order=_GIGANTIC_BYTES_SHIFT - (page_size.bit_length() - 1),
        facts=tuple(read.facts),
        exported=_exported(info),
    )


def _exported(info: Vmcoreinfo) -> frozenset[str]:
    """Name the values that a tool which knows VMCOREINFO alone would have."""
    keys = {
        "page.private": "OFFSET(page.private)",
        "page._mapcount": "OFFSET(page._mapcount)",
        "compound_head": "OFFSET(page.compound_head)",
        "buddy": "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
        **{f"PG_{name}": f"NUMBER(PG_{name})" for name in FLAGS_EXPORTED},
        "PG_head": "NUMBER(PG_head_mask)",
    }
    found = {name for name, key in keys.items() if key in info}
    return frozenset(found | ({"compound_head"} if "OFFSET(page.compound_info)" in info else set()))


def _flag_bits(
    read: PageReader, version: tuple[int, int, int] | None
) -> tuple[dict[str, int], FlagEra | None]:
    bits: dict[str, int] = {}
    for name in FLAGS_EXPORTED:
        value = read.number(f"PG_{name}")
        if value is None:
            continue
        if not 0 <= value < 32:
            raise FactInvalid(
                f"VMCOREINFO has NUMBER(PG_{name})={value}; expected a bit below 32",
                name=f"NUMBER(PG_{name})",
            )
        bits[name] = value
    mask = read.number("PG_head_mask")
    if mask is not None:
        # 3.16 to 4.3 may have one bit or, without PG_head, two; the lowest is the head's.
        if not 0 < mask < 1 << 32:
            raise FactInvalid(
                f"VMCOREINFO has NUMBER(PG_head_mask)={mask}; expected a mask of 32 bits",
                name="NUMBER(PG_head_mask)",
            )
        bits["head"] = (mask & -mask).bit_length() - 1
    flags = read.types.flags()
    if flags is not None:
        return _with_types(read, bits, flags)
    era = find_era(bits, version)
    if era is None:
        return bits, None
    for name in FLAGS_USED:
        number = era.number(name)
        if name == "hwpoison" and "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)" in read.info:
            continue  # a kernel that would export it, if it had it
        if name not in bits and number is not None and name != "slab":
            why = f"the flags of {'.'.join(map(str, era.since))} agree with all that are exported"
            read.derive(f"PG_{name}", number, why, Origin.DERIVED)
            bits[name] = number
    # From 3.9 on PG_slab is exported as long as there is one.
    if "slab" in era.names and "slab" not in bits and read.type_value("SLAB") is None:
        bits["slab"] = era.names.index("slab")
        read.derive("PG_slab", bits["slab"], "as all its neighbours", Origin.DERIVED)
    return bits, era


def _with_types(
    read: PageReader, bits: dict[str, int], flags: Mapping[str, int]
) -> tuple[dict[str, int], FlagEra]:
    """Add the bits that only the types tell, and name all of them."""
    for name in FLAGS_USED:
        bit = flags.get(f"PG_{name}")
        if name not in bits and bit is not None and 0 <= bit < 32:
            bits[name] = bit
            read.facts.append(read.types.note(f"PG_{name}", bit))
    return bits, era_by_types(flags)


def _buddy_value(
    read: PageReader, bits: dict[str, int], version: tuple[int, int, int] | None
) -> int | None:
    value = read.type_value("BUDDY")
    if value is not None or "buddy" in bits or version is None:
        return value
    # Since Linux commit 5f24ce5fd34c ("thp: remove PG_buddy") (in v2.6.38) free blocks are marked
    # in _mapcount; exported since 3.9.
    value = [number for since, number in _BUDDY_VALUES if version >= since][-1]
    why = f"as in kernels of the time of {'.'.join(map(str, version))}"
    return read.derive("PAGE_BUDDY_MAPCOUNT_VALUE", value & 0xFFFF_FFFF, why, Origin.ASSUMED)


def _orders(read: PageReader, page_size: int) -> int:
    key = "LENGTH(zone.free_area)"
    if key not in read.info and read.types.value(key) is None:
        default = 9 if page_size == 65536 else 13
        read.derive("zone.free_area", default, "the default of ppc64 kernels", Origin.ASSUMED)
        return default
    value = read.info.length("zone.free_area")
    if not 1 <= value <= _ORDERS_MAX:
        raise FactInvalid(
            f"VMCOREINFO has {key}={value}; expected 1 to {_ORDERS_MAX} orders", name=key
        )
    return value
