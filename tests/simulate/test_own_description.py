"""A simulated kernel describes itself: kallsyms since 6.0, BTF since 5.2.

drgn, which reads kallsyms with code of its own, is in tests/oracles/test_simulated_drgn.py; here
the two descriptions that a dump has, VMCOREINFO and BTF, are held against one another.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from simulate.kernel_history import History, history
from simulate.machines import M, small_machine, small_spec
from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Origin
from vmemmap.facts.types.btf import Btf
from vmemmap.facts.types.keys import may_tell, value_by_types
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.simulate import Machine, MemoryRange, PagePlan
from vmemmap.simulate.crash.kernel_types import kernel_types
from vmemmap.simulate.memory.image import VIRT

MEMORY = (MemoryRange(0, 0, 64 * M),)
KALLSYMS: History[set[str]] = history(
    ("2.6.35", "5.17", set()),
    (
        "6.1",
        "6.19",
        {"names", "num_syms", "token_table", "token_index", "offsets", "relative_base"},
    ),
    ("7.1", "7.3", {"names", "num_syms", "token_table", "token_index", "offsets"}),
)
"""Which tables VMCOREINFO names (ppc64-kernel.md 6.1 and 6.3; 7.0 by its tree 7.1.5)."""


def keys_of(machine: Machine) -> dict[str, str]:
    text = machine.snapshot().vmcoreinfo.decode()
    return dict(line.partition("=")[::2] for line in text.splitlines())


def test_vmcoreinfo_names_the_tables_that_the_release_has() -> None:
    for release in KALLSYMS.edges:
        keys = keys_of(small_machine(release, MEMORY).boot())
        found = {k[16:-1] for k in keys if k.startswith("SYMBOL(kallsyms_")}
        assert found == KALLSYMS[release], release


@pytest.mark.parametrize("mmu", ["hash", "radix"])
@pytest.mark.parametrize(
    ("release", "order"), [("5.4", "big"), ("6.1", "little"), ("6.11", "big"), ("7.2", "little")]
)
def test_types_say_what_vmcoreinfo_says(release: str, order: Any, mmu: Any) -> None:
    machine = small_machine(release, MEMORY, byte_order=order, mmu=mmu).boot()
    types = Btf(kernel_types(machine), "the machine's BTF")
    seen = set()
    for key, value in keys_of(machine).items():
        if may_tell(key) and (said := value_by_types(types, key)) is not None:
            assert said == int(value), key
            seen.add(key.partition("(")[0])
    assert seen == {"SIZE", "OFFSET", "LENGTH", "NUMBER"}


@pytest.mark.parametrize(
    ("release", "order"),
    [("2.6.35", "big"), ("4.4", "little"), ("4.14", "big"), ("5.1", "little")],
)
def test_debug_information_says_what_vmcoreinfo_says(
    release: str, order: Any, tmp_path: Path
) -> None:
    machine = small_machine(release, MEMORY, byte_order=order).boot()
    machine.write_symbols(tmp_path / "vmlinux", debug_info=True)
    seen = set()
    with closing(SymbolFile(tmp_path / "vmlinux")) as file:
        types = file.types
        assert types.form == "DWARF"
        for key, value in keys_of(machine).items():
            if may_tell(key) and (said := value_by_types(types, key)) is not None:
                assert said == int(value), key
                seen.add(key.partition("(")[0])
    assert seen == {"SIZE", "OFFSET", "LENGTH", "NUMBER"}


@pytest.mark.parametrize("packed", ["whole", "cut", "short", "no magic"])
def test_debug_information_in_the_old_compressed_form(packed: str, tmp_path: Path) -> None:
    """``.zdebug_info`` and its like: ZLIB, the size in big-endian order, and zlib's stream."""
    machine = small_machine("4.4", MEMORY).boot()
    machine.write_symbols(tmp_path / "vmlinux", debug_info=True)
    data = bytearray((tmp_path / "vmlinux").read_bytes())
    at, count = (struct.unpack_from(form, data, o)[0] for form, o in (("<Q", 0x28), ("<H", 0x3C)))
    rows = [list(struct.unpack_from("<2I4Q2I2Q", data, at + 64 * i)) for i in range(count)]
    names_at, names_size = rows[struct.unpack_from("<H", data, 0x3E)[0]][4:6]
    names = bytes(data[names_at : names_at + names_size])
    for i, row in enumerate(rows):
        name = names[row[0] :].split(b"\0")[0]
        if name.startswith(b".debug_"):
            content = bytes(data[row[4] : row[4] + row[5]])
            old = b"ZLIB" + struct.pack(">Q", len(content)) + zlib.compress(content)
            old = {
                "whole": old,
                "cut": old[:9],
                "short": old[: len(old) // 2],
                "no magic": b"z" + old[1:],
            }[packed]
            row[0], row[4], row[5] = len(names), len(data), len(old)
            names += name.replace(b".d", b".zd") + b"\0"
            data += old
            struct.pack_into("<2I4Q2I2Q", data, at + 64 * i, *row)
    row = rows[struct.unpack_from("<H", data, 0x3E)[0]]
    row[4:6] = len(data), len(names)
    struct.pack_into("<2I4Q2I2Q", data, at + 64 * struct.unpack_from("<H", data, 0x3E)[0], *row)
    (tmp_path / "old").write_bytes(data + names)
    files = (SymbolFile(tmp_path / name) for name in ("old", "vmlinux"))
    with closing(next(files)) as old_file, closing(next(files)) as made:
        if packed != "whole":
            with pytest.raises(FactInvalid, match="zdebug_"):
                old_file.types  # noqa: B018
            return
        told = [
            [value_by_types(file.types, key) for key in keys_of(machine)]
            for file in (old_file, made)
        ]
    assert told[0] == told[1]
    assert any(value is not None for value in told[0])


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("release", ["6.1", "6.12", "7.2"])
def test_readers_find_symbols_and_types_in_the_dump(
    release: str, order: Any, tmp_path: Path
) -> None:
    plan = PagePlan(cache=20, slab=16, huge=256)
    spec = small_spec(release, (MemoryRange(0, 0, 128 * M),), byte_order=order, pages=plan)
    Machine(spec).boot().crash(tmp_path / "vmcore")
    with vmemmap.open(tmp_path / "vmcore") as core:
        assert core.symbol("vmemmap_list").address == VIRT["vmemmap_list"]
        usage = core.usage()
        info = core.pages[VIRT["vmemmap_list"] - (0xC << 60) >> 16]
    assert usage.fields_origin == Origin.BTF
    assert (usage.kinds["cache"], usage.kinds["slab"], usage.kinds["hugetlb"]) == (20, 16, 256)
    assert info.flags == ("reserved",)


def test_a_vmlinux_has_types_where_the_kernel_has_btf(tmp_path: Path) -> None:
    """A dump of 5.2 to 5.19 does not name its symbols; its types are read from there."""
    for release, has in (("5.1", False), ("5.2", True)):
        machine = small_machine(release, MEMORY).boot()
        machine.write_symbols(tmp_path / "vmlinux")
        machine.crash(tmp_path / "vmcore")
        with vmemmap.open(tmp_path / "vmcore", vmlinux=tmp_path / "vmlinux") as core:
            origin = core.usage().fields_origin
        assert (origin == Origin.USER) is has
