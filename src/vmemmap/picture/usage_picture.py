"""Where the memory is: kinds, free blocks, nodes and zones, and what each dump level would drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.drawing.charts import Part, bar, columns
from vmemmap.pages.count.zone_bars import zone_name
from vmemmap.pages.kind_looks import LOOKS, style_of
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.units import size_text

if TYPE_CHECKING:
    from vmemmap.pages.count.usage import Usage

_ZONE_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#94a3b0")
_CLASSES = (
    ("cache", "page cache", Kind.CACHE),
    ("cache_private", "page cache, private", Kind.CACHE_PRIVATE),
    ("user", "memory of processes", Kind.ANON),
    ("free", "free", Kind.FREE),
    ("hwpoison", "failed memory", Kind.HWPOISON),
    ("offline", "offline", Kind.OFFLINE),
)
"""What makedumpfile leaves out, what people read, and the kind whose colour it has."""


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind in the legend.

    Attributes:
        kind: Its number.
        word: As programs see it.
        title: As people read it.
        style: The class that the style sheet knows it by.
        pattern: What is drawn over its colour.
        pages: How many pages; None if that is not told.
        at_least: How many are certain then.
        size: The same as a size.
        share: Of all pages, 0 to 1.
    """

    kind: int
    word: str
    title: str
    style: str
    pattern: str
    pages: int | None
    at_least: int
    size: str
    share: float


def kind_rows(counted: Usage, page_size: int) -> list[KindRow]:
    """Give the kinds that this machine has, or may have, in the order in which they are shown."""
    rows = []
    for kind, title in TITLES.items():
        pages, least = counted.kinds.get(kind.word), counted.at_least.get(kind.word, 0)
        if pages == 0:
            continue
        known = least if pages is None else pages
        share = known / counted.pages if counted.pages else 0.0
        size = size_text(known * page_size)
        look = LOOKS[kind]
        rows.append(
            KindRow(
                *(int(kind), kind.word, title, style_of(kind), look.pattern),
                *(pages, least, size, share),
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class FreeBlocks:
    """Free blocks by order and zone.

    Attributes:
        picture: Columns by order, of what is free in blocks of it.
        orders: For each order the size of a block.
        zones: For each zone its name, colour and style, and its blocks by order.
        totals: All blocks by order.
    """

    picture: str
    orders: list[str]
    zones: list[tuple[str, str, str, list[int]]]
    totals: list[int]


def free_blocks(
    by_zone: Mapping[tuple[int, int] | None, NDArray[np.int64]],
    names: Mapping[str, str],
    totals: Sequence[int],
    page_size: int,
) -> FreeBlocks:
    """Draw how the free memory is cut up.

    Args:
        by_zone: For each node and zone how many blocks of each order.
        names: The zones' names by node and zone, as "0/1".
        totals: Blocks of each order in all.
        page_size: Bytes in a page.
    """
    zones = []
    for turn, (place, counts) in enumerate(sorted(by_zone.items(), key=lambda row: row[0] or ())):
        node, zone = place or (None, None)
        name = zone_name(node, zone, names.get(f"{node}/{zone}"))
        colour = _ZONE_COLOURS[turn % len(_ZONE_COLOURS)]
        zones.append((name, colour, f"z-{turn % len(_ZONE_COLOURS)}", counts.tolist()))
    groups = [
        (
            f"{order}",
            [
                Part(name, counts[order], colour, style, f"{counts[order]} blocks of order {order}")
                for name, colour, style, counts in zones
            ],
        )
        for order in range(len(totals))
    ]
    sizes = [size_text(page_size << order) for order in range(len(totals))]
    picture = columns("Free blocks by order, and in parts by zone", groups)
    return FreeBlocks(picture, sizes, zones, list(totals))


@dataclass(frozen=True, slots=True)
class LevelRow:
    """What one dump level would drop.

    Attributes:
        level: The level, 0 to 31.
        picture: The classes as a bar, of all pages that makedumpfile starts from.
        pages: How many in all; None if that cannot be known.
        size: The same as a size.
        share: Of the pages that makedumpfile starts from.
        classes: By class.
    """

    level: int
    picture: str
    pages: int | None
    size: str
    share: float
    classes: Mapping[str, int]


LEVELS_SHOWN = (1, 2, 4, 8, 16, 31)
"""The levels with a row: each bit by itself, and all of them."""


def level_rows(counted: Usage, page_size: int) -> list[LevelRow]:
    """Give what makedumpfile would drop at the levels that people ask for."""
    rows = []
    start = counted.original_pages
    for level in LEVELS_SHOWN:
        classes = counted.makedumpfile[level]
        if classes is None:
            rows.append(LevelRow(level, "", None, "", 0.0, {}))
            continue
        pages = sum(classes.values())
        parts = [
            Part(title, classes[word], LOOKS[kind].light, style_of(kind))
            for word, title, kind in _CLASSES
        ]
        left = Part("stays", max(start - pages, 0), "none", "s-stays")
        picture = bar(f"Level {level}", [*parts, left], start)
        share = pages / start if start else 0.0
        rows.append(LevelRow(level, picture, pages, size_text(pages * page_size), share, classes))
    return rows


def class_titles() -> list[tuple[str, str]]:
    """Give makedumpfile's classes: as programs see them, and as people read them."""
    return [(word, title) for word, title, _ in _CLASSES]
