"""Every kind of machine that kernels allow, and how to open one from a real file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from builders.machine import Machine, build_machine
from vmemmap.vmcore import Vmcore, open_vmcore

LINEAR = 0xC000000000000000
HOLEY = (0, 1, 2, 3, 5, 6, 9, 10, 40)
"""Numbers of the blocks in use: single ones, neighbours, gaps of several lengths."""

_HASH = [
    *itertools.product(["c00c", "f000"], [65536], [16, 24]),
    *itertools.product(["c0003f", "c00030", "f000"], [4096], [12, 16, 24]),
]
_RADIX = [(65536, 16), (65536, 21), (4096, 12), (4096, 21)]


def _shapes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"mmu": "hash", "layout": layout, "page_size": page, "block_shift": shift}
        for layout, page, shift in _HASH
    ]
    for page, shift in _RADIX:
        radix = {"mmu": "radix", "page_size": page, "block_shift": shift}
        found += [{**radix, "layout": "c00c"}, {**radix, "layout": "c00a"}]
        found.append({**radix, "layout": "c00c", "release": "6.12.0"})
    return found


SHAPES = _shapes()
ALL = [{**shape, "byte_order": order} for shape in SHAPES for order in ("little", "big")]


def name_of(shape: dict[str, Any]) -> str:
    """Name a shape for the test report."""
    return "-".join(str(value) for value in shape.values())


def shaped(shape: dict[str, Any], **more: Any) -> Machine:
    """Build the machine of a shape, with holes in its vmemmap and hotplug's list order."""
    options = {"blocks": HOLEY, "node_order": "shuffled", **shape, **more}
    return build_machine(**options)


def written(machine: Machine, directory: Path, kind: str = "elf", **options: Any) -> Path:
    """Write the machine's dump to a file."""
    path = directory / f"vmcore.{kind}"
    path.write_bytes(machine.kdump(**options) if kind == "kdump" else machine.elf(**options))
    return path


def opened(machine: Machine, directory: Path, kind: str = "elf", **options: Any) -> Vmcore:
    """Write the machine's dump to a file and open it."""
    return open_vmcore(written(machine, directory, kind, **options))


def has_list(machine: Machine) -> bool:
    """Tell whether this kernel keeps vmemmap_list."""
    return bool(machine.entries)
