"""What changed in the kernel, and when: tables that run from the oldest release to the newest.

A row holds from its release until the next row's. Where only a bracket is known ("absent in 5.4.0,
present in 5.7.14"), the row names a release inside it. This is the model's own copy, written from
the kernel facts; the readers have theirs, so that each can be wrong alone.

Source: Linux arch/powerpc/mm/init_64.c, arch/powerpc/include/asm/book3s/64/, mm/sparse.c,
mm/memory_hotplug.c, kernel/vmcore_info.c, release by release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from vmemmap.address import Run

Version = tuple[int, int]
T = TypeVar("T")
Table = tuple[tuple[tuple[int, ...], T], ...]

OLDEST: Version = (2, 6)
"""2.6.35 to 2.6.39; where those or stable releases differ, a row has three numbers."""
NEWEST: Version = (7, 3)


def at(table: Table[T], numbers: tuple[int, int, int]) -> T:
    """Give the row of *table* that holds for a release, of three numbers."""
    return next(value for since, value in reversed(table) if numbers >= since)


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
    ((4, 13), _OLD_56T),
    ((5, 2), _three(0xC008 << 48, 512 * TIB)),
)
REGIONS_HASH_4K: Table[Regions] = (
    (OLDEST, _OLD),
    ((4, 13), _OLD_56T),
    ((5, 2), _three(0xC0001 << 44, 16 * TIB)),
    ((5, 10), _three(0xC0003D << 40, TIB)),
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

MAX_PHYSMEM_BITS_64K: Table[int] = (
    (OLDEST, 44),
    ((3, 7), 46),
    ((4, 19), 47),
    ((4, 20), 51),
)
MAX_PHYSMEM_BITS_4K: Table[int] = (
    (OLDEST, 44),
    ((3, 7), 46),
    ((4, 19), 47),
    ((4, 20), 46),
    ((5, 10), 51),
)

MMU_PAGE_SHIFTS: Table[tuple[int, ...]] = (
    (OLDEST, (12, 14, 16, 0, 18, 20, 23, 24, 28, 30, 34, 36)),
    ((3, 4), (12, 14, 16, 0, 18, 20, 22, 23, 24, 26, 28, 30, 34, 36)),
    ((3, 14), (12, 14, 16, 0, 18, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36)),
    ((4, 10), (12, 14, 16, 0, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36)),
)
"""Page shift by MMU_PAGE_ index; index 3 is 64K_AP, which is no size of its own."""

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
    ((4, 6), EntryFormat(False, 1 << 63, 1 << 62, (0, 0), False, False)),
    ((4, 7), EntryFormat(True, 1 << 63, 1 << 62, (0, 0), False, False)),
    ((4, 20), EntryFormat(True, 1 << 63, 1 << 62, (0, 0), False, True)),
)

Bits = tuple[int, int, int, int]
INDEX_BITS_HASH_4K: Table[Bits] = ((OLDEST, (9, 7, 7, 9)), ((3, 7), (9, 7, 9, 9)))
INDEX_BITS_HASH_64K: Table[Bits] = (
    (OLDEST, (12, 12, 0, 4)),
    ((3, 7), (12, 12, 0, 6)),
    ((3, 10), (8, 10, 0, 12)),
    ((4, 6), (8, 5, 5, 12)),
    ((4, 12), (8, 10, 7, 8)),
    ((4, 17), (8, 10, 10, 8)),
)
"""Index bits of the PTE, PMD, PUD and PGD tables; 0 is a folded level."""
INDEX_BITS_RADIX = {12: (9, 9, 9, 13), 16: (5, 9, 9, 13)}

Tracker = Literal["chunks", "free_list"]
TRACKERS: Table[Tracker] = ((OLDEST, "chunks"), ((3, 17), "free_list"))
NODE_FAILURE_IS_ENOMEM: Table[bool] = ((OLDEST, False), ((5, 10), True))
"""Since Linux commit ccaea15296f9 (in v5.10) a block whose node cannot be had is given back."""
LIST_WARNS: Table[tuple[str, ...]] = (
    (OLDEST, ("vmemmap_list_alloc", "vmemmap_list_populate", "vmemmap_list_free")),
    ((5, 10), ("vmemmap_list_alloc",)),
)
"""Which functions of the list have a WARN_ON(1): for a page and for a node that cannot be had, and
for a block to be freed that is not listed. The same two commits of v5.10 took two of them away."""
MAPPING_FAILURE_IS_EFAULT: Table[bool] = ((OLDEST, False), ((4, 7), True))
"""Before, a mapping that could not be made was a BUG()."""
RADIX_KEEPS_LIST: Table[bool] = ((OLDEST, True), ((6, 6), False))
"""Since Linux commit 368a0590d954 (in v6.6) the radix MMU has its own vmemmap_populate()."""

AltmapRule = Literal["none", "looked_up", "only", "fallback", "boundary"]
ALTMAPS: Table[AltmapRule] = (
    (OLDEST, "none"),
    ((4, 13), "looked_up"),
    ((4, 16), "only"),
    ((4, 19, 15), "fallback"),
    ((5, 4), "boundary"),
)
"""Whether struct pages of device memory may lie on the device, and what if it has no room.

RAM steps in since Linux commit 9ef34630a461, which came after 4.19 and reached 4.19.15; whether
4.20 has it is not known."""
ALTMAP_END_IS_EXACT: Table[bool] = ((OLDEST, False), ((6, 6), True))
"""Before, a block that described the device to its very end counted as reaching beyond it."""

Free = Literal["missing", "empty", "real"]
VMEMMAP_FREE: Table[Free] = ((OLDEST, "missing"), ((3, 10), "empty"), ((3, 17), "real"))
SCAN_START: Table[Literal["raw", "section", "subsection"]] = (
    (OLDEST, "raw"),
    ((3, 17), "section"),
    ((5, 5), "subsection"),
)
"""Where vmemmap_populated() begins to look: the block's own start, or rounded down."""
ZEROED_BLOCKS: Table[bool] = ((OLDEST, True), ((4, 15), False))
"""Whether vmemmap_alloc_block() clears what it hands out."""
SUBSECTION_HOTPLUG: Table[bool] = ((OLDEST, False), ((5, 3), True))
BOOT_STOPS_AT_FAILURE: Table[bool] = ((OLDEST, False), ((4, 19), True))
"""Whether one section without struct pages costs the rest of its node's run, or only itself."""

HotplugLock = Literal[
    "lock_system_sleep", "mem_hotplug_mutex", "mem_hotplug_begin", "mem_hotplug_lock"
]
HOTPLUG_LOCKS: Table[HotplugLock] = (
    (OLDEST, "lock_system_sleep"),
    ((2, 6, 37), "mem_hotplug_mutex"),
    ((3, 16), "mem_hotplug_begin"),
    ((4, 13), "mem_hotplug_lock"),
)
DEVICE_HOTPLUG_LOCK: Table[bool] = ((OLDEST, False), ((4, 20), True))
PGDAT_RESIZE_LOCK: Table[bool] = ((OLDEST, True), ((5, 0), False))
"""Taken in sparse_add_one_section(), but only when the struct pages are already there."""

SECTION_ONLINE: Table[bool] = ((OLDEST, False), ((4, 13), True))
SECTION_EARLY: Table[bool] = ((OLDEST, False), ((5, 3), True))

STALE_MAP_AFTER_REMOVE: Table[bool] = ((OLDEST, False), ((5, 3), True), ((5, 6), False))
"""Whether a removed section keeps the encoding of a NULL array, which is no 0, in its entry."""

RADIX_HUGE_ANYWHERE: Table[bool] = ((OLDEST, True), ((6, 15), False), ((6, 16), True))
"""Whether 2 MiB back a part of the vmemmap that is begun in its middle, where no altmap forbids."""

RADIX_BIG_BLOCKS: Table[bool] = ((OLDEST, False), ((5, 3), True))
"""Whether the radix MMU's vmemmap is built of 2 MiB blocks; 4.9 to 5.2 fell back to base pages."""
HASH_64K_IN_4K_KERNEL: Table[bool] = ((OLDEST, True), ((5, 3), False))
"""Whether a kernel takes any hardware page size for the vmemmap, or its own."""
