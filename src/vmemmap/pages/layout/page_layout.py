"""How a ``struct page`` is laid out in the dumped kernel, and what the values in it mean.

Everything is asked of VMCOREINFO by key; what a kernel did not export (before 3.9 most of it) is
asked of its types, and only where there are none is it worked out from what was exported and from
pages of which it is known what they are, or assumed by name. Each value that VMCOREINFO lacks is a
fact with its origin; what is not established is in ``PageLayout.unsettled``.

Source: Linux kernel/vmcore_info.c, include/linux/{mm_types,page-flags,mm,hugetlb}.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel_types import KernelTypes, no_types
from vmemmap.facts.release import Release
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.pages.layout.compound_words import Word, find_compound_words
from vmemmap.pages.layout.exported import exported_numbers, exported_values
from vmemmap.pages.layout.flag_bits import find_flag_bits
from vmemmap.pages.layout.page_flags import FlagEra
from vmemmap.pages.layout.page_reader import PageReader
from vmemmap.pages.layout.page_types import find_page_types
from vmemmap.pages.layout.places import is_mapping, places_seen, shown_lru, shown_orders
from vmemmap.pages.layout.unsettled import Unsettled
from vmemmap.pages.layout.witnesses import KnownPages, NoKnownPages, Witnesses

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
        bits: Flag name to bit number, of those that this kernel is known, or says, to have.
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
        exported_numbers: Flag bits (``PG_lru``) and page types (``buddy``) among that, as given.
        unsettled: What is not established: marks by name (``reserved``, ``buddy``), and ``order``
            where it is not known where a free block has that. It goes before `bits` and the values
            above, which may be what the kernel says against all evidence.
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
    exported_numbers: Mapping[str, int]
    unsettled: Mapping[str, Unsettled]

    @property
    def known_types(self) -> frozenset[int]:
        """The values of ``_mapcount`` of which it is established what they mean."""
        named = {
            "buddy": self.buddy,
            "slab": self.slab,
            "hugetlb": self.hugetlb,
            "offline": self.offline,
        }
        return frozenset(v for n, v in named.items() if v is not None and n not in self.unsettled)

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


def find_page_layout(
    info: Vmcoreinfo,
    size: int,
    order: ByteOrder,
    page_size: int,
    release: Release,
    types: KernelTypes | None = None,
    known: KnownPages | None = None,
    symbol: Callable[[str], Fact[int] | None] = lambda name: None,
) -> PageLayout:
    """Establish the layout of ``struct page``.

    Args:
        info: VMCOREINFO.
        size: SIZE(page) in bytes.
        order: The memory's byte order.
        page_size: The kernel's page size in bytes.
        release: The kernel's, which decides only where nothing is exported.
        types: The kernel's types, asked for what VMCOREINFO lacks.
        known: Finds pages of which it is known what they are.
        symbol: Gives the address of a kernel symbol, or None.

    Raises:
        FactError: VMCOREINFO lacks an offset that every kernel exports and no types have it, or it
            is one that cannot be.
    """
    read = PageReader(info, size, types or no_types(info))
    version = release.numbers
    flags = read.required("page.flags")
    if flags:
        raise FactInvalid(
            f"VMCOREINFO has OFFSET(page.flags)={flags}; every kernel has the flags first",
            name="OFFSET(page.flags)",
        )
    mapping = read.required("page.mapping")
    lru = read.required("page.lru")
    if lru + 16 > size:
        raise FactInvalid(
            f"VMCOREINFO has OFFSET(page.lru)={lru}; expected two words inside the {size} bytes of "
            "a struct page",
            name="OFFSET(page.lru)",
        )
    pages = known or NoKnownPages()
    lru = shown_lru(read, lru, pages)
    refcount = read.required("page._refcount", "page._count", width=4)
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
    seen = Witnesses(pages, order, size, flags, mapcount, private, head, lru)
    seen = places_seen(read, seen)
    head = seen.head
    found = find_flag_bits(read, version, seen)
    bits, unsettled = found.bits, found.unsettled
    if head is None and "tail" in unsettled and seen.marks_tails_by_word:
        why = "in the word of page.lru.next, where tails name their heads"
        head = read.derive("page.compound_head", lru, why, Origin.DERIVED)
    if head is not None:
        unsettled.pop("tail", None)
    elif "tail" not in bits and "tail" not in unsettled and not read.types.known:
        # Since Linux commit 1d798ca3f164 ("mm: make compound_head() robust") (in v4.4); the offset
        # is exported since 4.6.
        why = "in the word of page.lru.next, as in 4.4 and 4.5"
        head = read.derive("page.compound_head", lru, why, Origin.ASSUMED)
    first_page = None
    if head is None:
        first_page = seen.private if not read.types.known else read.offset("page.first_page")
    order_at, dtor_at, dtor = find_compound_words(read, flags, lru, head, symbol)
    needs_hugetlb = dtor_at is None or dtor is None
    page_types = find_page_types(read, found, version, seen, needs_hugetlb=needs_hugetlb)
    unsettled |= page_types.unsettled
    if seen.private is None:
        unsettled["order"] = Unsettled()
    if not is_mapping(mapping, lru, refcount, seen):
        unsettled["mapping"] = Unsettled()
    values = page_types.values
    return PageLayout(
        size=size,
        order=order,
        flags=flags,
        refcount=refcount,
        mapcount=seen.mapcount,
        mapping=mapping,
        private=seen.private,
        head=head,
        first_page=first_page,
        bits=bits,
        era=found.era,
        buddy=values.get("buddy"),
        slab=values.get("slab"),
        hugetlb=values.get("hugetlb"),
        offline=values.get("offline"),
        unaccepted=read.type_value("UNACCEPTED"),
        compound_order=order_at,
        compound_dtor=dtor_at,
        hugetlb_dtor=dtor,
        orders=shown_orders(read, page_size, pages),
        max_compound_order=_GIGANTIC_BYTES_SHIFT - (page_size.bit_length() - 1),
        facts=tuple(read.facts),
        exported=exported_values(info),
        exported_numbers=exported_numbers(read, found.exported),
        unsettled=unsettled,
    )
