"""A symbol table in place of a vmlinux: binutils and our reader find the symbols in it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.write.elf_symbols import ElfSymbol, pack_elf_symbols

SYMBOLS = [
    ElfSymbol("_stext", 0xC << 60, 4096, is_function=True),
    ElfSymbol("vmemmap_list", 0xC000000001000008, 8),
    ElfSymbol("next", 0xC000000001000010, 8),
]


@pytest.mark.parametrize("order", ["little", "big"])
def test_reader_finds_them(tmp_path, order) -> None:
    (tmp_path / "vmlinux").write_bytes(pack_elf_symbols(order, SYMBOLS))
    table = SymbolFile(tmp_path / "vmlinux")
    for symbol in SYMBOLS:
        found = table.find(symbol.name)
        assert found is not None
        assert (found.address, found.size) == (symbol.address, symbol.size)
    assert table.find("list") is None


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils' readelf is not installed")
@pytest.mark.parametrize("order", ["little", "big"])
def test_readelf_finds_them_and_has_no_complaint(tmp_path, order) -> None:
    (tmp_path / "vmlinux").write_bytes(pack_elf_symbols(order, SYMBOLS))
    ran = subprocess.run(
        ["readelf", "-h", "-S", "-s", "-W", tmp_path / "vmlinux"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not ran.stderr
    rows = [line.split() for line in ran.stdout.splitlines() if " GLOBAL " in line]
    assert [(row[-1], int(row[1], 16)) for row in rows] == [(s.name, s.address) for s in SYMBOLS]
