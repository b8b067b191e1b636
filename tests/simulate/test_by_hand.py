"""A machine as one uses it by hand: described in a line, changed step by step, looked at."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import vmemmap
from simulate.machines import SECTION, M
from vmemmap.errors import SpecError
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange
from vmemmap.simulate.spec import by_hand

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


WRONG = [
    ({"release": 6.1}, "kernel.release: 6.1 is no text"),
    ({"memory": None}, "memory: None is no number of bytes"),
    ({"memory": [M]}, r"memory\[0\]: 1048576 is no MemoryRange"),
    ({"cpus": "2"}, "dump.cpus: '2' is no whole number"),
    ({"cpus": True}, "dump.cpus: True is no whole number"),
    ({"hibernation": "yes"}, "kernel.hibernation: 'yes' is no truth value"),
    ({"pages": {"cash": 3}}, "pages.cash: no such field; there are cache, "),
    ({"pages": {"cache": [3]}}, r"pages.cache: \[3\] is no whole number"),
    ({"faults": {"block": 3}}, "faults.block: 3 is to be a list of int"),
    ({"events": [3]}, r"events\[0\]: 3 is no HotplugEvent"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_a_value_of_the_wrong_kind_is_named(values, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Machine(**values)


def test_what_is_no_field_and_no_spec_says_what_was_meant() -> None:
    with pytest.raises(TypeError, match="no field 'relese'; did you mean release"):
        Machine(relese="6.1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="load_spec"):
        Machine("machine.toml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="none of era, patch, none"):
        Machine(lock_rule="mine")  # type: ignore[arg-type]
    machine = Machine(memory="64M")
    for wrong in (("1G", "16M", "0"), (1.5, "16M", 0)):
        with pytest.raises(SpecError, match="is no"):
            machine.add_memory(*wrong)
    assert len(machine.outcomes) <= 1


def test_every_field_of_a_spec_can_be_said_and_plans_as_mappings() -> None:
    assert set(by_hand._FIELDS) == {field.name for field in fields(MachineSpec)}
    machine = Machine(memory="64M", pages={"cache": 3}, faults={"node_page": [2]})
    assert (machine.spec.pages.cache, machine.spec.faults.node_page) == (3, (2,))


def test_a_machine_that_stopped_runs_no_more() -> None:
    machine = Machine(memory="64M", release="6.1").boot()
    machine.runner.crash_before = machine.runner.stores + 1
    assert machine.add_memory("1G", "16M").word == "crashed"
    assert "as planned>" in repr(machine)
    with pytest.raises(SpecError, match="runs no more"):
        machine.add_memory("2G", "16M")
