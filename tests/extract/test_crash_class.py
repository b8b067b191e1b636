"""The class for crash shows members and nothing between them, and only what they can be.

All memory around them is full of words that have to stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

import vmemmap
from oracles.simulated import crash, spec_of
from vmemmap.address import ByteOrder
from vmemmap.errors import FactMissing
from vmemmap.extract.classes import Shown
from vmemmap.extract.crash_machine import show_machine, show_taints
from vmemmap.extract.crash_memory import (
    show_block_devices,
    show_flag_names,
    show_huge_pages,
    show_memory_blocks,
)
from vmemmap.extract.image import Image
from vmemmap.extract.kernel_data import KernelPieces
from vmemmap.extract.shown_structs import ShownStructs
from vmemmap.linear_map import LinearMemory
from vmemmap.memory import BytesMemory
from vmemmap.source.base import PhysicalSource

BASE, SIZE = 0xC000_0000_0000_0000, 0x30000
SECRET = b"hunter2!"
BANNER = b"Linux version 6.1.0 (builder@host) (gcc 12) #1 SMP\n"
SYMBOLS = {
    "linux_banner": (0x100, 200),
    "__cpu_possible_mask": (0x200, 8),
    "__per_cpu_offset": (0x300, 32),
    "runqueues": (0x400, 64),
    "paca_ptrs": (0x500, 8),
    "memory_subsys": (0x600, 64),
    "pageflag_names": (0x700, 96),
    "blockdev_superblock": (0x800, 8),
    "hstates": (0x900, 64),
    "taint_flags": (0x980, 64),
}
MEMBERS = {
    "rq.nr_uninterruptible": 0,
    "rq.idle": 16,
    "rq.curr": 24,
    "task_struct.stack": 32,
    "task_struct.thread_info": 0,
    "thread_info.cpu": 4,
    "paca_struct.emergency_sp": 40,
    "bus_type.p": 8,
    "subsys_private.klist_devices": 16,
    "klist.k_list": 8,
    "klist_node.n_node": 8,
    "device_private.knode_bus": 24,
    "device_private.device": 64,
    "memory_block.dev": 96,
    "device.kobj": 0,
    "kobject.name": 0,
    "memory_block.start_section_nr": 0,
    "memory_block.state": 8,
    "memory_block.nid": 16,
    "inode.i_mapping": 48,
    "address_space.nrpages": 16,
    "super_block.s_inodes": 8,
    "inode.i_sb_list": 64,
}
SIZES = {"rq": 64, "task_struct": 512, "cpumask": 8, "thread_union": 0x4000}
SIZES |= {"inode": 128, "address_space": 64, "hstate": 0, "taint_flag": 0}


class Kernel:
    """Memory full of secrets, in which structures are put."""

    def __init__(self, order: ByteOrder) -> None:
        self.order, self.data = order, bytearray(SECRET * (SIZE // 8))
        self.image = Image()

    def put(self, at: int, value: int | bytes, size: int = 8) -> None:
        if isinstance(value, int):
            value = value.to_bytes(size, self.order)
        self.data[at : at + len(value)] = value

    def link(self, *places: int) -> None:
        """Make a list of these places, the first of which is its head."""
        for one, other in zip(places, (*places[1:], places[0]), strict=True):
            self.put(one, BASE + other)
            self.put(other + 8, BASE + one)

    def shown(self) -> ShownStructs:
        memory = BytesMemory({0: bytes(self.data)})
        source = cast(PhysicalSource, SimpleNamespace(is_stored=lambda at: at < SIZE))
        show = KernelPieces(self.image, LinearMemory(memory, self.order), source)

        def find(name: str) -> Any:
            at, size = SYMBOLS.get(name, (0, 0))
            return SimpleNamespace(address=BASE + at, size=size) if at else None

        def of(table: Mapping[str, int], key: str) -> Any:
            value = table.get(key.removeprefix("SIZE(").removesuffix(")"))
            return None if value is None else SimpleNamespace(offset=value, value=value)

        types: Any = SimpleNamespace(
            member=lambda path: of(MEMBERS, path), compared=lambda key: of(SIZES, key), lacking=""
        )
        symbols: Any = SimpleNamespace(find=find)
        return ShownStructs(show, symbols, types, Shown.CRASH)

    def seen(self) -> dict[int, bytes]:
        """What is shown that is not zero, by address; nothing of the secrets is."""
        pieces = {piece.phys: piece.data for piece in self.image.pieces}
        assert all(SECRET[:4] not in data for data in pieces.values())
        return {at: data for at, data in pieces.items() if data.strip(b"\0")}


def machine(order: ByteOrder) -> Kernel:
    """A machine of two processors, 0 and 2."""
    kernel = Kernel(order)
    kernel.put(0x100, BANNER + b"\0")
    kernel.put(0x200, 0b101)
    kernel.put(0x500, BASE + 0x900)
    for cpu, task in ((0, 0x4000), (2, 0x5000)):
        kernel.put(0x300 + 8 * cpu, 0x10000 + 0x1000 * cpu)
        queue = 0x400 + 0x10000 + 0x1000 * cpu
        kernel.put(queue + 16, BASE + task)
        kernel.put(queue + 24, BASE + task + 0x800)
        kernel.put(0x900 + 8 * cpu, BASE + 0xA00 + 0x80 * cpu)
        kernel.put(0xA00 + 0x80 * cpu + 40, BASE + 0x20000)
        for at in (task, task + 0x800):
            kernel.put(at + 4, cpu, 4)
            kernel.put(at + 32, BASE + 0x18000)
    return kernel


@pytest.mark.parametrize("order", ["little", "big"])
def test_of_tasks_only_processor_and_stack_are_shown(order: ByteOrder) -> None:
    kernel = machine(order)
    show_machine(kernel.shown())
    seen = kernel.seen()
    assert seen[0x100] == BANNER + b"\0"
    tasks = {at: data for at, data in seen.items() if 0x4000 <= at < 0x6000}
    words = [(BASE + 0x18000).to_bytes(8, order), (2).to_bytes(4, order)]
    assert sorted(tasks) == [0x4020, 0x4820, 0x5004, 0x5020, 0x5804, 0x5820]
    assert all(data in words for data in tasks.values())
    assert not [at for at in seen if 0x18000 <= at < 0x20000]  # the stacks
    rooms = {piece.phys for piece in kernel.image.pieces}
    assert {0x18000, 0x19000, 0x1A000, 0x1B000} <= rooms


def test_a_pointer_that_leads_astray_shows_nothing() -> None:
    kernel = machine("little")
    kernel.put(0x10400 + 24, BASE + 0x15000)  # into anything: no stack, no processor
    kernel.put(0x10400 + 16, int.from_bytes(SECRET, "little"))
    show_machine(kernel.shown())
    assert not [at for at in kernel.seen() if 0x15000 <= at < 0x16000 or at == 0x10410]


def test_what_is_no_banner_is_told() -> None:
    kernel = machine("little")
    kernel.put(0x100, SECRET)
    with pytest.raises(FactMissing, match="is no banner of Linux"):
        show_machine(kernel.shown())
    assert not kernel.seen()


def blocks() -> Kernel:
    """Two memory blocks on their bus."""
    kernel = Kernel("big")
    kernel.put(0x608, BASE + 0x1000)
    kernel.link(0x1000 + 24, 0x2000 + 32, 0x3000 + 32)
    for number, at in enumerate((0x2000, 0x3000)):
        kernel.put(at + 64, BASE + at + 0x100 + 96)
        for member, value, size in ((0, 16 * number, 8), (8, 1, 8), (16, 3, 4)):
            kernel.put(at + 0x100 + member, value, size)
        kernel.put(at + 0x100 + 96, BASE + at + 0x400)
        kernel.put(at + 0x400, b"memory%d\0" % number)
    return kernel


def test_memory_blocks_are_shown_while_links_lead_back() -> None:
    kernel = blocks()
    show_memory_blocks(kernel.shown())
    seen = kernel.seen()
    assert (seen[0x2400], seen[0x3400]) == (b"memory0\0", b"memory1\0")
    assert seen[0x3100] == (16).to_bytes(8, "big") + (1).to_bytes(8, "big") + bytes([0, 0, 0, 3])
    broken = blocks()
    broken.put(0x3000 + 40, BASE + 0x3000)
    broken.put(0x2100, SECRET * 3)  # neither a section, nor a state, nor a node
    broken.put(0x2400, SECRET)
    show_memory_blocks(broken.shown())
    assert not [at for at in broken.seen() if at in (0x2400, *range(0x2100, 0x2118), 0x3060)]


def test_of_block_devices_their_pages_are_counted_and_a_circle_ends() -> None:
    kernel = Kernel("little")
    kernel.put(0x800, BASE + 0x1000)
    kernel.link(0x1008, 0x2040, 0x3040)
    for inode, pages in ((0x2000, 7), (0x3000, 1 << 50)):
        kernel.put(inode + 48, BASE + inode + 0x200)
        kernel.put(inode + 0x210, pages)
    kernel.put(0x3040, BASE + 0x2040)  # a circle that leaves the head out
    show_block_devices(kernel.shown())
    seen = kernel.seen()
    assert seen[0x2210] == (7).to_bytes(8, "little")
    assert 0x3210 not in seen


def test_types_that_have_no_size_end_nothing() -> None:
    kernel = Kernel("little")
    for show in (show_huge_pages, show_taints):
        with pytest.raises(FactMissing, match="the size of"):
            show(kernel.shown())
    assert not kernel.seen()


def test_names_of_flags_end_where_no_name_is() -> None:
    kernel = Kernel("little")
    for row, name in enumerate((b"locked", b"waiters", SECRET)):
        kernel.put(0x700 + 16 * row, 1 << row)
        kernel.put(0x708 + 16 * row, BASE + 0x1000 + 64 * row)
        kernel.put(0x1000 + 64 * row, name + b"\0")
    show_flag_names(kernel.shown())
    texts = [data for at, data in kernel.seen().items() if at >= 0x1000]
    assert texts == [b"locked\0", b"waiters\0"]


def test_what_crash_lacks_is_told_and_the_rest_is_written(tmp_path) -> None:
    dump = crash(spec_of("6.1"), tmp_path / "vmcore")
    with vmemmap.open(dump.path) as core:
        extracted = core.extract(tmp_path / "shared", classes=["crash"])
        with pytest.raises(ValueError, match="crash has addresses"):
            core.extract(tmp_path / "other", classes=["crash"], hide_addresses=True)
    assert [why for why in extracted.missing if why.startswith("what crash reads: ")]
    with vmemmap.open(tmp_path / "shared") as shared:
        assert shared.extract_note is not None
        assert "crash" not in shared.extract_note.classes
