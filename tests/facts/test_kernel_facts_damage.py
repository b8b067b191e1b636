"""KernelFacts on damaged dumps: impossible values are errors that name the key, never repaired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from builders.kernel_era import mmu_page_shifts, version_of
from builders.machine import Machine, build_machine
from vmcore.machine_source import facts_of
from vmemmap.errors import FactError, FactInvalid, FactMissing, ReadError
from vmemmap.facts.backing import BackingFacts, BackingLayout
from vmemmap.facts.kernel import KernelFacts

ORDERS = ["little", "big"]
NODE = "vmemmap_backing"
OUTSIDE_LINEAR = ["0", "1", "bfffffffffffffff", "c008000000000000", "f000000000000000", "f" * 16]
GARBAGE = ["", "zz", "-1", "1" + "0" * 16, "c0 00"]


@pytest.fixture
def machine() -> Machine:
    return build_machine(blocks=4, store="none")


def fails(
    facts: KernelFacts, ask: Callable[[KernelFacts], Any], kind: type[FactError], name: str
) -> FactError:
    with pytest.raises(kind) as caught:
        ask(facts)
    assert type(caught.value) is kind
    assert caught.value.name == name
    return caught.value


@pytest.mark.parametrize("value", ["0", "1", "4095", "8192", "16384", "1048576", "x", "", "-1"])
def test_an_absurd_page_size(machine: Machine, value: str) -> None:
    facts = facts_of(machine, changes={"PAGESIZE": value})
    fails(facts, lambda f: f.page_size, FactInvalid, "PAGESIZE")
    fails(facts, lambda f: BackingFacts(f).node_layout, FactInvalid, "PAGESIZE")


@pytest.mark.parametrize("value", ["0", "8", "24", "31", "33", "57", "257", "264", str(1 << 63)])
def test_an_absurd_struct_page(machine: Machine, value: str) -> None:
    facts = facts_of(machine, changes={"SIZE(page)": value})
    error = fails(facts, lambda f: f.struct_page_size, FactInvalid, "SIZE(page)")
    assert value in str(error)


@pytest.mark.parametrize("value", [32, 40, 56, 64, 128, 256])
def test_every_possible_struct_page(machine: Machine, value: int) -> None:
    facts = facts_of(machine, changes={"SIZE(page)": str(value)})
    assert facts.struct_page_size.value == value


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("index", [32, 33, 255, 1 << 24, 1 << 31, (1 << 32) - 1])
def test_an_index_beyond_mmu_psize_defs(byte_order: str, index: int) -> None:
    machine = build_machine(byte_order=byte_order, blocks=4, store="none")  # type: ignore[arg-type]
    machine.poke_u32(machine.symbols["mmu_vmemmap_psize"], index)
    facts = facts_of(machine)
    error = fails(facts, lambda f: BackingFacts(f).psize_index, FactInvalid, "mmu_vmemmap_psize")
    assert str(index) in str(error)
    fails(facts, lambda f: BackingFacts(f).block_size, FactInvalid, "mmu_vmemmap_psize")


RELEASES = ["3.14.0-x", "4.18.0-x", "6.1.0-x"]


def with_index(byte_order: str, release: str, index: int) -> KernelFacts:
    machine = build_machine(
        byte_order=byte_order,  # type: ignore[arg-type]
        release=release,
        layout="f000",
        blocks=4,
        store="none",
    )
    machine.poke_u32(machine.symbols["mmu_vmemmap_psize"], index)
    return facts_of(machine)


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("release", RELEASES)
def test_every_index_gives_its_own_shift_or_an_error(byte_order: str, release: str) -> None:
    for index, shift in enumerate(mmu_page_shifts(version_of(release))):
        facts = with_index(byte_order, release, index)
        if shift in (12, 16, 24):
            assert BackingFacts(facts).block_size.value == 1 << shift
        else:
            fails(facts, lambda f: BackingFacts(f).block_size, FactInvalid, "block_size")


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("release", RELEASES)
def test_an_index_that_no_kernels_table_has_is_never_a_block_size(
    byte_order: str, release: str
) -> None:
    # 16 elements at most. What lies behind the table can look like a shift: here the variable
    # mmu_vmemmap_psize does, when it holds 24.
    for index in range(16, 32):
        with pytest.raises(FactInvalid):
            assert BackingFacts(with_index(byte_order, release, index)).block_size, index


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("shift", [0, 1, 11, 13, 17, 20, 23, 25, 63, 64, 1 << 12, (1 << 32) - 1])
def test_a_garbled_shift(byte_order: str, shift: int) -> None:
    machine = build_machine(byte_order=byte_order, blocks=4, store="none")  # type: ignore[arg-type]
    element = int(machine.vmcoreinfo["SIZE(mmu_psize_def)"])
    machine.poke_u32(machine.symbols["mmu_psize_defs"] + 2 * element, shift)
    error = fails(
        facts_of(machine), lambda f: BackingFacts(f).block_size, FactInvalid, "block_size"
    )
    assert str(shift) in str(error)


@pytest.mark.parametrize(
    ("size", "offset"),
    [(0, 0), (3, 0), (4097, 0), (96, 93), (96, 96), (4, 1), (96, 1 << 63), (1 << 63, 0)],
)
def test_an_impossible_mmu_psize_def(machine: Machine, size: int, offset: int) -> None:
    changes = {"SIZE(mmu_psize_def)": str(size), "OFFSET(mmu_psize_def.shift)": str(offset)}
    facts = facts_of(machine, changes=changes)
    fails(facts, lambda f: BackingFacts(f).block_size, FactInvalid, "SIZE(mmu_psize_def)")


def test_an_element_beyond_the_linear_map(machine: Machine) -> None:
    facts = facts_of(machine, changes={"SYMBOL(mmu_psize_defs)": "c007ffffffffffff"})
    fails(facts, lambda f: BackingFacts(f).block_size, FactInvalid, "mmu_psize_defs")


@pytest.mark.parametrize("size", [0, 8, 16, 23, 25, 28, 65544, 1 << 32, (1 << 64) - 8])
def test_an_impossible_node_size(machine: Machine, size: int) -> None:
    facts = facts_of(machine, changes={f"SIZE({NODE})": str(size)})
    error = fails(facts, lambda f: BackingFacts(f).node_layout, FactInvalid, f"SIZE({NODE})")
    assert str(size) in str(error)


def test_a_node_larger_than_the_page_of_this_kernel() -> None:
    machine = build_machine(page_size=4096, block_shift=12, blocks=4, store="none")
    facts = facts_of(machine, changes={f"SIZE({NODE})": "4104"})
    fails(facts, lambda f: BackingFacts(f).node_layout, FactInvalid, f"SIZE({NODE})")


@pytest.mark.parametrize(
    "offsets",
    [
        (0, 0, 16),
        (0, 8, 8),
        (16, 8, 16),
        (8, 8, 8),
        (1, 8, 16),
        (0, 12, 16),
        (0, 8, 20),
        (0, 8, 24),
        (24, 8, 16),
        (0, 17, 8),
        (0, 8, 1 << 32),
        ((1 << 64) - 8, 8, 16),
    ],
)
def test_impossible_members(machine: Machine, offsets: tuple[int, int, int]) -> None:
    members = zip(("list", "phys", "virt_addr"), offsets, strict=True)
    changes = {f"OFFSET({NODE}.{name})": str(value) for name, value in members}
    facts = facts_of(machine, changes=changes)
    error = fails(facts, lambda f: BackingFacts(f).node_layout, FactInvalid, f"OFFSET({NODE})")
    assert ", ".join(map(str, offsets)) in str(error)


@pytest.mark.parametrize("member", ["list", "phys", "virt_addr"])
@pytest.mark.parametrize("value", ["", "x", "-8", "0x8", "8.0", str(1 << 64)])
def test_a_garbled_member_names_its_own_key(machine: Machine, member: str, value: str) -> None:
    key = f"OFFSET({NODE}.{member})"
    fails(
        facts_of(machine, changes={key: value}),
        lambda f: BackingFacts(f).node_layout,
        FactInvalid,
        key,
    )


@pytest.mark.parametrize(
    ("size", "offsets"), [(24, (16, 0, 8)), (32, (24, 8, 0)), (4096, (0, 8, 4088))]
)
def test_another_sound_layout_is_believed(
    machine: Machine, size: int, offsets: tuple[int, int, int]
) -> None:
    members = zip(("list", "phys", "virt_addr"), offsets, strict=True)
    changes = {f"OFFSET({NODE}.{name})": str(value) for name, value in members}
    facts = facts_of(machine, changes={**changes, f"SIZE({NODE})": str(size)})
    assert BackingFacts(facts).node_layout == BackingLayout(size, *offsets, "little")


SYMBOLS: list[tuple[str, Callable[[KernelFacts], Any]]] = [
    ("vmemmap_list", lambda f: BackingFacts(f).list_head),
    ("mmu_vmemmap_psize", lambda f: BackingFacts(f).psize_index),
    ("mmu_psize_defs", lambda f: BackingFacts(f).block_size),
    ("swapper_pg_dir", lambda f: f.read_root_entry()),
]


@pytest.mark.parametrize(("name", "ask"), SYMBOLS)
@pytest.mark.parametrize("value", [*OUTSIDE_LINEAR, *GARBAGE])
def test_a_symbol_that_is_no_address_of_kernel_data(
    machine: Machine, name: str, ask: Callable[[KernelFacts], Any], value: str
) -> None:
    key = f"SYMBOL({name})"
    fails(facts_of(machine, changes={key: value}), ask, FactInvalid, key)


@pytest.mark.parametrize(("name", "ask"), SYMBOLS[:3])
@pytest.mark.parametrize("how", ["far away", "drop", "exclude", "lose"])
def test_a_symbol_whose_memory_cannot_be_read(
    machine: Machine, name: str, ask: Callable[[KernelFacts], Any], how: str
) -> None:
    changes = {"SYMBOL(init_uts_ns)": "c000000000000000"}
    if how == "far away":
        changes[f"SYMBOL({name})"] = "c000700000000000"
    else:
        getattr(machine, how)(machine.symbols[name])
    with pytest.raises(FactMissing) as caught:
        ask(facts_of(machine, changes=changes))
    assert isinstance(caught.value.__cause__, ReadError)
    assert str(caught.value.__cause__) in str(caught.value)


def test_a_list_head_at_the_very_end_of_memory_is_cut_off(machine: Machine) -> None:
    end = (max(machine.pages) + 1) * machine.page_size
    changes = {"SYMBOL(vmemmap_list)": f"{0xC000000000000000 + end - 4:x}"}
    error = fails(
        facts_of(machine, changes=changes),
        lambda f: BackingFacts(f).list_head,
        FactMissing,
        "vmemmap_list",
    )
    assert isinstance(error.__cause__, ReadError)
    assert error.__cause__.phys == end


@pytest.mark.parametrize("value", GARBAGE)
def test_a_garbled_optional_symbol_is_no_absent_one(machine: Machine, value: str) -> None:
    facts = facts_of(machine, changes={"SYMBOL(vmemmap)": value})
    fails(facts, lambda f: f.optional_symbol("vmemmap"), FactInvalid, "SYMBOL(vmemmap)")
