"""The kernel half: a model of vmemmap_populate() and its tracking, on real bytes.

A `MachineSpec` says what machine to build (`load_spec` reads one from TOML); a `Machine` boots it,
takes memory away and adds some, and crashes into a vmcore that crash tools accept. The package
shares no code with the readers, so that each can witness against the other.

Inside, a row imports itself and the rows above it:

====================  ============================================================================
eras kernel steps     what changed and when; one kernel; kernel code that stops at each access
spec                  which machine to build, and whether it can be
memory                physical memory, the kernel image in it, and who hands it out
mm                    the kernel's memory management: sections, vmemmap, list, tables, struct pages
sched                 tasks, their PIDs, and who runs where
crash                 what a dump of the crashed machine holds, damage to it, the known answers
trace                 what a kernel does, step by step, watched from outside
journal events        what it did and said, kept; who has memory added and taken away
in_words watched      a machine in a few lines; who watches it while it works
machine designs       the parts joined and run; the patch's three versions compared
explain store_orders  what the tables hold for a release; one insertion under weak ordering
====================  ============================================================================
"""

from vmemmap.simulate.crash.known_pages import KnownPages
from vmemmap.simulate.machine import Machine
from vmemmap.simulate.spec.machine_spec import MachineSpec
from vmemmap.simulate.spec.parts import (
    CmaArea,
    FaultPlan,
    FirmwareRange,
    HotplugEvent,
    MemoryRange,
    PagePlan,
)
from vmemmap.simulate.spec.toml import load_spec, parse_spec
from vmemmap.simulate.trace.trace import Trace

__all__ = [
    "CmaArea",
    "FaultPlan",
    "FirmwareRange",
    "HotplugEvent",
    "KnownPages",
    "Machine",
    "MachineSpec",
    "MemoryRange",
    "PagePlan",
    "Trace",
    "load_spec",
    "parse_spec",
]
