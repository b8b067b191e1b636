"""Which sections of memory have struct pages, and in what state they are, as runs in arrays.

How they are read is in ``read_sections``; the parts of sections in ``subsections``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, join, subtract
from vmemmap.mmzone.section_layout import (
    HAS_MEM_MAP,
    IS_EARLY,
    IS_ONLINE,
    MARKED_PRESENT,
    TAINT_ZONE_DEVICE,
)


@dataclass(frozen=True, slots=True)
class SectionRun:
    """Sections in a row that are in the same state.

    Of the first and the last there may be a part only; then another run may have another part.

    Attributes:
        start: Number of the first.
        end: Number after the last.
        flags: The low bits of their section_mem_map.
        first_pfn: First pfn of the run.
        end_pfn: The pfn after the last.
        online: Whether they are online; None where the kernel has no such mark (before 4.13).
        assumed: They are not from mem_section, which cannot be read, but from the list.
    """

    start: int
    end: int
    flags: int
    first_pfn: int
    end_pfn: int
    online: bool | None
    assumed: bool = False

    @property
    def early(self) -> bool:
        """There since boot; False where the kernel has no such mark (before 5.3)."""
        return bool(self.flags & IS_EARLY)

    @property
    def marked_device(self) -> bool:
        """Marked as device memory, as the ends of a device are that fill no section (since 5.12).

        False where the kernel has no such mark, and for the sections between those ends.
        """
        return bool(self.flags & TAINT_ZONE_DEVICE) and not self.online

    @property
    def aside(self) -> bool:
        """Neither online nor there since boot: a device, or hot-added memory that is not in use."""
        return self.online is False and not self.early


class SectionTable:
    """All sections that have struct pages, as runs.

    Args:
        runs: Shape (n, 3), int64: first section, section after the last, flags; sorted.
        pages_per_section: Pages in a section.
        findings: What is wrong with mem_section.
        removed: How many sections are marked present without a memory map.
        assumed: The runs are not from mem_section.
        pfns: Shape (n, 2), int64: the pages of each run, where some are of parts of sections.

    Attributes:
        marks_online: The kernel marks sections that are online (since 4.13).
        marks_early: It marks those that were there at boot (since 5.3).
    """

    def __init__(
        self,
        runs: NDArray[np.int64],
        pages_per_section: int,
        findings: tuple[Finding, ...] = (),
        removed: int = 0,
        assumed: bool = False,
        pfns: Intervals | None = None,
    ) -> None:
        self._runs = runs
        self.pages_per_section = pages_per_section
        self.findings = findings
        self.removed = removed
        self.assumed = assumed
        self.marks_online = bool((runs[:, 2] & IS_ONLINE).any())
        self.marks_early = bool((runs[:, 2] & IS_EARLY).any())
        self.flags = runs[:, 2]
        whole = runs[:, :2] * pages_per_section
        self.first_pfn, self.end_pfn = np.ascontiguousarray((whole if pfns is None else pfns).T)

    def __len__(self) -> int:
        """How many sections there are."""
        return _count(self._runs)

    def __iter__(self) -> Iterator[SectionRun]:
        return (self._run(i) for i in range(len(self._runs)))

    @property
    def pages(self) -> int:
        """How many pages have a struct page."""
        return int((self.end_pfn - self.first_pfn).sum())

    @property
    def initialised(self) -> Intervals:
        """The pages whose struct pages somebody has initialised, as far as sections tell.

        Since 4.17 that waits until memory comes online.
        """
        pfns = np.column_stack([self.first_pfn, self.end_pfn])
        if self.marks_online:
            pfns = pfns[self.flags & IS_ONLINE != 0]
        return join(pfns[:, 0], pfns[:, 1])

    @property
    def not_online(self) -> int | None:
        """How many sections are not online; None where the kernel has no such mark."""
        return _count(self._runs[self.flags & IS_ONLINE == 0]) if self.marks_online else None

    def find(self, pfn: int) -> SectionRun | None:
        """Give the run that holds *pfn*, or None if its section has no struct pages."""
        at = int(np.searchsorted(self.first_pfn, pfn, side="right")) - 1
        return self._run(at) if at >= 0 and pfn < int(self.end_pfn[at]) else None

    def overlapping(self, first_pfn: int, end_pfn: int) -> Iterator[SectionRun]:
        """Yield the runs that have a page in ``[first_pfn, end_pfn)``."""
        at = int(np.searchsorted(self.end_pfn, first_pfn, side="right"))
        while at < len(self._runs) and int(self.first_pfn[at]) < end_pfn:
            yield self._run(at)
            at += 1

    def without(self, missing: Intervals, findings: tuple[Finding, ...]) -> SectionTable:
        """Give the table without some pages, and with other findings.

        Args:
            missing: Pages that have no struct page, whatever their section has.
            findings: What is wrong with mem_section.
        """
        pfns = subtract(np.column_stack([self.first_pfn, self.end_pfn]), missing)
        per, row = self.pages_per_section, np.searchsorted(self.first_pfn, pfns[:, 0], "right") - 1
        runs = np.column_stack([pfns[:, 0] // per, -(-pfns[:, 1] // per), self.flags[row]])
        return SectionTable(runs, per, findings, self.removed, self.assumed, pfns)

    def _run(self, at: int) -> SectionRun:
        start, end, flags = (int(value) for value in self._runs[at])
        return SectionRun(
            start,
            end,
            flags,
            int(self.first_pfn[at]),
            int(self.end_pfn[at]),
            bool(flags & IS_ONLINE) if self.marks_online else None,
            self.assumed,
        )


def _count(runs: NDArray[np.int64]) -> int:
    """Count the sections of runs, of which neighbours may share one."""
    shared = np.count_nonzero(runs[1:, 0] < runs[:-1, 1])
    return int((runs[:, 1] - runs[:, 0]).sum()) - int(shared)


def sections_from_blocks(
    first_pfn: NDArray[np.uint64], end_pfn: NDArray[np.uint64], pages_per_section: int, why: str
) -> SectionTable:
    """Take the sections whose struct pages the list's blocks hold, for want of mem_section.

    Args:
        first_pfn: First pfn of each block, any order.
        end_pfn: The pfn after its last.
        pages_per_section: Pages in a section.
        why: Why mem_section cannot be had.
    """
    per = np.int64(pages_per_section)
    order = np.argsort(first_pfn, kind="stable")
    starts = first_pfn[order].astype(np.int64) // per
    ends = -(-end_pfn[order].astype(np.int64) // per)
    # Blocks that touch or share a section become one run.
    far = np.maximum.accumulate(ends) if len(ends) else ends
    breaks = np.flatnonzero(starts[1:] > far[:-1]) + 1
    first = np.r_[0, breaks] if len(starts) else np.empty(0, dtype=np.int64)
    last = np.r_[breaks - 1, len(starts) - 1] if len(starts) else first
    flags = np.full(len(first), MARKED_PRESENT | HAS_MEM_MAP, dtype=np.int64)
    runs = np.stack([starts[first], far[last], flags], axis=1).astype(np.int64)
    finding = Finding(
        "mem_section_unreadable",
        Severity.WARNING,
        f"the sections are taken from vmemmap_list, since mem_section cannot be used ({why})",
    )
    return SectionTable(runs, pages_per_section, (finding,), assumed=True)
