"""Damaged page tables of every era: an answer or a VmemmapError, the same in bulk as one by one."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.byte_order import Order
from builders.kernel_era import VMALLOC_BASES
from translate.eras import ERAS, Mapped, io_base, mapped
from vmcore.machine_source import vmcore_of
from vmemmap import VmemmapError
from vmemmap.vmcore import Vmcore

RUN = settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
NOWHERE = (1 << 64) - 1
LINEAR = 0xC000000000000000
ORDERS: list[Order] = ["little", "big"]


@cache
def built_of(era: int, order: Order) -> tuple[Mapped, list[int], list[int]]:
    """A machine with its areas listed, the places of its entries, and addresses worth asking."""
    built = mapped(*ERAS[era], byte_order=order)
    machine = built.machine
    machine.list_areas(built.areas)
    places = {at for virt in built.pages for _, at in machine.tables.way_to(virt)}
    size = machine.page_size
    start, io = VMALLOC_BASES[machine.layout], io_base(machine)
    rng = random.Random(era)
    asked = {virt + step for virt in built.pages for step in (-size, 0, 5, size)}
    asked |= {base + rng.randrange(1 << 46) for base in (start, io) for _ in range(20)}
    asked |= {LINEAR - 1, start - 1, NOWHERE, 0}
    return built, sorted(places), sorted(asked)


@st.composite
def entries(draw: st.DrawFn, root: int, places: list[int]) -> int:
    """A value for an entry: anything, or what looks like a pointer or a leaf of some kernel."""
    target = draw(st.sampled_from([root, *places, 0, (1 << 62) - 256, 0x7FFFFFFFFFF8]))
    flags = draw(st.sampled_from([0, 1, 2, 3, 5, 9, 13, 0x18, 0xFF, 0x1FF, 7 << 53]))
    top = draw(st.sampled_from([0, 1 << 63, 1 << 62, 3 << 62]))
    pointer = target & ~0xFFF | flags | top
    return draw(st.one_of(st.just(pointer), st.integers(0, (1 << 64) - 1)))


@RUN
@given(data=st.data(), era=st.integers(0, len(ERAS) - 1), order=st.sampled_from(ORDERS))
def test_damaged_tables(data: st.DataObject, era: int, order: Order) -> None:
    built, places, asked = built_of(era, order)
    machine = built.machine
    root = machine.tables.root
    kept: list[tuple[int, bytes]] = []
    try:
        for at in data.draw(st.lists(st.sampled_from([*places, root]), min_size=1, max_size=6)):
            kept.append((at, machine.memory.read(at, 8)))
            value = data.draw(entries(root, places))
            machine.memory.write(at, value.to_bytes(8, data.draw(st.sampled_from(ORDERS))))
        settled = data.draw(st.booleans())
        name = built.name if settled else data.draw(st.sampled_from(names(machine.page_size)))
        check(machine_core(built, name), asked, machine.page_size)
        check(vmcore_of(machine), asked, machine.page_size)
    finally:
        for at, before in reversed(kept):
            machine.memory.write(at, before)


def names(page_size: int) -> list[str]:
    return [name for size, _, _, name in ERAS if size == page_size]


def machine_core(built: Mapped, name: str) -> Vmcore:
    from vmemmap.facts.assumptions import Assumptions

    layout = {"f000": "0xf", "c00c": "0xc00c", "c0003f": "0xc0003f", "c00030": "0xc00030"}
    core = vmcore_of(built.machine)
    given_facts = {"page_table": name, "layout": layout[built.machine.layout]}
    return Vmcore(core.source, assume=Assumptions(given_facts))


def check(core: Vmcore, asked: list[int], page_size: int) -> None:
    assert core.page_table.value
    phys, mask = core.vtop_many(np.array(asked, dtype=np.uint64))
    for virt, got, known in zip(asked, phys.tolist(), mask.tolist(), strict=True):
        try:
            expected: int | None = core.vtop(virt).phys
        except VmemmapError as error:
            expected, words = None, str(error)
        else:
            words = hex(virt)
        assert known == (expected is not None), hex(virt)
        assert got == (NOWHERE if expected is None else expected), hex(virt)
        assert hex(virt) in words
        if virt < NOWHERE - 4 * page_size:
            try:
                core.read(virt, 2 * page_size)
            except VmemmapError:
                continue
