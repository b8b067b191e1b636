"""What changed in the kernel, and when: tables that run from the oldest release to the newest.

A row holds from its release until the next row's. Where only a bracket is known ("absent in 5.4.0,
present in 5.7.14"), the row names a release inside it and carries the `Bracket`; the others were
read on both sides, or a commit names the release. This is the model's own copy, written from the
kernel facts; the readers have theirs, so that each can be wrong alone.

Source: Linux arch/powerpc/mm/init_64.c, arch/powerpc/include/asm/book3s/64/, mm/sparse.c,
mm/memory_hotplug.c, kernel/vmcore_info.c, release by release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from vmemmap.address import Run

Version = tuple[int, int]
Numbers = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bracket:
    """Between which releases a change came, where that is all that is known.

    Attributes:
        after: The last release known not to have it.
        by: The first release known to have it.
        why: What else is known, or who says so.
    """

    after: str
    by: str
    why: str = ""

    def holds(self, numbers: Numbers) -> bool:
        """Tell whether a release lies between, so that the change may have come or not."""
        return numbers_of(self.after) < numbers < numbers_of(self.by)


Row = tuple[tuple[int, ...], T] | tuple[tuple[int, ...], T, Bracket]
Table = tuple[Row[T], ...]

OLDEST: Version = (2, 6)
"""2.6.35 to 2.6.39; where those or stable releases differ, a row has three numbers."""
NEWEST: Version = (7, 3)


def numbers_of(release: str) -> Numbers:
    """Give the three numbers of a release that a table names: (4, 13, 0) of "4.13"."""
    major, minor, patch = map(int, (*release.split("."), "0")[:3])
    return major, minor, patch


def at(table: Table[T], numbers: Numbers) -> T:
    """Give the value of *table* that holds for a release."""
    return next(row[1] for row in reversed(table) if numbers >= row[0])


def doubts(table: Table[T], numbers: Numbers) -> list[Bracket]:
    """Give the brackets of *table* in which a release lies, which may be on either side of each."""
    brackets = (row[2] for row in table if len(row) == 3)
    return [bracket for bracket in brackets if bracket.holds(numbers)]


_413 = Bracket("4.12.0", "4.14.0")
_317 = Bracket("3.16.0", "3.18.19")
_510 = Bracket("5.9.1", "5.10.198")


@dataclass(frozen=True, slots=True)
class Regions:
    """Where the kernel's virtual regions lie, half-open."""

    vmalloc: Run
    io: Run
    vmemmap: Run


TIB = 1 << 40
_OLD = Regions(
    Run(0xD << 60, (0xD << 60) + 8 * TIB),
    Run((0xD << 60) + 8 * TIB, (0xD << 60) + 16 * TIB),
    Run(0xF << 60, 1 << 64),
)
_OLD_56T = Regions(
    Run(0xD << 60, (0xD << 60) + 56 * TIB),
    Run((0xD << 60) + 56 * TIB, (0xD << 60) + 64 * TIB),
    Run(0xF << 60, 1 << 64),
)


def _three(start: int, each: int) -> Regions:
    """Give the newer regions: vmalloc, I/O and vmemmap side by side, of one size."""
    return Regions(
        Run(start, start + each),
        Run(start + each, start + 2 * each),
        Run(start + 2 * each, start + 3 * each),
    )


REGIONS_HASH_64K: Table[Regions] = (
    (OLDEST, _OLD),
    ((4, 13), _OLD_56T, _413),
    ((5, 2), _three(0xC008 << 48, 512 * TIB)),
)
REGIONS_HASH_4K: Table[Regions] = (
    (OLDEST, _OLD),
    ((4, 13), _OLD_56T, _413),
    ((5, 2), _three(0xC0001 << 44, 16 * TIB)),
    (
        (5, 8),
        _three(0xC0001 << 44, 16 * TIB),
        Bracket("5.7.14", "5.9", "some stable 5.8 have the regions of 5.10"),
    ),
    ((5, 10), _three(0xC0003D << 40, TIB), _510),
)
REGIONS_RADIX: Table[Regions] = (
    (
        (4, 7),
        Regions(
            vmalloc=Run(0xC008 << 48, 0xC00A << 48),
            io=Run(0xC00C << 48, 0xC00E << 48),
            vmemmap=Run(0xC00A << 48, 0xC00C << 48),
        ),
    ),
    ((5, 2), _three(0xC008 << 48, 512 * TIB)),
)
"""Since Linux commit 0034d395f89d (in v5.2) both MMUs have the regions in this order."""

_37 = Bracket("3.6.5", "3.8.13", "crash and makedumpfile say 3.7")
MAX_PHYSMEM_BITS_64K: Table[int] = (
    (OLDEST, 44),
    ((3, 7), 46, _37),
    ((4, 19), 47),
    ((4, 20), 51),
)
MAX_PHYSMEM_BITS_4K: Table[int] = (
    (OLDEST, 44),
    ((3, 7), 46, _37),
    ((4, 19), 47),
    ((4, 20), 46),
    ((5, 10), 51, _510),
)

MMU_PAGE_SHIFTS: Table[tuple[int, ...]] = (
    (OLDEST, (12, 14, 16, 0, 18, 20, 23, 24, 28, 30, 34, 36)),
    (
        (3, 2),
        (12, 14, 16, 0, 18, 20, 22, 23, 24, 26, 28, 30, 34, 36),
        Bracket("3.1.0", "3.4.106", "3.2 by what is remembered of commit 41151e77a4d9"),
    ),
    ((3, 14), (12, 14, 16, 0, 18, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36)),
    ((4, 10), (12, 14, 16, 0, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36)),
)
"""Page shift by MMU_PAGE_ index; index 3 is 64K_AP, which is no size of its own."""

STRUCT_PAGE_BYTES: Table[int] = ((OLDEST, 56), ((3, 19), 64))
"""Of a kernel with memory cgroups; until 3.18 they had no member in struct page."""

PSIZE_DEF_BYTES: Table[int] = ((OLDEST, 32), ((3, 10), 80), ((3, 14), 88), ((5, 14), 96))


@dataclass(frozen=True, slots=True)
class EntryFormat:
    """How a page table entry is written.

    Attributes:
        big_endian: Stored big-endian whatever the kernel's byte order.
        present: The bit of a valid leaf.
        leaf: The bit that tells a leaf from a pointer, 0 where there is none.
        pfn_shifts: Where the page frame number begins, for 4 KiB and 64 KiB pages; 0 when the
            physical address stands in place.
        virtual_pointers: Upper entries hold the next table's linear-map address.
        pointer_present: Upper entries carry bit 63.
    """

    big_endian: bool
    present: int
    leaf: int
    pfn_shifts: tuple[int, int]
    virtual_pointers: bool
    pointer_present: bool


ENTRY_FORMATS: Table[EntryFormat] = (
    (OLDEST, EntryFormat(False, 0x1, 0, (17, 30), True, False)),
    ((4, 5), EntryFormat(False, 0x2, 0x1, (18, 30), True, False)),
    (
        (4, 6),
        EntryFormat(False, 1 << 63, 1 << 62, (0, 0), False, False),
        Bracket("4.5.0", "4.7.4", "crash and makedumpfile say 4.6"),
    ),
    ((4, 7), EntryFormat(True, 1 << 63, 1 << 62, (0, 0), False, False)),
    ((4, 20), EntryFormat(True, 1 << 63, 1 << 62, (0, 0), False, True)),
)

Bits = tuple[int, int, int, int]
INDEX_BITS_HASH_4K: Table[Bits] = ((OLDEST, (9, 7, 7, 9)), ((3, 7), (9, 7, 9, 9), _37))
INDEX_BITS_HASH_64K: Table[Bits] = (
    (OLDEST, (12, 12, 0, 4)),
    ((3, 7), (12, 12, 0, 6), _37),
    ((3, 10), (8, 10, 0, 12)),
    ((4, 6), (8, 5, 5, 12), Bracket("4.5.0", "4.7.4", "crash and makedumpfile say 4.6")),
    ((4, 12), (8, 10, 7, 8), Bracket("4.10.17", "4.12", "crash and makedumpfile say 4.12")),
    ((4, 17), (8, 10, 10, 8), Bracket("4.15.0", "4.18", "crash and makedumpfile say 4.17")),
)
"""Index bits of the PTE, PMD, PUD and PGD tables; 0 is a folded level."""
INDEX_BITS_RADIX = {12: (9, 9, 9, 13), 16: (5, 9, 9, 13)}

_STABLE_510 = Bracket("5.9.1", "5.10", "ccaea15296f9 is in v5.10 and was picked for stable")
Tracker = Literal["chunks", "free_list"]
TRACKERS: Table[Tracker] = ((OLDEST, "chunks"), ((3, 17), "free_list", _317))
NODE_FAILURE_IS_ENOMEM: Table[bool] = ((OLDEST, False), ((5, 10), True, _STABLE_510))
"""Since Linux commit ccaea15296f9 (in v5.10) a block whose node cannot be had is given back."""
LIST_WARNS: Table[tuple[str, ...]] = (
    (OLDEST, ("vmemmap_list_alloc", "vmemmap_list_populate")),
    ((3, 17), ("vmemmap_list_alloc", "vmemmap_list_populate", "vmemmap_list_free"), _317),
    ((5, 10), ("vmemmap_list_alloc",), _STABLE_510),
)
"""Which functions of the list have a WARN_ON(1): for a page and for a node that cannot be had, and
for a block to be freed that is not listed. The same two commits of v5.10 took two of them away."""
MAPPING_FAILURE_IS_EFAULT: Table[bool] = (
    (OLDEST, False),
    ((4, 7), True, Bracket("4.4.155", "4.7.4")),
)
"""Before, a mapping that could not be made was a BUG()."""
RADIX_KEEPS_LIST: Table[bool] = ((OLDEST, True), ((6, 6), False))
"""Since Linux commit 368a0590d954 (in v6.6) the radix MMU has its own vmemmap_populate()."""

AltmapRule = Literal["none", "looked_up", "only", "fallback", "boundary"]
ALTMAPS: Table[AltmapRule] = (
    (OLDEST, "none"),
    ((4, 13), "looked_up", _413),
    ((4, 16), "only"),
    ((4, 19, 15), "fallback", Bracket("4.19", "4.19.71", "in stable 4.19 of January 2019")),
    ((4, 20), "fallback", Bracket("4.19.191", "5.0", "in mainline since 4.20 or 5.0")),
    ((5, 4), "boundary"),
)
"""Whether struct pages of device memory may lie on the device, and what if it has no room.

RAM steps in since Linux commit 9ef34630a461, which came after 4.19 and reached 4.19.15."""
ALTMAP_END_IS_EXACT: Table[bool] = ((OLDEST, False), ((6, 6), True, Bracket("6.4.6", "6.6.9")))
"""Before, a block that described the device to its very end counted as reaching beyond it."""

COMPOUND_DEVICES: Table[bool] = (
    (OLDEST, False),
    ((5, 17), True, Bracket("4.12.0", "6.6.9", "5.17 by what is remembered of c4386bd8ee3a")),
)
"""Whether device DAX may make its memory of compound pages.

A 6.6.9 has vmemmap_populate_compound_pages() for radix; no tree before was read for it."""
COMPOUND_PFN_IS_EXACT: Table[bool] = (
    (OLDEST, False),
    ((7, 3), True, Bracket("7.1.5", "7.4", "posted for stable kernels in June 2026")),
)
"""Whether radix knows which page it populates struct pages for, where tails share theirs.

Since Linux commit f2b79c0d7968 (in v6.6) a number goes up by one with each page of struct pages,
which has 64 or more of them. With 64 KiB pages no call covers two, so that it does no harm."""
UnusedPages = Literal["initialised", "reserved", "untouched"]
UNUSED_PAGES: Table[UnusedPages] = (
    (OLDEST, "initialised"),
    ((4, 13), "reserved", Bracket("4.12.0", "4.14.0", "by what is remembered of f1dd2cd13c4b")),
    ((4, 17), "untouched", Bracket("4.15.0", "4.18", "by what is remembered of d0dc12e86b31")),
)
"""What struct pages of added memory hold until it comes online: node, zone and all; the node and
PG_reserved in zeros; nothing that means anything, or a poison."""

Free = Literal["missing", "empty", "real"]
VMEMMAP_FREE: Table[Free] = (
    (OLDEST, "missing"),
    ((3, 9), "empty", Bracket("3.4.106", "3.10.35", "3.9 by commit 0197518cd367")),
    ((3, 17), "real", _317),
)
SCAN_START: Table[Literal["raw", "section", "subsection"]] = (
    (OLDEST, "raw"),
    ((3, 17), "section", _317),
    ((5, 5), "subsection"),
)
"""Where vmemmap_populated() begins to look: the block's own start, or rounded down."""
ZEROED_BLOCKS: Table[bool] = (
    (OLDEST, True),
    ((4, 15), False, Bracket("3.18.19", "6.12.117", "4.15 by what is remembered")),
)
"""Whether vmemmap_alloc_block() clears what it hands out."""
SUBSECTION_HOTPLUG: Table[bool] = ((OLDEST, False), ((5, 3), True))
_SPARSE_INIT = Bracket("4.9.154", "6.1.0", "4.19 by what is remembered of 35fd1eb1e821")
BOOT_STOPS_AT_FAILURE: Table[bool] = ((OLDEST, False), ((4, 19), True, _SPARSE_INIT))
"""Whether one section without struct pages costs the rest of its node's run, or only itself."""

SPARSE_BUFFER: Table[bool] = ((OLDEST, False), ((4, 19), True, _SPARSE_INIT))
"""Whether boot takes memory for the struct pages of a run of sections at once, and hands it out
from its beginning; where there is no such piece, block by block from the top as before."""

HotplugLock = Literal[
    "lock_system_sleep", "mem_hotplug_mutex", "mem_hotplug_begin", "mem_hotplug_lock"
]
HOTPLUG_LOCKS: Table[HotplugLock] = (
    (OLDEST, "lock_system_sleep"),
    ((2, 6, 37), "mem_hotplug_mutex", Bracket("2.6.35.7", "2.6.37")),
    ((3, 16), "mem_hotplug_begin"),
    ((4, 13), "mem_hotplug_lock", _413),
)
DEVICE_HOTPLUG_LOCK: Table[bool] = ((OLDEST, False), ((4, 20), True))
PGDAT_RESIZE_LOCK: Table[bool] = (
    (OLDEST, True),
    ((4, 19, 97), False, Bracket("4.19.71", "4.19.191", "in stable 4.19 of January 2020")),
    ((4, 20), True),
    ((5, 0), False),
)
"""Taken in sparse_add_one_section(), but only when the struct pages are already there."""

CMA: Table[bool] = (
    (OLDEST, False),
    ((3, 5), True, Bracket("2.6.35.6", "6.1.192", "3.5 by what is remembered of 47118af076f6")),
)
"""Whether pages of contiguous areas are free on lists of their own."""

SECTION_ROOTS_ALLOCATED: Table[bool] = (
    (OLDEST, False),
    ((4, 14, 8), True, Bracket("4.14", "4.14.355", "in stable 4.14")),
    ((4, 15), True),
)
"""Whether mem_section is a pointer to an array that boot allocates, and no array itself."""
SECTION_ONLINE: Table[bool] = ((OLDEST, False), ((4, 13), True, _413))
SECTION_EARLY: Table[bool] = ((OLDEST, False), ((5, 3), True))

STALE_MAP_AFTER_REMOVE: Table[bool] = (
    (OLDEST, False),
    ((5, 3), True),
    ((5, 4, 19), False),
    ((5, 5), True),
    ((5, 5, 3), False),
)
"""Whether a removed section keeps the encoding of a NULL array, which is no 0, in its entry."""

RADIX_HUGE_ANYWHERE: Table[bool] = (
    (OLDEST, True),
    ((6, 14, 1), True, Bracket("6.14", "6.15", "the change of 6.15 was queued for 6.14, too")),
    ((6, 15), False, Bracket("6.14", "6.17.0", "6.15 by what is remembered")),
    ((6, 16), True, Bracket("6.14", "6.17.0", "6.16 by what is remembered")),
)
"""Whether 2 MiB back a part of the vmemmap that is begun in its middle, where no altmap forbids."""

_RADIX_FIX = "89a3496e0664 was reviewed for stable in September 2019"
RADIX_BIG_BLOCKS: Table[bool] = (
    (OLDEST, True),
    ((4, 9), False, Bracket("4.7.4", "4.9", "the order of initialisation changed")),
    ((4, 9, 194), True, Bracket("4.9.193", "4.9.232", _RADIX_FIX)),
    ((4, 10), False),
    ((4, 14, 146), True, Bracket("4.14.145", "4.14.355", _RADIX_FIX)),
    ((4, 15), False),
    ((4, 19, 75), True, Bracket("4.19.71", "4.19.191", _RADIX_FIX)),
    ((4, 20), False),
    ((5, 3), True, Bracket("5.2.1", "5.3", _RADIX_FIX)),
)
"""Whether the radix MMU's vmemmap is built of 2 MiB blocks; else it fell back to base pages, as in
mainline 4.9 to 5.2."""
HASH_64K_IN_4K_KERNEL: Table[bool] = ((OLDEST, True), ((5, 3), False))
"""Whether a kernel takes any hardware page size for the vmemmap, or its own."""
