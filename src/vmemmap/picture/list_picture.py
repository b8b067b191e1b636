"""The list: the pages of its nodes, and what of the memory it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.drawing.charts import Part, bar

if TYPE_CHECKING:
    from vmemmap.backing.table import BackingTable
    from vmemmap.check.coverage import Counts, Coverage

_NODE_PAGES_MAX = 32
_SLOT_BINS = 128
COVERED, UNREAD, BARE = "#009e73", "#e69f00", "#d55e00"
USED, FREED, UNUSED = "#2b83c6", "#e69f00", "#dfe7ee"


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
