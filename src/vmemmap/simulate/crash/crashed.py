"""A machine that runs no more: all that its dump is made from, and what is known of its life."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.memblock import Memblock
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.memory.physical import PhysicalMemory
from vmemmap.simulate.mm.backing_list import VmemmapBacking, walk_list
from vmemmap.simulate.mm.locks import HotplugLocks
from vmemmap.simulate.mm.outcome import Outcome
from vmemmap.simulate.mm.pgdat import Pgdat
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.mm.sparsemem import SparseMem
from vmemmap.simulate.mm.usage import PageUsage
from vmemmap.simulate.sched.tasks import Tasks
from vmemmap.simulate.spec.machine_spec import MachineSpec
from vmemmap.simulate.spec.parts import HotplugEvent


@dataclass(frozen=True, slots=True)
class CrashedMachine:
    """The state of a machine at its crash.

    Its parts are the machine's own and not copies, so the machine must not run on meanwhile.

    Attributes:
        spec: What the machine was made from.
        kernel: The kernel that it ran.
        memory: Its physical memory.
        memblock: The boot allocator, for what it reserved.
        pages: The page allocator.
        usage: The user pages.
        sparsemem: mem_section.
        vmemmap: The struct pages: how they are backed and mapped, and what of it went wrong.
        nodes: The node structures.
        locks: What kept two hotplug operations apart.
        tasks: The tasks, and what each processor has.
        objects_phys: Physical address of the page of kernel objects.
        idle: Memory that is there and not in use, by the events that added it: devices, and RAM
            that did not come online.
        lost_sections: Sections that got no struct pages at boot.
        outcomes: What became of boot and of each event.
        stores: Stores of the tracking that were done one by one.
        reason: Why the machine stopped by itself, or None.
    """

    spec: MachineSpec
    kernel: Kernel
    memory: PhysicalMemory
    memblock: Memblock
    pages: PageAllocator
    usage: PageUsage
    sparsemem: SparseMem
    vmemmap: Vmemmap
    nodes: Pgdat
    locks: HotplugLocks
    tasks: Tasks
    objects_phys: int
    idle: tuple[HotplugEvent, ...]
    lost_sections: int
    outcomes: tuple[Outcome, ...]
    stores: int
    reason: str | None

    @property
    def offline(self) -> list[HotplugEvent]:
        """RAM that did not come online."""
        return [event for event in self.idle if not event.device]

    def walk(self) -> Iterator[VmemmapBacking]:
        """Follow the list as it is now, head first."""
        return walk_list(self.memory)
