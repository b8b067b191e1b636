"""Hotplug events as the kernel code that they run, and the memory that is there and not in use.

The code itself is in ``mm/hotplug.py``; here is who calls it: DLPAR for memory, piece by piece, and
the drivers of devices.
"""

from __future__ import annotations

from dataclasses import replace

from vmemmap.simulate.journal import Journal
from vmemmap.simulate.memory.physical import PhysicalMemory
from vmemmap.simulate.memory.supply import Supply
from vmemmap.simulate.mm.hotplug import MemoryHotplug
from vmemmap.simulate.mm.outcome import Errno, Printed
from vmemmap.simulate.mm.pgdat import Pgdat
from vmemmap.simulate.spec.parts import HotplugEvent
from vmemmap.simulate.steps import Steps, Task

ROLLED_BACK = "pseries-hotplug-mem: Memory indexed-count-add failed, removing any added LMBs"


class HotplugEvents:
    """Runs hotplug events of one machine.

    Attributes:
        idle: Memory that is there and not in use, by the events that added it: devices, and RAM
            that did not come online.
    """

    def __init__(
        self,
        hotplug: MemoryHotplug,
        memory: PhysicalMemory,
        supply: Supply,
        nodes: Pgdat,
        journal: Journal,
    ) -> None:
        self._hotplug, self._journal = hotplug, journal
        self._memory, self._supply, self._nodes = memory, supply, nodes
        self.idle: list[HotplugEvent] = []

    def steps(self, task: Task, event: HotplugEvent) -> Steps[int]:
        """Give an event as kernel code to be driven.

        Returns, when driven to its end, 0 or a negative errno.
        """
        if event.kind == "add":
            return (yield from self._add(task, event))
        return (yield from self._remove(task, event))

    def _add(self, task: Task, event: HotplugEvent) -> Steps[int]:
        if event.node not in self._nodes.phys:  # its first memory
            home = self._supply.alloc_kernel(self._nodes.size, event.node)
            self._nodes.add_node(self._memory, event.node, home)
        result = yield from self._add_by_lmb(task, event)
        if not result and (event.device or not event.online):
            self.idle.append(event)
        return result

    def _add_by_lmb(self, task: Task, event: HotplugEvent) -> Steps[int]:
        """Add memory, piece by piece where DLPAR does it; a piece that fails costs all of them.

        Source: Linux arch/powerpc/platforms/pseries/hotplug-memory.c, dlpar_memory_add_by_ic().
        """
        step, result = event.lmb or event.size, 0
        for start in range(event.start, event.end, step):
            result = yield from self._hotplug.add_memory(
                task,
                event.node,
                start,
                step,
                event.altmap,
                device=event.device,
                reserve=event.reserve,
                compound_bytes=event.compound,
                online=event.online,
            )
            if result and event.lmb:
                self._journal.said(Printed(3, ROLLED_BACK))
                for added in range(event.start, start, step):
                    yield from self._hotplug.remove_memory(task, added, step, online=event.online)
                return -Errno.EINVAL
        return result

    def _remove(self, task: Task, event: HotplugEvent) -> Steps[int]:
        idle = [part for part in self.idle if part.start < event.end and event.start < part.end]
        device = any(part.device for part in idle)
        result = yield from self._hotplug.remove_memory(
            task, event.start, event.size, device=device, online=not idle
        )
        if not result:
            self.idle = [part for part in self.idle if part not in idle]
            for part in idle:
                for low, high in ((part.start, event.start), (event.end, part.end)):
                    if low < high:
                        self.idle.append(replace(part, start=low, size=high - low))
        return result
