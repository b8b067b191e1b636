"""The simulator, fed with the memory of a real machine and what was plugged and unplugged.

Its list is the real one in all that no allocator decides: how many entries there are, the
virt_addr of each in list order, where in its page each node lies, and which nodes share a page. So
also which nodes were used again after memory had gone. Not compared: the physical addresses of
blocks and of node pages, which depend on what else the kernel had allocated.

What came and went, and when, is what the kernel's log says; where that leads must be what the
guest's memory blocks say.
"""

from __future__ import annotations

import functools
import re

import pytest

import vmemmap
from lab.checks.guest_kernel import boot_memory, hotplug
from lab.checks.guest_memory import join, parse_memory_blocks
from lab.checks.machine_facts import fullest, keeps_list, mmu_of, page_size_of, said
from lab.results import Result
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange


def spec_of(machine: Result, moment: str, block_size: int) -> MachineSpec:
    """Describe a machine to the simulator, by what its kernel logged."""
    log = said(machine, f"{moment}/dmesg")
    blocks = parse_memory_blocks(said(machine, "memory-blocks"))
    unit = blocks[0].end - blocks[0].start
    nodes = {block.start: block.nodes[0] for block in blocks if block.nodes}
    offline = {block.start for block in blocks if not block.online}
    release = re.match(r"\d+\.\d+(\.\d+)?", machine.release)
    assert release
    return MachineSpec(
        memory=tuple(MemoryRange(node, low, high - low) for node, low, high in boot_memory(log)),
        release=release[0],
        nodes=1 + max(nodes.values(), default=0),
        page_size=page_size_of(machine),
        mmu="radix" if mmu_of(machine) == "radix" else "hash",
        block_size=block_size or None,
        events=tuple(
            HotplugEvent(
                event.kind,
                event.start,
                unit,
                nodes.get(event.start, 0),
                online=event.start not in offline,
            )
            if event.kind == "add"
            else HotplugEvent(event.kind, event.start, unit)
            for event in hotplug(log)
        ),
    )


@functools.lru_cache(maxsize=1)
def list_of_model(spec: MachineSpec) -> list[tuple[int, int]]:
    """Run the simulator: node and virt_addr of each entry, head first.

    The moments of a machine have the same history, so one run does for them.
    """
    model = Machine(spec).boot().run_events()
    assert model.crashed is None
    assert {outcome.result for outcome in model.outcomes} == {0}
    return [(node, virt) for node, _phys, virt in model.walk()]


def test_log_leads_to_the_memory_blocks(machine: Result, moment: str) -> None:
    """Else what follows would compare with another history than the machine's."""
    spec = spec_of(machine, moment, 0)
    present = [(part.start, part.end) for part in spec.memory]
    for event in spec.events:
        if event.kind == "add":
            present = join([*present, (event.start, event.end)])
        else:
            present = [
                part
                for low, high in present
                for part in ((low, min(high, event.start)), (max(low, event.end), high))
                if part[0] < part[1]
            ]
    blocks = parse_memory_blocks(said(machine, "memory-blocks"))
    assert join(present) == join([(block.start, block.end) for block in blocks])
    planned = len(machine.spec.get("memory", ()))
    assert planned <= len(spec.events), "less happened than the machine was told to do"


def test_list_is_that_of_the_simulator(machine: Result, moment: str) -> None:
    with vmemmap.open(machine.path(fullest(machine, moment))) as core:
        backing = core.backing
        real = list(zip(backing.node.tolist(), backing.virt.tolist(), strict=True))
        spec = spec_of(machine, moment, backing.block_size if keeps_list(machine) else 0)
    try:
        ours = list_of_model(spec)
    except vmemmap.SpecError as error:
        pytest.skip(f"the simulator cannot be such a machine: {error}")
    page = spec.page_size
    assert [virt for _, virt in ours] == [virt for _, virt in real]
    assert [node % page for node, _ in ours] == [node % page for node, _ in real]
    assert groups(ours, page) == groups(real, page)


def groups(entries: list[tuple[int, int]], page: int) -> list[int]:
    """Number each node's page by the order in which the list first comes to it."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(node // page, len(numbers)) for node, _ in entries]


def test_groups() -> None:
    assert groups([(0x30010, 1), (0x20000, 2), (0x30028, 3)], 0x10000) == [0, 1, 0]
