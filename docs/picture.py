"""The picture of the first page: what the vmemmap and its list are, in the numbers of a dump."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

import vmemmap

_WIDTH, _LEFT, _RIGHT, _HEIGHT = 860, 190, 848, 330
_ARRAY_Y, _NODES_Y, _MEMORY_Y = 20, 138, 250
_BAR, _NODE = 26, 16
_GAP = 14
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 11px; fill: #57606a }
.lane { fill: #eef1f4; stroke: #b8c0c8 } .block { fill: #2f6f9f } .one { fill: #d1662b }
path { fill: none; stroke: #2f6f9f; stroke-width: .5; opacity: .45 }
path.one { fill: none; stroke: #d1662b; stroke-width: 1.8; opacity: 1 }
@media (prefers-color-scheme: dark) { text { fill: #e6e6e6 } .small { fill: #b0b6bd }
.lane { fill: #2a3138; stroke: #59636d } .block { fill: #6fb1de } path { stroke: #6fb1de }
.one { fill: #f0935f } path.one { stroke: #f0935f } }
"""


class _Axis:
    """Ranges of addresses side by side, to scale, with small gaps for what lies between them."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        free = _RIGHT - _LEFT - _GAP * (len(ranges) - 1)
        self.scale = free / sum(end - start for start, end in ranges)
        self.ranges = ranges
        before = np.cumsum([0, *((end - start) * self.scale + _GAP for start, end in ranges)])
        self.lefts = [_LEFT + float(x) for x in before[:-1]]

    def x(self, address: int) -> float:
        """Give the place of an address, in the picture's units from the left."""
        for (start, end), left in zip(self.ranges, self.lefts, strict=True):
            if start <= address <= end:
                return left + (address - start) * self.scale
        raise ValueError(f"0x{address:x} is in no range of the picture")

    def boxes(self, y: float) -> list[str]:
        """Draw the ranges."""
        return [
            _box(left, y, max((end - start) * self.scale, 1.5), _BAR, "lane")
            for (start, end), left in zip(self.ranges, self.lefts, strict=True)
        ]


def draw(core: vmemmap.Vmcore) -> str:
    """Draw the vmemmap, the list and the memory behind it as an SVG document.

    Args:
        core: A dump whose list is whole.
    """
    entries = list(core.backing)
    block = core.list_facts.block_size.value
    array = _Axis(_joined(sorted(entry.virt for entry in entries), block))
    memory = _Axis([(int(start), int(end)) for start, end in core.source.ranges()])
    shown = len(entries) // 2
    one = entries[shown]
    out = [
        *_label(
            _ARRAY_Y,
            "the vmemmap",
            "virtual addresses: one struct",
            "page for each page of memory,",
            f"from 0x{core.vmemmap_base.value:x} on,",
            f"in blocks of {block >> 10} KiB",
        ),
        *_label(
            _NODES_Y,
            "vmemmap_list",
            f"{len(entries)} nodes, the newest first:",
            "next, phys, virt_addr",
        ),
        *_label(
            _MEMORY_Y,
            "physical memory",
            "the ranges of the dump, and",
            "in blue where the blocks lie",
        ),
        _text(
            _LEFT,
            _MEMORY_Y + 48,
            f"node {shown}: virt_addr 0x{one.virt:x} is at phys 0x{one.phys:x}",
        ),
        _text(
            _LEFT,
            _MEMORY_Y + 66,
            f"there are the struct pages of pfns 0x{one.pfn_start:x} to 0x{one.pfn_end:x}",
            small=True,
        ),
        *array.boxes(_ARRAY_Y),
        *memory.boxes(_MEMORY_Y),
    ]
    order = sorted(range(len(entries)), key=lambda i: i == shown)  # the one in colour over the rest
    nodes = np.linspace(_LEFT, _RIGHT - 7, len(entries))
    for i in order:
        css, x = ("one" if i == shown else "block"), float(nodes[i])
        virt, phys = array.x(entries[i].virt), memory.x(entries[i].phys)
        wide = max(block * array.scale - 0.4, 1)
        out += [
            _line(x + 3.5, _NODES_Y, virt + wide / 2, _ARRAY_Y + _BAR, css),
            _line(x + 3.5, _NODES_Y + _NODE, phys, _MEMORY_Y, css),
            _box(virt, _ARRAY_Y, wide, _BAR, css),
            _box(x, _NODES_Y, 7, _NODE, css),
            _box(phys - 0.7, _MEMORY_Y, 3 if i == shown else 1.4, _BAR, css),
        ]
    label = "The vmemmap in blocks, the list's nodes, and where in memory each block lies"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}"><style>{_STYLE}</style>\n' + "\n".join(out) + "\n</svg>\n"
    )


def _joined(starts: Sequence[int], block: int) -> list[tuple[int, int]]:
    """Join blocks that follow one another to ranges."""
    ranges: list[tuple[int, int]] = []
    for start in starts:
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + block)
        else:
            ranges.append((start, start + block))
    return ranges


def _box(x: float, y: float, width: float, height: float, css: str) -> str:
    return (
        f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def _line(x0: float, y0: float, x1: float, y1: float, css: str) -> str:
    return f'<path class="{css}" d="M{x0:.1f} {y0} L{x1:.1f} {y1}"/>'


def _label(y: float, name: str, *about: str) -> list[str]:
    """Name a lane in the margin, and say below in small letters what it is."""
    lines = [_text(12, y + 32 + 15 * i, line, small=True) for i, line in enumerate(about)]
    return [_text(12, y + 14, name), *lines]


def _text(x: float, y: float, text: str, small: bool = False) -> str:
    css = ' class="small"' if small else ""
    return f'<text x="{x}" y="{y}"{css}>{escape(text)}</text>'
