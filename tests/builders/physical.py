"""Sparse physical memory of a synthetic machine: pages by PFN, with marks for dump damage.

Knows nothing of kernels or dump formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class SparseMemory:
    """Physical pages of one size.

    Attributes:
        page_size: Bytes a page, a power of two.
        pages: PFN -> page bytes. Untouched zero pages share one ``bytes`` object, written pages
            are ``bytearray``.
        excluded: PFNs that are RAM but that the dump tool left out. Kept in *pages* as well, so
            that a test can put them back.
        lost: PFNs that a kdump file lists but has no data for (an incomplete dump).
    """

    page_size: int
    pages: dict[int, bytes | bytearray] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    _zero: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._zero = bytes(self.page_size)

    def pfns(self, phys: int, size: int) -> range:
        """PFNs touched by the *size* bytes at physical address *phys*."""
        return range(phys // self.page_size, -(-(phys + size) // self.page_size))

    def reserve(self, phys: int, size: int) -> None:
        """Make every page of ``[phys, phys + size)`` exist; new ones are zero."""
        for pfn in self.pfns(phys, size):
            self.pages.setdefault(pfn, self._zero)

    def write(self, phys: int, data: bytes) -> None:
        """Write *data* at physical byte address *phys*, making pages as needed."""
        self.reserve(phys, len(data))
        done = 0
        while done < len(data):
            pfn, start = divmod(phys + done, self.page_size)
            part = data[done : done + self.page_size - start]
            page = self.pages[pfn]
            if not isinstance(page, bytearray):
                page = self.pages[pfn] = bytearray(page)
            page[start : start + len(part)] = part
            done += len(part)

    def read(self, phys: int, size: int) -> bytes:
        """Read *size* bytes at *phys*; ``KeyError`` where no page exists."""
        pieces = []
        for pfn in self.pfns(phys, size):
            start = max(phys - pfn * self.page_size, 0)
            stop = min(phys + size - pfn * self.page_size, self.page_size)
            pieces.append(bytes(self.pages[pfn][start:stop]))
        return b"".join(pieces)

    def drop(self, phys: int, size: int = 1) -> None:
        """Take the pages of ``[phys, phys + size)`` away: no RAM there, as far as a dump says."""
        for pfn in self.pfns(phys, size):
            self.pages.pop(pfn, None)
            self.excluded.discard(pfn)
            self.lost.discard(pfn)

    def exclude(self, phys: int, size: int = 1) -> None:
        """Mark the pages of ``[phys, phys + size)`` as RAM filtered out of the dump."""
        self.excluded.update(self.pfns(phys, size))

    def lose(self, phys: int, size: int = 1) -> None:
        """Mark the pages as listed in the dump without data (kdump format only)."""
        self.lost.update(self.pfns(phys, size))

    def ram_runs(self) -> Iterator[range]:
        """Yield maximal runs of consecutive PFNs, present or excluded, ascending."""
        start = previous = None
        for pfn in sorted(self.pages.keys() | self.excluded):
            if start is None or previous is None:
                start = pfn
            elif pfn != previous + 1:
                yield range(start, previous + 1)
                start = pfn
            previous = pfn
        if start is not None and previous is not None:
            yield range(start, previous + 1)
