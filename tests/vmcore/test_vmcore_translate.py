"""Vmcore.vtop and vtop_many on every kind of machine, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from builders.kernel_era import VMALLOC_BASES
from builders.machine import Machine
from vmcore.machine_source import vmcore_of
from vmcore.shapes import ALL, LINEAR, has_list, name_of, opened, shaped
from vmemmap.errors import (
    NoSuchRegion,
    NotBacked,
    NotPresent,
    ReadError,
    TranslateError,
)
from vmemmap.vmcore import Vmcore

NOWHERE = (1 << 64) - 1
EVERY = pytest.mark.parametrize("shape", ALL, ids=name_of)


def borders(machine: Machine) -> list[int]:
    """Give addresses in, at and around every block."""
    size = machine.block_size
    steps = (-1, 0, 1, machine.page_size, size // 2 + 40, size - 1, size, size + 64)
    return sorted({block.virt + step for block in machine.blocks for step in steps})


def answer(core: Vmcore, virt: int) -> int | None:
    try:
        return core.vtop(virt).phys
    except (TranslateError, ReadError):
        return None


@EVERY
def test_every_block_to_its_first_and_last_byte(shape: dict[str, Any], tmp_path: Path) -> None:
    machine = shaped(shape)
    with opened(machine, tmp_path) as core:
        for block in machine.blocks:
            for into in (0, 1, 4095, machine.block_size - 1):
                found = core.vtop(block.virt + into)
                assert (found.virt, found.phys) == (block.virt + into, block.phys + into)
                assert found.region == "vmemmap"
                assert found.in_dump == (
                    machine.memory.pages.get((block.phys + into) // machine.page_size) is not None
                )
                if has_list(machine):
                    assert found.method == "vmemmap_list"
                    assert found.entry is not None
                    assert core.backing[found.entry].virt == block.virt
                else:
                    assert (found.method, found.entry) == ("page_table", None)
        assert core.findings == ()
        assert [(e.node, e.phys, e.virt) for e in core.backing] == list(machine.entries)


@EVERY
def test_just_outside_the_blocks(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine)
    size = machine.block_size
    starts = [block.virt for block in machine.blocks]
    gaps = [start + size for start in starts if start + size not in starts]
    gaps += [gap - 1 + size for gap in gaps[:1]]
    assert len(gaps) > 3
    for virt in gaps:
        if not has_list(machine):
            with pytest.raises(NotPresent):
                core.vtop(virt)
            continue
        with pytest.raises(NotBacked) as caught:
            core.vtop(virt)
        error = caught.value
        assert (error.virt, error.code) == (virt, "not_backed")
        assert error.below == max(start for start in starts if start <= virt)
        assert error.above == min((start for start in starts if start > virt), default=None)
        for near in filter(None, (error.below, error.above)):
            assert f"{near:#x}" in str(error)
        assert f"{virt:#x}" in str(error)


@EVERY
def test_the_linear_map(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine)
    for phys in (0, 1, 0x100000, machine.ram_end - 1, (1 << 43) + 5, (1 << 44) - 1):
        found = core.vtop(LINEAR + phys)
        assert (found.phys, found.method, found.entry) == (phys, "linear", None)
        assert found.region == "linear map"
        assert found.in_dump == (phys // machine.page_size in machine.pages)
    assert core.vtop(machine.entries[0].node if has_list(machine) else LINEAR).in_dump


@EVERY
def test_vmalloc(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    start = VMALLOC_BASES[machine.layout]
    machine.map_page(start + 5 * machine.page_size, 0x120000)
    core = vmcore_of(machine)
    virt = start + 5 * machine.page_size + 77
    found = core.vtop(virt)
    assert (found.phys, found.method, found.entry) == (0x120000 + 77, "page_table", None)
    assert found.in_dump
    with pytest.raises(NotPresent) as caught:
        core.vtop(start)
    assert (caught.value.virt, caught.value.code) == (start, "not_present")


@EVERY
def test_addresses_of_no_region(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    core = vmcore_of(machine)
    places = [0, 1, 0x10000000, (1 << 63) - 1, 1 << 63, LINEAR - 1, 0xE000000000000000, NOWHERE]
    for virt in places:
        with pytest.raises(NoSuchRegion) as caught:
            core.vtop(virt)
        assert (caught.value.virt, caught.value.code) == (virt, "no_region")
        assert f"{virt:#x}" in str(caught.value)
    for impossible in (-1, 1 << 64, -(1 << 63)):
        with pytest.raises(ValueError, match="64 bits"):
            core.vtop(impossible)


def mixture(machine: Machine) -> NDArray[np.uint64]:
    """Addresses of every region and of none, in no order, some of them twice."""
    start = VMALLOC_BASES[machine.layout]
    vmalloc = [start + step * machine.page_size + 9 for step in (0, 5, 5, 6)]
    linear = [LINEAR, LINEAR + 0x123456, LINEAR + (1 << 44) - 1, LINEAR + (1 << 50)]
    nowhere = [0, 1, 1 << 63, LINEAR - 1, 0xE000000000000000, NOWHERE - 1, NOWHERE]
    other = [base + 0x10008 for base in VMALLOC_BASES.values()]
    virts = [*borders(machine), *vmalloc, *linear, *nowhere, *other] * 2
    return np.random.default_rng(6).permutation(np.array(virts, dtype=np.uint64))


@EVERY
def test_in_bulk_as_one_by_one(shape: dict[str, Any]) -> None:
    machine = shaped(shape)
    machine.map_page(VMALLOC_BASES[machine.layout] + 5 * machine.page_size, 0x120000)
    core = vmcore_of(machine)
    virts = mixture(machine)
    expected = [answer(core, virt) for virt in virts.tolist()]
    assert expected.count(None) > 20
    phys, mask = core.vtop_many(virts)
    assert phys.dtype == np.dtype(np.uint64)
    assert mask.dtype == np.dtype(np.bool_)
    assert phys.shape == mask.shape == virts.shape
    assert mask.tolist() == [value is not None for value in expected]
    assert phys.tolist() == [NOWHERE if value is None else value for value in expected]
    assert phys.dtype.isnative
    for order in ("<u8", ">u8"):
        same = core.vtop_many(virts.astype(order))
        assert same.phys.tolist() == phys.tolist()
        assert same.mask.tolist() == mask.tolist()


def test_bulk_input_of_other_forms() -> None:
    machine = shaped({})
    core = vmcore_of(machine)
    virts = mixture(machine)
    virts.setflags(write=False)
    phys, mask = core.vtop_many(virts[::3])
    whole = core.vtop_many(virts)
    assert phys.tolist() == whole.phys[::3].tolist()
    assert mask.tolist() == whole.mask[::3].tolist()
    empty = core.vtop_many(np.array([], dtype=np.uint64))
    assert empty.phys.tolist() == empty.mask.tolist() == []
    assert empty.phys.dtype == np.dtype(np.uint64)
    assert empty.mask.dtype == np.dtype(np.bool_)
    # Every answer comes from the list, then none does.
    assert core.vtop_many(core.backing.virt).phys.tolist() == core.backing.phys.tolist()
    assert not core.vtop_many(np.zeros(5, dtype=np.uint64)).mask.any()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3, dtype=np.int64),
        np.zeros(3, dtype=np.uint32),
        np.zeros(3, dtype=np.float64),
        np.zeros(3, dtype=object),
        np.zeros((2, 2), dtype=np.uint64),
        np.uint64(5),
        [1, 2],
        [],
    ],
    ids=lambda wrong: f"{np.asarray(wrong).dtype} {np.shape(wrong)}",
)
def test_bulk_input_that_is_no_row_of_addresses(wrong: Any) -> None:
    with pytest.raises(ValueError, match="one-dimensional uint64"):
        vmcore_of(shaped({})).vtop_many(wrong)


@pytest.mark.parametrize("release", ["6.1.0", "6.12.0"])
def test_numbers_out_of_a_column_are_addresses_too(release: str) -> None:
    machine = shaped({"mmu": "radix", "release": release, "block_shift": 21})
    core = vmcore_of(machine)
    block = machine.blocks[2]
    places = [(block.virt + 9, block.phys + 9), (LINEAR + 5, 5), (LINEAR + (1 << 46), 1 << 46)]
    for virt, phys in places:
        found = core.vtop(np.uint64(virt))  # type: ignore[arg-type]
        assert (found.virt, found.phys) == (virt, phys)
    got = core.read(np.uint64(block.virt + 8), 8)  # type: ignore[arg-type]
    assert got == machine.content(block.virt + 8, 8)


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_in_dump_says_what_the_file_holds(kind: str, tmp_path: Path) -> None:
    machine = shaped({"page_size": 4096, "block_shift": 16})
    dropped, excluded, kept = (block.virt + 4096 for block in machine.blocks[:3])
    machine.drop(dropped)
    machine.exclude(excluded)
    with opened(machine, tmp_path, kind) as core:
        for virt, here in ((dropped, False), (excluded, False), (kept, True)):
            assert core.vtop(virt).in_dump is here
            assert core.vtop(LINEAR + machine.phys_of(virt)).in_dump is here
            assert core.vtop(virt - 4096).in_dump
            assert core.vtop(virt - 1).in_dump
        assert core.vtop(LINEAR + (1 << 43)).in_dump is False
