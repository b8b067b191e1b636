"""Symbol tables made by the program with which the kernel's own build makes them.

It prints assembler text, which is put into bytes here, in either byte order.
``python tools/fetch_peers.py`` fetches the program.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from builders.byte_order import Order, prefix
from builders.kallsyms import KEYS, KernelSymbol
from builders.kernel_data import PAGE_OFFSET
from builders.machine import build_machine
from facts.test_kallsyms import symbols_of
from vmcore.machine_source import vmcore_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ROOT = CACHE / "vmemmap" / "peers" / "root"
PROGRAM = next(iter(sorted(ROOT.glob("usr/lib/linux-kbuild-*/scripts/kallsyms"))), None)
EMULATOR = shutil.which("qemu-ppc64le-static") or shutil.which("qemu-ppc64le")
NATIVE = platform.machine() == "ppc64le"
ABSENT = "" if PROGRAM else "the kernel's kallsyms is absent: python tools/fetch_peers.py"
if not (EMULATOR or NATIVE):
    ABSENT = "qemu-user is absent (python tools/fetch_peers.py says how to install it)"

pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
AT = PAGE_OFFSET + 0x4000_0000


def made_by_the_kernel(symbols: list[KernelSymbol], folder: Path, *, with_data: bool) -> str:
    """Run the program on a list of symbols as nm prints it; give the assembler text."""
    listed = folder / "System.map"
    rows = sorted(symbols, key=lambda symbol: symbol[2])
    listed.write_text("".join(f"{at:016x} {kind} {name}\n" for kind, name, at in rows))
    run = [] if NATIVE else [str(EMULATOR), "-L", str(ROOT)]
    options = ["--all-symbols"] if with_data else []
    command = [*run, str(PROGRAM), *options, str(listed)]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout


def assembled(text: str, order: Order) -> dict[str, bytes]:
    """Put assembler text into bytes: label -> what follows it."""
    tables: dict[str, bytes] = {}
    label, mark = "", prefix(order)
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        word, _, rest = line.strip().partition(" " if ".byte" in line else "\t")
        if line.endswith(":"):
            label = line[:-1]
            tables[label] = b""
        elif word == ".byte":
            tables[label] += bytes(int(value, 16) for value in rest.split(","))
        elif word in (".long", ".short"):
            form = mark + {".long": "I", ".short": "H"}[word]
            tables[label] += struct.pack(form, int(rest, 0))
        elif word == ".asciz":
            tables[label] += rest.strip().strip('"').encode() + b"\0"
        elif word == "PTR":
            tables[label] += struct.pack(mark + "Q", PAGE_OFFSET + int(rest.split("+")[1], 0))
    return tables


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("with_data", [True, False])
@pytest.mark.parametrize("long_names", [0, 5])
def test_every_symbol(order: Order, with_data: bool, long_names: int, tmp_path: Path) -> None:
    machine = build_machine(byte_order=order, blocks=2, store="none")
    symbols = symbols_of(machine, all_of_them=with_data, long_names=long_names, count=1500)
    # It leaves its own tables out, and without data what lies outside of the code.
    listed = [symbol for symbol in symbols if not symbol[1].startswith("kallsyms_")]
    tables = assembled(made_by_the_kernel(listed, tmp_path, with_data=with_data), order)
    for key in KEYS:
        machine.vmcoreinfo.pop(f"SYMBOL({key})", None)
    at = AT
    for label, content in tables.items():
        machine.poke(at, content)
        if label in KEYS:
            machine.vmcoreinfo[f"SYMBOL({label})"] = format(at, "x")
        at += -(-len(content) // 8) * 8
    table = vmcore_of(machine).symbols
    code_ends = {"_etext", "_einittext"}
    known = {name: address for _, name, address in listed}
    expected = [
        symbol
        for symbol in listed
        if with_data
        or symbol[1] in code_ends
        or PAGE_OFFSET <= symbol[2] < known["_etext"]
        or known["_sinittext"] <= symbol[2] < known["_einittext"]
    ]
    found = [(symbol.kind, symbol.name, symbol.address) for symbol in table]
    assert sorted(found) == sorted(expected)
    assert [address for _, _, address in found] == sorted(address for _, _, address in found)
    assert ("one or two bytes" in table.fact.detail) == bool(long_names)
