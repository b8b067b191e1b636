"""What the kernel has counted of its pages, zones and nodes, written as it is at the crash.

The counts come from the allocators, as `PageAnswers` does. What a processor has counted and not yet
added (per_cpu_zonestats) is nothing here.

Source: Linux mm/vmstat.c, mm/page_alloc.c, mm/memblock.c, include/linux/nodemask.h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vmemmap.intervals import intersect, total
from vmemmap.simulate import eras
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import NODEMASK_BYTES, image_of
from vmemmap.simulate.mm import stat_items
from vmemmap.simulate.mm.owners import Frames, Owners
from vmemmap.simulate.mm.usage import Use

ATOMIC_SINCE = (5, 0)
"""totalram_pages and zone.managed_pages became counters that are added to without a lock."""
MEMORY_STATE: eras.Table[int | None] = (
    (eras.OLDEST, None),
    ((3, 8), 2, eras.Bracket("3.7", "3.10", "by what is remembered of 8219fc48adb3")),
    ((4, 14), 3, eras.Bracket("4.12", "4.15", "by what is remembered of f70029bbaacb")),
)
"""N_MEMORY, which was another name of N_NORMAL_MEMORY as long as no node could be all movable."""
N_POSSIBLE, N_ONLINE, N_NORMAL_MEMORY = 0, 1, 2
OF_RELEASES = {
    *("totalram_pages", "_totalram_pages", "vm_stat", "vm_zone_stat", "vm_node_stat"),
    *("log_first_seq", "log_next_seq"),
}
"""Variables that only some releases have."""


def counter_variables(kernel: Kernel) -> set[str]:
    """Give those of `OF_RELEASES` that a kernel has."""
    found = {"_totalram_pages" if kernel.version >= ATOMIC_SINCE else "totalram_pages"}
    if (3, 5) <= kernel.version < (5, 10):
        found |= {"log_first_seq", "log_next_seq"}
    split = kernel.version >= stat_items.SPLIT_SINCE
    return found | ({"vm_zone_stat", "vm_node_stat"} if split else {"vm_stat"})


def node_states(kernel: Kernel) -> dict[str, int]:
    """Give ``enum node_states`` as far as the model knows of each state which nodes are in it."""
    states = {"N_POSSIBLE": N_POSSIBLE, "N_ONLINE": N_ONLINE}
    states |= {"N_NORMAL_MEMORY": N_NORMAL_MEMORY, "N_HIGH_MEMORY": N_NORMAL_MEMORY}
    number = kernel.at(MEMORY_STATE)
    return states if number is None else {**states, "N_MEMORY": number}


def write_counters(machine: CrashedMachine, owners: Owners) -> None:
    """Write all of them: in zones and nodes, of the whole machine, and which nodes there are."""
    kernel, memory, nodes = machine.kernel, machine.memory, machine.nodes
    image = image_of(kernel)
    zone_items = stat_items.numbers_of(kernel.at(stat_items.ZONE_ITEMS))
    node_items = stat_items.numbers_of(kernel.at(stat_items.NODE_ITEMS))
    zone_sums, node_sums = dict.fromkeys(zone_items, 0), dict.fromkeys(node_items, 0)
    totalram, with_memory = 0, []
    runs = np.array([(run.start, run.end, run.use) for run in owners.runs], np.int64).reshape(-1, 3)
    for node, phys in nodes.phys.items():
        counts = dict(_counts(machine, owners, runs, node))
        for items, sums, at in (
            (zone_items, zone_sums, phys + nodes.vm_stat),
            (node_items, node_sums, phys + nodes.node_vm_stat),
        ):
            for name, number in items.items():
                memory.store_u64(at + 8 * number, counts.get(name, 0))
                sums[name] += counts.get(name, 0)
        present, managed = _present(machine, owners, node)
        totalram += managed
        with_memory += [node] if present else []
        nodes.write_present(memory, node, present, managed)
    split = kernel.version >= stat_items.SPLIT_SINCE
    _store_array(machine, "vm_zone_stat" if split else "vm_stat", zone_items, zone_sums)
    if split:
        _store_array(machine, "vm_node_stat", node_items, node_sums)
    atomic = kernel.version >= ATOMIC_SINCE
    memory.store_u64(image.phys["_totalram_pages" if atomic else "totalram_pages"], totalram)
    possible = {*nodes.phys, *range(machine.spec.nodes)}
    _store_nodes(machine, N_POSSIBLE, possible)
    _store_nodes(machine, N_NORMAL_MEMORY, with_memory)
    state = kernel.at(MEMORY_STATE)
    if state is not None:
        _store_nodes(machine, state, with_memory)
    memory.store_u32(image.phys["nr_node_ids"], max(possible) + 1)
    for name in ("max_pfn", "max_low_pfn"):
        memory.store_u64(image.phys[name], _end_of_memory(machine) >> kernel.page_shift)


def _counts(
    machine: CrashedMachine, owners: Owners, runs: Frames, node: int
) -> Iterator[tuple[str, int]]:
    """Yield the counters of a node that are not zero, by the names of all releases.

    Args:
        machine: The machine.
        owners: Who owns which page frame.
        runs: User pages, ascending: first frame, the one after the last, and `Use`.
        node: The node.
    """
    home = owners.homes.get(node, np.zeros((0, 2), np.int64))
    used = {use: total(intersect(home, runs[runs[:, 2] == use, :2])) for use in Use}
    cache, anonymous = used[Use.CACHE] + used[Use.CACHE_PRIVATE], used[Use.ANONYMOUS]
    # No page has PG_active: all are on the lists of those that were not used twice.
    for prefix in ("NR", "NR_ZONE"):
        yield f"{prefix}_INACTIVE_FILE", cache
        yield f"{prefix}_INACTIVE_ANON", anonymous
    yield "NR_FILE_PAGES", cache
    yield from (("NR_ANON_PAGES", anonymous), ("NR_ANON_MAPPED", anonymous))
    # What the model's slabs hold is nobody's cache, and cannot be asked to shrink.
    for name in ("NR_SLAB_UNRECLAIMABLE", "NR_SLAB_UNRECLAIMABLE_B"):
        yield name, used[Use.SLAB]
    cma = machine.pages.cma_ranges(node).total
    free = machine.pages.free_ranges(node).total if node in machine.pages.nodes else 0
    yield from (("NR_FREE_PAGES", free + cma), ("NR_FREE_CMA_PAGES", cma))


def _present(machine: CrashedMachine, owners: Owners, node: int) -> tuple[int, int]:
    """Give how many pages a node has, and how many of them the page allocator was given.

    Gigantic pages that boot set apart count as given.
    """
    if node not in machine.pages.nodes:
        return 0, 0
    home = machine.pages.home(node).as_array()
    reserved = intersect(home, owners.reserved)
    order = machine.kernel.free_area_orders
    huge = sorted((run.start, run.end) for run in owners.runs if run.order >= order)
    given = intersect(reserved, np.array(huge, np.int64).reshape(-1, 2))
    return total(home), total(home) - total(reserved) + total(given)


def _store_array(
    machine: CrashedMachine, name: str, items: Mapping[str, int], sums: Mapping[str, int]
) -> None:
    at = image_of(machine.kernel).phys[name]
    for item, number in items.items():
        machine.memory.store_u64(at + 8 * number, sums[item])


def _store_nodes(machine: CrashedMachine, state: int, nodes: set[int] | list[int]) -> None:
    mask = sum(1 << node for node in nodes)
    at = image_of(machine.kernel).phys["node_states"] + state * NODEMASK_BYTES
    for word in range(NODEMASK_BYTES // 8):
        machine.memory.store_u64(at + 8 * word, mask >> 64 * word & (1 << 64) - 1)


def _end_of_memory(machine: CrashedMachine) -> int:
    """Give where the highest memory ends that there ever was: removal does not lower it."""
    ends = [part.end for part in machine.spec.memory]
    done = zip(machine.spec.events, machine.outcomes[1:], strict=False)
    ends += [event.end for event, outcome in done if event.kind == "add" and outcome.word == "done"]
    return max(ends)
