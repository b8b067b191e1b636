"""Why a byte at a physical address is not in the dump: left out, added too late, or never there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from vmemmap.errors import FactError, HotAdded, NotInDump, PageExcluded, ReadError
from vmemmap.memory import Memory
from vmemmap.mmzone.mem_section import MemSection


class Absence(StrEnum):
    """Why a byte is not in the dump; stable words for programs."""

    EXCLUDED = "excluded"
    """The dump's ranges cover it, but whoever wrote the dump left the page out."""
    LOST = "lost"
    """The file should have the page, but ends before it or says that it was never written."""
    HOT_ADDED = "hot_added"
    """The kernel had memory there that the dump's headers do not know."""
    RESERVED = "reserved"
    """The kernel had memory there from boot on, and the dump's headers leave it out."""
    NO_MEMORY = "no_memory"
    """The kernel had no memory there: a hole, or a device."""
    NOT_IN_DUMP = "not_in_dump"
    """No memory range of the dump covers it, and what the kernel had there is not known."""


_WORDS = {
    Absence.EXCLUDED: "excluded from this dump",
    Absence.LOST: "not in this file, which was cut short",
    Absence.HOT_ADDED: (
        "hot-added memory: the kernel had it, but it came after kexec was loaded, so the dump's "
        "headers do not cover it"
    ),
    Absence.RESERVED: (
        "memory that the kernel had from boot on and that the dump's headers leave out, as they do "
        "the crash kernel's own"
    ),
    Absence.NO_MEMORY: "no memory: the kernel had none there (a hole, or a device)",
    Absence.NOT_IN_DUMP: "not in this dump: no memory range of it covers the address",
}


@dataclass(frozen=True, slots=True)
class ExplainedMemory:
    """A dump's memory whose errors say why the bytes are not there.

    Attributes:
        dump: The dump.
        sections: Gives the kernel's section table.
        covered_end: The end of the dump's last memory range (physical, bytes).
    """

    dump: Memory
    sections: Callable[[], MemSection]
    covered_end: Callable[[], int]

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at *address*; see `Memory.read`.

        Raises:
            HotAdded: The kernel had memory there that was added after kexec was loaded.
            ReadError: As the dump's own ``read``.
        """
        try:
            return self.dump.read(address, size)
        except NotInDump as error:
            why = self.explain(error.phys)
            if why is Absence.NOT_IN_DUMP:
                raise
            kind = HotAdded if why is Absence.HOT_ADDED else NotInDump
            raise kind(f"{error} ({_WORDS[why]})", phys=error.phys) from error

    def explain(self, phys: int) -> Absence:
        """Say why the byte at a physical address, which is not in the dump, is not."""
        try:
            self.dump.read(phys, 1)
        except PageExcluded:
            return Absence.EXCLUDED
        except NotInDump:
            pass  # why, the container cannot know
        except ReadError:
            return Absence.LOST
        try:
            section = self.sections().find(phys)
        except (FactError, ReadError):
            return Absence.NOT_IN_DUMP
        if section is None:
            return Absence.NO_MEMORY
        hot_added = section.hot_added
        if hot_added is None:  # kernels before 5.3 do not tell; the crash kernel lies in between
            hot_added = phys >= self.covered_end()
        return Absence.HOT_ADDED if hot_added else Absence.RESERVED


def in_words(absence: Absence) -> str:
    """Give the reason as people read it."""
    return _WORDS[absence]
