"""Kernel facts that change with the version, page size and MMU.

Tables only. Reference: ppc64-kernel.md 2.2, 2.3, 3.1, 3.2, 4.1, 4.5 and 5.4.
"""

from __future__ import annotations

import re
from typing import Literal

Layout = Literal["c00c", "f000", "c0003f", "c00030", "c00a"]
Mmu = Literal["hash", "radix"]
Version = tuple[int, int]

VMEMMAP_BASES: dict[Layout, int] = {
    "c00c": 0xC00C000000000000,
    "f000": 0xF000000000000000,
    "c0003f": 0xC0003F0000000000,
    "c00030": 0xC000300000000000,
    "c00a": 0xC00A000000000000,
}
VMALLOC_BASES: dict[Layout, int] = {
    "c00c": 0xC008000000000000,
    "f000": 0xD000000000000000,
    "c0003f": 0xC0003D0000000000,
    "c00030": 0xC000100000000000,
    "c00a": 0xC008000000000000,
}
# A release in which the layout was really used.
RELEASES: dict[Layout, str] = {
    "c00c": "6.1.0-50",
    "f000": "4.18.0-80",
    "c0003f": "6.1.0-50",
    "c00030": "5.4.0-100",
    "c00a": "4.18.0-80",
}

# MMU_PAGE_* index -> shift, from 4K (0) on; index 3 is 64K_AP, which never backs the vmemmap.
_MMU_PAGES: tuple[tuple[Version, tuple[int, ...]], ...] = (
    ((4, 10), (12, 14, 16, 0, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36)),
    ((3, 14), (12, 14, 16, 0, 18, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36)),
    ((3, 2), (12, 14, 16, 0, 18, 20, 22, 23, 24, 26, 28, 30, 34, 36)),
    ((0, 0), (12, 14, 16, 0, 18, 20, 23, 24, 28, 30, 34, 36)),
)
_PSIZE_DEF_BYTES: tuple[tuple[Version, int], ...] = (
    ((5, 14), 96),
    ((3, 14), 88),
    ((3, 10), 80),
    ((0, 0), 32),
)
HARDWARE_SHIFTS: dict[Mmu, tuple[int, ...]] = {"hash": (12, 16, 24, 34), "radix": (12, 16, 21, 30)}


def version_of(release: str) -> Version:
    """Return (major, minor) of an OSRELEASE text."""
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is None:
        raise ValueError(f"no kernel version in {release!r}")
    return int(match[1]), int(match[2])


def mmu_page_shifts(version: Version) -> tuple[int, ...]:
    """Page shift by MMU_PAGE_* index; 0 where the index is no size of its own."""
    return next(shifts for since, shifts in _MMU_PAGES if version >= since)


def psize_def_bytes(version: Version) -> int:
    """SIZE(mmu_psize_def) in bytes; shift is always at offset 0."""
    return next(size for since, size in _PSIZE_DEF_BYTES if version >= since)


def max_physmem_bits(version: Version, page_size: int) -> int:
    """MAX_PHYSMEM_BITS with SPARSEMEM_VMEMMAP and SPARSEMEM_EXTREME."""
    if version < (3, 7):
        return 44
    if version < (4, 19):
        return 46
    if version < (4, 20):
        return 47
    return 51 if page_size == 0x10000 or version >= (5, 10) else 46


def section_flags(version: Version) -> int:
    """Flag bits of section_mem_map for a boot-time section with struct pages, online."""
    flags = 0x3
    if version >= (4, 13):
        flags |= 0x4
    if version >= (5, 3):
        flags |= 0x8
    return flags


def uts_name_offset(version: Version) -> int:
    """OFFSET(uts_namespace.name): a reference count came first until 5.10."""
    return 0 if version >= (5, 11) else 4


def radix_keeps_list(version: Version) -> bool:
    """Whether vmemmap_list is filled under radix (the 6.6 kernel stopped that)."""
    return version < (6, 6)


def table_bits(version: Version, page_size: int, mmu: Mmu) -> tuple[int, int, int, int]:
    """Index bits of PTE, PMD, PUD and PGD tables; 0 for a level folded away."""
    small = page_size == 0x1000
    if mmu == "radix":
        return (9 if small else 5, 9, 9, 13)
    if small:
        return (9, 7, 9, 9) if version >= (3, 7) else (9, 7, 7, 9)
    if version < (3, 10):
        return (12, 12, 0, 6 if version >= (3, 7) else 4)
    if version < (4, 6):
        return (8, 10, 0, 12)
    if version >= (4, 17):
        return (8, 10, 10, 8)
    return (8, 10, 7, 8) if version >= (4, 12) else (8, 5, 5, 12)
