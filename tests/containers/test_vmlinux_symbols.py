"""Symbols out of a vmlinux: found by name, and every kind of file that cannot give any."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.byte_order import Order
from builders.elf_core import Segment, build_elf
from containers.vmlinux_file import ET_DYN, SHT_PROGBITS, Symbol, build_vmlinux
from vmemmap.errors import CorruptDump, DumpError, UnreadableFile, UnsupportedDump
from vmemmap.facts.vmlinux import SymbolFile

BASE = 0xC000000000000000
SYMBOLS: list[Symbol] = [
    ("_stext", BASE, 0),
    ("not_vmemmap_list", BASE + 0x1000, 4),
    ("vmemmap_list", BASE + 0x2000, 8),
    ("vmemmap_list_tail", BASE + 0x3000, 16),
    ("swapper_pg_dir", BASE + 0x10000, 0x10000),
    ("a", BASE + 0xFFFFFFF, 0xFFFFFFFFFF),
]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], SymbolFile]:
    def write_and_load(data: bytes) -> SymbolFile:
        path = tmp_path / "vmlinux"
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return SymbolFile(path)

    return write_and_load


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("merge_tails", [False, True])
@pytest.mark.parametrize("kind", [2, ET_DYN])
def test_every_symbol_by_its_name(load, order: Order, merge_tails: bool, kind: int) -> None:
    data = build_vmlinux(SYMBOLS, order=order, merge_tails=merge_tails, header={"e_type": kind})
    symbols = load(data)
    for name, address, size in SYMBOLS:
        found = symbols.find(name)
        assert found is not None, name
        assert (found.address, found.size) == (address, size)


@pytest.mark.parametrize("merge_tails", [False, True])
def test_the_tail_of_a_name_is_no_symbol(load, merge_tails: bool) -> None:
    """Its bytes are there, at the end of another name, but no symbol has them."""
    symbols = load(build_vmlinux(SYMBOLS[:2] + SYMBOLS[3:], merge_tails=merge_tails))
    for name in ("vmemmap_list", "list", "stext", "_list_tail", "swapper", "vmemmap", "b"):
        assert symbols.find(name) is None, name
    assert symbols.find("not_vmemmap_list") is not None


def test_odd_names_are_not_there(load) -> None:
    symbols = load(build_vmlinux(SYMBOLS))
    for name in ("x" * 5000, "naïve", "vmemmap_list ", "VMEMMAP_LIST"):
        assert symbols.find(name) is None


def test_many_symbols(load) -> None:
    rng = random.Random(5)
    symbols = [(f"sym_{at:x}", BASE + rng.randrange(1 << 30), at) for at in range(60_000)]
    found = load(build_vmlinux(symbols))
    for name, address, size in rng.sample(symbols, 50):
        symbol = found.find(name)
        assert symbol is not None
        assert (symbol.address, symbol.size) == (address, size)


def refused(load, data: bytes, kind: type[DumpError], match: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=match) as caught:
        load(data)
    assert caught.value.path == str(tmp_path / "vmlinux")


@pytest.mark.parametrize("order", ["little", "big"])
def test_stripped(load, tmp_path: Path, order: Order) -> None:
    data = build_vmlinux(SYMBOLS, symtab=False, order=order)
    refused(load, data, UnsupportedDump, "no symbol table.*debug package", tmp_path)
    no_sections = build_vmlinux(SYMBOLS, header={"e_shnum": 0, "e_shoff": 0})
    refused(load, no_sections, UnsupportedDump, "no symbol table", tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"MZ" + bytes(200), b"\x1f\x8b\x08" + bytes(100), b"\x7fEL", b"\x7fELF", b"#!/bin/sh\n", b"x"],
)
def test_not_elf(load, tmp_path: Path, data: bytes) -> None:
    refused(load, data, UnsupportedDump, "no vmlinux: expected an ELF file", tmp_path)


@pytest.mark.parametrize(("machine", "elf_class"), [(62, 2), (183, 2), (20, 1), (21, 1), (0, 2)])
def test_another_machine(load, tmp_path: Path, machine: int, elf_class: int) -> None:
    data = build_vmlinux(SYMBOLS, header={"e_machine": machine}, elf_class=elf_class)
    refused(load, data, UnsupportedDump, "PowerPC64", tmp_path)


def test_a_vmcore_is_no_vmlinux(load, tmp_path: Path) -> None:
    refused(load, build_elf([Segment(0, b"x")]), UnsupportedDump, "symbol table", tmp_path)


def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for name in ("missing", ".", "empty"):
        with pytest.raises(UnreadableFile) as caught:
            SymbolFile(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)


def test_truncated_anywhere(load) -> None:
    """The section headers come last, so that any cut loses some of them."""
    whole = build_vmlinux(SYMBOLS)
    for length in range(1, len(whole)):
        with pytest.raises(DumpError):
            load(whole[:length])


HUGE = (1 << 64) - 1
GARBAGE: dict[str, dict[str, Any]] = {
    "e_shoff": {"header": {"e_shoff": 1 << 40}},
    "e_shoff at the top": {"header": {"e_shoff": HUGE}},
    "e_shnum": {"header": {"e_shnum": 0xFFFF}},
    "symtab offset": {"sections": {".symtab": {"sh_offset": 1 << 50}}},
    "symtab offset at the top": {"sections": {".symtab": {"sh_offset": HUGE - 24}}},
    "symtab size": {"sections": {".symtab": {"sh_size": 1 << 45}}},
    "symtab size at the top": {"sections": {".symtab": {"sh_size": HUGE}}},
    "strtab offset": {"sections": {".strtab": {"sh_offset": 1 << 50}}},
    "strtab size": {"sections": {".strtab": {"sh_size": HUGE}}},
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_in_headers(load, tmp_path: Path, name: str) -> None:
    data = build_vmlinux(SYMBOLS, **GARBAGE[name])
    refused(load, data, CorruptDump, "expected it to end before the file's end", tmp_path)


@pytest.mark.parametrize("link", [5, 1000, 0xFFFFFFFF])
def test_names_in_no_section(load, link: int) -> None:
    data = build_vmlinux(SYMBOLS, sections={".symtab": {"sh_link": link}})
    with pytest.raises(DumpError):
        load(data)


@pytest.mark.parametrize("link", [0, 1, 2])
def test_names_in_the_wrong_section(load, link: int) -> None:
    """Nothing is found there; what is found is at least a symbol of the table."""
    data = build_vmlinux(SYMBOLS, sections={".symtab": {"sh_link": link}})
    try:
        symbols = load(data)
    except DumpError:
        return
    assert symbols.find("vmemmap_list") is None


def test_no_symbols_in_the_table(load) -> None:
    for size in (0, 1, 23):
        symbols = load(build_vmlinux(SYMBOLS, sections={".symtab": {"sh_size": size}}))
        assert symbols.find("vmemmap_list") is None
    wrong = build_vmlinux(SYMBOLS, sections={".symtab": {"sh_type": SHT_PROGBITS}})
    with pytest.raises(UnsupportedDump, match="no symbol table"):
        load(wrong)


def test_sections_of_another_size_are_not_misread(load) -> None:
    """e_shentsize other than 64: the table cannot be followed."""
    data = build_vmlinux(SYMBOLS, header={"e_shentsize": 40})
    try:
        found = load(data).find("vmemmap_list")
    except DumpError:
        return
    assert found is None or found.address == BASE + 0x2000


WHOLE = {order: build_vmlinux(SYMBOLS, order=order) for order in ("little", "big")}


@settings(max_examples=examples(300))
@given(
    order=st.sampled_from(["little", "big"]),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=9)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_damage_is_a_dump_error_or_an_answer(
    tmp_path_factory: pytest.TempPathFactory, order: str, changes: list[tuple[float, bytes]]
) -> None:
    data = bytearray(WHOLE[order])
    for where, content in changes:
        at = int(where * len(data))
        data[at : at + len(content)] = content
    path = tmp_path_factory.getbasetemp() / "damaged-vmlinux"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    try:
        symbols = SymbolFile(path)
    except DumpError:
        return
    for name in ("vmemmap_list", "swapper_pg_dir", "nothing"):
        found = symbols.find(name)
        assert found is None or 0 <= found.address <= HUGE
