"""Draws the growth of the count as an SVG, with the package's own charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmemmap.drawing.charts import Axis, lines_of, plot

_SIDES = {"vmemmap": "ours", "makedumpfile": "peer", "one plain pass": "limit"}
_UNITS = {"GiB": 1, "TiB": 1024}
_COUNT = "count all pages, "


def draw_growth(path: Path, result: Mapping[str, Any]) -> None:
    """Draw nanoseconds of processor time a page over the size of the machine, both logarithmic.

    Args:
        path: The SVG file to make.
        result: The figures of a run, as ``build/bench.json`` has them.
    """
    lines: dict[str, list[tuple[float, float]]] = {name: [] for name in _SIDES}
    for row in result["rows"]:
        size = row["work"].removeprefix(_COUNT)
        # Of the rows of the table those with nothing said but the size: 64 KiB pages and blocks.
        if not row["work"].startswith(_COUNT) or "," in size:
            continue
        for name, side in _SIDES.items():
            if row[side]:
                lines[name].append((_gib(size), row[side]["cpu"]))
    known = {x for x, _ in lines["vmemmap"]}
    for row in result["growth"]:
        if _gib(row["memory"]) not in known:
            lines["vmemmap"].append((_gib(row["memory"]), row["cpu"]))
    drawn = {name: points for name, points in lines.items() if points}
    sizes = sorted({x for points in drawn.values() for x, _ in points})
    highest = max(y for points in drawn.values() for _, y in points)
    powers = math.ceil(math.log10(highest))
    picture = plot(
        "Processor time a page of the count of all struct pages, by the size of the machine",
        lines_of(drawn),
        Axis(sizes[0], sizes[-1], sizes, _words, logarithmic=True),
        Axis(
            1,
            10.0**powers,
            [10.0**power for power in range(powers + 1)],
            lambda n: f"{n:g}",
            "ns of processor time a page, count of all struct pages",
            logarithmic=True,
        ),
        size=(640, 360),
        margins=(30, 150, 50, 70),
        radius=3,
        named=True,
        ground="#ffffff",
    )
    path.write_text(picture + "\n")


def _gib(words: str) -> float:
    number, unit = words.split()
    return float(number) * _UNITS[unit]


def _words(gib: float) -> str:
    return f"{gib:g} GiB" if gib < _UNITS["TiB"] else f"{gib / _UNITS['TiB']:g} TiB"
