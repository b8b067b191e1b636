"""Every order in which two kernel functions can run, as far as a few changes of turn go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any

from simulate.machines import NODE, NodePages, mapped_blocks, small_spec
from vmemmap.simulate import HotplugEvent, Machine
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.memory.physical import phys_of
from vmemmap.simulate.mm.locks import LockRule
from vmemmap.simulate.steps import Access, Steps, Task, interleave

Chooser = Callable[[int], int]


def race(
    release: str,
    rule: LockRule,
    events: Sequence[HotplugEvent],
    choose: Chooser,
    before: Sequence[HotplugEvent] = (),
    *,
    hibernation: bool = False,
    coarse: bool = False,
) -> tuple[Machine, NodePages, list[int]]:
    """Boot, run *before* in turn, then *events* at once, in the order that *choose* says.

    With *coarse*, turns change only where code is at the list, its nodes or their allocator: what
    goes on elsewhere (mem_section is read dozens of times for each block) cannot harm the list.
    """
    machine = Machine(small_spec(release, hibernation=hibernation), lock_rule=rule)
    pages = NodePages(machine)
    machine.boot()
    for event in before:
        assert machine.run_event(event).result == 0
    tasks = [machine.event_steps(Task(f"cpu{n}"), event) for n, event in enumerate(events)]
    results = interleave([only_at_the_list(task) for task in tasks] if coarse else tasks, choose)
    return machine, pages, results


def only_at_the_list(steps: Steps[int]) -> Steps[int]:
    """Go through *steps*, letting others in only inside the functions named vmemmap_list_*."""
    try:
        while True:
            access = next(steps)
            if access is Access.WAIT or at_the_list(steps):
                yield access
    except StopIteration as end:
        result: int = end.value
        return result


def at_the_list(steps: Steps[int]) -> bool:
    """Tell whether a suspended kernel function has called one of the list's."""
    inner: Any = steps
    while inner is not None:
        if inner.__name__.startswith("vmemmap_list_"):
            return True
        inner = inner.gi_yieldfrom
    return False


def turns_at(switches: Sequence[int]) -> Chooser:
    """Let the first task run, and change over to the other one at the given steps."""
    step = 0
    turn = 0

    def choose(ready: int) -> int:
        nonlocal step, turn
        turn = (turn + switches.count(step)) % 2
        step += 1
        return turn if ready > 1 else 0

    return choose


def schedules(steps: int, switches: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to change the turn up to *switches* times within so many steps."""
    for count in range(switches + 1):
        yield from combinations_with_replacement(range(steps), count)


def damage(machine: Machine, pages: NodePages, blocks: Sequence[int]) -> str | None:
    """Tell what is wrong with a list that should hold *blocks* (virtual addresses), or None."""
    live: list[int] = []
    listed: dict[int, int] = {}
    node = machine.memory.load_u64(PHYS["vmemmap_list"])
    while node:
        if node in live:
            return f"the list runs in a circle at {node:#x}"
        live.append(node)
        here = phys_of(node)
        virt = machine.memory.load_u64(here + 16)
        if virt in listed:
            return f"{virt:#x} is in two nodes, or a node was handed out twice"
        listed[virt] = machine.memory.load_u64(here + 8)
        node = machine.memory.load_u64(here)
    missing = set(blocks) - set(listed)
    if missing:
        return f"lost from the list: {', '.join(f'{virt:#x}' for virt in sorted(missing))}"
    if set(listed) - set(blocks):
        return "the list holds blocks that back nothing"
    if listed != mapped_blocks(machine):
        return "the list names other memory than is mapped"
    if not set(live) <= set(pages.all_slots()):
        return "a node lies where none was handed out"
    return unaccounted_slots(machine, pages, live)


def unaccounted_slots(machine: Machine, pages: NodePages, live: Sequence[int]) -> str | None:
    """Tell whether the node allocator's own counts no longer fit what is in use."""
    freed = []
    node = machine.memory.load_u64(PHYS["next"])
    for _ in range(machine.memory.load_u32(PHYS["num_freed"])):
        freed.append(node)
        node = machine.memory.load_u64(phys_of(node))
    slots = pages.all_slots()
    used = [*live, *freed]
    if max(Counter(used).values(), default=0) > 1:
        return "a node is free and in use at once, or free twice"
    left = machine.memory.load_u32(PHYS["num_left"])
    if set(used) != set(slots[: len(slots) - left]):
        return "slots of a node page are lost, or counted that are not there"
    if left and node != slots[len(slots) - left]:
        return f"the next fresh node is {node:#x}, {(node - slots[0]) // NODE} slots on"
    return None
