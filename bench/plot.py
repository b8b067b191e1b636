"""Draws the growth of the count as an SVG, by hand: two axes, some lines, no library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 640, 360, 70, 30, 50, 150
_COLOURS = {"vmemmap": "#1b6ca8", "makedumpfile": "#c4572b", "one plain pass": "#555555"}
_UNITS = {"GiB": 1, "TiB": 1024}
_COUNT = "count all pages, "
Points = list[tuple[float, float]]


def draw_growth(path: Path, result: Mapping[str, Any]) -> None:
    """Draw nanoseconds of processor time a page over the size of the machine, both logarithmic.

    Args:
        path: The SVG file to make.
        result: The figures of a run, as ``build/bench.json`` has them.
    """
    lines: dict[str, Points] = {name: [] for name in _COLOURS}
    for row in result["rows"]:
        size = row["work"].removeprefix(_COUNT)
        # Of the rows of the table those with nothing said but the size: 64 KiB pages and blocks.
        if not row["work"].startswith(_COUNT) or "," in size:
            continue
        for name, side in zip(_COLOURS, ("ours", "peer", "limit"), strict=True):
            if row[side]:
                lines[name].append((_gib(size), row[side]["cpu"]))
    drawn = {x for x, _ in lines["vmemmap"]}
    for row in result["growth"]:
        if _gib(row["memory"]) not in drawn:
            lines["vmemmap"].append((_gib(row["memory"]), row["cpu"]))
    path.write_text(_svg({name: points for name, points in lines.items() if points}))


def _gib(words: str) -> float:
    number, unit = words.split()
    return float(number) * _UNITS[unit]


def _words(gib: float) -> str:
    return f"{gib:g} GiB" if gib < _UNITS["TiB"] else f"{gib / _UNITS['TiB']:g} TiB"


def _svg(lines: Mapping[str, Points]) -> str:
    sizes = sorted({x for points in lines.values() for x, _ in points})
    values = [y for points in lines.values() for _, y in points]
    low, high = 1.0, 10 ** math.ceil(math.log10(max(values)))

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / sizes[0]) / math.log(sizes[-1] / sizes[0])
        up = math.log(y / low) / math.log(high / low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18">ns of processor time a page, count of all struct pages</text>',
        *_axes(sizes, low, high, at),
    ]
    for name, points in lines.items():
        out += _line(name, [at(x, y) for x, y in points])
    return "\n".join([*out, "</svg>", ""])


def _axes(sizes: Sequence[float], low: float, high: float, at: Any) -> list[str]:
    out, step = [], low
    while step <= high:
        x, y = at(sizes[0], step)
        end = _WIDTH - _RIGHT
        out.append(f'<line x1="{x}" y1="{y:.1f}" x2="{end}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{step:g}</text>')
        step *= 10
    for size in sizes:
        x, y = at(size, low)
        out.append(f'<text x="{x:.1f}" y="{y + 20:.1f}" text-anchor="middle">{_words(size)}</text>')
    return out


def _line(name: str, places: Sequence[tuple[float, float]]) -> list[str]:
    colour = _COLOURS[name]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    x, y = places[-1]
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>',
    ]
