"""Simulated machines, sound and damaged, for the tests of the checker."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from builders.byte_order import Order
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange
from vmemmap.simulate.crash import write_vmcore
from vmemmap.simulate.damage import Harm, apply_damage

MIB, GIB = 1 << 20, 1 << 30


class Shape(NamedTuple):
    """What a machine is like."""

    page_size: int
    byte_order: Order
    release: str = "6.1.0"


SHAPES = [
    Shape(page_size, byte_order) for page_size in (4096, 65536) for byte_order in ("little", "big")
]  # type: ignore[misc]


def spec_of(shape: Shape) -> MachineSpec:
    """A machine with two nodes, small blocks, memory added, and part of it taken away again."""
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, GIB), MemoryRange(1, 2 * GIB, 512 * MIB)),
        release=shape.release,
        page_size=shape.page_size,
        byte_order=shape.byte_order,
        events=(
            HotplugEvent("add", 4 * GIB, 256 * MIB),
            HotplugEvent("add", 8 * GIB, 256 * MIB, node=1),
            HotplugEvent("remove", 4 * GIB, 128 * MIB),
        ),
    )
    return replace(spec, block_size=min(spec.check().block_sizes(spec.boot_bytes)))


def crash(spec: MachineSpec, path: Path, damage: str | None = None) -> tuple[Machine, Harm | None]:
    """Boot, run, damage and crash a machine."""
    machine = Machine(spec).boot().run_events()
    snapshot = machine.snapshot()
    harm = apply_damage(snapshot, damage) if damage else None
    write_vmcore(snapshot, path, lambda _what, _done, _total: None)
    return machine, harm


@cache
def entries_of(shape: Shape) -> list[tuple[int, int, int]]:
    """The undamaged list of a shape, as the model has it."""
    return Machine(spec_of(shape)).boot().run_events().walk()
