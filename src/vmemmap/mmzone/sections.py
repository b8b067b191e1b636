"""mem_section: which 16 MiB sections of memory have struct pages, and in what state they are.

Only what SPARSEMEM_EXTREME has, as every ppc64 kernel; parts of sections are in ``subsections.py``.

Source: Linux mm/sparse.c, include/linux/mmzone.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.errors import PageExcluded, ReadError
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, subtract
from vmemmap.linear_map import linear_phys
from vmemmap.mmzone.section_layout import (
    FLAG_BITS,
    HAS_MEM_MAP,
    IS_EARLY,
    IS_ONLINE,
    MARKED_PRESENT,
    SectionLayout,
)
from vmemmap.source.base import PhysicalSource

_ROOTS_AT_A_TIME = 1 << 16
_FINDINGS_MAX = 20
_SECTIONS_MAX = 1 << 26
"""1 PiB of memory; a table that claims more is damage."""
_RUNS_MAX = 1 << 21


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


class SectionTable:
    """All sections that have struct pages, as runs.

    Args:
        runs: Shape (n, 3), int64: first section, section after the last, flags; sorted.
        pages_per_section: Pages in a section.
        findings: What is wrong with mem_section.
        removed: How many sections are marked present without a memory map.
        assumed: The runs are not from mem_section.
        roots: Virtual address of the root array that they were read from.
        pfns: Shape (n, 2), int64: the pages of each run, where some are of parts of sections.
    """

    def __init__(
        self,
        runs: NDArray[np.int64],
        pages_per_section: int,
        findings: tuple[Finding, ...] = (),
        removed: int = 0,
        assumed: bool = False,
        roots: int = 0,
        pfns: Intervals | None = None,
    ) -> None:
        self._runs = runs
        self.roots = roots
        self.pages_per_section = pages_per_section
        self.findings = findings
        self.removed = removed
        self.assumed = assumed
        self.marks_online = bool((runs[:, 2] & IS_ONLINE).any())
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
        return SectionTable(
            runs, per, findings, self.removed, self.assumed, roots=self.roots, pfns=pfns
        )

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


def read_sections(
    source: PhysicalSource, layout: SectionLayout, vmemmap_base: int
) -> SectionTable | str:
    """Read mem_section.

    Args:
        source: The dump's physical memory.
        layout: How it is cut.
        vmemmap_base: What every section's memory map has to be, with SPARSEMEM_VMEMMAP.

    Returns:
        The sections; or, in words, why SYMBOL(mem_section) leads to none, read as the root array or
        as a pointer to it.
    """
    best: _Sections | None = None
    for address in _readings(source, layout):
        found = _Sections(source, layout, vmemmap_base, address)
        # Where neither is one, the first says why: it is what VMCOREINFO means since 4.15.
        if best is None or found.good > best.good:
            best = found
        if best.good and not best.strange:
            break
    if best is not None and best.good:
        return best.table()
    if best is not None and best.findings:
        return best.findings[0].message
    return f"at {layout.roots:#x} there is no table of sections, nor a pointer to one"


def _readings(source: PhysicalSource, layout: SectionLayout) -> Iterator[int]:
    """Yield the addresses at which the root array may be."""
    yield layout.roots
    # Since Linux commit 83e3c48729d9 ("mm/sparsemem: Allocate mem_section at runtime for
    # CONFIG_SPARSEMEM_EXTREME=y") (in v4.15) the symbol is a pointer, which VMCOREINFO follows only
    # since a0b1280368d1; a symbol table never does.
    phys = linear_phys(layout.roots)
    if phys is None:
        return
    try:
        yield int.from_bytes(source.read(phys, 8), layout.order)
    except ReadError:
        return


class _Sections:
    """mem_section as read from one address."""

    def __init__(
        self, source: PhysicalSource, layout: SectionLayout, base: int, address: int
    ) -> None:
        self._source, self._layout, self._base = source, layout, base
        self._address = address
        self.good = 0
        self.strange = 0
        self._removed = 0
        self.findings: list[Finding] = []
        self._runs: list[NDArray[np.int64]] = []
        self._run_count = 0
        self._last: tuple[int, NDArray[np.int64]] | None = None
        phys = linear_phys(address)
        if phys is not None:
            self._read_roots(phys)

    def _read_roots(self, phys: int) -> None:
        for first, roots in self._root_arrays(phys):
            for root in np.flatnonzero(roots).tolist():
                self._read_root(first + root, int(roots[root]))
                if self.strange > _FINDINGS_MAX and not self.good:
                    return  # this is no root array
                if self.good > _SECTIONS_MAX or self._run_count > _RUNS_MAX:
                    self._note("mem_section_long", f"more than {self.good} sections; cut here")
                    return

    def _root_arrays(self, phys: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """Yield the root array in parts, and the number of each part's first root.

        Part by part, and where one cannot be read, page by page: the array is far longer than what
        a machine uses of it, and a dump tool may have left its empty pages out.
        """
        word = np.dtype(numpy_prefix(self._layout.order) + "u8")
        count, page = self._layout.root_count, self._layout.per_root * self._layout.size
        left_out: list[ReadError] = []
        for first in range(0, count, _ROOTS_AT_A_TIME):
            end = phys + 8 * min(first + _ROOTS_AT_A_TIME, count)
            at = phys + 8 * first
            steps = [(at, end)]
            while steps:
                at, stop = steps.pop(0)
                try:
                    yield (at - phys) // 8, np.frombuffer(self._source.view(at, stop - at), word)
                except ReadError as error:
                    if stop - at > page:
                        edges = [at, *range(at // page * page + page, stop, page), stop]
                        steps = list(pairwise(edges))
                    else:
                        left_out.append(error)
        if left_out:
            text = f"{len(left_out)} pages of the root array are missing, the first: {left_out[0]}"
            if isinstance(left_out[0], PageExcluded) and self.good:
                # Such pages are empty as a rule: dump tools leave out what is filled with zeros.
                self.findings.append(Finding("mem_section_part", Severity.INFO, text))
            else:
                self._note("mem_section_unreadable", text)

    def _read_root(self, number: int, address: int) -> None:
        """Add the sections of one root; *address* is its virtual address."""
        if self._last is None or self._last[0] != address:
            self._last = address, self._runs_at(number, address)
        runs = self._last[1]
        if len(runs):
            first = number * self._layout.per_root
            self._runs.append(runs + np.array([first, first, 0], dtype=np.int64))
            self._run_count += len(runs)
            self.good += int((runs[:, 1] - runs[:, 0]).sum())

    def _runs_at(self, number: int, address: int) -> NDArray[np.int64]:
        """Read a root's runs of sections, numbered from its first."""
        layout, nothing = self._layout, np.empty((0, 3), dtype=np.int64)
        phys = linear_phys(address)
        if phys is None or address % 8:
            self._note("mem_section_root", f"root {number} is {address:#x}, no kernel address")
            return nothing
        try:
            data = self._source.view(phys, layout.per_root * layout.size)
        except ReadError as error:
            self._note("mem_section_unreadable", f"root {number}: {error}")
            return nothing
        word = np.dtype(numpy_prefix(layout.order) + "u8")
        coded = np.ndarray(layout.per_root, word, data, layout.map_offset, (layout.size,))
        used = np.flatnonzero(coded)
        values = coded[used].astype(np.uint64)
        flags = (values & np.uint64(FLAG_BITS)).astype(np.int64)
        present, has_map = (flags & MARKED_PRESENT) != 0, (flags & HAS_MEM_MAP) != 0
        self._removed += int(np.count_nonzero(present & ~has_map))
        fits = values & ~np.uint64(FLAG_BITS) == np.uint64(self._base)
        wrong = np.flatnonzero(has_map & ~fits)
        for at in wrong[:_FINDINGS_MAX].tolist():
            section = number * layout.per_root + int(used[at])
            self._note(
                "section_mem_map",
                f"section {section} has its memory map at {int(values[at]):#x}, not in the vmemmap "
                f"at {self._base:#x}",
            )
        self.strange += max(len(wrong) - _FINDINGS_MAX, 0)
        sound = has_map & fits
        return _as_runs(used[sound].astype(np.int64), flags[sound])

    def _note(self, code: str, message: str) -> None:
        self.strange += 1
        if len(self.findings) < _FINDINGS_MAX:
            text = f"mem_section: {message}; pages of such sections are not counted"
            self.findings.append(Finding(code, Severity.ERROR, text))

    def table(self) -> SectionTable:
        runs = np.concatenate(self._runs)
        # Runs of neighbouring roots that touch and agree become one.
        new = np.r_[True, (runs[1:, 0] != runs[:-1, 1]) | (runs[1:, 2] != runs[:-1, 2])]
        first = np.flatnonzero(new)
        last = np.r_[first[1:] - 1, len(runs) - 1]
        joined = np.stack([runs[first, 0], runs[last, 1], runs[first, 2]], axis=1)
        return SectionTable(
            joined,
            self._layout.pages_per_section,
            tuple(self.findings),
            self._removed,
            roots=self._address,
        )


def _as_runs(numbers: NDArray[np.int64], flags: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give rows of start, end, flags for sorted section numbers."""
    if not len(numbers):
        return np.empty((0, 3), dtype=np.int64)
    first = np.flatnonzero(np.r_[True, (np.diff(numbers) != 1) | (np.diff(flags) != 0)])
    last = np.r_[first[1:] - 1, len(numbers) - 1]
    return np.stack([numbers[first], numbers[last] + 1, flags[first]], axis=1)


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
