"""The kernel half: a model of vmemmap_populate() and its tracking, on real bytes.

A `MachineSpec` says what machine to build (`load_spec` reads one from TOML); a `Machine` boots it,
takes memory away and adds some, and crashes into a vmcore that crash tools accept. The package
shares no code with the readers, so that each can witness against the other.
"""

from vmemmap.simulate.machine import Machine
from vmemmap.simulate.spec.machine_spec import (
    FaultPlan,
    HotplugEvent,
    MachineSpec,
    MemoryRange,
    PagePlan,
)
from vmemmap.simulate.spec.toml import load_spec, parse_spec

__all__ = [
    "FaultPlan",
    "HotplugEvent",
    "Machine",
    "MachineSpec",
    "MemoryRange",
    "PagePlan",
    "load_spec",
    "parse_spec",
]
