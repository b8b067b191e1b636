"""What the translation of one address gives."""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.absence import Absence
from vmemmap.address import Phys, Virt, shown_in_hex


@dataclass(frozen=True, slots=True)
class Translation:
    """A virtual address that has a physical one.

    Attributes:
        virt: The address asked for.
        phys: Where its byte lies in physical memory.
        method: How it was found: vmemmap_list, linear or page_table.
        region: Name of the region it lies in.
        entry: For vmemmap_list, the index of the entry in ``core.backing``; else None.
        in_dump: The byte is stored in the dump.
        absence: Why it is not, or None where it is.
    """

    virt: Virt
    phys: Phys
    method: str
    region: str
    entry: int | None
    in_dump: bool
    absence: Absence | None = None

    def __repr__(self) -> str:
        return shown_in_hex(self, ("virt", "phys"))


@dataclass(slots=True)
class _Fillable:
    """A `Translation` in the making: fields as there, and in that order."""

    virt: int
    phys: int
    method: str
    region: str
    entry: int | None
    in_dump: bool
    absence: Absence | None


def translation(
    virt: int, phys: int, method: str, region: str, entry: int | None, absence: Absence | None
) -> Translation:
    """Make a `Translation`; arguments as its attributes.

    Of a frozen dataclass each field is set by a call, which would take a third of all the time that
    one address does. So it is filled while it may be changed.
    """
    made = _Fillable(virt, phys, method, region, entry, absence is None, absence)
    made.__class__ = Translation  # type: ignore[assignment]
    return made  # type: ignore[return-value]
