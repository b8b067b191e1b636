"""The kernel's address space and its page tables, drawn to scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmemmap.drawing.charts import Part, boxes, stretches
from vmemmap.linear_map import PAGE_OFFSET
from vmemmap.units import size_text

if TYPE_CHECKING:
    from vmemmap.intervals import Intervals
    from vmemmap.translate.page_tables.table_format import Format
    from vmemmap.translate.regions import AddressLayout

_REGION_COLOURS = {
    "linear map": ("#56b4e9", "r-linear"),
    "vmalloc": ("#e69f00", "r-vmalloc"),
    "I/O": ("#cc79a7", "r-io"),
    "vmemmap": ("#009e73", "r-vmemmap"),
}
_OTHER = ("#94a3b0", "r-other")
_LEVEL_COLOURS = ("#56b4e9", "#e69f00", "#cc79a7", "#009e73")
_STRETCHES_MAX = 200


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region: its name, its first address, its end, its size, and how it is translated."""

    name: str
    start: str
    end: str
    size: str
    method: str


@dataclass(frozen=True, slots=True)
class Space:
    """The address space.

    Attributes:
        whole: The stretches that hold all regions, each drawn: what it is, and the picture.
        used: What of the linear map and the vmemmap is in use, likewise.
        regions: The regions as rows.
    """

    whole: list[tuple[str, str]]
    used: list[tuple[str, str]]
    regions: list[RegionRow]


def draw_space(layout: AddressLayout, memory: Intervals, vmemmap: Intervals) -> Space:
    """Draw the address space.

    Args:
        layout: How this kernel divides it.
        memory: The memory that there is (physical, bytes).
        vmemmap: What of the vmemmap is backed, from its start on (bytes).
    """
    rows = [
        RegionRow(r.name, f"{r.start:#x}", f"{r.end:#x}", size_text(r.end - r.start), r.method)
        for r in layout.regions
    ]
    whole = []
    for first, last in _neighbourhoods(layout):
        parts = [
            (
                float(region.start - first),
                Part(
                    region.name,
                    float(region.end - region.start),
                    *_REGION_COLOURS.get(region.name, _OTHER),
                    f"{region.start:#x} to {region.end:#x}, {size_text(region.end - region.start)}",
                ),
            )
            for region in layout.regions
            if first <= region.start < last
        ]
        name = f"{first:#x} to {last:#x}: {size_text(last - first)}"
        whole.append((name, stretches(f"Regions from {name}", parts, float(last - first))))
    used = []
    for title, start, intervals in (
        ("memory in the linear map", PAGE_OFFSET, memory),
        ("what is backed of the vmemmap", layout.vmemmap.start, vmemmap),
    ):
        if len(intervals):
            used.append(_used(title, start, intervals))
    return Space(whole, used, rows)


def _used(title: str, start: int, intervals: Intervals) -> tuple[str, str]:
    end = int(intervals[-1, 1])
    colour = ("#56b4e9", "r-linear") if start == PAGE_OFFSET else ("#009e73", "r-vmemmap")
    parts = [
        (
            float(a),
            Part(f"{start + a:#x} to {start + b:#x}", float(b - a), *colour, size_text(b - a)),
        )
        for a, b in intervals[:_STRETCHES_MAX].tolist()
    ]
    name = f"{title}: {start:#x} to {start + end:#x}, {size_text(end)}"
    return name, stretches(name, parts, float(end), labels=False)


def _neighbourhoods(layout: AddressLayout) -> list[tuple[int, int]]:
    """Give the stretches in which regions lie near each other: those of one top hex digit."""
    tops = sorted({region.start >> 60 for region in layout.regions})
    found = []
    for top in tops:
        inside = [region for region in layout.regions if region.start >> 60 == top]
        found.append((inside[0].start, inside[-1].end))
    return found


@dataclass(frozen=True, slots=True)
class TableView:
    """The format of the page tables.

    Attributes:
        picture: The bits of an address, by the level that takes them.
        levels: Each level's name, its entries, and what one entry covers.
    """

    picture: str
    levels: Sequence[tuple[str, int, str]]


def draw_tables(table: Format) -> TableView:
    """Draw which bits of an address each level of the page tables takes."""
    parts = [
        Part(level.name, level.bits, _LEVEL_COLOURS[turn % 4], f"l-{turn}", f"{level.bits} bits")
        for turn, level in enumerate(table.levels)
    ]
    offset = Part(
        "in the page", table.page_shift, "#dfe7ee", "l-offset", f"{table.page_shift} bits"
    )
    levels = [(each.name, 1 << each.bits, size_text(1 << each.shift)) for each in table.levels]
    picture = boxes(f"Bits of an address, highest first: {table.va_bits}", [*parts, offset])
    return TableView(picture, levels)
