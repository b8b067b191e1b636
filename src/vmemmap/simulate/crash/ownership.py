"""Asks the allocators of a crashed machine who owns which page frame."""

from __future__ import annotations

import numpy as np

from vmemmap.intervals import intersect, touched
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.kernel import SECTION_SHIFT
from vmemmap.simulate.memory.supply import Altmap
from vmemmap.simulate.mm.owners import Frames, IdleFrames, Owners
from vmemmap.simulate.mm.radix_vmemmap import RESERVED_PAGES
from vmemmap.simulate.mm.sparsemem import HAS_MEM_MAP
from vmemmap.simulate.spec.machine_spec import HotplugEvent


def owners_of(machine: CrashedMachine) -> Owners:
    """Tell who owns which page frame as the machine is now."""
    pages = machine.pages
    valid = _valid_frames(machine)
    sets = [pages.free_ranges(node) for node in pages.nodes]
    sets += [pages.cma_ranges(node) for node in pages.nodes]
    free = [part for ranges in sets for part in ranges]
    return Owners(
        homes={node: intersect(pages.home(node).as_array(), valid) for node in pages.nodes},
        idle=[_idle_frames(machine, event) for event in machine.idle],
        reserved=touched(machine.memblock.reserved.as_array(), machine.kernel.page_size),
        free=np.array(sorted(free), np.int64).reshape(-1, 2),
        blocks={node: dict(pages.free_blocks(node)) for node in pages.nodes},
        cma_blocks={node: dict(pages.cma_blocks(node)) for node in pages.nodes},
        runs=sorted(machine.usage.runs, key=lambda run: run.start),
    )


def _idle_frames(machine: CrashedMachine, event: HotplugEvent) -> IdleFrames:
    kernel = machine.kernel
    shift, pages = kernel.page_shift, max(event.compound >> kernel.page_shift, 1)
    initialised = pages
    altmap = Altmap(event.start, event.end, event.start, event.start, kernel.page_size)
    if machine.vmemmap.vmemmap_can_optimize(altmap if event.altmap else None, pages):
        initialised = RESERVED_PAGES * kernel.page_size // kernel.struct_page_size
    return IdleFrames(
        event.node,
        event.start >> shift,
        event.end >> shift,
        event.device,
        pages.bit_length() - 1,
        initialised,
    )


def _valid_frames(machine: CrashedMachine) -> Frames:
    """Give the frames of sections that have struct pages, as (n, 2)."""
    if not machine.lost_sections:
        return np.array([[0, 1 << 62]], np.int64)
    per = machine.kernel.pages_per_section
    rows = [
        (section * per, (section + 1) * per)
        for part in machine.spec.memory
        for section in range(part.start >> SECTION_SHIFT, part.end >> SECTION_SHIFT)
        if machine.sparsemem.flags(section) & HAS_MEM_MAP
    ]
    for event in machine.spec.events:
        first, last = event.start >> SECTION_SHIFT, -(-event.end >> SECTION_SHIFT)
        rows.append((first * per, last * per))
    return np.array(sorted(rows), np.int64).reshape(-1, 2)
