"""Symbols on the command line of vtop, and in what it prints."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from builders.kallsyms import install_kallsyms
from builders.kernel_data import PAGE_OFFSET
from builders.machine import Machine, build_machine
from containers.vmlinux_file import build_vmlinux

FUNCTION = PAGE_OFFSET + 0x1000
TWICE = (PAGE_OFFSET + 0x2000, PAGE_OFFSET + 0x3000)


@pytest.fixture(scope="module", params=["little", "big"])
def machine(request: pytest.FixtureRequest) -> Machine:
    machine = build_machine(byte_order=request.param, blocks=40)
    symbols = [
        *[("T", "_stext", PAGE_OFFSET), ("T", "do_it.isra.0", FUNCTION)],
        *[("t", "twice", TWICE[0]), ("t", "twice", TWICE[1]), ("t", "face", TWICE[1] + 8)],
        *[("D", name, machine.symbols[name]) for name in ("vmemmap_list", "init_uts_ns")],
        ("B", "_end", PAGE_OFFSET + 0x1000000),
    ]
    install_kallsyms(machine, symbols)
    return machine


@pytest.fixture
def dump(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    return path


@pytest.mark.parametrize(
    ("typed", "address", "shown"),
    [
        ("do_it.isra.0", FUNCTION, "do_it.isra.0"),
        ("do_it.isra.0+10", FUNCTION + 16, "do_it.isra.0+0x10"),
        ("do_it.isra.0+0x10", FUNCTION + 16, "do_it.isra.0+0x10"),
        ("do_it.isra.0+0x1c/0x40", FUNCTION + 0x1C, "do_it.isra.0+0x1c"),
        ("do_it.isra.0+0", FUNCTION, "do_it.isra.0"),
        (f"{FUNCTION + 4:x}", FUNCTION + 4, "do_it.isra.0+0x4"),
        ("face", 0xFACE, None),  # what reads as a number is one
        (f"{PAGE_OFFSET + 0x1000000:#x}", PAGE_OFFSET + 0x1000000, None),
    ],
)
def test_a_symbol_is_an_address(typed: str, address: int, shown, run_vmemmap, dump) -> None:
    ran = run_vmemmap("vtop", dump, typed, "-f", "json")
    (row,) = ran.json
    assert row["virt"] == f"{address:#x}"
    assert row.get("symbol") == shown
    (line,) = csv.DictReader(io.StringIO(run_vmemmap("vtop", dump, typed, "-f", "csv").out))
    assert line["symbol"] == (shown or "")
    text = run_vmemmap("vtop", dump, typed).out
    assert (f"({shown})" in text) == (shown is not None)


def test_symbols_and_numbers_together(run_vmemmap, machine: Machine, dump) -> None:
    block = machine.blocks[0]
    ran = run_vmemmap("vtop", dump, "vmemmap_list", f"{block.virt:x}", "do_it.isra.0", "-f", "json")
    assert ran.code == 0
    assert [row["virt"] for row in ran.json] == [
        f"{address:#x}" for address in (machine.symbols["vmemmap_list"], block.virt, FUNCTION)
    ]
    assert ran.json[0]["phys"] == f"{machine.symbols['vmemmap_list'] - PAGE_OFFSET:#x}"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("vmemmap_list+", ["is no address"]),
        ("vmemmap_list-8", ["is no address"]),
        ("vmemmap list", ["is no address"]),
        ("0xzz", ["is no address"]),
        ("12345678901234567", ["is no address"]),
    ],
)
def test_what_is_neither_address_nor_symbol(typed, words, run_vmemmap, dump) -> None:
    ran = run_vmemmap("vtop", dump, "0xc000000000000000", typed)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    for word in words:
        assert word in ran.err


@pytest.mark.parametrize("command", ["vtop", "page"])
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("vmemap_list", ["no symbol 'vmemap_list'", "similar: vmemmap_list"]),
        ("vmemmap_list+0xffffffffffffffff", ["beyond the end"]),
        ("c00c00000000000000000", ["is no address", "no symbol"]),
        ("twice", ["2 of 'twice'", f"{TWICE[0]:#x}, {TWICE[1]:#x}"]),
        ("vmcore.2", ["no file", "no symbol 'vmcore.2'"]),
    ],
)
def test_a_name_that_means_nothing_does_not_stop_the_others(
    typed, words, command, run_vmemmap, dump
) -> None:
    right = run_vmemmap(command, dump, "0xc000000000000000", "do_it.isra.0")
    ran = run_vmemmap(command, dump, "0xc000000000000000", typed, "do_it.isra.0")
    assert (ran.code, ran.out) == (1, right.out)
    told = [line for line in ran.err.splitlines() if line not in right.err.splitlines()]
    assert len(told) == 1
    for word in words:
        assert word in told[0]
    alone = run_vmemmap(command, dump, typed)
    assert (alone.code, alone.out) == (2, "")


@pytest.mark.parametrize("command", ["vtop", "page"])
def test_a_member_that_is_not_there_is_a_missing_file(command, run_vmemmap, dump) -> None:
    missing = dump.parent / "vmcore.2"
    ran = run_vmemmap(command, dump, missing, "0xc000000000000000")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"vmemmap: {missing}: ")
    assert "no such file" in ran.err


def test_a_kernel_without_symbols_needs_a_vmlinux(run_vmemmap, tmp_path: Path) -> None:
    machine = build_machine(byte_order="big", layout="f000", release="3.10.0-x", blocks=8)
    path, vmlinux = tmp_path / "vmcore", tmp_path / "vmlinux"
    path.write_bytes(machine.kdump())
    known = [(name, value, 8) for name, value in machine.symbols.items() if name != "_stext"]
    known += [
        ("_stext", PAGE_OFFSET, 0),
        (".do_it", FUNCTION, 64),
        ("_end", PAGE_OFFSET + (16 << 20), 0),
    ]
    vmlinux.write_bytes(build_vmlinux(known, order="big"))
    ran = run_vmemmap("vtop", path, ".do_it")
    assert ran.code == 2
    assert "--vmlinux" in ran.err
    assert run_vmemmap("vtop", path, "swapper_pg_dir").code == 0, "VMCOREINFO has it"
    ran = run_vmemmap(
        "vtop", path, ".do_it+4", f"{FUNCTION + 0x44:x}", "--vmlinux", vmlinux, "-f", "json"
    )
    assert ran.code == 0, ran.err
    assert [row["symbol"] for row in ran.json] == [".do_it+0x4", ".do_it+0x44"]

    other = [(name, value + 8, 8) for name, value, _ in known]
    vmlinux.write_bytes(build_vmlinux(other, order="big"))
    ran = run_vmemmap("vtop", path, ".do_it", "--vmlinux", vmlinux)
    assert ran.code == 2
    assert "is not the vmlinux of this dump's kernel" in ran.err


def test_damaged_symbols_do_not_stop_a_translation(run_vmemmap, machine: Machine, tmp_path) -> None:
    fresh = build_machine(byte_order=machine.byte_order, blocks=4)
    places = install_kallsyms(fresh, [("T", "_stext", PAGE_OFFSET), ("T", "a", PAGE_OFFSET + 8)])
    fresh.poke(places["kallsyms_names"], b"\xff" * 8)
    path = tmp_path / "vmcore"
    path.write_bytes(fresh.kdump())
    ran = run_vmemmap("vtop", path, f"{PAGE_OFFSET:x}", "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert "symbol" not in ran.json[0]
    ran = run_vmemmap("vtop", path, "a_name")
    assert ran.code == 2
    assert "symbol table is damaged" in ran.err
