"""All the memory that a dump has, by rising address and in batches, to be looked at whole.

A file that has its memory uncompressed is not copied; compressed pages are decoded on all
processors, a batch at a time, so that no more than a batch is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vmemmap.address import Run
from vmemmap.errors import ReadError
from vmemmap.intervals import Intervals, intersect, join, subtract, total
from vmemmap.source.base import PhysicalSource

BATCH_BYTES = 32 << 20
_STRETCH_BYTES = 8 << 20
"""What is asked for in one piece: enough for several processors to decode."""
_HOLE_BYTES = 65536
_UNIT_BYTES = 4096
"""In such units it is seen what can be had where a container has no pages (ELF)."""
_PHYS_END = 1 << 62


@dataclass(frozen=True, slots=True)
class Stretch:
    """Memory without a gap: the bytes from physical address *phys* on."""

    phys: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the memory.

    Attributes:
        stretches: By rising address; two that touch are not always joined.
        end: Nothing below this physical address comes after it.
    """

    stretches: list[Stretch]
    end: int


def stored_batches(source: PhysicalSource, within: Run) -> Iterator[Batch]:
    """Yield what a dump has of a range of physical addresses.

    Args:
        source: The dump.
        within: The range (bytes).

    Yields:
        Batches of `BATCH_BYTES` at most. What cannot be read or decoded is left out.
    """
    runs: list[tuple[int, int]] = []
    size = 0
    for first, last in _stored(source, within).tolist():
        while first < last:
            stop = min(last, first + min(_STRETCH_BYTES, BATCH_BYTES - size))
            runs.append((first, stop))
            size += stop - first
            first = stop
            if size == BATCH_BYTES:
                yield _read(source, np.array(runs, dtype=np.int64))
                runs, size = [], 0
    if runs:
        yield _read(source, np.array(runs, dtype=np.int64))


def _stored(source: PhysicalSource, within: Run) -> Intervals:
    """Give what the container claims to have of a range, without the holes of a flattened file."""
    end = min(within.end, _PHYS_END)
    runs = source.present_runs(within.start, end)
    if source.block_size:
        return runs
    # The look at beginnings skips holes. It does not see what comes before a run's first unit.
    units = [heads.phys.astype(np.int64) for heads in source.heads(_HOLE_BYTES, 1, end)]
    seen = np.concatenate([np.empty(0, dtype=np.int64), *units])
    first = -(-runs[:, 0] // _HOLE_BYTES) * _HOLE_BYTES
    starts = np.concatenate([runs[:, 0], seen])
    return intersect(runs, join(starts, np.concatenate([first, seen + _HOLE_BYTES])))


def _read(source: PhysicalSource, runs: Intervals) -> Batch:
    """Read runs of memory, all that can be had of them."""
    found = source.locate(np.column_stack([runs[:, 0], runs[:, 0], runs[:, 1] - runs[:, 0]]))
    phys, size, at = found.spans.T
    ends = phys + size
    # One page of a compressed file lies behind the other in the buffer: they are joined again.
    breaks = (phys[1:] != ends[:-1]) | (at[1:] != (at + size)[:-1])
    first = np.flatnonzero(np.r_[True, breaks]) if len(phys) else np.empty(0, dtype=np.int64)
    last = np.r_[first[1:] - 1, len(phys) - 1][: len(first)]
    stretches = [
        Stretch(start, found.data[begin : begin + end - start])
        for start, end, begin in zip(
            phys[first].tolist(), ends[last].tolist(), at[first].tolist(), strict=True
        )
    ]
    missing = subtract(join(*runs.T), join(phys, ends))
    if total(missing):
        stretches += _read_in_units(source, missing)
        stretches.sort(key=lambda stretch: stretch.phys)
    return Batch(stretches, int(runs[-1, 1]))


def _read_in_units(source: PhysicalSource, missing: Intervals) -> Iterator[Stretch]:
    """Yield what can be had of stretches that could not be read in one piece."""
    unit = source.block_size or _UNIT_BYTES
    for start, end in missing.tolist():
        for first, last in source.present_runs(start, end).tolist():
            for at in (first, *range((first // unit + 1) * unit, last, unit)):
                try:
                    data = source.read(at, min(unit - at % unit, last - at))
                except ReadError:
                    continue
                yield Stretch(at, memoryview(data))
