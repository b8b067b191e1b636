"""When each thing changed in the kernel: the tests' own copy, for a second opinion.

It shares nothing with the simulator's tables; both were written from the kernel facts, each by
itself. A `History` says what is known and nothing more: where the facts name only a release read
without a change and one read with it, the releases between stand in no span.

Source: source trees and commit logs of the releases in `RELEASES_READ`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
Numbers = tuple[int, ...]

RELEASES_READ = (
    *("2.6.35.6", "2.6.35.7", "2.6.37", "2.6.38", "3.0.101", "3.1.0", "3.4.106", "3.6.5"),
    *("3.8.13", "3.9.6", "3.10.35", "3.12.9", "3.13.10", "3.14.1", "3.15.5", "3.16.0"),
    *("3.18.19", "3.19.12", "4.1.15", "4.2.8", "4.4.155", "4.5.0", "4.6.2", "4.7.4", "4.9.232"),
    *("4.10.17", "4.12.0", "4.14.0", "4.14.355", "4.15.0", "4.18.0", "4.19.71", "4.19.191"),
    *("4.20.0", "5.0.1", "5.2.1", "5.3.1", "5.4.0", "5.7.14", "5.9.1", "5.10.198", "5.11.0"),
    *("5.13.0", "5.14.2", "5.15.0", "5.16.2", "5.17", "6.0.0", "6.1.192", "6.2.0", "6.4.6"),
    *("6.5.0", "6.6.9", "6.6.17", "6.7.3", "6.8.0", "6.9.0", "6.10.0", "6.11.11", "6.12.117"),
    *("6.14.0", "6.17.0", "6.19.0", "7.1.5", "7.2.13", "7.3.4"),
)
"""Releases whose source was read; together, the grid on which the histories can be told apart."""


def numbers_of(release: str) -> Numbers:
    """Give the first three numbers of a release: (6, 1, 0) of "6.1"."""
    return tuple(int(number) for number in (*release.split("."), "0", "0")[:3])


class Span(NamedTuple, Generic[T]):
    """What held from one release to another, both included.

    A last release of two numbers stands for all of its stable ones.
    """

    first: str
    last: str
    value: T

    def holds(self, release: str) -> bool:
        at, last = numbers_of(release), tuple(map(int, self.last.split(".")))
        return numbers_of(self.first) <= at and at[: len(last)] <= last


@dataclass(frozen=True)
class History(Generic[T]):
    """What held when, oldest first."""

    spans: tuple[Span[T], ...]

    def __contains__(self, release: str) -> bool:
        """Whether the facts say anything of a release."""
        return any(span.holds(release) for span in self.spans)

    def __getitem__(self, release: str) -> T:
        return next(span.value for span in self.spans if span.holds(release))

    def get(self, release: str) -> T | None:
        """Give what held in a release, or None where the facts do not say."""
        return next((span.value for span in self.spans if span.holds(release)), None)

    @property
    def edges(self) -> list[str]:
        """The first and the last release of each span, of those that were read or end one."""
        edges = []
        for span in self.spans:
            ends = (span.first, span.last)
            inside = ascending(filter(span.holds, (*RELEASES_READ, *ends)))
            edges += [inside[0], inside[-1]]
        return list(dict.fromkeys(edges))

    def when(self, *values: T) -> list[str]:
        """Give the edges at which one of *values* held."""
        return [release for release in self.edges if self[release] in values]


def ascending(releases: Iterable[str]) -> list[str]:
    """Sort releases by their numbers; of two names for one, the later given stays."""
    by_numbers = {numbers_of(release): release for release in releases}
    return [by_numbers[numbers] for numbers in sorted(by_numbers)]


def history(*spans: tuple[str, str, T]) -> History[T]:
    return History(tuple(Span(*span) for span in spans))


# -- the list, its nodes, its blocks

NODE_ALLOCATOR = history(("2.6.35", "3.16", "chunks"), ("3.17", "7.3", "free list"))
WITHOUT_A_NODE = history(("2.6.35", "5.9", "mapped all the same"), ("5.10", "7.3", "-ENOMEM"))
"""What becomes of a block for which there is no node."""
WARNINGS = history(
    ("2.6.35", "3.16", {"vmemmap_list_alloc", "vmemmap_list_populate"}),
    ("3.17", "5.9", {"vmemmap_list_alloc", "vmemmap_list_populate", "vmemmap_list_free"}),
    ("5.10", "7.3", {"vmemmap_list_alloc"}),
)
"""Which functions have a WARN_ON(1). Read in 2.6.35, 3.9, 4.9 and around ccaea15296f9 (v5.10)."""
WARNING_FORM = history(
    ("2.6.35", "2.6.35", "Badness at {file}:{line}"),
    ("5.1", "7.3", "WARNING: CPU: 0 PID: {pid} at {file}:{line} {function}+"),
)
"""As logs have it of 2.6.31 and 2.6.34, and of 5.1, 5.11, 6.2, 6.11 and 6.17."""
FAILED_MAPPING = history(("2.6.35", "4.4", "BUG"), ("4.7", "7.3", "-EFAULT"))
POPULATED = history(
    ("2.6.35", "3.16", "from the block's start, by sections"),
    ("3.17", "5.4", "by sections"),
    ("5.5", "7.3", "by subsections"),
)
"""How vmemmap_populated() looks for memory that a block describes."""
ALTMAP = history(
    ("2.6.35", "4.12", "none"),
    ("4.14", "4.15", "looked up"),
    ("4.16", "4.18", "only it"),
    ("4.19.0", "4.19.0", "only it"),
    # In 4.19 stable since January 2019; in mainline since 4.20 or 5.0, which is open.
    ("4.19.71", "4.19", "else RAM"),
    ("5.0", "5.3", "else RAM"),
    ("5.4", "7.3", "else RAM, and not across its end"),
)
"""From where a block of device memory comes."""

RADIX_LIST = history(("4.7", "6.5", True), ("6.6", "7.3", False))
"""Whether radix keeps it (1.4)."""
VMEMMAP_FREE = history(
    ("2.6.35", "3.4", "missing"), ("3.10.35", "3.16", "empty"), ("3.17", "7.3", "real")
)
"""What it is on powerpc (1.2)."""
ZEROED = history(("2.6.35", "3.18", True), ("6.12.117", "7.3", False))
"""Whether blocks and pages of nodes are cleared (7.3)."""
SMALL_KERNEL_64K_BLOCKS = history(("2.6.35", "5.2", True), ("5.3", "7.3", False))
"""Whether a kernel with 4 KiB pages takes 64 KiB for its blocks (2.1)."""

# -- page tables (4.1, 4.3)

INDEX_BITS = {
    65536: history(
        ("2.6.35", "3.6", (12, 12, 0, 4)),
        ("3.8.13", "3.9", (12, 12, 0, 6)),
        ("3.10", "4.5", (8, 10, 0, 12)),
        ("4.7.4", "4.10", (8, 5, 5, 12)),
        ("4.12", "4.15", (8, 10, 7, 8)),
        ("4.18", "7.3", (8, 10, 10, 8)),
    ),
    4096: history(("2.6.35", "3.6", (9, 7, 7, 9)), ("3.8.13", "7.3", (9, 7, 9, 9))),
}
"""Of PTE, PMD, PUD and PGD on hash."""
ENTRIES = history(
    ("2.6.35", "4.4", "present 0x1, pointers virtual"),
    ("4.5.0", "4.5.0", "present 0x2, leaf 0x1, pointers virtual"),
    ("4.7", "4.19", "big-endian, present bit 63, leaf bit 62, pointers physical"),
    ("4.20", "7.3", "and bit 63 in pointers of hash"),
)

# -- sections and hotplug (5.4, 7.1, 7.2)

SECTION_ROOTS = history(("2.6.35", "4.14.0", "static"), ("4.14.355", "7.3", "allocated"))
ONLINE_MARK = history(("2.6.35", "4.12.0", False), ("4.14.0", "7.3", True))
EARLY_MARK = history(("2.6.35", "5.2", False), ("5.3", "7.3", True))
PARTS = history(("2.6.35", "5.2", False), ("5.3", "7.3", True))
"""Whether parts of sections come and go."""
HOTPLUG_LOCK = history(
    ("2.6.35", "2.6.35", "lock_system_sleep"),
    ("2.6.37", "3.15", "mutex"),
    ("3.16", "4.12.0", "mem_hotplug_begin"),
    ("4.14.0", "7.3", "percpu rwsem"),
)
DEVICE_HOTPLUG_LOCK = history(("2.6.35", "4.19", False), ("4.20", "7.3", True))

# -- compound pages and slabs (5.7, 5.9)

COMPOUND = history(
    ("2.6.35", "3.0", "order in lru.prev of the second page"),
    ("3.1", "4.2", "the same, in a struct page in another order"),
    ("4.4.155", "4.15", "compound_head; order and destructor of 4 bytes"),
    ("4.18", "6.5", "of 1 byte, in a struct page in another order"),
    ("6.6.0", "6.6.29", "order in the second page's flags, and a bit for hugetlb"),
    ("6.6.30", "6.6", "a type for hugetlb"),
    ("6.7", "6.8.8", "order in the second page's flags, and a bit for hugetlb"),
    ("6.8.9", "7.3", "a type for hugetlb"),
)
SLAB_IN_MAPPING = history(("2.6.35", "6.1", False), ("6.2", "7.3", True))

MMU_PAGE_16M = history(
    ("2.6.35", "3.1", 7), ("3.4", "3.13", 8), ("3.14", "4.9", 9), ("4.10", "7.3", 10)
)
"""The index of 16 MiB in mmu_psize_defs[]."""
MMU_PSIZE_DEF_BYTES = history(
    ("2.6.35", "3.9", 32), ("3.10", "3.13", 80), ("3.14", "5.13", 88), ("5.14", "7.3", 96)
)

RADIX_BLOCKS = history(
    ("4.7", "4.7", "2 MiB"),
    ("4.9.0", "4.9.193", "base pages"),
    ("4.9.232", "4.9", "2 MiB"),
    ("4.10", "4.13", "base pages"),
    ("4.14.0", "4.14.145", "base pages"),
    ("4.14.355", "4.14", "2 MiB"),
    ("4.15", "4.18", "base pages"),
    ("4.19.0", "4.19.71", "base pages"),
    ("4.19.191", "4.19", "2 MiB"),
    ("4.20", "5.1", "base pages"),
    ("5.2.0", "5.2.1", "base pages"),
    ("5.3", "7.3", "2 MiB"),
)
"""What the radix MMU's vmemmap is built of. Commit 89a3496e0664 (v5.3), which was reviewed for 4.9,
4.14 and 4.19 stable on 20 September 2019."""

REMOVED_SECTION = history(
    ("2.6.35", "5.2", "0"),
    ("5.3", "5.3", "the encoding of NULL"),
    ("5.4.0", "5.4.18", "the encoding of NULL"),
    ("5.4.19", "5.4", "0"),
    ("5.5.0", "5.5.2", "the encoding of NULL"),
    ("5.5.3", "7.3", "0"),
)
"""What a removed section's entry of mem_section holds."""

# -- nodes and zones

ZONES = history(
    ("2.6.35", "3.10", ("DMA", "Normal", "Movable")),
    ("4.9", "4.9", ("DMA", "DMA32", "Normal", "Movable")),
    ("5.0", "7.3", ("Normal", "Movable")),
)
"""Zones beside that of device memory: 3.10.99's Kconfig, and a 2.6.35.6, a 4.9.154 and a 6.1 that
name them at boot."""
CACHED_ZONELISTS = history(("2.6.35", "2.6.35", True), ("4.9", "7.3", False))
"""Whether zonelists have a cache of full zones, by the sizes that a 2.6.35.6 and a 4.9.154 tell."""
DEVICE_ZONE = history(("2.6.35", "6.1", False), ("6.12", "7.3", True))
"""Whether there is a zone for device memory though there is none: as Debian builds its kernels."""
MOVABLE_LIST = history(("2.6.35", "3.10", 2), ("4.9", "7.3", 1))
"""Which list of a free area has the pages that can be moved: read in 3.10.99, found in 4.9.154."""
RESIZE_LOCK = history(
    ("2.6.35", "4.18", True),
    ("4.19.0", "4.19.71", True),
    ("4.19.191", "4.19", False),
    ("4.20", "4.20", True),
    ("5.0", "7.3", False),
)
"""Whether adding a section takes pgdat_resize_lock; in 4.19 stable not since January 2020."""

# -- VMCOREINFO

KEYS = {
    "KERNELOFFSET": history(("2.6.35", "5.4", False), ("5.5", "7.3", True)),
    "BUILD-ID": history(("2.6.35", "5.13", False), ("5.14", "7.3", True)),
    "SYMBOL(clear_idx)": history(
        ("2.6.35", "4.5", False), ("4.6", "5.9", True), ("5.10", "7.3", False)
    ),
    "SYMBOL(node_data)": history(("2.6.35", "2.6.35", False), ("2.6.37", "7.3", True)),
    "SYMBOL(vmemmap_list)": history(("2.6.35", "3.12", False), ("3.13", "7.3", True)),
    "OFFSET(page._mapcount)": history(("2.6.35", "3.8", False), ("3.9", "7.3", True)),
    "NUMBER(PG_head_mask)": history(("2.6.35", "3.15", False), ("3.16", "7.3", True)),
    "NUMBER(PG_swapbacked)": history(("2.6.35", "4.15", False), ("4.18", "7.3", True)),
    "NUMBER(MAX_PHYSMEM_BITS)": history(("2.6.35", "5.7", False), ("5.9", "7.3", True)),
    "NUMBER(SECTION_SIZE_BITS)": history(
        ("2.6.35", "5.9", False), ("5.11.0", "5.11.0", False), ("5.13", "7.3", True)
    ),
    "NUMBER(RADIX_MMU)": history(("2.6.35", "6.4", False), ("6.6.9", "7.3", True)),
    "SYMBOL(vmemmap)": history(("2.6.35", "6.8", False), ("6.9", "7.3", True)),
}
"""Which kernels have a key. 74277f00b232 (KERNELOFFSET) is not in 5.4.28, and in 5.5.13."""

# -- addresses

FOUR_K, SIXTY_FOUR_K = 4096, 65536
OLD_REGIONS = (0xD000000000000000, 0xD000080000000000, 0xF000000000000000)
WIDE_VMALLOC = (0xD000000000000000, 0xD000380000000000, 0xF000000000000000)
HASH_REGIONS = {
    SIXTY_FOUR_K: history(
        ("2.6.35", "4.12", OLD_REGIONS),
        ("4.14", "5.1", WIDE_VMALLOC),
        ("5.2", "7.3", (0xC008000000000000, 0xC00A000000000000, 0xC00C000000000000)),
    ),
    FOUR_K: history(
        ("2.6.35", "4.12", OLD_REGIONS),
        ("4.14", "5.1", WIDE_VMALLOC),
        ("5.2", "5.7", (0xC000100000000000, 0xC000200000000000, 0xC000300000000000)),
        ("5.9", "5.9", (0xC000100000000000, 0xC000200000000000, 0xC000300000000000)),
        # In some 5.8 stable, too.
        ("5.10", "7.3", (0xC0003D0000000000, 0xC0003E0000000000, 0xC0003F0000000000)),
    ),
}
"""Where vmalloc, I/O and vmemmap begin, by page size."""
MAX_PHYSMEM_BITS = {
    SIXTY_FOUR_K: history(
        ("2.6.35", "3.6", 44), ("3.7", "4.18", 46), ("4.19", "4.19", 47), ("4.20", "7.3", 51)
    ),
    FOUR_K: history(
        ("2.6.35", "3.6", 44),
        ("3.7", "4.18", 46),
        ("4.19", "4.19", 47),
        ("4.20", "5.9", 46),
        ("5.10", "7.3", 51),
    ),
}
"""How far physical addresses reach, by page size."""
RADIX_REGIONS = history(
    ("4.7", "5.1", (0xC008000000000000, 0xC00C000000000000, 0xC00A000000000000)),
    ("5.2", "7.3", (0xC008000000000000, 0xC00A000000000000, 0xC00C000000000000)),
)

MAP_PRINTED = history(
    ("2.6.35", "5.1", None),
    ("5.2", "5.2", ("hash-mmu: kernel {} start", {"vmalloc": 3, "IO": 8, "vmemmap": 3})),
    ("5.6", "7.3", ("{} start", {"vmalloc": 5, "IO": 10, "vmemmap": 5})),
)
"""The lines of boot that tell where the regions begin, and spaces before the equals sign.

As logs have them of 5.2-rc6 and of 5.6-rc2, 6.1 and 6.2; between, the prefix went away."""

# -- struct page


class Offsets(NamedTuple):
    """Bytes from the beginning of struct page."""

    mapping: int
    pgoff: int
    private: int
    mapcount: int
    refcount: int
    lru: int


STRUCT_PAGE = history(
    ("2.6.35", "3.0", Offsets(24, 32, 16, 12, 8, 40)),
    ("3.1", "4.15", Offsets(8, 16, 48, 24, 28, 32)),
    ("4.18", "7.3", Offsets(24, 32, 40, 48, 52, 8)),
)

STRUCT_PAGE_BYTES = history(("2.6.35", "3.18", 56), ("3.19", "7.3", 64))
"""With memory cgroups, which had no member in it until 3.18: counted in 3.10.99."""


class FlagBits(NamedTuple):
    """Bit numbers in page.flags; None for a flag that is not there."""

    lru: int
    slab: int | None
    private: int
    head: int
    tail: int | None
    swapcache: int
    swapbacked: int
    hwpoison: int
    buddy: int | None = None


FLAG_BITS = history(
    ("2.6.35", "2.6.37", FlagBits(5, 7, 11, 14, 15, 16, 20, 23, buddy=19)),
    ("2.6.38", "4.2", FlagBits(5, 7, 11, 14, 15, 16, 19, 22)),
    ("4.4", "4.9", FlagBits(5, 7, 11, 14, None, 15, 18, 21)),
    ("4.10", "4.19", FlagBits(5, 8, 12, 15, None, 9, 18, 21)),
    ("4.20", "6.5", FlagBits(4, 9, 13, 16, None, 10, 19, 22)),
    ("6.6", "6.9", FlagBits(5, 11, 15, 6, None, 12, 19, 22)),
    ("6.10", "6.11", FlagBits(5, None, 14, 6, None, 11, 18, 21)),
    ("6.12", "6.13", FlagBits(5, None, 14, 6, None, 10, 17, 20)),
    ("6.14", "7.3", FlagBits(5, None, 14, 6, None, 10, 17, 21)),
)


class TypeValues(NamedTuple):
    """What _mapcount holds in pages of a type; None where it does not tell that type."""

    buddy: int | None = None
    offline: int | None = None
    hugetlb: int | None = None
    slab: int | None = None


TYPE_VALUES = history(
    ("2.6.35", "2.6.37", TypeValues()),
    ("2.6.38", "2.6.38", TypeValues(-2)),
    ("2.6.39", "4.17", TypeValues(-128)),
    ("4.18", "5.0", TypeValues(-129)),
    ("5.1", "6.5", TypeValues(-129, -257)),
    ("6.6.0", "6.6.29", TypeValues(-129, -257)),
    ("6.6.30", "6.6", TypeValues(-129, -257, -2049)),
    ("6.7", "6.7", TypeValues(-129, -257)),
    ("6.8.0", "6.8.8", TypeValues(-129, -257)),
    ("6.8.9", "6.9", TypeValues(-129, -257, -2049)),
    ("6.10", "6.10", TypeValues(-129, -257, -2049, -4097)),
    ("6.11", "6.11", TypeValues(-0x40000001, -0x20000001, -0x04000001, -0x02000001)),
    ("6.12", "7.3", TypeValues(*(byte - 256 << 24 for byte in (0xF0, 0xF1, 0xF4, 0xF5)))),
)


class CompoundMarks(NamedTuple):
    """How a compound page is told: in its tails, in the second of them, and that it is hugetlb."""

    tail: str
    order: str
    hugetlb: str


COMPOUND_MARKS = history(
    ("2.6.35", "4.2", CompoundMarks("PG_tail", "lru.prev", "lru.next")),
    ("4.4", "4.15", CompoundMarks("compound_head", "32 bits", "dtor")),
    ("4.16", "6.5", CompoundMarks("compound_head", "8 bits", "dtor")),
    ("6.6.0", "6.6.29", CompoundMarks("compound_head", "flags", "PG_hugetlb")),
    ("6.6.30", "6.6", CompoundMarks("compound_head", "flags", "type")),
    ("6.7", "6.7", CompoundMarks("compound_head", "flags", "PG_hugetlb")),
    ("6.8.0", "6.8.8", CompoundMarks("compound_head", "flags", "PG_hugetlb")),
    ("6.8.9", "7.3", CompoundMarks("compound_head", "flags", "type")),
)


class CompoundOffsets(NamedTuple):
    """Bytes from the beginning of a tail page, or of the second page; None where there is none."""

    head: int
    dtor: int | None
    order: int


COMPOUND_OFFSETS = history(
    ("4.4", "4.15", CompoundOffsets(32, 40, 44)),
    ("4.16", "4.16", CompoundOffsets(32, 40, 41)),
    ("4.18", "6.5", CompoundOffsets(8, 16, 17)),
    ("6.6", "7.3", CompoundOffsets(8, None, 0)),
)
