"""walk_list on damaged lists: it ends, says why, and keeps every entry before the damage."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

from backing.walk_model import (
    LINEAR,
    NODE_BYTES,
    Outcome,
    expected_of,
    outcome_of,
    same,
    walk_machine,
)
from breadth import pairs
from builders.machine import Entry, Machine, build_machine
from vmemmap.findings import Finding, Severity

SHAPES: list[dict[str, Any]] = [
    {"page_size": 4096, "block_shift": 12},
    {"page_size": 4096, "block_shift": 16, "byte_order": "big", "node_order": "shuffled"},
    {"page_size": 65536, "block_shift": 16, "byte_order": "big"},
    {"page_size": 65536, "block_shift": 16, "node_order": "shuffled"},
]
# With 4 KiB pages a page has 170 nodes: entries 0-59, 60-229 and 230-399 share one at boot.
COUNT = 400
PLACES = [0, 1, 59, 60, 150, 399]


def everywhere(
    name: str, values: Iterable[int], places: Iterable[int] = PLACES
) -> pytest.MarkDecorator:
    """Parametrize *name*, with the machines and the places in their lists."""
    cases = pairs(product(SHAPES, places, values))
    return pytest.mark.parametrize(("machine", "place", name), cases, indirect=["machine"])


@pytest.fixture(params=SHAPES, ids=str)
def machine(request: pytest.FixtureRequest) -> Machine:
    return build_machine(blocks=COUNT, store="none", **request.param)


@pytest.fixture
def boot() -> Machine:
    return build_machine(page_size=4096, block_shift=12, blocks=COUNT, store="none")


def point(machine: Machine, place: int, target: int) -> None:
    """Make what points at entry *place* point at *target* instead."""
    if place:
        machine.poke_node(place - 1, link=target)
    else:
        machine.poke_u64(machine.symbols["vmemmap_list"], target)


def check(machine: Machine, code: str, kept: int, node: int | None) -> Finding:
    """Walk; the first *kept* entries and the finding have to be there. Asks the model, too."""
    walk = walk_machine(machine)
    same(outcome_of(walk), Outcome(list(machine.entries[:kept]), code, node))
    same(outcome_of(walk), expected_of(machine))
    (finding,) = walk.findings
    assert finding.severity is Severity.ERROR
    assert finding.node is not None
    assert f"{finding.node:#x}" in finding.message
    return finding


@everywhere(
    "target",
    [0x1000, 0x7FFF00000000, LINEAR - 0x1000, LINEAR + (1 << 51), 0xF000000000000000, 2**64 - 24],
)
def test_a_node_outside_the_linear_map(machine: Machine, place: int, target: int) -> None:
    point(machine, place, target)
    finding = check(machine, "node_outside_memory", place, target)
    assert finding.phys == (target - LINEAR if target == 0 else None)
    came = f"node {machine.entries[place - 1].node:#x}" if place else "vmemmap_list"
    assert finding.message.startswith(f"{came} points to {target:#x}")


@everywhere("phys", [1 << 40, (1 << 51) - 0x10000])
def test_a_node_outside_ram(machine: Machine, place: int, phys: int) -> None:
    point(machine, place, LINEAR + phys)
    finding = check(machine, "node_outside_memory", place, LINEAR + phys)
    assert finding.phys == phys


def first_on_page(machine: Machine, page: int) -> int:
    """Give the first entry, head first, that lies on a node page."""
    size = machine.page_size
    return next(i for i, e in enumerate(machine.entries) if e.node // size == page // size)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("drop", "node_outside_memory"),
        ("exclude", "node_unreadable"),
        ("lose", "node_unreadable"),
    ],
)
def test_a_node_page_that_the_dump_lacks(machine: Machine, how: str, code: str) -> None:
    page = machine.node_pages[0]  # the oldest
    place = first_on_page(machine, page)
    node = machine.entries[place].node
    getattr(machine, how)(page)
    finding = check(machine, code, place, node)
    assert finding.phys == node - LINEAR


def test_every_node_page_of_a_boot_list_in_turn(boot: Machine) -> None:
    firsts = {first_on_page(boot, page) for page in boot.node_pages}
    assert firsts == {0, 60, 230}
    for page in boot.node_pages:
        place = first_on_page(boot, page)
        boot.exclude(page)
        check(boot, "node_unreadable", place, boot.entries[place].node)
        boot.memory.excluded.clear()


@everywhere("step", [1, 2, 4, 7, 8, 16, 12, -8, -1])
def test_a_misaligned_pointer(machine: Machine, place: int, step: int) -> None:
    target = machine.entries[place].node + step
    point(machine, place, target)
    outcome = expected_of(machine)
    assert outcome.code == "node_misaligned"
    check(machine, "node_misaligned", place, target)


@everywhere("before", [8, 16])
def test_a_node_across_the_end_of_a_page(machine: Machine, place: int, before: int) -> None:
    # 16 bytes before the end the next slot would begin, if it fitted.
    for page in machine.node_pages:
        target = page + machine.page_size - before
        point(machine, place, target)
        check(machine, "node_misaligned", place, target)


@pytest.mark.parametrize("place", PLACES)
def test_a_node_that_is_all_zero(machine: Machine, place: int) -> None:
    machine.zero_node(place)
    finding = check(machine, "node_zero", place, machine.entries[place].node)
    came = f"node {machine.entries[place - 1].node:#x}" if place else "vmemmap_list"
    assert finding.message.startswith(f"{came} points to ")


@pytest.mark.parametrize("page", [0, -1])
def test_a_page_of_zeros(machine: Machine, page: int) -> None:
    virt = machine.node_pages[page]
    machine.poke(virt, bytes(machine.page_size))
    place = first_on_page(machine, virt)
    check(machine, "node_zero", place, machine.entries[place].node)


def test_a_zero_member_alone_is_no_zero_node(machine: Machine) -> None:
    machine.poke_node(150, phys=0)
    machine.poke_node(399, phys=0)
    machine.poke_node(7, virt=0)
    walk = walk_machine(machine)
    assert walk.complete
    assert walk.node.tolist() == [entry.node for entry in machine.entries]
    assert walk.phys[150] == walk.phys[399] == walk.virt[7] == 0


@pytest.mark.parametrize(
    ("last", "back_to"),
    [
        *((0, 0), (1, 1), (30, 30), (399, 399), (60, 60)),
        *((399, 0), (59, 0), (1, 0), (229, 0)),
        *((1, 0), (31, 30), (60, 59), (61, 60), (230, 229), (399, 398)),
        *((32, 30), (59, 31), (229, 60), (399, 230), (300, 10), (398, 59), (231, 200), (399, 1)),
    ],
)
def test_a_cycle_keeps_each_node_once(machine: Machine, last: int, back_to: int) -> None:
    target = machine.entries[back_to].node
    machine.poke_node(last, link=target)
    finding = check(machine, "list_cycle", last + 1, machine.entries[last].node)
    assert f"points back to {target:#x}" in finding.message


@pytest.mark.parametrize(
    ("head", "last", "up_to"),
    [(30, 59, 10), (30, 59, 29), (30, 30, 10), (59, 59, 0), (200, 229, 61), (150, 399, 61)],
)
def test_a_pointer_up_into_the_same_run_takes_what_is_new_of_it(
    boot: Machine, head: int, last: int, up_to: int
) -> None:
    point(boot, 0, boot.entries[head].node)
    boot.poke_node(last, link=boot.entries[up_to].node)
    expected = [*boot.entries[head : last + 1], *boot.entries[up_to:head]]
    outcome = outcome_of(walk_machine(boot))
    same(outcome, Outcome(expected, "list_cycle", boot.entries[head - 1].node))
    same(outcome, expected_of(boot))


def test_runs_that_are_left_in_the_middle_and_entered_again(boot: Machine) -> None:
    # 0-19, then 100-139, then 60-99, then 100 again: the second visit ends the walk.
    boot.poke_node(19, link=boot.entries[100].node)
    boot.poke_node(139, link=boot.entries[60].node)
    outcome = outcome_of(walk_machine(boot))
    expected = [*boot.entries[:20], *boot.entries[100:140], *boot.entries[60:100]]
    same(outcome, Outcome(expected, "list_cycle", boot.entries[99].node))


@pytest.mark.parametrize("slots", ["zero", "garbage"])
@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("place", [0, 100, 390])
def test_a_pointer_to_a_freed_node_follows_the_free_list_to_its_end(
    slots: str, page_size: int, place: int
) -> None:
    machine = build_machine(
        page_size=page_size,
        block_shift=16,
        blocks=COUNT,
        hot_removed=9,
        unused_slots=slots,  # type: ignore[arg-type]
        store="none",
    )
    assert len(machine.freed) == 9
    point(machine, place, machine.freed[-1].node)
    stale = [Entry(freed.node, freed.phys, freed.virt) for freed in reversed(machine.freed)]
    # Behind the freed nodes lies the first slot never used.
    code, node = "node_zero", machine.freed[0].link
    if slots == "garbage":
        code, node = "node_misaligned", 0xA5A5A5A5A5A5A5A5
        rubbish = Entry(machine.freed[0].link, node, node)
        stale.append(rubbish)
    outcome = outcome_of(walk_machine(machine))
    same(outcome, Outcome([*machine.entries[:place], *stale], code, node))
    same(outcome, expected_of(machine))


def limited(machine: Machine, limit: int) -> Outcome:
    return outcome_of(walk_machine(machine, limit=limit))


@pytest.mark.parametrize("limit", [1, 2, 59, 60, 61, 100, 255, 256, 257, 398, 399])
def test_a_list_longer_than_the_limit_ends_there(machine: Machine, limit: int) -> None:
    found = limited(machine, limit)
    same(found, Outcome(list(machine.entries[:limit]), "list_too_long", found.node))


@pytest.mark.parametrize("limit", [COUNT, COUNT + 1, 10 * COUNT])
def test_a_list_within_the_limit_is_complete(machine: Machine, limit: int) -> None:
    same(limited(machine, limit), Outcome(list(machine.entries)))


@everywhere("limit", [COUNT, COUNT + 20, 2 * COUNT], places=[0, 100, 399])
def test_a_cycle_within_the_limit_is_named_as_such(
    machine: Machine, place: int, limit: int
) -> None:
    machine.poke_node(399, link=machine.entries[place].node)
    expected = Outcome(list(machine.entries), "list_cycle", machine.entries[399].node)
    same(limited(machine, limit), expected)


def test_a_node_at_the_very_end_of_a_page_is_a_node(boot: Machine) -> None:
    last = [e for e in boot.entries if e.node % 4096 == (170 - 1) * NODE_BYTES]
    assert len(last) == 2
    same(outcome_of(walk_machine(boot)), Outcome(list(boot.entries)))
