"""KernelFacts on sound machines: every value and its origin, and the chain for the byte order."""

from __future__ import annotations

from typing import Any

import pytest

from builders.byte_order import other
from builders.kernel_era import mmu_page_shifts, version_of
from builders.machine import Machine, build_machine
from vmcore.machine_source import facts_of, usual_node
from vmemmap.errors import FactMissing, NotInDump
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.fact import AnyFact, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.memory import BytesMemory

VMCOREINFO, DERIVED, ASSUMED = Origin.VMCOREINFO, Origin.DERIVED, Origin.ASSUMED
SHAPES: list[dict[str, Any]] = [
    {},
    {"block_shift": 24, "struct_page_size": 56},
    {"page_size": 4096, "block_shift": 12},
    {"page_size": 4096, "block_shift": 16, "layout": "c00030"},
    {"page_size": 4096, "block_shift": 24},
    {"layout": "f000", "release": "3.14.0-rhel"},
    {"layout": "f000", "release": "4.18.0-80", "block_shift": 24},
    {"mmu": "radix", "block_shift": 21},
    {"mmu": "radix", "layout": "c00a", "page_size": 4096, "block_shift": 12},
    {"node_order": "shuffled", "blocks": 40, "hot_removed": 3},
]
ORDERS = ["little", "big"]


def machine_of(byte_order: str, **options: Any) -> Machine:
    options.setdefault("blocks", 8)
    return build_machine(byte_order=byte_order, store="none", **options)  # type: ignore[arg-type]


def pair(fact: AnyFact) -> tuple[int | str, Origin]:
    return fact.value, fact.origin


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_fact_has_the_machines_value_and_its_origin(
    byte_order: str, shape: dict[str, Any]
) -> None:
    machine = machine_of(byte_order, **shape)
    facts = facts_of(machine, container_order=other(machine.byte_order))
    symbols = machine.symbols
    assert pair(facts.release) == (machine.release, VMCOREINFO)
    assert pair(facts.page_size) == (machine.page_size, VMCOREINFO)
    assert pair(facts.memory_byte_order) == (byte_order, DERIVED)
    assert pair(facts.machine) == (machine.utsname["machine"], DERIVED)
    assert pair(facts.struct_page_size) == (machine.struct_page_size, VMCOREINFO)
    assert pair(BackingFacts(facts).vmemmap_list) == (symbols["vmemmap_list"], VMCOREINFO)
    assert pair(BackingFacts(facts).list_head) == (machine.entries[0].node, DERIVED)
    assert pair(BackingFacts(facts).node_size) == (24, VMCOREINFO)
    assert pair(BackingFacts(facts).block_size) == (machine.block_size, DERIVED)
    shifts = mmu_page_shifts(version_of(machine.release))
    assert pair(BackingFacts(facts).psize_index) == (shifts.index(machine.block_shift), DERIVED)
    assert BackingFacts(facts).node_layout == usual_node(machine.byte_order)
    assert facts.order == byte_order
    assert facts.optional_symbol("no_such") is None


def test_facts_show_themselves_with_hex_addresses_and_the_evidence() -> None:
    machine = machine_of("little")
    facts = facts_of(machine)
    head = machine.entries[0].node
    assert BackingFacts(facts).list_head.shown == f"{head:#x}"
    assert str(BackingFacts(facts).vmemmap_list).endswith("(vmcoreinfo: SYMBOL(vmemmap_list))")
    assert str(facts.page_size) == "page_size = 65536 (vmcoreinfo: PAGESIZE)"


def test_nothing_is_read_before_it_is_asked_for_and_once_only() -> None:
    machine = machine_of("little")
    facts = facts_of(machine)
    listed = BackingFacts(facts)
    source: Any = facts._physical
    assert facts.page_size.value == 65536
    assert source.reads == 0
    first = listed.list_head
    reads = source.reads
    assert listed.list_head is first
    assert source.reads == reads > 0


# The byte order of the memory, by ever weaker evidence.


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("release", ["3.14.0-x", "4.18.0-x", "6.1.0-x"])
def test_utsname_in_memory_beats_header_and_container(byte_order: str, release: str) -> None:
    machine = machine_of(byte_order, release=release, layout="f000")
    wrong = "ppc64" if byte_order == "little" else "ppc64le"
    facts = facts_of(machine, header_machine=wrong, container_order=other(machine.byte_order))
    assert pair(facts.memory_byte_order) == (byte_order, DERIVED)
    assert "utsname in memory" in facts.memory_byte_order.detail
    assert pair(facts.machine) == (machine.utsname["machine"], DERIVED)


def without_utsname(machine: Machine, how: str) -> tuple[str, ...]:
    """Take the utsname away; gives the keys to leave out."""
    at = machine.symbols["init_uts_ns"]
    if how == "no symbol":
        return ("SYMBOL(init_uts_ns)",)
    if how == "zeros":
        machine.poke(at, bytes(400))
    elif how == "another machine":
        machine.poke(at + 4 * 65, b"x86_64\0\0\0")
    elif how == "another system":
        machine.poke(at, b"Linux-ish\0")
    elif how == "excluded":
        machine.exclude(at, 400)
    elif how == "dropped":
        machine.drop(at, 400)
    return ()


# The page of utsname alone can go only where pages are small.
AWAY = ["no symbol", "zeros", "another machine", "another system", "excluded", "dropped"]


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("how", AWAY)
def test_the_header_is_asked_next(byte_order: str, how: str) -> None:
    machine = machine_of(byte_order, page_size=4096, block_shift=12)
    without = without_utsname(machine, how)
    word = "ppc64le" if byte_order == "little" else "ppc64"
    facts = facts_of(
        machine,
        without=without,
        header_machine=word,
        container_order=other(machine.byte_order),
    )
    assert pair(facts.memory_byte_order) == (byte_order, DERIVED)
    assert "header" in facts.memory_byte_order.detail
    if how != "another machine":
        assert pair(facts.machine) == (word, DERIVED)
    assert BackingFacts(facts).list_head.value == machine.entries[0].node


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize("how", AWAY)
@pytest.mark.parametrize("header", ["", "x86_64", "PPC64LE"])
def test_the_list_head_is_asked_after_that(byte_order: str, how: str, header: str) -> None:
    machine = machine_of(byte_order, page_size=4096, block_shift=12)
    without = without_utsname(machine, how)
    facts = facts_of(
        machine,
        without=without,
        header_machine=header,
        container_order=other(machine.byte_order),
    )
    assert pair(facts.memory_byte_order) == (byte_order, DERIVED)
    assert "vmemmap_list" in facts.memory_byte_order.detail
    assert BackingFacts(facts).list_head.value == machine.entries[0].node
    if how != "another machine":
        assert facts.machine.value == machine.utsname["machine"]


@pytest.mark.parametrize("byte_order", ORDERS)
@pytest.mark.parametrize(
    "head",
    # Empty; the same in both orders; a kernel address in none; no multiple of 8 in either.
    [0, 0xC0000000000000C0, 0x1234, 0xC000000000000001],
)
def test_the_container_is_the_last_resort_and_an_assumption(byte_order: str, head: int) -> None:
    machine = machine_of(byte_order)
    machine.poke_u64(machine.symbols["vmemmap_list"], head)
    facts = facts_of(machine, without=("SYMBOL(init_uts_ns)",))
    assert pair(facts.memory_byte_order) == (byte_order, ASSUMED)
    assert "container" in facts.memory_byte_order.detail
    assert facts.machine.origin == ASSUMED


@pytest.mark.parametrize("byte_order", ORDERS)
def test_an_unreadable_list_head_leaves_the_container(byte_order: str) -> None:
    for how in ("drop", "exclude", "lose"):
        machine = machine_of(byte_order)
        getattr(machine, how)(machine.symbols["vmemmap_list"])
        facts = facts_of(machine)
        assert pair(facts.memory_byte_order) == (byte_order, ASSUMED)


def test_the_offset_of_the_names_is_used() -> None:
    machine = machine_of("big", release="6.1.0-x")
    at, key = machine.symbols["init_uts_ns"], "OFFSET(uts_namespace.name)"
    machine.poke(at + 8, machine.read(at, 390))
    facts = facts_of(machine, changes={key: "8"}, container_order="little")
    assert "utsname" in facts.memory_byte_order.detail


@pytest.mark.parametrize("value", ["8", "-4", "x", "", str(1 << 20), str(1 << 60)])
def test_a_bad_offset_of_the_names_is_not_repaired(value: str) -> None:
    machine = machine_of("big", release="6.1.0-x")
    changes = {"OFFSET(uts_namespace.name)": value}
    facts = facts_of(machine, changes=changes, container_order="little")
    assert "utsname" not in facts.memory_byte_order.detail
    assert facts.memory_byte_order.value == "big"  # by the list's head


def test_a_release_that_vmcoreinfo_lacks_is_read_from_memory() -> None:
    machine = machine_of("little")
    facts = facts_of(machine, without=("OSRELEASE",))
    assert pair(facts.release) == (machine.release, DERIVED)
    facts = facts_of(machine, without=("OSRELEASE", "SYMBOL(init_uts_ns)"))
    with pytest.raises(FactMissing) as caught:
        assert facts.release
    assert caught.value.name == "OSRELEASE"


def test_the_root_entry_is_read_big_endian_on_every_machine() -> None:
    info = Vmcoreinfo(b"SYMBOL(swapper_pg_dir)=c000000000010000\nPAGESIZE=65536\n")
    facts = KernelFacts(info, BytesMemory({0x10000: bytes(range(128, 136))}), "ppc64le", "little")
    assert facts.read_root_entry() == 0x8081828384858687
    assert facts.root_table_phys == 0x10000
    gone = KernelFacts(info, BytesMemory({}), "ppc64le", "little")
    with pytest.raises(NotInDump):
        gone.read_root_entry()
