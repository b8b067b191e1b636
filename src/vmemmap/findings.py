"""What can be wrong with the list, as records with stable codes.

A finding never stops a command by itself; it says what was met, where, and what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    """Unusual but legal."""
    WARNING = "warning"
    """Something cannot be relied on; what is listed still stands."""
    ERROR = "error"
    """The list is damaged, or part of it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing met in the list.

    Attributes:
        code: A stable word for programs.
        severity: How bad it is.
        message: One sentence for people.
        node: Virtual address of the list node concerned, or None.
        phys: Physical address concerned, or None.
        virt: Virtual address concerned (of a block), or None.
    """

    code: str
    severity: Severity
    message: str
    node: int | None = None
    phys: int | None = None
    virt: int | None = None

    def __str__(self) -> str:
        return f"{self.severity}: {self.code}: {self.message}"


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
