"""Why bytes cannot be had: one vocabulary for errors, translations and struct pages.

A container knows the first six reasons. What the kernel had at an address that no memory range of
the dump covers is asked of mem_section: that gives the next three (``translate/explained.py``), and
of struct pages the last.
"""

from __future__ import annotations

from enum import IntEnum


class Absence(IntEnum):
    """Why bytes cannot be had; `word` is what programs see, the number stands in arrays."""

    READ = 0
    """They can: nothing is absent."""
    NO_ENTRY = 1
    """No list entry, or no page table entry, says where they are."""
    EXCLUDED = 2
    """The dump's ranges cover them, but whoever wrote the dump left the page out."""
    LOST = 3
    """The file should have the page, but says that it was never written."""
    NOT_IN_DUMP = 4
    """No memory range of the dump covers them, and what the kernel had there is not known."""
    TRUNCATED = 5
    """The file ends before them."""
    CORRUPT = 6
    """The page is in the file and cannot be decoded."""
    HOT_ADDED = 7
    """The kernel had memory there that the dump's headers do not know."""
    RESERVED = 8
    """The kernel had memory there from boot on, and the dump's headers leave it out."""
    NO_MEMORY = 9
    """The kernel had no memory there: a hole, or a device."""
    ON_DEVICE = 10
    """It is a struct page of device memory, and lies on the device itself."""

    @property
    def word(self) -> str:
        """The reason as programs see it, such as ``not_in_dump``."""
        return self.name.lower()

    @property
    def explanation(self) -> str:
        """The reason as people read it, of a byte of memory."""
        return _EXPLANATIONS[self]

    def __str__(self) -> str:
        return self.word


_EXPLANATIONS = {
    Absence.READ: "in this dump",
    Absence.NO_ENTRY: "not backed: no vmemmap_list entry, or page table entry, says where it is",
    Absence.EXCLUDED: "excluded from this dump",
    Absence.LOST: "not in this file, which was cut short",
    Absence.NOT_IN_DUMP: "not in this dump: no memory range of it covers the address",
    Absence.TRUNCATED: "behind the end of this file",
    Absence.CORRUPT: "in this file, but it cannot be decoded",
    Absence.HOT_ADDED: (
        "hot-added memory: the kernel had it, but it came after kexec was loaded, so the dump's "
        "headers do not cover it"
    ),
    Absence.RESERVED: (
        "memory that the kernel had from boot on and that the dump's headers leave out, as they do "
        "the crash kernel's own"
    ),
    Absence.NO_MEMORY: "no memory: the kernel had none there (a hole, or a device)",
    Absence.ON_DEVICE: "on a device, of which no dump contains the memory",
}
