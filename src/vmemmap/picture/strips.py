"""The memory ranges as strips: what fills each part of them, in the order of addresses."""

from __future__ import annotations

import numpy as np

from vmemmap.drawing.charts import Part, bar
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.picture.cells import Cells
from vmemmap.picture.colours import LOOKS, style_of
from vmemmap.units import size_text

STRIPS_MAX = 24
_BINS = 160


def range_strips(cells: Cells, page_size: int) -> tuple[list[tuple[str, str, str]], int]:
    """Draw memory ranges as strips.

    Args:
        cells: The memory.
        page_size: Bytes in a page.

    Returns:
        For each range its addresses, its size, and the drawing; and how many more there are.
    """
    lengths = cells.ranges[:, 1] - cells.ranges[:, 0]
    begins = np.cumsum(lengths) - lengths
    each = page_size << cells.shift
    strips = []
    for (first, end), at in zip(cells.ranges[:STRIPS_MAX].tolist(), begins.tolist(), strict=False):
        name = f"{first * each:#x} - {end * each:#x}"
        counts = cells.counts[at : at + end - first]
        strips.append((name, size_text((end - first) * each), _strip(name, counts)))
    return strips, len(cells.ranges) - len(strips)


def _strip(name: str, counts: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> str:
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
