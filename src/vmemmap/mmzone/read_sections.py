"""All of mem_section at once, as the runs of sections that have struct pages.

A root is read as one column of words, and only where neighbours differ is there a new run. Of a
root of eight sections, with the vmemmap at 0xf000000000000000::

    section_mem_map  0xf..f  0xf..f  0xf..f  0       0       0xf..7  0xf..1  0xf..f
    used             0       1       2                       5       6       7
    flags            0xf     0xf     0xf                     0x7     0x1     0xf
    has_map          yes     yes     yes                     yes     no      yes
    runs             [0, 3) 0xf                              [5, 6) 0x7      [7, 8) 0xf

Section 6 is marked present without a memory map: its memory was removed.

Source: Linux mm/sparse.c, include/linux/mmzone.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import FactInvalid, PageExcluded, ReadError
from vmemmap.findings import Finding, Severity
from vmemmap.linear_map import linear_phys
from vmemmap.mmzone.mem_section import MemSection, RootArray
from vmemmap.mmzone.section_layout import (
    HAS_MEM_MAP,
    MARKED_PRESENT,
    flags_of,
    map_base_of,
)
from vmemmap.mmzone.section_table import SectionTable
from vmemmap.mmzone.subsections import cut_to_subsections

_ROOTS_AT_A_TIME = 1 << 16
_FINDINGS_MAX = 20
_SECTIONS_MAX = 1 << 26
"""1 PiB of memory; a table that claims more is damage."""
_RUNS_MAX = 1 << 21


def read_section_table(mem_section: MemSection, vmemmap_base: int) -> SectionTable:
    """Read all of mem_section, once, and cut it to the parts of sections that there are.

    Args:
        mem_section: Where it is.
        vmemmap_base: What every section's memory map has to be, with SPARSEMEM_VMEMMAP: the virtual
            address of the struct page of pfn 0.

    Raises:
        FactError: The kernel does not say where it is, or it leads to no table, neither as the root
            array nor as a pointer to it.
    """
    if vmemmap_base not in mem_section.tables:
        mem_section.tables[vmemmap_base] = _read(mem_section, vmemmap_base)
    return mem_section.tables[vmemmap_base]


def _read(mem_section: MemSection, vmemmap_base: int) -> SectionTable:
    best: _Reading | None = None
    for roots in mem_section.root_arrays():
        found = _Reading(roots, vmemmap_base)
        # Where neither is one, the first says why: it is what VMCOREINFO means since 4.15.
        if best is None or found.good > best.good:
            best = found
        if best.good and not best.strange:
            break
    if best is not None and best.good:
        return cut_to_subsections(best.table(), best.roots)
    if best is not None and best.findings:
        raise FactInvalid(best.findings[0].message, name="mem_section")
    raise FactInvalid(
        f"at {mem_section.symbol.shown} there is no table of sections, nor a pointer to one",
        name="mem_section",
    )


class _Reading:
    """mem_section as read by one root array.

    Attributes:
        good: How many sections were found.
        strange: How much was found that cannot be.
        findings: The first of that in words.
    """

    def __init__(self, roots: RootArray, base: int) -> None:
        self.roots, self._memory, self._layout = roots, roots.memory, roots.layout
        self._base = base
        self.good = 0
        self.strange = 0
        self._removed = 0
        self.findings: list[Finding] = []
        self._runs: list[NDArray[np.int64]] = []
        self._run_count = 0
        self._last: tuple[int, NDArray[np.int64]] | None = None
        # A sound root and its runs: nearly all the roots of a machine say the same.
        self._same: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
        if linear_phys(roots.virt) is not None:
            self._read_roots()

    def _read_roots(self) -> None:
        for first, roots in self._root_arrays():
            for root in np.flatnonzero(roots).tolist():
                self._read_root(first + root, int(roots[root]))
                if self.strange > _FINDINGS_MAX and not self.good:
                    return  # this is no root array
                if self.good > _SECTIONS_MAX or self._run_count > _RUNS_MAX:
                    self._note("mem_section_long", f"more than {self.good} sections; cut here")
                    return

    def _root_arrays(self) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """Yield the root array in parts, and the number of each part's first root.

        Part by part, and where one cannot be read, page by page: the array is far longer than what
        a machine uses of it, and a dump tool may have left its empty pages out.
        """
        start, count, page = self.roots.virt, self._layout.root_count, self._layout.root_bytes
        left_out: list[ReadError] = []
        for first in range(0, count, _ROOTS_AT_A_TIME):
            at, end = start + 8 * first, start + 8 * min(first + _ROOTS_AT_A_TIME, count)
            steps = [(at, end)]
            while steps:
                at, stop = steps.pop(0)
                try:
                    yield (at - start) // 8, self._memory.words(at, (stop - at) // 8)
                except ReadError as error:
                    if stop - at > page:
                        edges = [at, *range(at // page * page + page, stop, page), stop]
                        steps = list(pairwise(edges))
                    else:
                        # With its traceback it would hold this call, and so all that was read.
                        left_out.append(error.with_traceback(None))
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
        if linear_phys(address) is None or address % 8:
            self._note("mem_section_root", f"root {number} is {address:#x}, no kernel address")
            return nothing
        try:
            data = self._memory.read(address, layout.root_bytes)
        except ReadError as error:
            self._note("mem_section_unreadable", f"root {number}: {error}")
            return nothing
        column = np.ndarray(
            layout.per_root, self._memory.word_type, data, layout.map_offset, (layout.size,)
        )
        if self._same is not None and np.array_equal(column, self._same[0]):
            return self._same[1]
        used = np.flatnonzero(column)
        values = column[used].astype(np.uint64)
        flags = flags_of(values).astype(np.int64)
        present, has_map = (flags & MARKED_PRESENT) != 0, (flags & HAS_MEM_MAP) != 0
        removed = int(np.count_nonzero(present & ~has_map))
        self._removed += removed
        fits = map_base_of(values) == np.uint64(self._base)
        # What is not there has no flags: some kernels leave an address where memory was removed.
        damaged = (flags != 0) & ~present & ~has_map
        wrong = np.flatnonzero(has_map & ~fits | damaged)
        for at in wrong[:_FINDINGS_MAX].tolist():
            section, word = number * layout.per_root + int(used[at]), int(values[at])
            self._note(
                "section_mem_map",
                f"section {section} has its memory map at {word:#x}, not in the vmemmap at "
                f"{self._base:#x}"
                if has_map[at]
                else f"section {section} is not present by its section_mem_map, {word:#x}, which "
                "has other flags and no memory map",
            )
        self.strange += max(len(wrong) - _FINDINGS_MAX, 0)
        sound = has_map & fits
        runs = _as_runs(used[sound].astype(np.int64), flags[sound])
        if not len(wrong) and not removed:
            self._same = column, runs
        return runs

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
        per = self._layout.pages_per_section
        return SectionTable(joined, per, tuple(self.findings), self._removed)


def _as_runs(numbers: NDArray[np.int64], flags: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give rows of start, end, flags for sorted section numbers."""
    if not len(numbers):
        return np.empty((0, 3), dtype=np.int64)
    first = np.flatnonzero(np.r_[True, (np.diff(numbers) != 1) | (np.diff(flags) != 0)])
    last = np.r_[first[1:] - 1, len(numbers) - 1]
    return np.stack([numbers[first], numbers[last] + 1, flags[first]], axis=1)
