"""What weak ordering can make of one insertion, and that the readers survive all of it.

The states are counted here by running the stores in every order that is allowed; and each state is
written as a vmcore and read by the project's own reader, which shares no code with the model.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product
from pathlib import Path

import pytest

import vmemmap
from breadth import pairs
from simulate.machines import SECTION, M, add, remove, small_machine
from vmemmap.simulate import Machine, MemoryRange
from vmemmap.simulate.memory.image import PHYS
from vmemmap.simulate.memory.physical import Store, phys_of
from vmemmap.simulate.store_orders import Insertion, visible_sets

AT = 128 * M
ORDERS = ("little", "big")
PLACES = [
    ("2.6.35", "page"),
    ("2.6.35", "fresh"),
    ("3.18", "freed"),
    ("4.18", "dirty"),
    ("6.1", "page"),
    ("6.1", "freed"),
    ("6.1", "dirty"),
]
"""Releases, and where the node comes from: the page in use, a fresh page, one that is not clean, or
the stack of freed nodes."""


def machine_of(release: str, place: str, order: str) -> Machine:
    machine = small_machine(
        release, (MemoryRange(0, 0, 32 * M),), block_size=65536, byte_order=order
    ).boot()
    for start in (AT, AT + 64 * M, AT + 128 * M):
        machine.run_event(add(start, SECTION))
    if place == "freed":
        machine.run_event(remove(AT, SECTION))
        machine.run_event(remove(AT + 128 * M, SECTION))
    if place in ("fresh", "dirty"):
        machine.memory.store_u32(PHYS["num_left"], 0)
    if place == "dirty":  # whose words point into themselves, to nowhere, and to a wrong block
        free = list(machine.pages.free_ranges(0))
        words = (0xC << 60 | free[0][0] << 16, 0x1230000, 0xC0DE << 48, 0, 0, 0)
        stale = b"".join(word.to_bytes(8, order) for word in words)  # type: ignore[arg-type]
        for start, end in free:
            for pfn in range(start, end):
                machine.memory.write(pfn << 16, stale * 40)
    return machine


READ = ("phys", "virt_addr", "list", "vmemmap_list")
"""What a reader looks at; where the next node will come from is nothing to it."""

# -- which states there are


def words_after(stores: list[Store], done: tuple[int, ...]) -> dict[int, int]:
    words = {store.phys: store.before for store in reversed(stores)}
    return words | {stores[number].phys: stores[number].after for number in done}


def test_the_states_are_those_of_every_order_that_is_allowed() -> None:
    """All orders of the stores in which two to one word stay as they are, stopped everywhere."""
    stores = [
        Store(phys, 8, before, after)
        for phys, before, after in (
            *((0x10, 1, 2), (0x18, 3, 4), (0x18, 4, 5)),
            *((0x10, 2, 6), (0x20, 7, 8), (0x28, 9, 10)),
        )
    ]
    expected = set()
    for order in permutations(range(len(stores))):
        if order.index(0) > order.index(3) or order.index(1) > order.index(2):
            continue
        words = {store.phys: store.before for store in reversed(stores)}
        expected.add(tuple(sorted(words.items())))
        for number in order:
            words[stores[number].phys] = stores[number].after
            expected.add(tuple(sorted(words.items())))
    found = [tuple(sorted(words_after(stores, done).items())) for done in visible_sets(stores)]
    assert len(found) == len(set(found)) == 3 * 3 * 2 * 2
    assert set(found) == expected


@pytest.mark.parametrize(("release", "place"), PLACES)
def test_program_order_shows_the_old_list_or_the_new_one(release: str, place: str) -> None:
    """What `test_crash_anywhere.py` finds with dumps; the states of a dump made by kdump."""
    machine = machine_of(release, place, "little")
    insertion = Insertion(machine)
    in_order = [state for state in insertion.states() if state.in_order]
    assert len(in_order) == len(insertion.stores) + 1
    assert {(state.entry, state.rest) for state in in_order} == {
        ("absent", "whole"),
        ("right", "whole"),
    }
    assert machine.walk() == insertion.after, "whole again"


@pytest.mark.parametrize(("release", "place"), PLACES)
def test_what_is_met_depends_on_which_words_of_the_node_are_there(release: str, place: str) -> None:
    """The head without the link cuts or leads astray; without phys or virt_addr the entry is wrong.

    A node whose words happen to be right already, as of a block that comes again, is right.
    """
    insertion = Insertion(machine_of(release, place, "little"))
    node = phys_of(insertion.after[0].node)
    needed = {
        name: any(
            store.before != store.after
            for store, its in zip(insertion.stores, insertion.names, strict=True)
            if its == name
        )
        for name in ("phys", "virt_addr", "list")
    }
    assert node
    assert needed["phys"]
    seen = list(insertion.states())
    for state in seen:
        done = set(state.done)
        if "vmemmap_list" not in done:
            assert (state.entry, state.rest) == ("absent", "whole")
            continue
        lacks = {name for name, changes in needed.items() if changes and name not in done}
        assert (state.entry == "wrong") is bool(lacks & {"phys", "virt_addr"})
        assert (state.rest == "whole") is ("list" not in lacks)
    rests = Counter(state.rest for state in seen)
    assert rests["astray"] or rests["cut"]
    assert bool(rests["astray"]) is (place in ("freed", "dirty"))


# -- the readers


@pytest.mark.parametrize(
    ("release", "place", "order"),
    pairs((*where, order) for where, order in product(PLACES, ORDERS)),
)
def test_the_readers_survive_each_state(
    release: str, place: str, order: str, tmp_path: Path
) -> None:
    machine = machine_of(release, place, order)
    symbols = tmp_path / "vmlinux" if machine.kernel.version < (3, 13) else None
    if symbols:
        machine.write_symbols(symbols)
    insertion = Insertion(machine)
    old = {entry.virt_addr: entry.phys for entry in insertion.before}
    met = Counter[str]()
    looked_at = set()
    for state in insertion.states():
        words = tuple(name for name in state.done if name in READ)
        if words in looked_at:
            continue
        looked_at.add(words)
        dump = tmp_path / "vmcore"
        dump.unlink(missing_ok=True)
        machine.crash(dump)
        with vmemmap.open(dump, vmlinux=symbols) as core:
            codes = {finding.code for finding in core.check().findings}
            listed = dict(zip(core.backing.virt.tolist(), core.backing.phys.tolist(), strict=True))
        met.update(codes)
        if state.rest == "whole" and state.entry != "wrong":
            assert old.items() <= listed.items(), state
        if state.rest != "whole":
            assert codes, f"nothing is said of {state}"
            with vmemmap.open(dump, vmlinux=symbols, rescue=True) as core:
                saved = dict(
                    zip(core.backing.virt.tolist(), core.backing.phys.tolist(), strict=True)
                )
            assert old.items() <= saved.items(), f"not all that {state} cut off was found again"
    assert len(looked_at) == 2 ** len(READ)
    assert met["node_zero"] if place in ("page", "fresh") else met
