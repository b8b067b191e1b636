"""A machine as one uses it by hand: described in a line, changed step by step, looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

import vmemmap
from simulate.machines import SECTION, M
from vmemmap.errors import SpecError
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange

G = 1 << 30


def test_by_hand_is_what_a_spec_with_the_same_events_is() -> None:
    machine = Machine(memory="2G", release="6.1", block_size="64K")
    machine.add_memory("4G", "256M")
    machine.remove_memory(4 * G + 64 * M, "64M")
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, 2 * G),),
        release="6.1",
        block_size=65536,
        events=(
            HotplugEvent("add", 4 * G, 256 * M),
            HotplugEvent("remove", 4 * G + 64 * M, 64 * M),
        ),
    )
    planned = Machine(spec).boot().run_events()
    assert machine.spec == spec
    assert machine.walk() == planned.walk()
    assert [outcome.what for outcome in machine.outcomes] == [o.what for o in planned.outcomes]


def test_entries_have_names_and_are_printed_as_addresses() -> None:
    machine = Machine(memory="64M", release="2.6.35", block_size="64K")
    newest, *_older = machine.backing
    assert newest.node == machine.list_head
    assert newest.virt_addr == 0xF << 60
    assert repr(newest) == (
        f"VmemmapBacking(node={newest.node:#x}, phys={newest.phys:#x}, virt_addr={0xF << 60:#x})"
    )


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_machine_by_hand_crashes_into_a_dump_with_its_list(tmp_path: Path, order) -> None:
    machine = Machine(memory="128M", release="5.9", page_size="4K", byte_order=order)
    assert machine.add_memory("1G", SECTION).word == "done"
    machine.crash(tmp_path / "vmcore")
    with vmemmap.open(tmp_path / "vmcore") as core:
        assert core.backing.virt.tolist() == [entry.virt_addr for entry in machine.backing]
        assert core.backing.phys.tolist() == [entry.phys for entry in machine.backing]


def test_planned_events_run_first_and_once() -> None:
    event = HotplugEvent("add", G, SECTION)
    machine = Machine(memory="64M", events=(event,))
    machine.add_memory(2 * G, SECTION)
    assert len(machine.outcomes) == 3
    machine.run_events()
    assert len(machine.outcomes) == 3
    assert machine.spec.events == (event, HotplugEvent("add", 2 * G, SECTION))


def test_memory_of_boot_can_be_taken_where_no_plan_said_so() -> None:
    """On radix the linear map's leaf is split then, as it is not where the spec plans it."""
    for mmu in ("hash", "radix"):
        machine = Machine(memory="2G", release="6.1", mmu=mmu, block_size="64K")
        before = machine.backing
        assert machine.remove_memory("1G", "512M").word == "done"
        assert set(machine.backing) < set(before)
        assert machine.add_memory("1G", "512M").word == "done"
        assert {e.virt_addr for e in machine.backing} == {e.virt_addr for e in before}


def test_what_it_is_shows_memory_list_and_allocator() -> None:
    machine = Machine(memory="64M", release="6.1", page_size="4K", block_size="4K")
    assert repr(machine) == "<Machine 6.1, hash, 4K pages, little-endian: not booted>"
    machine.add_memory("1G", SECTION)
    machine.remove_memory("1G", SECTION)
    text = repr(machine)
    assert "64 MiB on 1 node(s); 256 blocks of 4K on the list" in text
    assert f"head {machine.list_head:#x}" in text
    assert f"num_left {170 * 2 - 320 % (170 * 2)}, num_freed 64" in text


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    machine = Machine(memory="64M", release="6.1")
    before, events = machine.backing, machine.spec.events
    for start, size, field in (("0", "16M", "event"), ("1G", "1X", "size"), ("1G", "5M", "event")):
        with pytest.raises(SpecError) as caught:
            machine.add_memory(start, size)
        assert caught.value.field.startswith(field)
    with pytest.raises(SpecError, match="no zone for device memory"):
        machine.add_memory("1G", "16M", device=True)
    assert (machine.backing, machine.spec.events) == (before, events)
    with pytest.raises(TypeError, match="beside it release"):
        Machine(machine.spec, release="6.2")
    with pytest.raises(SpecError, match="is no size"):
        Machine(memory="four")


def test_a_machine_that_stopped_runs_no_more() -> None:
    machine = Machine(memory="64M", release="6.1").boot()
    machine.runner.crash_before = machine.runner.stores + 1
    assert machine.add_memory("1G", "16M").word == "crashed"
    assert "as planned>" in repr(machine)
    with pytest.raises(SpecError, match="runs no more"):
        machine.add_memory("2G", "16M")
