"""The walk of vmemmap_list, one plain step after the other: the second witness for `walk_list`."""

from __future__ import annotations

from dataclasses import dataclass

from builders.byte_order import Order
from builders.machine import Machine
from builders.node_list import Entry
from builders.physical import SparseMemory
from vmcore.machine_source import MachineSource, usual_node
from vmemmap.backing.walk import DEFAULT_LIMIT, Walk, walk_list

LINEAR = 0xC000000000000000
NODE_BYTES = 24


@dataclass(frozen=True)
class Outcome:
    """What a walk gives: the entries, and code and node of what ended it early."""

    entries: list[Entry]
    code: str = ""
    node: int | None = None


def expected_walk(memory: SparseMemory, order: Order, block_size: int, head: int) -> Outcome:
    """Follow the list from *head* and stop at the first thing that no kernel makes.

    A node may lie anywhere in a page where it fits whole, on a multiple of 8. Off the slots that
    the kernel cuts a page into, its members have to be those of a block.
    """
    size, out, seen, node = memory.page_size, list[Entry](), set[int](), head
    while node:
        if node in seen:
            return Outcome(out, "list_cycle", out[-1].node)
        if node % 8 or node % size + NODE_BYTES > size:
            return Outcome(out, "node_misaligned", node)
        pfn = (node - LINEAR) // size
        if not 0 <= node - LINEAR < 1 << 51:
            return Outcome(out, "node_outside_memory", node)
        if pfn in memory.excluded or pfn in memory.lost:
            return Outcome(out, "node_unreadable", node)
        if pfn not in memory.pages:
            return Outcome(out, "node_outside_memory", node)
        raw = memory.read(node - LINEAR, NODE_BYTES)
        link, phys, virt = (int.from_bytes(raw[at : at + 8], order) for at in (0, 8, 16))
        fits = phys % block_size == virt % block_size == 0 and phys < 1 << 51 and virt >= 1 << 63
        if node % size % NODE_BYTES and not fits:
            return Outcome(out, "node_misaligned", node)
        if link == phys == virt == 0:
            return Outcome(out, "node_zero", node)
        seen.add(node)
        out.append(Entry(node, phys, virt))
        node = link
    return Outcome(out)


def outcome_of(walk: Walk) -> Outcome:
    """Put a walk into the model's words; more than one finding fails."""
    assert len(walk.findings) <= 1
    assert walk.complete == (not walk.findings)
    columns = (column.tolist() for column in (walk.node, walk.phys, walk.virt))
    entries = [Entry(*row) for row in zip(*columns, strict=True)]
    for finding in walk.findings:
        return Outcome(entries, finding.code, finding.node)
    return Outcome(entries)


def same(found: Outcome, expected: Outcome) -> None:
    """Assert that two outcomes are equal, with a short message however long the lists are."""
    ends = [(len(outcome.entries), outcome.code, outcome.node) for outcome in (found, expected)]
    assert ends[0] == ends[1], f"(entries, code, node): found {ends[0]}, expected {ends[1]}"
    for number, pair in enumerate(zip(found.entries, expected.entries, strict=True)):
        assert pair[0] == pair[1], f"entry {number}: found {pair[0]}, expected {pair[1]}"


def head_of(machine: Machine) -> int:
    """Read vmemmap_list as it is now."""
    raw = machine.read(machine.symbols["vmemmap_list"], 8)
    return int.from_bytes(raw, machine.byte_order)


def walk_machine(machine: Machine, *, limit: int = DEFAULT_LIMIT) -> Walk:
    """Walk the list of *machine* as it is now."""
    return walk_list(
        MachineSource(machine),
        head_of(machine),
        usual_node(machine.byte_order),
        machine.page_size,
        machine.block_size,
        limit,
    )


def expected_of(machine: Machine) -> Outcome:
    """Give the model's walk of *machine* as it is now."""
    return expected_walk(machine.memory, machine.byte_order, machine.block_size, head_of(machine))
