"""Vmcore on dumps that contradict themselves, lack their list, or are of other kernels."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from builders.machine import Machine, build_machine
from vmcore.machine_source import MachineSource, vmcore_of
from vmcore.shapes import ALL, LINEAR, has_list, name_of, opened, shaped
from vmemmap.errors import (
    FactConflict,
    FactError,
    FactMissing,
    NotBacked,
    ReadError,
    TranslateError,
    UnsupportedDump,
    VmemmapError,
)
from vmemmap.facts.fact import Origin
from vmemmap.findings import Severity
from vmemmap.source.base import PhysicalSource
from vmemmap.vmcore import Vmcore

EVERY = pytest.mark.parametrize("shape", ALL, ids=name_of)


def codes(core: Vmcore) -> list[str]:
    return [finding.code for finding in core.findings]


def both_ways(core: Vmcore, virt: int) -> tuple[int | None, int | None]:
    """Translate one address by itself and in bulk; None where it is refused."""
    one = many = None
    with contextlib.suppress(FactError, TranslateError, ReadError):
        one = core.vtop(virt).phys
    with contextlib.suppress(FactError):
        phys, mask = core.vtop_many(np.array([virt], dtype=np.uint64))
        many = int(phys[0]) if mask[0] else None
    return one, many


def right_or_refused(core: Vmcore, machine: Machine) -> None:
    """Assert that no block has a wrong address."""
    for block in machine.blocks:
        assert set(both_ways(core, block.virt)) <= {None, block.phys}, hex(block.virt)


@EVERY
def test_every_fact_of_every_machine(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    facts = vmcore_of(machine).facts
    assert facts.missing == {}
    expected: dict[str, int | str] = {
        "release": machine.release,
        "machine": machine.utsname["machine"],
        "memory_byte_order": machine.byte_order,
        "page_size": machine.page_size,
        "mmu": machine.mmu,
        "layout": "0x" + machine.layout.replace("f000", "f"),
        "vmemmap_base": machine.vmemmap_base,
        "struct_page_size": 64,
        "vmemmap_list": machine.symbols["vmemmap_list"],
        "list_head": machine.entries[0].node if has_list(machine) else 0,
        "node_size": 24,
    }
    if has_list(machine):
        expected["block_size"] = machine.block_size
    assert {name: facts[name].value for name in expected} == expected
    assert ("block_size" in facts) == has_list(machine)
    assert all(facts[name].name == name and facts[name].detail for name in facts)
    assert facts["mmu"].origin in (Origin.VMCOREINFO, Origin.DERIVED)


@EVERY
def test_the_mmu_is_known_without_its_number(shape: dict[str, Any]) -> None:
    if shape["layout"] in ("c00c", "c0003f"):
        shape = {**shape, "release": "6.12.0"}  # has the number and the symbol
    machine = shaped(shape)
    core = vmcore_of(machine, without=("NUMBER(RADIX_MMU)", "SYMBOL(vmemmap)"))
    assert core.mmu.value == machine.mmu
    assert core.mmu.origin is Origin.DERIVED
    for block in machine.blocks:
        assert core.vtop(block.virt).phys == block.phys


@pytest.mark.parametrize("claim", ["0", "1"])
@EVERY
def test_a_false_radix_number_makes_no_wrong_address(shape: dict[str, Any], claim: str) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine, changes={"NUMBER(RADIX_MMU)": claim})
    right_or_refused(core, machine)


ONLY_HASH = [{"layout": "f000"}, {"layout": "c0003f", "page_size": 4096, "block_shift": 12}]


@pytest.mark.parametrize("shape", ONLY_HASH, ids=name_of)
def test_radix_claimed_for_addresses_that_radix_never_has(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine, changes={"NUMBER(RADIX_MMU)": "1"})
    for block in machine.blocks:
        one, many = both_ways(core, block.virt)
        assert one == many
    # Either the contradiction is named, or the list is believed; never a layout of neither.
    try:
        layout = core.facts["layout"].value
    except KeyError:
        assert isinstance(core.facts.missing["layout"], FactConflict)
    else:
        assert layout == "0x" + machine.layout.replace("f000", "f")


@pytest.mark.parametrize("base", ["c00a", "c00c", "f000"])
@pytest.mark.parametrize("layout", ["c00c", "f000", "c0003f", "c00030"])
def test_a_symbol_of_another_layout_than_the_lists(base: str, layout: str) -> None:
    page_size = 4096 if layout in ("c0003f", "c00030") else 65536
    machine = shaped({"layout": layout, "page_size": page_size, "block_shift": 16})
    core = vmcore_of(machine, changes={"SYMBOL(vmemmap)": base + "0" * 12})
    right_or_refused(core, machine)
    chosen = core.facts.get("layout")
    if chosen and chosen.value != "0x" + layout.replace("f000", "f"):
        assert codes(core) == ["virt_outside_region"] * len(machine.entries)


@pytest.mark.parametrize("value", ["c00c000000010000", "c00c00000000", "1234", "0", "f" * 16])
def test_a_symbol_that_is_no_start_of_a_vmemmap_is_no_base(value: str) -> None:
    machine = shaped({})
    core = vmcore_of(machine, changes={"SYMBOL(vmemmap)": value})
    right_or_refused(core, machine)
    base = core.facts.get("vmemmap_base")
    assert base is None or base.value == machine.vmemmap_base
    for entry in core.backing:
        assert entry.pfn_start in (None, (entry.virt - machine.vmemmap_base) // 64)


def test_one_damaged_address_does_not_move_every_pfn() -> None:
    machine = shaped({"page_size": 4096, "block_shift": 16})
    assert machine.layout == "c0003f"
    sound = [entry.pfn_start for entry in vmcore_of(machine).backing]
    machine.poke_node(3, virt=machine.entries[3].virt ^ 1 << 40)
    core = vmcore_of(machine)
    assert core.facts["layout"].value == "0xc0003f"
    assert codes(core) == ["virt_outside_region"]
    found = [entry.pfn_start for entry in core.backing]
    assert found[:3] + found[4:] == sound[:3] + sound[4:]


# Book3E


@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize(
    ("release", "base", "extra"),
    [
        ("3.14.0", 0x8000040000000000, {}),
        ("5.17.0", 0x8000040000000000, {}),
        ("6.1.0", 0xC000140000000000, {}),
        # The fact sheet has RADIX_MMU from 6.6.9 on and SYMBOL(vmemmap) from 6.9 on, and limits
        # neither to Book3S.
        ("6.7.0", 0xC000140000000000, {"NUMBER(RADIX_MMU)": "0"}),
        (
            "6.12.0",
            0xC000140000000000,
            {"NUMBER(RADIX_MMU)": "0", "SYMBOL(vmemmap)": "c000140000000000"},
        ),
    ],
)
def test_embedded_kernels_are_refused_by_name(
    page_size: int, release: str, base: int, extra: dict[str, str], tmp_path: Path
) -> None:
    machine = build_machine(
        page_size=page_size, block_shift=16, blocks=5, layout="f000", release=release
    )
    machine.vmcoreinfo.update(extra)
    for number, entry in enumerate(machine.entries):
        machine.poke_node(number, virt=entry.virt - machine.vmemmap_base + base)
    with opened(machine, tmp_path) as core:
        for ask in (
            lambda: core.vtop(base),
            lambda: core.vtop_many(np.array([base], dtype=np.uint64)),
            lambda: core.read(base, 8),
            lambda: core.layout,
            lambda: core.backing,
        ):
            with pytest.raises(UnsupportedDump, match="Book3E") as caught:
                ask()
            assert caught.value.path == str(tmp_path / "vmcore.elf")


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("release", ["4.18.0", "6.1.0", "6.12.0"])
def test_an_empty_list_on_hash_is_an_error(byte_order: str, page_size: int, release: str) -> None:
    layout = "f000" if release == "4.18.0" else "c00c" if page_size == 65536 else "c0003f"
    machine = build_machine(
        byte_order=byte_order,  # type: ignore[arg-type]
        page_size=page_size,
        layout=layout,  # type: ignore[arg-type]
        release=release,
        block_shift=16,
        blocks=3,
    )
    machine.poke_u64(machine.symbols["vmemmap_list"], 0)
    core = vmcore_of(machine)
    (finding,) = core.findings
    assert (finding.code, finding.severity) == ("list_empty", Severity.ERROR)
    assert core.mmu.detail in finding.message
    assert len(core.backing) == 0
    for block in machine.blocks:
        with pytest.raises(VmemmapError) as caught:
            core.vtop(block.virt)
        # Under hash nothing maps the vmemmap but the list; to say otherwise would mislead.
        assert "page tables" not in str(caught.value)
    assert core.vtop(LINEAR + 5).phys == 5


@EVERY
def test_an_empty_list_on_radix_uses_the_page_tables(shape: dict[str, Any]) -> None:
    if shape["mmu"] == "hash":
        shape = {**shape, "mmu": "radix", "layout": "c00c"}
        shape["block_shift"] = {24: 21}.get(shape["block_shift"], shape["block_shift"])
        if shape["page_size"] == 4096 and shape["block_shift"] == 16:
            shape["block_shift"] = 12
    machine = shaped(shape)
    machine.poke_u64(machine.symbols["vmemmap_list"], 0)
    core = vmcore_of(machine)
    for block in machine.blocks:
        found = core.vtop(block.virt + 9)
        assert (found.phys, found.method, found.entry) == (block.phys + 9, "page_table", None)
    assert core.findings == ()


# A damaged list is used as far as it goes


@pytest.mark.parametrize("kept", [0, 1, 5, 8])
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_what_the_walk_kept_still_translates(kept: int, byte_order: str) -> None:
    machine = shaped({"byte_order": byte_order, "release": "6.12.0"})
    if kept:
        machine.poke_node(kept - 1, link=LINEAR + (1 << 42))
    else:
        machine.poke_u64(machine.symbols["vmemmap_list"], LINEAR + (1 << 42))
    core = vmcore_of(machine)
    assert codes(core) == ["node_outside_memory"]
    assert [(e.node, e.phys, e.virt) for e in core.backing] == list(machine.entries[:kept])
    for entry in machine.entries[:kept]:
        assert core.vtop(entry.virt + 8).phys == entry.phys + 8
    for entry in machine.entries[kept:]:
        with pytest.raises(NotBacked if kept else TranslateError):
            core.vtop(entry.virt)


def test_impossible_entries_are_not_used_and_the_rest_is() -> None:
    machine = shaped({})
    machine.poke_node(0, phys=1 << 60)
    machine.poke_node(2, phys=machine.entries[2].phys + 8)
    machine.poke_node(4, virt=0x1234)
    core = vmcore_of(machine)
    assert set(codes(core)) >= {"phys_impossible", "phys_misaligned", "virt_outside_region"}
    for number, entry in enumerate(machine.entries):
        if number in (0, 2, 4):
            with pytest.raises(NotBacked):
                core.vtop(entry.virt)
        else:
            found = core.vtop(entry.virt)
            assert (found.phys, found.entry) == (entry.phys, number)


def test_the_newer_of_two_entries_for_a_block_is_used() -> None:
    machine = shaped({})
    machine.poke_node(5, virt=machine.entries[2].virt)
    core = vmcore_of(machine)
    assert codes(core) == ["virt_duplicate"]
    found = core.vtop(machine.entries[2].virt)
    assert (found.phys, found.entry) == (machine.entries[2].phys, 2)
    assert both_ways(core, machine.entries[2].virt) == (found.phys, found.phys)


@pytest.mark.parametrize("text", [b"", b"\0" * 50, b"no keys here\n"])
def test_a_dump_without_vmcoreinfo(text: bytes) -> None:
    machine = shaped({})
    machine.clear_vmcoreinfo()
    core = Vmcore(cast(PhysicalSource, MachineSource(machine, vmcoreinfo=text)))
    assert {"page_size", "vmemmap_list", "mmu", "layout"} <= set(core.facts.missing)
    for ask in (lambda: core.backing, lambda: core.vtop(machine.vmemmap_base), lambda: core.mmu):
        with pytest.raises(FactMissing):
            ask()
    assert core.vtop(LINEAR + 5).phys == 5
    assert core.read_phys(0, 4) == machine.read(LINEAR, 4)
