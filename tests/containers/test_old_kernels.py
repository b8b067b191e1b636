"""Kernels before 3.13, which export nothing of the list: --vmlinux; and --vmcoreinfo FILE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.byte_order import Order
from builders.machine import Machine, build_machine
from builders.notes import qemu_notes
from builders.vmcoreinfo import vmcoreinfo_text
from containers.vmlinux_file import Symbol, build_vmlinux
from vmemmap.errors import DumpError, FactConflict, FactMissing, UnreadableFile, UnsupportedDump

# Release, page size, block shift, and the size of mmu_psize_defs: elements times their size
# (ppc64-kernel.md 2.3).
ERAS = {
    "2.6.35": ("2.6.35-22-powerpc64", 4096, 24, 12 * 32),
    "3.2": ("3.2.0-4-powerpc64", 65536, 16, 14 * 32),
    "3.9": ("3.9.1-powerpc64", 65536, 24, 14 * 32),
    "3.10": ("3.10.0-123.el7.ppc64", 65536, 24, 14 * 80),
    "3.12": ("3.12.28-4-default", 4096, 16, 14 * 80),
}
OLD_KEYS = ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs")


@pytest.fixture(scope="module", params=ERAS)
def era(request: pytest.FixtureRequest) -> tuple[Machine, int]:
    release, page_size, block_shift, defs_bytes = ERAS[request.param]
    order: Order = "little" if "3.12" in release else "big"
    machine = build_machine(
        byte_order=order,
        page_size=page_size,
        block_shift=block_shift,
        layout="f000",
        release=release,
        blocks=7,
        node_order="shuffled",
    )
    assert not any(key in line for key in OLD_KEYS for line in machine.vmcoreinfo)
    return machine, defs_bytes


@pytest.fixture
def machine(era: tuple[Machine, int]) -> Machine:
    return era[0]


@pytest.fixture
def dump(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump(order=machine.byte_order))
    return path


def symbols_of(era: tuple[Machine, int], **changes: int | None) -> list[Symbol]:
    """The machine's symbols, with their sizes; *changes* moves some, None takes one away."""
    machine, defs_bytes = era
    sizes = {"mmu_psize_defs": defs_bytes, "vmemmap_list": 8, "mmu_vmemmap_psize": 4}
    places: dict[str, int | None] = {"not_vmemmap_list": 0xC000000000000001, **machine.symbols}
    places |= changes
    return [(name, at, sizes.get(name, 0)) for name, at in places.items() if at is not None]


@pytest.fixture
def vmlinux(era: tuple[Machine, int], tmp_path: Path) -> Path:
    path = tmp_path / "vmlinux"
    path.write_bytes(build_vmlinux(symbols_of(era), order=era[0].byte_order))
    return path


def entries(core: vmemmap.Vmcore) -> list[tuple[int, int, int]]:
    table = core.backing
    columns = (table.node.tolist(), table.phys.tolist(), table.virt.tolist())
    return list(zip(*columns, strict=True))


def test_the_list_with_the_help_of_vmlinux(machine: Machine, dump: Path, vmlinux: Path) -> None:
    with vmemmap.open(dump, vmlinux=vmlinux) as core:
        assert entries(core) == [tuple(entry) for entry in machine.entries]
        assert core.findings == ()
        assert core.facts.missing == {}
        assert core.backing.block_size == machine.block_size
        assert core.layout.vmemmap.start == 0xF000000000000000
        origins = {name: fact.origin for name, fact in core.facts.items()}
        assert origins["vmemmap_list"] == "user"
        assert origins["node_size"] == "assumed"
        assert str(vmlinux) in core.facts["vmemmap_list"].detail
        for block in machine.blocks:
            assert core.vtop(block.virt).phys == block.phys
            assert core.read(block.virt + 8, 40) == machine.content(block.virt + 8, 40)


def test_without_vmlinux_the_missing_key_is_named(dump: Path) -> None:
    with vmemmap.open(dump) as core:
        with pytest.raises(FactMissing) as caught:
            _ = core.backing
        assert "SYMBOL(vmemmap_list)" in str(caught.value)
        assert caught.value.name == "SYMBOL(vmemmap_list)"
        assert "vmemmap_list" in core.facts.missing
        assert core.vtop(0xC000000000000040).phys == 0x40


def test_on_the_command_line(machine: Machine, dump: Path, vmlinux: Path, run_vmemmap) -> None:
    ran = run_vmemmap("list", dump, "--vmlinux", vmlinux, "-f", "crash")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "".join(
        f"      vmemmap_list[{at}]: virt: {entry.virt:x}  phys: {entry.phys:x}\n"
        for at, entry in enumerate(machine.entries)
    )
    ran = run_vmemmap("list", dump)
    assert (ran.code, ran.out) == (3, "")
    assert "SYMBOL(vmemmap_list)" in ran.err
    ran = run_vmemmap("info", dump, "--vmlinux", vmlinux, "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["vmemmap"]["entries"] == len(machine.entries)


@pytest.mark.parametrize("name", ["swapper_pg_dir", "init_uts_ns"])
def test_the_vmlinux_of_another_kernel(era, dump: Path, tmp_path: Path, name: str) -> None:
    moved = symbols_of(era, **{name: era[0].symbols[name] + 0x10000})
    path = tmp_path / "other"
    path.write_bytes(build_vmlinux(moved, order=era[0].byte_order))
    with vmemmap.open(dump, vmlinux=path) as core:
        with pytest.raises(FactConflict, match=f"not the vmlinux of this dump's kernel: {name}"):
            _ = core.backing
        assert "vmemmap_list" in core.facts.missing


@pytest.mark.parametrize("name", OLD_KEYS)
def test_a_vmlinux_without_one_of_the_symbols(era, dump: Path, tmp_path: Path, name: str) -> None:
    """``not_vmemmap_list`` ends like one of them."""
    path = tmp_path / "other"
    path.write_bytes(build_vmlinux(symbols_of(era, **{name: None}), order=era[0].byte_order))
    match = f"neither VMCOREINFO nor .* has the symbol {name}"
    with vmemmap.open(dump, vmlinux=path) as core, pytest.raises(FactMissing, match=match):
        _ = core.backing


@pytest.mark.parametrize("size", [0, 8, 14 * 64, 1 << 40])
def test_an_array_of_no_known_size(era, dump: Path, tmp_path: Path, size: int) -> None:
    symbols = [(n, at, size if n == "mmu_psize_defs" else s) for n, at, s in symbols_of(era)]
    path = tmp_path / "other"
    path.write_bytes(build_vmlinux(symbols, order=era[0].byte_order))
    match = "mmu_psize_def.*no kernel known"
    with vmemmap.open(dump, vmlinux=path) as core, pytest.raises(FactMissing, match=match):
        _ = core.backing


@pytest.mark.parametrize("data", [b"", b"MZ", build_vmlinux([], symtab=False)])
def test_a_bad_vmlinux_is_an_error_at_opening(dump: Path, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(DumpError) as caught:
        vmemmap.open(dump, vmlinux=path)
    assert caught.value.path == str(path)


def test_a_newer_kernel_is_asked_itself_first(tmp_path: Path) -> None:
    """A vmlinux that says otherwise is not even looked at where VMCOREINFO has all."""
    machine = build_machine(blocks=4)
    (tmp_path / "vmlinux").write_bytes(build_vmlinux([("vmemmap_list", 0xC000000000000008, 8)]))
    (tmp_path / "vmcore").write_bytes(machine.kdump())
    with vmemmap.open(tmp_path / "vmcore", vmlinux=tmp_path / "vmlinux") as core:
        assert entries(core) == [tuple(entry) for entry in machine.entries]
        assert core.facts["vmemmap_list"].origin == "vmcoreinfo"


@pytest.fixture(scope="module")
def modern() -> Machine:
    return build_machine(blocks=6)


@pytest.fixture
def blind(modern: Machine, tmp_path: Path) -> Path:
    """A dump without VMCOREINFO in its headers or its memory, and its text in ``text``."""
    machine = build_machine(blocks=6)
    machine.clear_vmcoreinfo()
    path = tmp_path / "blind"
    path.write_bytes(machine.elf(notes=qemu_notes("little")))
    (tmp_path / "text").write_bytes(vmcoreinfo_text(modern.vmcoreinfo))
    return path


def test_the_text_from_a_file(modern: Machine, blind: Path, tmp_path: Path, run_vmemmap) -> None:
    with vmemmap.open(blind, vmcoreinfo=tmp_path / "text") as core:
        assert entries(core) == [tuple(entry) for entry in modern.entries]
        assert core.facts["vmcoreinfo"].origin == "user"
        assert core.facts.missing == {}
    ran = run_vmemmap("list", blind, "--vmcoreinfo", tmp_path / "text", "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert [row["virt"] for row in ran.json["entries"]] == [hex(e.virt) for e in modern.entries]


def test_the_users_text_goes_before_the_dumps(modern: Machine, tmp_path: Path) -> None:
    (tmp_path / "vmcore").write_bytes(modern.kdump())
    facts: dict[str, Any] = modern.vmcoreinfo | {"SIZE(page)": "128"}
    (tmp_path / "text").write_bytes(vmcoreinfo_text(facts) + bytes(700))  # NULs as in a page
    with vmemmap.open(tmp_path / "vmcore", vmcoreinfo=tmp_path / "text") as core:
        assert core.kernel.struct_page_size.value == 128


def test_a_bad_text_file(blind: Path, tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"x" * (1 << 20) + b"y")
    (tmp_path / "none").write_bytes(b"")
    for name, kind in (
        ("huge", UnsupportedDump),
        ("none", UnreadableFile),
        ("missing", UnreadableFile),
        (".", UnreadableFile),
    ):
        with pytest.raises(kind) as caught:
            vmemmap.open(blind, vmcoreinfo=tmp_path / name)
        assert caught.value.path == str(tmp_path / name)


@pytest.mark.parametrize("text", [b"\0", b"\n", b"\xff" * 99, b"hello", b"OSRELEASE=1\n"])
def test_a_text_that_says_nothing(blind: Path, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "text").write_bytes(text)
    with vmemmap.open(blind, vmcoreinfo=tmp_path / "text") as core:
        with pytest.raises(FactMissing) as caught:
            _ = core.backing
        nothing = ", nor any line KEY=value: the text is no VMCOREINFO"
        assert (nothing in str(caught.value)) == (b"=" not in text)
