"""attach() on every kind of kernel: what was unreadable is read, and what was readable is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breadth import singles
from builders.kernel_era import VMALLOC_BASES
from vmcore.shapes import ALL, LINEAR, SHAPES, name_of, shaped, written

drgn = pytest.importorskip("drgn", reason="drgn is not installed")
from vmemmap.drgn_plugin import attach  # noqa: E402

RADIX = [shape for shape in ALL if shape["mmu"] == "radix"]
KINDS = {"hash": ("elf", "kdump"), "radix": ("kdump",)}
DUMPS = pytest.mark.parametrize(
    ("shape", "order", "kind"),
    singles(
        (shape, order, kind)
        for shape in SHAPES
        for order in ("little", "big")
        for kind in KINDS[shape["mmu"]]
    ),
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)


@DUMPS
def test_the_vmemmap_is_read_within_and_across_blocks(
    program: Callable[..., Any], shape: dict[str, Any], order: str, kind: str, tmp_path: Path
) -> None:
    machine = shaped(shape, byte_order=order)
    prog = program(written(machine, tmp_path, kind))
    with pytest.raises(Exception):  # noqa: B017 (of many kinds, by kernel and container)
        prog.read(machine.vmemmap_base, 8)
    attachment = attach(prog)
    assert {"vmemmap"} < {region.name for region in attachment.regions}
    size, page = machine.block_size, machine.page_size
    for block in machine.blocks:
        for into, count in ((0, 64), (24, 8), (size - 64, 64), (page - 1, 1)):
            got = prog.read(block.virt + into, count)
            assert got == machine.content(block.virt + into, count), (block, into)
    for number in (1, 2, 3, 6, 10):  # blocks that have a neighbour below
        border = machine.vmemmap_base + number * size
        for before, count in ((8, 16), (20, 40), (1, 2), (page, 2 * page)):
            got = prog.read(border - before, count)
            assert got == machine.content(border - before, count), (number, before)


@DUMPS
def test_the_linear_map_is_read_as_the_dump_has_it(
    program: Callable[..., Any], shape: dict[str, Any], order: str, kind: str, tmp_path: Path
) -> None:
    machine = shaped(shape, byte_order=order)
    prog = program(written(machine, tmp_path, kind))
    attach(prog)
    head = machine.symbols["vmemmap_list"]
    assert prog.read(head, 8) == machine.read(head, 8)
    for block in machine.blocks:
        assert prog.read(LINEAR + block.phys, 64) == machine.content(block.virt, 64)


@DUMPS
def test_what_is_not_backed_is_a_fault_at_its_address(
    program: Callable[..., Any], shape: dict[str, Any], order: str, kind: str, tmp_path: Path
) -> None:
    machine = shaped(shape, byte_order=order)
    prog = program(written(machine, tmp_path, kind))
    attach(prog)
    hole = machine.vmemmap_base + 4 * machine.block_size
    for address, count in ((hole, 8), (hole + 64, 1), (hole - 8, 16)):
        with pytest.raises(drgn.FaultError) as caught:
            prog.read(address, count)
        assert caught.value.address == max(address, hole)
    assert prog.read(hole - 8, 8) == machine.content(hole - 8, 8)


HASH = [shape for shape in ALL if shape["mmu"] == "hash"]


@pytest.mark.parametrize("shape", HASH, ids=name_of)
def test_what_no_memory_backs_is_a_fault_with_our_reason(
    program: Callable[..., Any], shape: dict[str, Any], tmp_path: Path
) -> None:
    """By itself drgn would ask for debugging information, which does not help."""
    machine = shaped(shape)
    prog = program(written(machine, tmp_path, "elf"))
    beyond = LINEAR + (max(machine.pages) + 1) * machine.page_size
    cases = {
        beyond: r"is not in the dump",
        beyond + (1 << 36): r"is not in the dump",
        0x10: r"is no kernel address",
        0x7FFF_FFFF_0000: r"is no kernel address",
        0xEFFF_0000_0000_0000: r"lies in no region of this kernel's address space",
        0xFFFF_FFFF_FFFF_0000: r"lies in no region of this kernel's address space",
    }
    for address in cases:
        with pytest.raises(LookupError, match="cur_cpu_spec"):
            prog.read(address, 8)
    attach(prog)
    for address, why in cases.items():
        with pytest.raises(drgn.FaultError, match=why) as caught:
            prog.read(address, 8)
        assert caught.value.address == address
    with pytest.raises(drgn.FaultError, match="is not in the dump"):
        prog.read(beyond - 8, 16)
    assert prog.read(beyond - 8, 8) == machine.read(beyond - 8, 8)


@pytest.mark.parametrize("shape", RADIX, ids=name_of)
def test_uncompressed_dumps_of_radix_kernels_are_left_to_drgn(
    program: Callable[..., Any], shape: dict[str, Any], tmp_path: Path
) -> None:
    machine = shaped(shape)
    prog = program(written(machine, tmp_path, "elf"))
    attachment = attach(prog)
    assert (attachment.core, attachment.regions) == (None, ())
    assert not prog.cache
    block = machine.blocks[-1]
    if "NUMBER(RADIX_MMU)" in machine.vmcoreinfo:
        assert prog.read(block.virt, 64) == machine.content(block.virt, 64)
    else:
        with pytest.raises(LookupError, match="cur_cpu_spec"):  # which takes a vmlinux
            prog.read(block.virt, 64)


def test_vmalloc_of_a_compressed_radix_dump(program: Callable[..., Any], tmp_path: Path) -> None:
    shape = {"mmu": "radix", "page_size": 65536, "block_shift": 21, "layout": "c00c"}
    machine = shaped(shape)
    virt, block = VMALLOC_BASES["c00c"] + 0x130000, machine.blocks[2]
    machine.map_page(virt, block.phys)
    prog = program(written(machine, tmp_path, "kdump"))
    attach(prog)
    assert prog.read(virt + 40, 4096) == machine.content(block.virt + 40, 4096)
    with pytest.raises(drgn.FaultError, match=r"0xc008000000140000"):
        prog.read(virt + 65536, 8)


def test_drgns_own_reader_on_a_compressed_radix_dump_is_left_alone(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRGN_PREFER_PGTABLE_READER", "1")
    shape = {"mmu": "radix", "page_size": 65536, "block_shift": 21, "layout": "c00c"}
    prog = program(written(shaped(shape), tmp_path, "kdump"))
    assert attach(prog).regions == ()


def test_an_elf_dump_that_drgn_hands_to_libkdumpfile(
    program: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRGN_USE_LIBKDUMPFILE_FOR_ELF", "1")
    machine = shaped({"mmu": "radix", "page_size": 65536, "block_shift": 21, "layout": "c00c"})
    prog = program(written(machine, tmp_path, "elf"))
    assert attach(prog).regions
    virt = machine.blocks[1].virt
    assert prog.read(virt, 64) == machine.content(virt, 64)
