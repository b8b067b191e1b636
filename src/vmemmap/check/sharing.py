"""Struct pages that share their memory: of which memory that may be, by the page tables.

The tails of a compound page say all the same, so that the kernel lets them share one page where a
device's memory is made of compound pages (device DAX) and the vmemmap is in the page tables alone::

    struct pages of one compound page   | 0 | 1 | 2 | 3 | 4 | ... |
    mapped to                           | a | b | b | b | b | ... |

Whatever else shares has lost struct pages. A list is judged in ``audit.py``: no kernel that keeps
one shares.

Source: Linux arch/powerpc/mm/book3s64/radix_pgtable.c, vmemmap_populate_compound_pages().
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.check.audit import AuditContext
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, join, total

_FINDINGS_PER_CODE = 20


def audit_sharing(backed: NDArray[np.uint64], context: AuditContext) -> Iterator[Finding]:
    """Judge what of the vmemmap the page tables map to the same memory.

    Args:
        backed: Rows of virt, phys and size, by virt, without overlap in virt.
        context: What it is judged by.
    """
    rows = backed[backed[:, 0] >= np.uint64(context.base)]
    virt = (rows[:, 0] - np.uint64(context.base)).astype(np.int64)
    phys, size = rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
    shared = _met_twice(phys, size)
    if not len(shared):
        return
    pieces = _pieces(virt, phys, size, shared)
    pfns = np.column_stack(
        [
            pieces[:, 0] // context.struct_page_size,
            -(-(pieces[:, 0] + pieces[:, 2]) // context.struct_page_size),
        ]
    )
    legal = _inside(context.state(device=True) // context.page_size, pfns) & _in_a_row(pieces)
    # Where one of them may not share, none of those it shares with has what is its own.
    wrong = np.isin(pieces[:, 1], pieces[~legal, 1])
    for (start, _end), (_virt, at, _size) in list(
        zip(pfns[wrong].tolist(), pieces[wrong].tolist(), strict=True)
    )[:_FINDINGS_PER_CODE]:
        yield Finding(
            "phys_duplicate",
            Severity.ERROR,
            f"the struct pages of memory from {start * context.page_size:#x} on are mapped to "
            f"{at:#x}, to which others are mapped too: those of at most one of them are there",
            phys=at,
            virt=context.base + start * context.struct_page_size,
        )
    if not wrong.all():
        good = pieces[~wrong]
        spared = int(good[:, 2].sum()) - total(_union(good))
        first = int(pfns[~wrong][0, 0]) * context.page_size
        yield Finding(
            "struct_pages_shared",
            Severity.INFO,
            f"struct pages of device memory, from {first:#x} on, share their memory with others "
            f"of their compound page, which spares {spared >> 10} KiB: tails all say the same",
            phys=first,
        )


def _met_twice(phys: NDArray[np.int64], size: NDArray[np.int64]) -> Intervals:
    """Give the physical memory to which more than one row is mapped."""
    order = np.argsort(phys, kind="stable")
    start, end = phys[order], (phys + size)[order]
    before = np.maximum.accumulate(end)[:-1]
    return join(start[1:], np.minimum(end[1:], before))


def _pieces(
    virt: NDArray[np.int64],
    phys: NDArray[np.int64],
    size: NDArray[np.int64],
    shared: Intervals,
) -> NDArray[np.int64]:
    """Give what of the rows lies in shared memory: offset in the vmemmap, phys, size; by phys."""
    first = np.searchsorted(shared[:, 1], phys, side="right")
    last = np.searchsorted(shared[:, 0], phys + size, side="left") - 1
    # A row may reach over several: what follows the tails of one compound page, and the next.
    counts = np.maximum(last - first + 1, 0)
    row = np.repeat(np.arange(len(phys)), counts)
    before = np.cumsum(counts) - counts
    other = np.arange(len(row)) - np.repeat(before, counts) + np.repeat(first, counts)
    low = np.maximum(phys[row], shared[other, 0])
    high = np.minimum(phys[row] + size[row], shared[other, 1])
    found = np.column_stack([virt[row] + low - phys[row], low, high - low])
    return found[np.lexsort([found[:, 0], found[:, 1]])]


def _inside(memory: Intervals, pfns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which rows of pfns lie wholly in some memory."""
    at = np.searchsorted(memory[:, 1], pfns[:, 0], side="right")
    there = at < len(memory)
    at = np.minimum(at, max(len(memory) - 1, 0))
    if not len(memory):
        return there
    inside: NDArray[np.bool_] = (memory[at, 0] <= pfns[:, 0]) & (pfns[:, 1] <= memory[at, 1])
    return there & inside


def _in_a_row(pieces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which pieces follow one another in the vmemmap, as tails of one compound page do."""
    same = pieces[1:, 1] == pieces[:-1, 1]
    next_to = (pieces[1:, 0] - pieces[:-1, 0] == pieces[:-1, 2]) & (pieces[1:, 2] == pieces[:-1, 2])
    return np.asarray(np.r_[True, ~same | next_to])


def _union(pieces: NDArray[np.int64]) -> Intervals:
    return join(pieces[:, 1], pieces[:, 1] + pieces[:, 2])
