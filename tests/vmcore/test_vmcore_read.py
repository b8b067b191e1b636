"""Vmcore.read and the rest of its life: borders, holes, errors, closing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.content import address_words
from builders.kernel_era import VMALLOC_BASES
from builders.machine import build_machine
from vmcore.machine_source import vmcore_of
from vmcore.shapes import ALL, HOLEY, LINEAR, has_list, name_of, opened, shaped, written
from vmemmap.errors import (
    NoSuchRegion,
    NotBacked,
    NotInDump,
    NotPresent,
    PageExcluded,
    PageLost,
    TranslateError,
    UnknownFormat,
)
from vmemmap.vmcore import open_vmcore

EVERY = pytest.mark.parametrize("shape", ALL, ids=name_of)


@EVERY
def test_reads_across_block_borders(shape: dict[str, Any], tmp_path: Path) -> None:
    machine = shaped(shape)
    size, page = machine.block_size, machine.page_size
    with opened(machine, tmp_path) as core:
        for number in (1, 2, 3, 6, 10):  # blocks that have a neighbour below
            border = machine.vmemmap_base + number * size
            for before, length in ((8, 16), (20, 40), (1, 2), (page, 2 * page), (0, 8), (64, 64)):
                got = core.read(border - before, length)
                assert got == machine.content(border - before, length), (number, before)
        assert core.read(machine.vmemmap_base, 0) == b""


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("mmu", ["hash", "radix"])
def test_a_read_over_many_blocks_whose_physical_order_is_another(byte_order: str, mmu: str) -> None:
    machine = build_machine(
        byte_order=byte_order,  # type: ignore[arg-type]
        mmu=mmu,  # type: ignore[arg-type]
        page_size=4096,
        block_shift=12,
        blocks=50,
    )
    core = vmcore_of(machine)
    physical = [block.phys for block in machine.blocks]
    assert physical != sorted(physical)
    whole = core.read(machine.vmemmap_base, 50 * 4096)
    assert whole == machine.content(machine.vmemmap_base, 50 * 4096)


@settings(max_examples=examples(80))
@given(start=st.integers(0, 4 * 65536), size=st.integers(0, 3 * 65536))
def test_any_read_is_what_its_bytes_are(start: int, size: int) -> None:
    virt = MACHINE.vmemmap_base + start
    if start + size <= 4 * 65536:
        assert CORE.read(virt, size) == MACHINE.content(virt, size)
    elif size:
        with pytest.raises(NotBacked) as caught:
            CORE.read(virt, size)
        assert caught.value.virt == max(virt, MACHINE.vmemmap_base + 4 * 65536)


MACHINE = build_machine(blocks=HOLEY)
CORE = vmcore_of(MACHINE)


@EVERY
def test_a_read_into_a_hole_names_its_first_address(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine)
    hole = machine.vmemmap_base + 4 * machine.block_size
    with pytest.raises(NotBacked if has_list(machine) else NotPresent) as caught:
        core.read(hole - 16, 32)
    assert caught.value.virt == hole


@EVERY
def test_reads_of_the_linear_map_cross_every_border(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine)
    block = machine.blocks[0]
    got = core.read(LINEAR + block.phys + machine.page_size - 8, 8)
    assert got == machine.content(block.virt + machine.page_size - 8, 8)
    assert core.read(LINEAR, 100) == address_words(LINEAR, 100, machine.byte_order)
    assert core.read_phys(0, 100) == address_words(LINEAR, 100, machine.byte_order)


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("mmu", ["hash", "radix"])
@pytest.mark.parametrize("page_size", [4096, 65536])
def test_a_read_over_vmalloc_pages_joins_them(page_size: int, mmu: Any, byte_order: Any) -> None:
    shift = page_size.bit_length() - 1
    machine = build_machine(
        byte_order=byte_order, mmu=mmu, page_size=page_size, block_shift=shift, blocks=6
    )
    start = VMALLOC_BASES[machine.layout]
    for number, block in enumerate(machine.blocks[::-1]):
        machine.map_page(start + number * page_size, block.phys)
    core = vmcore_of(machine)
    expected = b"".join(machine.content(b.virt, page_size) for b in machine.blocks[::-1])
    assert core.read(start, 6 * page_size) == expected
    assert core.read(start + page_size - 3, 7) == expected[page_size - 3 : page_size + 4]
    for into in (0, 5, page_size - 1, page_size, 3 * page_size - 1):
        for size in (0, 1, page_size, page_size + 1, 2 * page_size + 77):
            assert core.read(start + into, size) == expected[into : into + size]
    with pytest.raises(NotPresent) as caught:
        core.read(start, 6 * page_size + 1)
    assert caught.value.virt == start + 6 * page_size


@pytest.mark.parametrize(
    ("kind", "how", "error"),
    [
        ("elf", "drop", NotInDump),
        ("kdump", "drop", NotInDump),
        ("elf", "exclude", PageExcluded),
        ("kdump", "exclude", PageExcluded),
        ("kdump", "lose", PageLost),
    ],
)
def test_bytes_that_the_dump_lacks_are_never_filled_in(
    kind: str, how: str, error: type[Exception], tmp_path: Path
) -> None:
    machine = build_machine(page_size=4096, block_shift=16, blocks=3)
    virt = machine.blocks[1].virt + 8192
    getattr(machine, how)(virt)
    with opened(machine, tmp_path, kind) as core:
        for ask, size in ((virt, 1), (virt + 4095, 1), (virt - 8, 16), (virt - 4096, 8192)):
            with pytest.raises(error) as caught:
                core.read(ask, size)
            assert type(caught.value) is error
            first = machine.phys_of(max(ask, virt))
            assert getattr(caught.value, "phys", None) == first
        assert core.read(virt - 8, 8) == machine.content(virt - 8, 8)
        assert core.read(virt + 4096, 8) == machine.content(virt + 4096, 8)


def test_impossible_reads() -> None:
    for ask in (CORE.read, CORE.read_phys):
        with pytest.raises(ValueError, match="cannot read -1 bytes"):
            ask(MACHINE.vmemmap_base, -1)
    for phys in (-1, 1 << 64):
        with pytest.raises(ValueError, match="cannot read"):
            CORE.read_phys(phys, 8)
    for virt in (-8, 1 << 64):
        with pytest.raises(ValueError, match="64 bits"):
            CORE.read(virt, 8)
    with pytest.raises(NoSuchRegion):
        CORE.read((1 << 64) - 4, 8)
    with pytest.raises(TranslateError):
        CORE.read(LINEAR - 8, 8)
    with pytest.raises(NotInDump):
        CORE.read(LINEAR + (1 << 43), 8)
    with pytest.raises(NotInDump):
        CORE.read(LINEAR, 1 << 40)


def open_maps(path: Path) -> int:
    """Count the mappings and descriptors of *path* that this process holds."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no /proc on this system: mappings cannot be counted")
    links = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    return maps.read_text().count(str(path)) + links.count(path.resolve())


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_the_context_manager_closes_and_arrays_stay(kind: str, tmp_path: Path) -> None:
    machine = build_machine(blocks=6)
    path = written(machine, tmp_path, kind)
    with open_vmcore(path) as core:
        backing = core.backing
        assert core.read(machine.vmemmap_base, 8) == machine.content(machine.vmemmap_base, 8)
        assert open_maps(path) > 0
    assert open_maps(path) == 0
    assert [(e.node, e.phys, e.virt) for e in backing] == list(machine.entries)


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_a_closed_dump_says_so_and_may_be_closed_again(kind: str, tmp_path: Path) -> None:
    machine = build_machine(blocks=6)
    core = opened(machine, tmp_path, kind)
    core.close()
    with pytest.raises(ValueError):
        core.read_phys(0, 8)
    core.close()


def test_it_closes_after_an_error_too(tmp_path: Path) -> None:
    path = written(build_machine(blocks=6), tmp_path)
    with pytest.raises(NoSuchRegion), open_vmcore(path) as core:
        core.vtop(0)
    assert open_maps(path) == 0
    path.write_bytes(b"no dump at all" * 100)
    with pytest.raises(UnknownFormat):
        open_vmcore(path)
    assert open_maps(path) == 0


def test_two_dumps_at_once_do_not_mix(tmp_path: Path) -> None:
    one = build_machine(blocks=6, seed=1)
    two = build_machine(blocks=6, seed=2, byte_order="big", page_size=4096, block_shift=16)
    (tmp_path / "two").mkdir()
    with opened(one, tmp_path) as first, opened(two, tmp_path / "two") as second:
        for core, machine in ((first, one), (second, two), (first, one)):
            virt = machine.blocks[3].virt
            assert core.vtop(virt).phys == machine.blocks[3].phys
            assert core.read(virt, 64) == machine.content(virt, 64)
        assert np.array_equal(first.backing.virt, np.array([e.virt for e in one.entries]))
