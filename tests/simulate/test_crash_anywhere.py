"""A crash between any two stores leaves a list that can be read: the old one or the new one.

Each history is run one store at a time. Before each store the machine's memory is written as a
vmcore and the project's own reader, which shares no code with the model, walks the list in it.
What it finds has to be the list before the push or removal that is under way, or the list after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from breadth import pairs, singles
from simulate.machines import (
    SECTION,
    M,
    add,
    faults,
    mapped_blocks,
    remove,
    small_machine,
    virts,
)
from vmemmap.findings import Severity
from vmemmap.simulate import HotplugEvent, Machine, MemoryRange
from vmemmap.simulate.steps import Access, Steps, Task

ERAS = ("2.6.35", "3.10", "3.16", "3.17", "4.18", "5.3", "5.10", "6.1", "7.3")
AT = 128 * M
HISTORY = (add(AT, SECTION, 0), add(AT + 64 * M, SECTION, 0), remove(AT), add(AT, SECTION, 0))
"""Push, push, take out what is not the head, and use its node again."""
PAGE_SIZES = (65536, 4096)
ORDERS = ("little", "big")

EACH_STORE = 40
"""Stores of boot that are all tried, which is several nodes; after them, samples."""
Entry = tuple[int, int, int]


def machine_of(release: str, page_size: int, order: str, **more: Any) -> Machine:
    """A machine on which a section takes one block of 64 KiB, or four."""
    if page_size == 4096 and "block_size" not in more:
        more["block_size"] = 65536 if small_machine(release).kernel.numbers < (5, 3) else 4096
    memory = (MemoryRange(0, 0, (64 if "mmu" in more else 32) * M),)
    return small_machine(release, memory, page_size=page_size, byte_order=order, **more)


class Reader:
    """Writes what a machine's memory holds as a vmcore, and reads the list back."""

    def __init__(self, folder: Path) -> None:
        self.dump = folder / "vmcore"
        self.symbols = folder / "vmlinux"

    def read(self, machine: Machine) -> list[Entry]:
        """Give (node, phys, virt) of each entry; nothing may be wrong with any of them."""
        self.dump.unlink(missing_ok=True)
        machine.crash(self.dump)
        symbols = None
        if machine.kernel.version < (3, 13):  # does not say where the list is; its symbols do
            symbols = self.symbols
            if not symbols.exists():
                machine.write_symbols(symbols)
        with vmemmap.open(self.dump, vmlinux=symbols) as core:
            backing = core.backing
            wrong = [str(f) for f in backing.findings if f.severity is Severity.ERROR]
            assert not wrong, wrong
            columns = (backing.node, backing.phys, backing.virt)
            return list(zip(*(column.tolist() for column in columns), strict=True))


def stops(machine: Machine, steps: Steps[int]) -> Iterator[int]:
    """Drive kernel code, and stop before each of its stores and once more at its end."""
    number = 0
    for access in steps:
        if access is Access.STORE:
            yield number
            number += 1
    yield number


def walk_everywhere(
    machine: Machine, reader: Reader, event: HotplugEvent, expected: int | None = None
) -> int:
    """Run an event and read the list before each of its stores, and after the last.

    Returns:
        How many times it was read. Two readings that follow each other are at most one entry
        apart, so each is the list before the push or removal under way, or the list after.
    """
    before = machine.walk()
    readings: list[list[Entry]] = []
    for _number in stops(machine, machine.event_steps(Task("hotplug"), event)):
        readings.append(reader.read(machine))
        assert readings[-1] == machine.walk(), "the reader and the model disagree"
    after = machine.walk()
    assert readings[0] == before
    assert readings[-1] == after
    for old, new in pairwise(readings):
        assert one_change(old, new), f"from {old} to {new} in one store"
    if expected is not None:
        assert len(after) - len(before) == expected
    return len(readings)


def one_change(old: Sequence[Entry], new: Sequence[Entry]) -> bool:
    """Tell whether *new* is *old*, or has one entry more at its head, or one less anywhere."""
    if new == old or new[1:] == old:
        return True
    return any([*old[:at], *old[at + 1 :]] == new for at in range(len(old)))


@pytest.mark.parametrize(
    ("release", "page_size", "order"),
    singles(
        (release, page_size, order)
        for release, page_size, order in product(ERAS, PAGE_SIZES, ORDERS)
        # Since 5.3 a section of 4 KiB pages takes 64 blocks: see the parts, below.
        if page_size == 65536 or release in ERAS[: ERAS.index("5.3")]
    ),
)
def test_each_store_of_adding_removing_and_adding_again(
    release: str, page_size: int, order: str, tmp_path: Path
) -> None:
    machine = machine_of(release, page_size, order).boot()
    blocks = len(range(0, SECTION // page_size * 64, machine.block_size))
    reader = Reader(tmp_path)
    frees = machine.kernel.numbers >= (3, 17)
    taken: list[int] = []
    for event in HISTORY:
        change = blocks if event.kind == "add" else -blocks * frees
        taken.append(walk_everywhere(machine, reader, event, change))
    assert min(taken[0], taken[-1]) > 6 * blocks, "too few stores for all this"
    assert frees is (len(set(virts(machine))) == len(virts(machine)))
    assert set(virts(machine)) == set(mapped_blocks(machine))


@pytest.mark.parametrize(
    ("release", "order"), singles(product(["5.3", "5.10", "6.1", "7.3"], ORDERS))
)
def test_each_store_of_adding_a_part(release: str, order: str, tmp_path: Path) -> None:
    """4 KiB pages and blocks: 2 MiB of device memory take 8 blocks."""
    machine = machine_of(release, 4096, order).boot()
    reader = Reader(tmp_path)
    for event, change in (
        (add(AT, 2 * M, device=True), 8),
        (add(AT + SECTION, 2 * M, device=True), 8),
        (remove(AT, 2 * M, device=True), -8),
    ):
        assert walk_everywhere(machine, reader, event, change) > 8 * 4


@pytest.mark.parametrize(
    ("release", "page_size", "order"), singles(product(ERAS, PAGE_SIZES, ORDERS))
)
def test_each_store_of_boot(release: str, page_size: int, order: str, tmp_path: Path) -> None:
    """The machine stops by its spec's own plan, ``crash_before_store``."""
    reader = Reader(tmp_path)
    sizes = {"block_size": 65536} if small_machine(release).kernel.numbers < (5, 3) else {}
    whole = machine_of(release, page_size, order, **sizes).boot()
    final = whole.walk()
    old: list[Entry] = []
    store = 0
    while True:
        plan = faults(crash_before_store=store)
        machine = machine_of(release, page_size, order, faults=plan, **sizes).boot()
        found = reader.read(machine)
        assert found == machine.walk()
        assert store > EACH_STORE or one_change(old, found)
        assert found == final[len(final) - len(found) :], "not what was on the list at that time"
        if machine.crashed is None:
            break
        old = found
        store += 1 if store < EACH_STORE else 97
    assert found == final
    assert store > 8


@pytest.mark.parametrize(
    ("release", "page_size", "order"),
    pairs(
        (*machine, order)
        for machine in (
            *product(("4.7", "5.2", "5.4", "6.1"), (65536,)),
            ("5.4", 4096),
            ("6.1", 4096),
        )
        for order in ORDERS
    ),
)
def test_radix_with_a_list(release: str, page_size: int, order: str, tmp_path: Path) -> None:
    size = small_machine(release, mmu="radix", page_size=page_size).block_size
    machine = machine_of(release, page_size, order, mmu="radix", block_size=size).boot()
    reader = Reader(tmp_path)
    far = 8 << 30
    assert walk_everywhere(machine, reader, add(far), 1) > 6
    assert walk_everywhere(machine, reader, remove(far), -1) > 5


def test_stopping_and_writing_changes_nothing(tmp_path: Path) -> None:
    """A machine that was dumped before each store ends as one that never was."""
    stopped = machine_of("6.1", 65536, "little").boot()
    for event in HISTORY:
        walk_everywhere(stopped, Reader(tmp_path), event)
    straight = machine_of("6.1", 65536, "little").boot()
    for event in HISTORY:
        straight.run_event(event)
    assert stopped.walk() == straight.walk()
    ranges = [list(machine.pages.free_ranges(0)) for machine in (stopped, straight)]
    assert ranges[0] == ranges[1]


@pytest.mark.parametrize("store", range(0, 8, 2))
def test_the_runner_stops_the_machine_in_the_middle_of_hotplug(store: int, tmp_path: Path) -> None:
    """What `vmemmap simulate` does: the event ends with the machine, and its dump can be read."""
    machine = machine_of("6.1", 65536, "big").boot()
    machine.runner.crash_before = machine.runner.stores + store
    before = machine.walk()
    outcome = machine.run_event(add(AT))
    assert outcome.result is None
    assert outcome.word == "crashed"
    assert machine.crashed == f"crashed before store {store}, as planned"
    found = Reader(tmp_path).read(machine)
    assert found == machine.walk()
    assert one_change(before, found)
