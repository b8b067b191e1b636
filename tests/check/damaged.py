"""Simulated machines, sound and damaged, for the tests of the checker.

The simulation shares no code with the readers; its own list is the truth that findings and rescued
entries are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from builders.byte_order import Order
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange
from vmemmap.simulate.crash.damage import Harm, apply_damage
from vmemmap.simulate.crash.vmcore import write_vmcore

MIB = 1 << 20


@dataclass(frozen=True)
class Shape:
    """What a machine is like."""

    page_size: int
    byte_order: Order
    release: str = "6.1.0"
    struct_page_size: int = 64

    @property
    def spec(self) -> MachineSpec:
        """Two nodes, small blocks, memory added, and part of it taken away again.

        With 4 KiB pages one of list nodes has 170: the list spreads over several.
        """
        unit = 64 * MIB if self.page_size == 4096 else 128 * MIB
        far = 64 * unit
        spec = MachineSpec(
            memory=(MemoryRange(0, 0, 3 * unit), MemoryRange(1, 4 * unit, unit)),
            release=self.release,
            page_size=self.page_size,
            byte_order=self.byte_order,
            struct_page_size=self.struct_page_size,
            events=(
                HotplugEvent("add", far, unit),
                HotplugEvent("add", 2 * far, unit, node=1),
                HotplugEvent("remove", far, unit // 2),
            ),
        )
        return replace(spec, block_size=min(spec.check().block_sizes(spec.boot_bytes)))

    def __str__(self) -> str:
        return f"{self.page_size >> 10}k-{self.byte_order}-{self.release}-{self.struct_page_size}"


PAGE_SIZES = (4096, 65536)
ORDERS: tuple[Order, ...] = ("little", "big")
SHAPES = [Shape(page_size, order) for page_size in PAGE_SIZES for order in ORDERS]


@dataclass(frozen=True)
class Crashed:
    """A dump and what is known of it.

    Attributes:
        path: The dump.
        truth: phys by virt_addr of the list's entries before any damage.
        harm: What was done to it.
    """

    path: Path
    truth: dict[int, int]
    harm: Harm | None


def crash(spec: MachineSpec, path: Path, damage: str | None = None) -> Crashed:
    """Boot, run, damage and crash a machine."""
    machine = Machine(spec).boot().run_events()
    snapshot = machine.snapshot()
    truth: dict[int, int] = {}
    for _node, phys, virt in machine.walk():
        truth.setdefault(virt, phys)
    harm = apply_damage(snapshot, damage) if damage else None
    write_vmcore(snapshot, path, lambda _what, _done, _total: None)
    return Crashed(path, truth, harm)
