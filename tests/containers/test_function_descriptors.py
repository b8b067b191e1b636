"""vmlinux files of the first ELF ABI: a function's name means its code, and its descriptor is told.

What nm and objdump print of a big-endian kernel: ``schedule`` in .opd, 24 bytes, the code in .text.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import vmemmap
from builders.byte_order import Order, prefix
from builders.machine import build_machine
from containers.vmlinux_file import SHT_PROGBITS, Symbol, build_vmlinux
from vmemmap.errors import FactMissing
from vmemmap.facts.vmlinux import SymbolFile

BASE = 0xC000000000000000
OPD, TOC = BASE + 0x32B000, BASE + 0x357D00
CODE = {"schedule": BASE + 0x22D100, "free_huge_page": BASE + 0x11F00C, "panic": BASE + 0x40}
SYMBOLS: list[Symbol] = [
    ("_stext", BASE, 0),
    (".panic", CODE["panic"], 0x88),
    ("_etext", BASE + 0x22E000, 0),
    ("a_table", OPD - 0x1000, 24),
    *((name, OPD + 24 * row, 24) for row, name in enumerate(CODE)),
    ("vmemmap_list", BASE + 0x3989E0, 8),
    ("_end", BASE + 0x3FA000, 0),
]


def descriptors(order: Order, *code: int) -> bytes:
    return b"".join(struct.pack(prefix(order) + "3Q", one, TOC, 0) for one in code)


def vmlinux_of(order: Order, *code: int, relocations: bytes = b"", opd_bytes: int = 72) -> bytes:
    extra = {".opd": (SHT_PROGBITS, descriptors(order, *code))}
    if relocations:
        extra[".rela.dyn"] = (4, relocations)
    return build_vmlinux(
        SYMBOLS,
        order=order,
        extra=extra,
        sections={".opd": {"sh_addr": OPD, "sh_size": opd_bytes}},
    )


@pytest.fixture(params=["big", "little"])
def order(request: pytest.FixtureRequest) -> Order:
    found: Order = request.param
    return found


def check_table(path: Path) -> None:
    table = SymbolFile(path).table
    addresses = [int(address) for address in table.address]
    assert addresses == sorted(addresses)
    for row, (name, code) in enumerate(CODE.items()):
        (symbol,) = table.find_all(name)
        assert symbol.address == code
        assert str(table.at(code + 0x10)).removeprefix(".") == f"{name}+0x10"
        at = table.at(OPD + 24 * row + 8)
        assert at is not None
        assert (str(at), at.size) == (f"{name} (descriptor)+0x8", 24)
    for name, address, _ in SYMBOLS:
        if name not in CODE:
            assert [symbol.address for symbol in table.find_all(name)] == [address]
    assert table.fact.value == len(SYMBOLS)


def test_the_code_and_the_descriptor(order: Order, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(vmlinux_of(order, *CODE.values()))
    check_table(path)
    found = SymbolFile(path).find("free_huge_page")  # what a pointer to the function holds
    assert found is not None
    assert found.address == OPD + 24


def test_a_relocatable_kernel_has_the_addresses_apart(order: Order, tmp_path: Path) -> None:
    rows = [(OPD + 24 * row, 22, code) for row, code in enumerate(CODE.values())]
    others = [(OPD - 8, 22, BASE), (OPD + 8, 22, TOC), (OPD, 38, BASE + 4), (OPD + 3, 22, BASE)]
    relocations = b"".join(struct.pack(prefix(order) + "3Q", *row) for row in (*rows, *others))
    path = tmp_path / "vmlinux"
    path.write_bytes(vmlinux_of(order, 0, 0, 0, relocations=relocations))
    check_table(path)


def test_what_leads_nowhere_stays_as_it_is(order: Order, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(vmlinux_of(order, 0, 0xD000000000000000, 12))
    table = SymbolFile(path).table
    assert len(table) == len(SYMBOLS)
    assert {name: table.find_all(name)[0].address for name in CODE} == {
        name: OPD + 24 * row for row, name in enumerate(CODE)
    }


def test_a_section_that_is_not_in_the_file(order: Order, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(vmlinux_of(order, *CODE.values(), opd_bytes=1 << 20))
    with pytest.raises(FactMissing, match=r"\.opd"):
        _ = SymbolFile(path).table


def test_a_file_cut_to_its_symbols(tmp_path: Path) -> None:
    """Memory has the descriptors; one is damaged, one is not in the dump, and one is a variable."""
    for flags, parted in ((0, True), (1, True), (2, False)):
        machine = build_machine(byte_order="big", layout="f000", release="3.10.0-x", blocks=8)
        machine.memory.write(OPD - BASE, descriptors("big", *CODE.values()))
        machine.poke_u64(OPD + 24, BASE + 0x11F00D)
        machine.memory.write(OPD - 0x1000 - BASE, descriptors("big", OPD))
        rows = [row for row in SYMBOLS if row[0] not in machine.symbols or row[0] == "_stext"]
        rows.append(("absent", BASE + 0x390000, 24))
        rows += [(name, at, 8) for name, at in machine.symbols.items() if name != "_stext"]
        path, vmlinux = tmp_path / "vmcore", tmp_path / f"vmlinux{flags}"
        path.write_bytes(machine.kdump())
        vmlinux.write_bytes(build_vmlinux(rows, order="big", header={"e_flags": flags}))
        with vmemmap.open(path, vmlinux=vmlinux) as core:
            names = ("schedule", "free_huge_page", "a_table", "absent")
            found = [core.symbol(name).address for name in names]
            unchanged = [OPD, OPD + 24, OPD - 0x1000, BASE + 0x390000]
            assert found == [CODE["schedule"] if parted else OPD, *unchanged[1:]]
            shown = "schedule (descriptor)+0x8" if parted else "schedule+0x8"
            assert str(core.symbolize(OPD + 8)) == shown
            assert str(core.symbolize(OPD + 32)) == "free_huge_page+0x8"


def test_on_the_command_line(tmp_path: Path, run_vmemmap) -> None:
    machine = build_machine(byte_order="big", layout="f000", release="3.10.0-x", blocks=8)
    path, vmlinux = tmp_path / "vmcore", tmp_path / "vmlinux"
    path.write_bytes(machine.kdump())
    own = [(name, at, 8) for name, at in machine.symbols.items() if name != "_stext"]
    opd = {".opd": (SHT_PROGBITS, descriptors("big", *CODE.values()))}
    vmlinux.write_bytes(
        build_vmlinux(
            [row for row in SYMBOLS if row[0] not in machine.symbols or row[0] == "_stext"] + own,
            order="big",
            extra=opd,
            sections={".opd": {"sh_addr": OPD}},
        )
    )
    asked = ("schedule+0x10", f"{OPD + 8:x}")
    ran = run_vmemmap("vtop", path, *asked, "--vmlinux", vmlinux, "-f", "json")
    assert [(row["virt"], row["symbol"]) for row in ran.json] == [
        (f"{CODE['schedule'] + 0x10:#x}", "schedule+0x10"),
        (f"{OPD + 8:#x}", "schedule (descriptor)+0x8"),
    ]
