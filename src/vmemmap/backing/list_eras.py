"""What kernels leave in the list that is odd but legal, by their release, and an empty list.

Distributions carry parts of newer kernels back, so a release proves little: it only decides how bad
a leftover is, never whether it is one.

Source: Linux arch/powerpc/mm/init_64.c, vmemmap_free(): missing or empty up to 3.16; since 3.17 it
unlinks the node and frees the block. vmemmap_populated() looks at whole sections up to 5.4, though
memory can come in parts of one since 5.3.
"""

from __future__ import annotations

from vmemmap.facts.release import Release
from vmemmap.findings import Finding, Severity

_FIRST_THAT_UNLINKS = Release("3.17")
_FIRST_WITH_PARTS, _FIRST_THAT_SEES_PARTS = Release("5.3"), Release("5.5")


def may_leave_removed(release: Release) -> bool:
    """Tell whether the kernel may leave the entries of removed memory in the list.

    Args:
        release: The kernel's; an unknown one may.
    """
    return not release.is_known or release < _FIRST_THAT_UNLINKS


def may_duplicate(release: Release) -> bool:
    """Tell whether the kernel may have two entries for one place of the vmemmap.

    Args:
        release: The kernel's; an unknown one may.
    """
    if may_leave_removed(release):
        return True
    return _FIRST_WITH_PARTS <= release < _FIRST_THAT_SEES_PARTS


def list_empty_mmu_unknown(why: str) -> Finding:
    """Make the finding for an empty list where it cannot be told whether that is right."""
    return Finding(
        "list_empty",
        Severity.WARNING,
        "vmemmap_list is empty: as it should be on the radix MMU since 6.6, damage on the hash "
        f"MMU, and which it was cannot be told ({why})",
    )


def list_empty_on_hash(mmu_evidence: str) -> Finding:
    """Make the finding for an empty list on a kernel that ran on the hash MMU."""
    return Finding(
        "list_empty",
        Severity.ERROR,
        "vmemmap_list is empty, but on the hash MMU it is the only record of the vmemmap "
        f"(the MMU: {mmu_evidence})",
    )
