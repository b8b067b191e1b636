"""The memory ranges as strips: what fills each part of them, in the order of addresses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.drawing.charts import Part, bar
from vmemmap.intervals import Intervals, intersect
from vmemmap.pages.count.kind_runs import KindRuns
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.picture.colours import LOOKS, style_of
from vmemmap.units import size_text

STRIPS_MAX = 24
_BINS = 160


def range_strips(
    runs: KindRuns, pages: Intervals, page_size: int
) -> tuple[list[tuple[str, str, str]], int]:
    """Draw memory ranges as strips.

    Args:
        runs: The memory.
        pages: The pages that there are, as intervals of pfns.
        page_size: Bytes in a page.

    Returns:
        For each range its addresses, its size, and the drawing; and how many more there are.
    """
    grid, counts = runs.grid, runs.by_kind()
    strips, at = [], 0
    for first, end in grid.ranges[:STRIPS_MAX].tolist():
        # A block may be larger than what memory comes in.
        own = intersect(pages, np.array([[first, end]], dtype=np.int64) << grid.shift)
        low, high = int(own[0, 0]) * page_size, int(own[-1, 1]) * page_size
        name = f"{low:#x} - {high:#x}"
        strips.append((name, size_text(high - low), _strip(name, counts[at : at + end - first])))
        at += end - first
    return strips, len(grid.ranges) - len(strips)


def _strip(name: str, counts: NDArray[np.int64]) -> str:
    bins = min(len(counts), _BINS)
    edges = np.linspace(0, len(counts), bins + 1).astype(np.int64)
    sums = np.add.reduceat(counts, edges[:-1], axis=0)
    most = sums.argmax(axis=1).tolist()
    parts: list[Part] = []
    for kind, long in zip(most, np.diff(edges).tolist(), strict=True):
        look, title = LOOKS[Kind(kind)], TITLES.get(Kind(kind), "no memory")
        if parts and parts[-1].name == f"mostly {title}":
            long += parts.pop().value
        parts.append(Part(f"mostly {title}", long, look.light, style_of(Kind(kind)), " "))
    return bar(name, parts, len(counts))
