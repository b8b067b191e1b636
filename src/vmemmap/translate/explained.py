"""A dump's memory whose errors say why the bytes are not there: by mem_section, where needed."""

from __future__ import annotations

from typing import Protocol

from vmemmap.absence import Absence
from vmemmap.errors import FactError, HotAdded, NotInDump, ReadError
from vmemmap.memory import CLOSED
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.source.base import PhysicalSource


class KernelSections(Protocol):
    """Whoever knows which memory the kernel had; it is asked only where bytes are missing."""

    @property
    def mem_section(self) -> MemSection:
        """The kernel's table of sections."""
        ...


class ExplainedMemory:
    """A dump's memory whose errors say why the bytes are not there.

    Args:
        dump: The dump.
        kernel: Knows which memory the kernel had.
    """

    def __init__(self, dump: PhysicalSource, kernel: KernelSections) -> None:
        self._dump, self._kernel = dump, kernel

    def close(self) -> None:
        """Let go of the kernel: of a closed dump nothing is read, and so nothing explained."""
        self._kernel = CLOSED

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at *address*; see `Memory.read`.

        Raises:
            HotAdded: The kernel had memory there that was added after kexec was loaded.
            ReadError: As the dump's own ``read``.
        """
        try:
            return self._dump.read(address, size)
        except NotInDump as error:
            why = self.explain(error.phys)
            if why is Absence.NOT_IN_DUMP:
                raise
            kind = HotAdded if why is Absence.HOT_ADDED else NotInDump
            raise kind(f"{error} ({why.explanation})", phys=error.phys) from error

    def explain(self, phys: int) -> Absence:
        """Say why the byte at a physical address, which is not in the dump, is not."""
        why = self._dump.why_absent(phys)
        if why is Absence.EXCLUDED:
            return why
        if why is not Absence.NOT_IN_DUMP and why is not Absence.READ:
            return Absence.LOST  # whoever asks for an address need not know how that came
        try:
            section = self._kernel.mem_section.find(phys)
        except (FactError, ReadError):
            return Absence.NOT_IN_DUMP
        if section is None:
            return Absence.NO_MEMORY
        if section.is_device:
            return Absence.ON_DEVICE
        hot_added = section.hot_added
        if hot_added is None:  # kernels before 5.3 do not tell; the crash kernel lies in between
            hot_added = phys >= self.covered_end
        return Absence.HOT_ADDED if hot_added else Absence.RESERVED

    @property
    def covered_end(self) -> int:
        """The end of the dump's last memory range (physical, bytes)."""
        return self._dump.memory_end()
