"""The order of the list, drawn: the place of each entry against the address that it backs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.drawing.charts import Axis, Points, plot
from vmemmap.drawing.marks import Scale
from vmemmap.units import count_text, size_text

_POINTS_MAX = 3000


class Listed(Protocol):
    """What is drawn of a list: columns as `BackingTable` has them, a row an entry."""

    virt: NDArray[np.uint64]
    usable: NDArray[np.bool_]
    rescued: NDArray[np.bool_]
    outdated: NDArray[np.bool_]
    block_size: int

    @property
    def in_region(self) -> NDArray[np.bool_]:
        """For each entry, whether its virt_addr lies in the vmemmap region."""
        ...

    def __len__(self) -> int: ...


class OrderPicture(NamedTuple):
    """The order of a list.

    Attributes:
        drawing: It as SVG.
        legend: What its colours mean: names and colours.
        words: What the list is in a sentence, and how many of its entries are not drawn.
    """

    drawing: str
    legend: list[tuple[str, str]]
    words: str


def draw_order(backing: Listed, base: int) -> OrderPicture:
    """Draw the place of each entry in the list against the part of the vmemmap that it backs.

    Args:
        backing: The list.
        base: Virtual address of the struct page of pfn 0.
    """
    shown = _drawn(backing)
    inside = backing.in_region[shown]
    offset = np.where(inside, backing.virt[shown] - np.uint64(base), 0).astype(np.float64)
    high = max(float(offset.max(initial=0)), float(backing.block_size or 1))
    up, across = Scale(0, high, 0, 1), Scale(0, max(len(backing) - 1, 1), 0, 1)
    sorts = (
        ("in the list", backing.usable & ~backing.rescued, "#2b83c6", "s-listed"),
        ("rescued", backing.usable & backing.rescued, "#009e73", "s-rescued"),
        ("a newer entry has its place", backing.outdated, "#94a3b0", "s-outdated"),
        ("not used", ~backing.usable & ~backing.outdated, "#d55e00", "s-unusable"),
    )
    series = [
        Points(
            name,
            list(zip(shown[rows].tolist(), offset[rows].tolist(), strict=True)),
            colour,
            style,
        )
        for name, which, colour, style in sorts
        if (rows := which[shown] & inside).any()
    ]
    picture = plot(
        "Place of each entry in the list, newest first, against the vmemmap address it backs",
        series,
        Axis(
            0,
            across.high,
            [tick for tick in across.ticks(6) if tick == int(tick)],
            lambda n: f"{int(n):,}",
            "place in the list, newest first",
        ),
        Axis(0, high, up.binary_ticks(5), lambda n: f"{base + int(n):#x}", "vmemmap address"),
        radius=3 if len(shown) < 300 else 1.5,
        size=(960, 340),
        margins=(28, 16, 44, 156),
    )
    legend = [(each.name, each.colour) for each in series]
    return OrderPicture(picture, legend, _in_words(backing, len(shown)))


def _drawn(backing: Listed) -> NDArray[np.int64]:
    """Give the places of a list that are drawn.

    Of a long one they are evenly spread, and beside them those that a reader looks for: entries
    that are not as the others, and both sides of each step.
    """
    count = len(backing)
    if count <= _POINTS_MAX:
        return np.arange(count, dtype=np.int64)
    odd = np.flatnonzero(~backing.usable | backing.rescued | backing.outdated)
    stride = backing.virt[1:] - backing.virt[:-1]
    values, often = np.unique(stride, return_counts=True)
    steps = np.flatnonzero(stride != values[np.argmax(often)])
    return distinct(
        np.r_[_evenly(np.arange(count)), _evenly(odd), _evenly(np.r_[steps, steps + 1])]
    )


def _evenly(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give so many of some places as can be drawn, evenly spread."""
    if len(places) <= _POINTS_MAX:
        return places
    return places[np.linspace(0, len(places) - 1, _POINTS_MAX).astype(np.int64)]


def _in_words(backing: Listed, drawn: int) -> str:
    count = len(backing)
    words = f"{count_text(count, 'entry', ',')}, blocks of {size_text(backing.block_size)}"
    return words + (f"; {count - drawn:,} of them are not drawn" if count > drawn else "")
