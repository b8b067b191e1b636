"""The zones of a census as bars: how many pages of each kind they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmemmap.drawing.charts import bar
from vmemmap.pages.count.zone_usage import ZoneUsage
from vmemmap.pages.kind_looks import part_of
from vmemmap.pages.kinds import TITLES
from vmemmap.units import count_text, size_text


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """One zone of one node: its name, its pages, its kinds as a bar and as numbers."""

    name: str
    pages: int
    size: str
    picture: str
    kinds: Sequence[tuple[str, int | None]]


def zone_rows(zones: Sequence[ZoneUsage], page_size: int | None = None) -> list[ZoneRow]:
    """Give each zone, its bar as long as its share of the largest.

    Args:
        zones: The zones of a census.
        page_size: Bytes in a page; None leaves sizes out.
    """
    most = max((zone.pages for zone in zones), default=0)
    return [_zone_row(zone, most, page_size) for zone in zones]


def zone_name(node: int | None, zone: int | None, name: str | None) -> str:
    """Name a zone as people do."""
    if node is None:
        return "all memory (pages do not tell their zone)"
    return f"node {node}, zone {name or zone}"


def _zone_row(zone: ZoneUsage, most: int, page_size: int | None) -> ZoneRow:
    def size(pages: int) -> str:
        return size_text(pages * page_size) if page_size else ""

    name = zone_name(zone.node, zone.zone, zone.name)
    parts = [
        part_of(kind, pages, ", ".join(filter(None, (count_text(pages, "page"), size(pages)))))
        for kind in TITLES
        if (pages := zone.kinds.get(kind.word))
    ]
    kinds = [
        (title, zone.kinds[kind.word]) for kind, title in TITLES.items() if kind.word in zone.kinds
    ]
    return ZoneRow(name, zone.pages, size(zone.pages), bar(name, parts, most), kinds)
