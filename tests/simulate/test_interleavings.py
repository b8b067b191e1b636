"""Does the list need a lock of its own? The patch's argument, from both sides.

The patch of 2010 has no spinlock, because memory hotplug, so it says, holds pgdat_resize_lock
around vmemmap_populate(). These tests run two hotplug operations at once, one load or store at a
time, in every order with up to two changes of turn and in many random orders with more:

- with the lock that each era's code really holds, further up, the list stays whole;
- with pgdat_resize_lock held where the patch says, it stays whole on one NUMA node, and breaks on
  two, because there is one such lock for each node and one list for all of them;
- the code of the day took that lock only when the struct pages were there already;
- in 2.6.35 without hibernation the lock further up is no lock, and a schedule breaks the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from simulate.machines import RELEASES, SECTION, ListModel, M, add, remove, small_machine
from simulate.schedules import damage, race, schedules, turns_at
from vmemmap.simulate import HotplugEvent
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.mm.locks import LockRule
from vmemmap.simulate.sched import tasks
from vmemmap.simulate.sched.roster import TASKS
from vmemmap.simulate.steps import Access, Deadlock, Task

FIRST, SECOND, THIRD = 128 * M, 256 * M, 384 * M
"""Memory of which each has blocks of its own: a 64 KiB block covers 64 MiB."""

SAME_NODE = (add(FIRST, node=1), add(SECOND, node=1))
TWO_NODES = (add(FIRST, node=0), add(SECOND, node=1))
ADD_AND_REMOVE = (add(FIRST, node=0), remove(THIRD))
TWO_REMOVES = (remove(FIRST), remove(THIRD))

Case = tuple[tuple[HotplugEvent, ...], tuple[HotplugEvent, ...]]
CASES: dict[str, Case] = {
    "two adds on one node": (SAME_NODE, ()),
    "two adds on two nodes": (TWO_NODES, ()),
    "an add and a remove": (ADD_AND_REMOVE, (add(THIRD, node=1),)),
    "two removes": (TWO_REMOVES, (add(FIRST, node=0), add(THIRD, node=1))),
}
STEPS = 24
"""More than any two of these operations have accesses to the list and its allocator."""


@pytest.fixture(scope="module", autouse=True)
def _few_tasks() -> Iterator[None]:
    """Fork four of twelve: thousands of machines boot here, and of tasks nothing is read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "TASKS", (*TASKS[:2], *TASKS[-2:]))
        yield


@cache
def expected_blocks(events: tuple[HotplugEvent, ...], before: tuple[HotplugEvent, ...]) -> set[int]:
    """What the list should hold when all is done, in whatever order."""
    machine = small_machine("6.1")
    model = ListModel.of(machine)
    for event in (*before, *events):
        (model.add if event.kind == "add" else model.remove)(event.start, event.size)
    return {virt - machine.kernel.vmemmap_base for virt in model.virts()}


def outcome(
    release: str,
    rule: LockRule,
    case: str,
    switches: tuple[int, ...],
    *,
    hibernation: bool = False,
) -> str | None:
    """Run one schedule; tell what is wrong with the list afterwards."""
    events, before = CASES[case]
    machine, pages, results = race(
        release, rule, events, turns_at(switches), before, hibernation=hibernation, coarse=True
    )
    assert results == [0, 0]
    base = machine.kernel.vmemmap_base
    if machine.kernel.numbers < (3, 17) and "remove" in case:
        pytest.fail("no release before 3.17 takes a node off the list")
    return damage(machine, pages, [base + at for at in expected_blocks(events, before)])


def breaking_schedule(
    release: str, rule: LockRule, case: str, *, hibernation: bool = False
) -> tuple[tuple[int, ...], str] | None:
    """Search all schedules with up to two changes of turn for one that damages the list."""
    for switches in schedules(STEPS, 2):
        wrong = outcome(release, rule, case, switches, hibernation=hibernation)
        if wrong:
            return switches, wrong
    return None


def cases_of(release: str) -> list[str]:
    """Cases in which this release changes the list."""
    frees = small_machine(release).kernel.numbers >= (3, 17)
    return [case for case in CASES if frees or "remove" not in case]


LOCKED = [release for release in RELEASES if release != "2.6.35"]


@pytest.mark.parametrize("release", ["2.6.38", "3.16", "3.17", "4.14", "5.3", "6.1"])
def test_the_lock_that_the_era_really_holds_keeps_the_list_whole(release: str) -> None:
    """One release for each lock and chain; the second comes at every moment of the first."""
    for case in cases_of(release):
        for switches in schedules(STEPS, 1):
            assert outcome(release, "era", case, switches) is None, (case, switches)


@given(st.sampled_from(LOCKED), st.data())
@settings(max_examples=examples(400))
def test_any_schedule_at_all_keeps_it_whole_under_the_eras_lock(
    release: str, data: st.DataObject
) -> None:
    case = data.draw(st.sampled_from(cases_of(release)))
    events, before = CASES[case]
    choices = data.draw(st.lists(st.integers(0, 1), max_size=200))
    turns = iter(choices)
    machine, pages, results = race(
        release, "era", events, lambda ready: next(turns, 0) % ready, before
    )
    assert results == [0, 0]
    base = machine.kernel.vmemmap_base
    blocks = [base + at for at in expected_blocks(events, before)]
    assert damage(machine, pages, blocks) is None


@pytest.mark.parametrize("release", ["2.6.35", "3.17", "5.3", "6.1"])
def test_without_any_lock_a_schedule_breaks_the_list(release: str) -> None:
    for case in cases_of(release):
        found = breaking_schedule(release, "none", case)
        assert found is not None, case


def test_how_an_entry_is_lost_without_a_lock() -> None:
    """Both read the same head; the second to store it wins, and the first one's block is gone.

    The crash side then cannot read the struct pages of that memory: the failure that the patch's
    readers would meet, and what a spinlock (v1 had one) would have prevented.
    """
    lost = [
        wrong
        for switches in schedules(STEPS, 2)
        if (wrong := outcome("2.6.35", "none", "two adds on one node", switches))
        and wrong.startswith("lost")
    ]
    assert lost


def test_how_a_node_is_handed_out_twice_without_a_lock() -> None:
    """Both read the same ``next``: one node gets both blocks, and points to itself in the end.

    A crash tool that follows it never comes to the end of the list.
    """
    wrongs = {
        outcome(release, "none", "two adds on one node", switches)
        for release in ("2.6.35", "6.1")
        for switches in schedules(STEPS, 2)
    }
    assert None in wrongs, "one after the other, nothing goes wrong"
    assert any("circle" in wrong for wrong in wrongs if wrong)


def test_the_models_own_walk_ends_on_such_a_list() -> None:
    for switches in schedules(STEPS, 2):
        machine, pages, _results = race("6.1", "none", SAME_NODE, turns_at(switches), coarse=True)
        if "circle" in (damage(machine, pages, []) or ""):
            assert 0 < len(machine.walk()) <= 4
            return
    pytest.fail("no schedule made a circle")


def test_the_lock_that_the_patch_names_suffices_on_one_node() -> None:
    """pgdat_resize_lock(1) around both: no schedule with up to two changes of turn breaks it."""
    assert breaking_schedule("2.6.35", "patch", "two adds on one node") is None


def test_the_lock_that_the_patch_names_does_not_suffice_on_two_nodes() -> None:
    """pgdat_resize_lock(0) and pgdat_resize_lock(1) exclude nobody, and the list is one for all."""
    found = breaking_schedule("2.6.35", "patch", "two adds on two nodes")
    assert found is not None
    switches, _wrong = found
    assert len(switches) <= 2


@pytest.mark.parametrize("hibernation", [False, True])
def test_2_6_35_is_serialised_by_the_hibernation_lock_or_by_nothing(hibernation: bool) -> None:
    """lock_system_sleep() is a mutex with CONFIG_HIBERNATION, and compiles to nothing without."""
    machine = small_machine("2.6.35", hibernation=hibernation)
    assert machine.locks.serialised is hibernation
    for case in ("two adds on one node", "two adds on two nodes"):
        found = breaking_schedule("2.6.35", "era", case, hibernation=hibernation)
        assert (found is None) is hibernation
    if not hibernation:
        assert "keeps nobody out" in machine.locks.description


@pytest.mark.parametrize("release", ["2.6.35", "3.10", "3.17", "4.19"])
def test_the_code_of_the_day_takes_pgdat_resize_lock_after_populating(release: str) -> None:
    """No store to a node, to the head or to the allocator's variables happens under it."""
    machine = small_machine(release).boot()
    task, lock = Task("hotplug"), machine.locks.pgdat_resize_lock(1)
    head = machine.list_head
    held_at = [
        (machine.list_head, machine.memory.load_u64(PHYS["next"]))
        for access in machine.event_steps(task, add(FIRST, node=1))
        if access is Access.STORE and task.holds(lock)
    ]
    assert held_at, "the lock was never taken at all"
    final = (machine.list_head, machine.memory.load_u64(PHYS["next"]))
    assert final[0] != head
    assert set(held_at) == {final}, "the list changed while the lock was held"


@pytest.mark.parametrize("release", ["5.0", "6.1"])
def test_from_5_0_on_the_lock_is_not_taken_there(release: str) -> None:
    machine = small_machine(release).boot()
    task, lock = Task("hotplug"), machine.locks.pgdat_resize_lock(1)
    assert not any(task.holds(lock) for _ in machine.event_steps(task, add(FIRST, node=1)))


# -- the locks themselves


@pytest.mark.parametrize(
    ("release", "names"),
    [
        ("2.6.35", ["lock_system_sleep"]),
        ("2.6.37", ["mem_hotplug_mutex"]),
        ("3.15", ["mem_hotplug_mutex"]),
        ("3.16", ["mem_hotplug_begin"]),
        ("4.12", ["mem_hotplug_begin"]),
        ("4.14", ["mem_hotplug_lock"]),
        ("4.20", ["device_hotplug_lock", "mem_hotplug_lock"]),
        ("7.3", ["device_hotplug_lock", "mem_hotplug_lock"]),
    ],
)
def test_each_release_holds_its_own_locks_around_populate(release: str, names: list[str]) -> None:
    machine = small_machine(release).boot()
    task = Task("hotplug")
    held = set()
    for access in machine.event_steps(task, add(FIRST)):
        if access is Access.STORE and machine.list_head:
            held.add(tuple(lock.name for lock in task.held if "pgdat" not in lock.name))
    assert held == {tuple(names)}
    assert not task.held, "a lock was kept"


def test_device_memory_is_added_under_the_innermost_lock_alone() -> None:
    machine = small_machine("6.1").boot()
    task = Task("driver")
    held = {
        tuple(lock.name for lock in task.held)
        for access in machine.event_steps(task, add(FIRST, device=True))
        if access is Access.STORE
    }
    assert held == {("mem_hotplug_lock",)}
    assert not task.held


@pytest.mark.parametrize("release", ["2.6.38", "3.17", "6.1"])
def test_changing_the_list_without_the_lock_is_noticed(release: str) -> None:
    """As lockdep would: the model asserts what its era holds, at each change of the list."""
    machine = small_machine(release).boot()
    lock = machine.locks.outer[-1].name
    task = Task("a way round")
    with pytest.raises(AssertionError, match=f"a way round changes the list without .*{lock}"):
        machine.runner.run(machine.tracker.vmemmap_list_populate(task, SECTION, 0, 0))
    with pytest.raises(AssertionError, match="changes the list without"):
        machine.runner.run(machine.tracker.vmemmap_list_free(task, 0))


def test_populating_without_the_patchs_lock_is_noticed() -> None:
    machine = small_machine("2.6.35")
    machine.locks.rule = "patch"
    machine.locks.outer = []
    machine.boot()
    with pytest.raises(AssertionError, match="pgdat_resize_lock"):
        machine.runner.run(
            machine.tracker.vmemmap_list_populate(Task("a way round"), SECTION, 0, 0)
        )


def test_a_lock_that_is_never_given_back_is_a_deadlock_and_not_a_hang() -> None:
    machine = small_machine("6.1").boot()
    machine.runner.run(machine.locks.outer[0].acquire(Task("somebody")))
    with pytest.raises(Deadlock):
        machine.run_event(add(FIRST))
