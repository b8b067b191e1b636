"""Draws the growth of the census as an SVG, by hand: two axes, some lines, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 640, 360, 70, 30, 50, 150
_COLOURS = ("#1b6ca8", "#c4572b", "#555555")
_UNITS = {"GiB": 1, "TiB": 1024}


def draw_growth(path: Path, result: dict[str, Any]) -> None:
    """Draw nanoseconds a page over the size of the machine, both logarithmic.

    Args:
        path: The SVG file to make.
        result: What `bench_pages` gave.
    """
    ours = [(_gib(row["memory"]), row["wall_ns"]) for row in result["growth"]]
    lines = [("vmemmap, one thread", ours)]
    compared = result["makedumpfile"]
    if compared is not None:
        theirs = [
            (_gib(row["memory"]), row["makedumpfile_ns"])
            for row in compared["rows"]
            if row["makedumpfile_ns"]
        ]
        words = compared["makedumpfile"].partition(",")[0]
        lines.append((f"makedumpfile ({words})", theirs))
    lines.append(("target", [(x, float(result["target_ns"])) for x, _ in (ours[0], ours[-1])]))
    path.write_text(_svg(lines, [row["memory"] for row in result["growth"]]))


def _gib(words: str) -> float:
    number, unit = words.split()
    return float(number) * _UNITS[unit]


def _svg(lines: Sequence[tuple[str, list[tuple[float, float]]]], sizes: Sequence[str]) -> str:
    values = [y for _, points in lines for _, y in points]
    low, high = 1.0, 10 ** math.ceil(math.log10(max(values)))
    left, right = _gib(sizes[0]), _gib(sizes[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / left) / math.log(right / left)
        up = math.log(y / low) / math.log(high / low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18">nanoseconds a page, census of all struct pages</text>',
    ]
    step = low
    while step <= high:
        x, y = at(left, step)
        end = _WIDTH - _RIGHT
        out.append(f'<line x1="{x}" y1="{y:.1f}" x2="{end}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{step:g}</text>')
        step *= 10
    for size in sizes:
        x, y = at(_gib(size), low)
        out.append(f'<text x="{x:.1f}" y="{y + 20:.1f}" text-anchor="middle">{size}</text>')
    for number, (name, points) in enumerate(lines):
        if not points:
            continue
        colour = _COLOURS[number]
        places = [at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="4 4"' if name == "target" else ""
        out.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        if name != "target":
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        x, y = places[-1]
        out += [
            f'<text x="{x + 8:.1f}" y="{y + 4 + 14 * line:.1f}" fill="{colour}">{part}</text>'
            for line, part in enumerate(name.replace(" (", "\n(").split("\n"))
        ]
    return "\n".join([*out, "</svg>", ""])
