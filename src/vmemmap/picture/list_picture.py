"""The list: the order of its entries, the pages of its nodes, and what of the memory it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.drawing.charts import Axis, Part, Points, bar, plot
from vmemmap.drawing.marks import Scale
from vmemmap.units import count_text, size_text

if TYPE_CHECKING:
    from vmemmap.backing.table import BackingTable
    from vmemmap.check.coverage import Counts, Coverage

_POINTS_MAX = 3000
_NODE_PAGES_MAX = 32
_SLOT_BINS = 128
COVERED, UNREAD, BARE = "#009e73", "#e69f00", "#d55e00"
USED, FREED, UNUSED = "#0072b2", "#e69f00", "#dfe7ee"


def draw_order(backing: BackingTable, base: int) -> tuple[str, list[tuple[str, str]]]:
    """Draw the place of each entry in the list against the part of the vmemmap that it backs.

    Args:
        backing: The list.
        base: Virtual address of the struct page of pfn 0.

    Returns:
        The drawing, and what its colours mean: names and colours.
    """
    shown = _evenly(len(backing))
    inside = backing.in_region[shown]
    offset = np.where(inside, backing.virt[shown] - np.uint64(base), 0).astype(np.float64)
    high = max(float(offset.max(initial=0)), float(backing.block_size or 1))
    up, across = Scale(0, high, 0, 1), Scale(0, max(len(backing) - 1, 1), 0, 1)
    sorts = (
        ("in the list", backing.usable & ~backing.rescued, "#0072b2", "s-listed"),
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
            0, across.high, across.ticks(6), lambda n: f"{n:g}", "place in the list, newest first"
        ),
        Axis(0, high, up.binary_ticks(5), lambda n: f"{base + int(n):#x}", "vmemmap address"),
        radius=3 if len(shown) < 300 else 1.5,
        size=(960, 340),
        margins=(28, 16, 44, 156),
    )
    return picture, [(each.name, each.colour) for each in series]


def _evenly(count: int) -> NDArray[np.int64]:
    """Give so many places of a list as can be drawn, evenly spread."""
    if count <= _POINTS_MAX:
        return np.arange(count, dtype=np.int64)
    return np.unique(np.linspace(0, count - 1, _POINTS_MAX).astype(np.int64))


@dataclass(frozen=True, slots=True)
class NodePageView:
    """One page of list nodes.

    Attributes:
        address: Its virtual address.
        picture: Its slots, drawn.
        listed: Slots whose node is in the list.
        freed: Others below the highest of these: freed, or lost to the list.
        above: Those above it: never used, or freed.
    """

    address: int
    picture: str
    listed: int
    freed: int
    above: int


def node_pages(
    backing: BackingTable, page_size: int, node_size: int
) -> tuple[list[NodePageView], int]:
    """Give the pages that hold the nodes, those of the newest entries first.

    Returns:
        As many as are shown, and how many more there are.
    """
    nodes = backing.node[~backing.rescued].astype(np.uint64)
    pages, first = np.unique(nodes // np.uint64(page_size), return_index=True)
    newest_first = pages[np.argsort(first, kind="stable")]
    slots = page_size // node_size
    views = []
    for number in newest_first[:_NODE_PAGES_MAX].tolist():
        address = number * page_size
        own = nodes[nodes // np.uint64(page_size) == np.uint64(number)] - np.uint64(address)
        taken = np.unique(own // np.uint64(node_size)).astype(np.int64)
        views.append(_node_page(address, taken[taken < slots], slots))
    return views, len(pages) - len(views)


def _node_page(address: int, taken: NDArray[np.int64], slots: int) -> NodePageView:
    top = int(taken.max(initial=-1)) + 1
    listed, freed = len(taken), top - len(taken)
    edges = np.linspace(0, slots, min(slots, _SLOT_BINS) + 1).astype(np.int64)
    parts: list[Part] = []
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        used = int(np.count_nonzero((taken >= low) & (taken < high)))
        below = max(min(top, high) - low, 0)
        name, colour, style = (
            ("unused", UNUSED, "s-unused")
            if not below
            else ("in the list", USED, "s-listed")
            if used * 2 >= below
            else ("not in the list, below one that is", FREED, "s-freed")
        )
        if parts and parts[-1].name == name:
            parts[-1] = Part(name, parts[-1].value + high - low, colour, style)
        else:
            parts.append(Part(name, high - low, colour, style))
    picture = bar(f"Node page {address:#x}", parts, slots, 14)
    return NodePageView(address, picture, listed, freed, slots - top)


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """What of some memory is backed, and can be read.

    Attributes:
        name: Which memory.
        counts: The numbers.
        picture: The same as a bar.
    """

    name: str
    counts: Counts
    picture: str


def coverage_rows(found: Coverage) -> list[CoverageRow]:
    """Give what is backed, of all memory and of each node."""
    rows = [("all memory", found.counts)]
    if len(found.nodes) > 1:
        rows += [(f"node {node}", counts) for node, counts in found.nodes.items()]
    return [CoverageRow(name, counts, _coverage_bar(name, counts)) for name, counts in rows]


def _coverage_bar(name: str, counts: Counts) -> str:
    unread = counts.covered_pages - min(counts.readable_pages, counts.covered_pages)
    parts = (
        Part("can be read", counts.covered_pages - unread, COVERED, "s-covered"),
        Part("backed, but not in the dump", unread, UNREAD, "s-unread"),
        Part("not backed", counts.pages - counts.covered_pages, BARE, "s-bare"),
    )
    return bar(f"Struct pages of {name}", parts, counts.pages)


def order_words(backing: BackingTable) -> str:
    """Say in a sentence what the list is."""
    words = f"{count_text(len(backing), 'entry')}, blocks of {size_text(backing.block_size)}"
    more = len(backing) - len(_evenly(len(backing)))
    return words + (f"; {more} of them are not drawn" if more else "")
