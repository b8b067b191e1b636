"""Dumps as QEMU makes them: big-endian headers around little-endian memory, no VMCOREINFO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from builders.byte_order import Order, other
from builders.flattened import build_flattened
from builders.machine import Machine, build_machine
from builders.notes import qemu_notes

UNKNOWN = {"sysname": "", "nodename": "", "domainname": "", "machine": "Unknown"}


def entries(core: vmemmap.Vmcore) -> list[tuple[int, int, int]]:
    """The list as the builder gives it: node, phys, virt, head first."""
    table = core.backing
    columns = (table.node.tolist(), table.phys.tolist(), table.virt.tolist())
    return list(zip(*columns, strict=True))


def qemu_elf(machine: Machine, order: Order) -> bytes:
    notes = qemu_notes(order, memory_order=machine.byte_order, cpus=2)
    return machine.elf(order=order, notes=notes, align=1, sections="qemu")


def qemu_kdump(machine: Machine, order: Order, block_size: int) -> bytes:
    return machine.kdump(
        order=order,
        block_size=block_size,
        notes=qemu_notes(order, memory_order=machine.byte_order),
        utsname=UNKNOWN,
        timestamp=0,
        codec="zlib",
    )


def check(core: vmemmap.Vmcore, machine: Machine, container: Order) -> None:
    """Whatever the container, it is that machine."""
    assert core.source.container_byte_order == container
    assert core.kernel.memory_byte_order.value == machine.byte_order
    assert core.kernel.release.value == machine.release
    assert core.facts.missing == {}
    assert core.findings == ()
    assert entries(core) == [tuple(entry) for entry in machine.entries]
    for block in machine.blocks:
        last = block.virt + machine.block_size - 24
        for virt in (block.virt, last):
            assert core.vtop(virt).phys == machine.phys_of(virt)
            assert core.read(virt, 24) == machine.content(virt, 24)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], vmemmap.Vmcore]:
    def open_it(data: bytes) -> vmemmap.Vmcore:
        path = tmp_path / "dump"
        path.write_bytes(data)
        return vmemmap.open(path)

    return open_it


MACHINES: dict[str, dict[str, Any]] = {
    "64k": {"page_size": 65536, "block_shift": 16},
    "4k": {"page_size": 4096, "block_shift": 12},
    "4k blocks of 64k": {"page_size": 4096, "block_shift": 16},
    "radix": {"page_size": 65536, "block_shift": 21, "mmu": "radix"},
}


@pytest.fixture(scope="module", params=MACHINES)
def any_machine(request: pytest.FixtureRequest) -> Machine:
    return build_machine(blocks=6, **MACHINES[request.param])


@pytest.fixture(scope="module", params=["little", "big"])
def order(request: pytest.FixtureRequest) -> Order:
    order: Order = request.param
    return order


def test_elf_around_memory_of_the_other_order(opened, any_machine: Machine) -> None:
    with opened(qemu_elf(any_machine, "big")) as core:
        assert core.source.vmcoreinfo is None
        check(core, any_machine, "big")
        assert core.facts["vmcoreinfo"].value == "memory"
        assert "note" in core.facts["vmcoreinfo"].detail


@pytest.mark.parametrize("block_size", [65536, 4096])
@pytest.mark.parametrize("flat", [False, True])
def test_kdump_with_blocks_of_another_size_than_pages(
    opened, any_machine: Machine, block_size: int, flat: bool
) -> None:
    dump = qemu_kdump(any_machine, "big", block_size)
    with opened(build_flattened(dump, skip_zero=True) if flat else dump) as core:
        assert core.source.block_size == block_size
        check(core, any_machine, "big")
        fact = core.facts["vmcoreinfo"]
        assert fact.origin == "derived"
        assert f"{any_machine.vmcoreinfo_note:#x}" in fact.detail or "data" in fact.detail


@pytest.mark.parametrize("memory", ["little", "big"])
@pytest.mark.parametrize("form", ["elf", "kdump"])
def test_four_pairs_of_orders(opened, order: Order, memory: Order, form: str) -> None:
    """With the text in the headers and without, each order is found by itself."""
    machine = build_machine(byte_order=memory, blocks=5)
    dump = qemu_elf(machine, order) if form == "elf" else qemu_kdump(machine, order, 65536)
    with opened(dump) as core:
        check(core, machine, order)
    build = machine.elf if form == "elf" else machine.kdump
    with opened(build(order=order)) as core:
        check(core, machine, order)
        assert core.facts["vmcoreinfo"].value == "note"


def test_elf_with_nothing_but_memory(opened, order: Order) -> None:
    """No note at all: neither VMCOREINFO nor registers."""
    machine = build_machine(byte_order=order, blocks=5)
    with opened(machine.elf(order=other(order), notes=b"")) as core:
        assert core.source.notes == []
        check(core, machine, other(order))


def test_excluded_and_lost_pages_do_not_stop_the_search(opened) -> None:
    machine = build_machine(blocks=5)
    pages = machine.kdump_pages()
    low = [pfn for pfn in pages if pfn * 65536 < machine.vmcoreinfo_data]
    known = {machine.phys_of(machine.symbols["init_uts_ns"]) >> 16}
    for pfn in set(low[:6]) - known:
        pages[pfn] = None
    with opened(machine.kdump(pages=pages, notes=qemu_notes("little"), utsname=UNKNOWN)) as core:
        assert entries(core) == [tuple(entry) for entry in machine.entries]


QEMU_DUMP = "qemu-hash-64k-6.1/dump.kdump-zlib"


@pytest.fixture
def real_core(real_dump) -> vmemmap.Vmcore:
    return vmemmap.open(real_dump(QEMU_DUMP))


def test_real_dump_is_recognised(real_core: vmemmap.Vmcore) -> None:
    """dump-formats.md 3.4 and 4 have these values from other tools."""
    with real_core as core:
        assert core.source.container_byte_order == "big"
        assert core.source.block_size == 65536
        assert core.source.vmcoreinfo is None
        assert len(core.source.notes) == 5
        assert core.kernel.memory_byte_order.value == "little"
        assert core.kernel.release.value == "6.1.0-50-powerpc64le"
        assert core.facts["vmcoreinfo"].value == "memory"
        assert "0x41a0000" in core.facts["vmcoreinfo"].detail
        assert core.source.ranges().tolist() == [[0, 0xC0000000]]
        assert core.source.warnings == []
        assert not core.source.is_incomplete()


def test_real_list_has_48_entries(real_core: vmemmap.Vmcore) -> None:
    with real_core as core:
        table = core.backing
        assert (len(table), table.block_size) == (48, 65536)
        assert core.findings == ()
        assert core.mmu.value == "hash"
        # 3 GiB of 64 KiB pages, 64 bytes of struct page each: 48 blocks in a row.
        base = 0xC00C000000000000
        assert sorted(table.virt.tolist()) == [base + at * 65536 for at in range(48)]
        assert len(set(table.phys.tolist())) == 48
        assert max(table.phys.tolist()) < 0xC0000000


def test_real_struct_pages_can_be_read(real_core: vmemmap.Vmcore) -> None:
    """page->flags has the section number or at least no garbage: each block differs from zero."""
    with real_core as core:
        for virt, phys in zip(core.backing.virt.tolist(), core.backing.phys.tolist(), strict=True):
            assert core.read(virt, 65536) == core.read_phys(phys, 65536)
            words = np.frombuffer(core.read(virt, 65536), dtype="<u8")
            assert words.any()
