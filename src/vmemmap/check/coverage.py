"""How much of the memory has struct pages that can be found, and read.

Sections come from mem_section (or wherever the caller has them from), backing from the list or from
page tables. Nothing is judged here; see ``audit.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals, intersect, join, subtract, total, touched
from vmemmap.mmzone.section_layout import IS_EARLY, IS_ONLINE
from vmemmap.source.base import PhysicalSource

_ASKED_AT_A_TIME = 1 << 17


@dataclass(frozen=True, slots=True)
class Sections:
    """The memory that has struct pages, as the caller knows it.

    Attributes:
        pfns: Runs of sections in the same state, as pages; they may touch.
        flags: The low bits of section_mem_map, one element a run.
        per_section: Pages in a section.
        origin: ``mem_section``, or ``vmemmap_list`` where only the list could tell.
    """

    pfns: Intervals
    flags: NDArray[np.int64]
    per_section: int
    origin: str

    @property
    def joined(self) -> Intervals:
        """The pages, whatever state they are in."""
        return join(self.pfns[:, 0], self.pfns[:, 1])

    @property
    def device(self) -> Intervals:
        """The pages of device memory, as far as sections tell: neither online nor there at boot.

        The mark of devices (since 5.12) does not tell more: only the ends of a device have it
        that fill no section.
        """
        flags = self.flags
        aside = flags & (IS_ONLINE | IS_EARLY) == 0
        if not (flags & IS_ONLINE).any():
            aside[:] = False  # a kernel without such marks
        rows = self.pfns[aside]
        return join(rows[:, 0], rows[:, 1])


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of something is there, is covered by an entry, and can be read in this dump.

    Sections count as covered, or readable, when all their struct pages are; bytes are those of the
    struct pages.
    """

    sections: int
    covered: int
    readable: int
    pages: int
    covered_pages: int
    readable_pages: int
    bytes: int
    covered_bytes: int
    readable_bytes: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of the memory the vmemmap's backing reaches.

    Attributes:
        counts: Of all memory.
        nodes: Of each NUMA node, by number; empty where the nodes cannot be told apart.
        nodes_unknown: Why they cannot, in words; None where they can.
        origin: Where the sections are from; see `Sections`.
        bare: Pages without a whole struct page in any block, as pfns.
        unread: Pages whose struct page is in a block and not in the dump, as pfns.
        on_device: Those of them whose struct page lies in device memory, as pfns.
    """

    counts: Counts
    nodes: dict[int, Counts]
    nodes_unknown: str | None
    origin: str
    bare: Intervals
    unread: Intervals
    on_device: Intervals

    def __eq__(self, other: object) -> bool:
        """Compare all of it; the default would ask arrays for one truth."""
        if not isinstance(other, Coverage):
            return NotImplemented
        mine, theirs = ((each.bare, each.unread, each.on_device) for each in (self, other))
        return (self.counts, self.nodes, self.origin) == (
            *(other.counts, other.nodes, other.origin),
        ) and all(map(np.array_equal, mine, theirs))

    def __repr__(self) -> str:
        """Give the counts of all memory."""
        all_ = self.counts
        return (
            f"Coverage: {all_.covered} of {all_.sections} sections, {all_.covered_pages} of "
            f"{all_.pages} pages; struct pages that can be read: {all_.readable_pages}"
        )


class VmemmapPart:
    """The vmemmap of some sections beside the blocks that back it, in bytes from its base.

    Args:
        sections: The sections.
        base: Virtual address of the struct page of pfn 0.
        struct_page_size: Bytes in a struct page.
        backed: Rows of virt, phys and size, by virt, without overlap.
    """

    def __init__(
        self, sections: Sections, base: int, struct_page_size: int, backed: NDArray[np.uint64]
    ) -> None:
        self.sections = sections
        self.size = struct_page_size
        self.wanted: Intervals = sections.joined * struct_page_size
        inside = backed[backed[:, 0] >= np.uint64(base)]
        start = (inside[:, 0] - np.uint64(base)).astype(np.int64)
        self.backed: Intervals = np.column_stack([start, start + inside[:, 2].astype(np.int64)])
        self._phys = inside[:, 1].astype(np.int64) - start

    @property
    def bare(self) -> Intervals:
        """Pages of which at least a part of the struct page is in no block."""
        return touched(subtract(self.wanted, self.backed), self.size)

    def unread(self, source: PhysicalSource, unit: int) -> Intervals:
        """Give the pages whose struct page is in a block, but at least in part not in the dump.

        Args:
            source: The dump.
            unit: Bytes that are in the dump together or not at all: the kernel's page.
        """
        missing = list(self._missing(source, unit))
        if not missing:
            return np.empty((0, 2), dtype=np.int64)
        rows = np.concatenate(missing)
        return touched(intersect(join(rows[:, 0], rows[:, 1]), self.wanted), self.size)

    def lying_in(self, memory: Intervals) -> Intervals:
        """Give the pages of which the struct page, or a part of it, lies in some memory.

        Args:
            memory: Physical memory, in bytes.
        """
        wanted = intersect(self.backed, self.wanted)
        shift = self._phys[np.searchsorted(self.backed[:, 0], wanted[:, 0], side="right") - 1]
        parts = [np.empty((0, 2), dtype=np.int64)]
        for start, end in memory.tolist():
            low = np.maximum(wanted[:, 0], start - shift)
            high = np.minimum(wanted[:, 1], end - shift)
            inside = low < high
            parts.append(np.column_stack([low[inside], high[inside]]))
        found = np.concatenate(parts)
        return touched(join(found[:, 0], found[:, 1]), self.size)

    def _missing(self, source: PhysicalSource, unit: int) -> Iterator[Intervals]:
        """Yield what is not in the dump, of blocks that hold struct pages of the sections."""
        wanted = intersect(self.backed, self.wanted)
        row = np.searchsorted(self.backed[:, 0], wanted[:, 0], side="right") - 1
        shift = self._phys[row]
        first = (wanted[:, 0] + shift) // unit
        counts = -(-(wanted[:, 1] + shift) // unit) - first
        ends = np.cumsum(counts)
        for low in range(0, int(ends[-1]) if len(ends) else 0, _ASKED_AT_A_TIME):
            number = np.arange(low, min(low + _ASKED_AT_A_TIME, int(ends[-1])))
            here = np.clip(ends - low, 0, len(number))
            of = np.repeat(np.arange(len(ends)), np.diff(here, prepend=0))
            phys = (first[of] + number - (ends[of] - counts[of])) * unit
            at = phys.astype(np.uint64)
            # A file that is cut off may end inside a page.
            absent = ~(source.stored_many(at) & source.stored_many(at + np.uint64(unit - 1)))
            if absent.any():
                start = phys[absent] - shift[of[absent]]
                rows = np.column_stack([start, start + unit])
                yield join(rows[:, 0], rows[:, 1])


def measure(
    part: VmemmapPart, source: PhysicalSource, page_size: int, homes: dict[int, Intervals] | str
) -> Coverage:
    """Count what is covered and what can be read.

    Args:
        part: Sections and blocks.
        source: The dump.
        page_size: The kernel's page size in bytes.
        homes: The pages of each NUMA node, or why they cannot be told apart.
    """
    bare, unread = part.bare, part.unread(source, page_size)
    everything = part.sections.joined
    on_device = intersect(unread, part.lying_in(part.sections.device * page_size))
    known = {} if isinstance(homes, str) else homes
    return Coverage(
        _count(part, everything, bare, unread),
        {
            node: _count(part, intersect(everything, home), bare, unread)
            for node, home in sorted(known.items())
        },
        homes if isinstance(homes, str) else None,
        part.sections.origin,
        bare,
        unread,
        on_device,
    )


def _count(part: VmemmapPart, pfns: Intervals, bare: Intervals, unread: Intervals) -> Counts:
    per, size = part.sections.per_section, part.size
    bare = intersect(bare, pfns)
    lost = intersect(join(np.r_[bare[:, 0], unread[:, 0]], np.r_[bare[:, 1], unread[:, 1]]), pfns)
    pages, sections = total(pfns), total(touched(pfns, per))
    covered, readable = pages - total(bare), pages - total(lost)
    return Counts(
        sections=sections,
        covered=sections - total(touched(bare, per)),
        readable=sections - total(touched(lost, per)),
        pages=pages,
        covered_pages=covered,
        readable_pages=readable,
        bytes=pages * size,
        covered_bytes=covered * size,
        readable_bytes=readable * size,
    )
