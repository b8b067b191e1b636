"""Which page table format the mainline kernel of a release had: the tie-break, not the evidence.

Distributions carry parts of newer kernels back, so a release number proves nothing. It is asked
only where a dump's own page tables fit several formats equally well, or hold nothing to try.

Source: Linux arch/powerpc/include/asm/book3s/64/{hash-4k,hash-64k,hash,radix,pgtable}.h and, up to
4.4, arch/powerpc/include/asm/{pgtable-ppc64-4k,pgtable-ppc64-64k,pte-hash64*}.h.
"""

from __future__ import annotations

from vmemmap.facts.mmu import HASH, RADIX
from vmemmap.facts.release import Release

FIRST_VERSIONS: dict[tuple[str, int], tuple[str, ...]] = {
    (HASH, 4096): ("2.6.35", "3.7", "3.10", "4.5", "4.6", "4.7", "4.11"),
    (HASH, 65536): (
        "2.6.35", "3.7", "3.10", "3.11", "4.5", "4.6", "4.7", "4.11", "4.12", "4.17",
    ),
    (RADIX, 4096): ("4.7", "4.11"),
    (RADIX, 65536): ("4.7", "4.11"),
}  # fmt: skip
"""The versions that changed geometry or entries, oldest first, by MMU and page size in bytes."""


def format_name(mmu: str, page_size: int, since: str) -> str:
    """Give the name of the format that kernels have since a version, such as hash-64k-4.17."""
    return f"{mmu}-{page_size >> 10}k-{since}"


def format_of_release(mmu: str, page_size: int, release: Release) -> str | None:
    """Name the format of the mainline kernel of *release*, or None if that is not known.

    Args:
        mmu: ``hash`` or ``radix``.
        page_size: The kernel's page size in bytes: 4096 or 65536.
        release: The kernel's.
    """
    if not release.is_known:
        return None
    versions = FIRST_VERSIONS[mmu, page_size]
    reached = [since for since in versions if Release(since) <= release]
    return format_name(mmu, page_size, reached[-1] if reached else versions[0])
