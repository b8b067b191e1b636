"""What can be wrong with the list, as records with stable codes.

A finding never stops a command by itself; it says what was met, where, and what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmemmap.address import shown_in_hex


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

    def __repr__(self) -> str:
        return shown_in_hex(self, ("node", "phys", "virt"))

    def __str__(self) -> str:
        return f"{self.severity}: {self.code}: {self.message}"
