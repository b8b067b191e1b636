"""The model beside real kernels: given a real machine's memory, its list is the real one.

Compared: how many entries there are, the virt_addr of each in list order, where in its page each
node lies, and which nodes share a page (so also how many pages there are). These follow from the
algorithm alone.

Not compared: the physical addresses of blocks and of node pages. They depend on what else the
kernel had allocated by then, at boot and after.

The memory maps are the guests' own /proc/iomem (`../shared/truth`, `origin.toml`); memory was added
in memory blocks of 256 MiB, as iomem shows. The real lists are read from the dumps; that they are
read right is what crash says in ``tests/oracles`` and ``tests/corpus``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import pytest

import vmemmap
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange

MIB = 1 << 20
GIB = 1 << 30
MEMORY_BLOCK = 256 * MIB


@dataclass(frozen=True)
class Guest:
    """A real machine: memory at boot and added later, each from where the other ends."""

    release: str
    page_size: int
    mmu: Literal["hash", "radix"]
    block_size: int
    boot: int
    added: int

    @property
    def spec(self) -> MachineSpec:
        starts = range(self.boot, self.boot + self.added, MEMORY_BLOCK)
        return MachineSpec(
            memory=(MemoryRange(0, 0, self.boot),),
            release=self.release,
            page_size=self.page_size,
            mmu=self.mmu,
            block_size=self.block_size,
            events=tuple(HotplugEvent("add", start, MEMORY_BLOCK) for start in starts),
        )


CORPUS = {
    "hash-64k-6.1": Guest("6.1.176", 65536, "hash", 65536, GIB, 512 * MIB),
    "hash-64k-6.1-elf": Guest("6.1.176", 65536, "hash", 65536, GIB, 512 * MIB),
    "radix-64k-6.1": Guest("6.1.176", 65536, "radix", 2 * MIB, GIB, 512 * MIB),
    "hash-4k-6.12": Guest("6.12.107", 4096, "hash", 4096, GIB, 512 * MIB),
}
QEMU = Guest("6.1.176", 65536, "hash", 65536, 2 * GIB, GIB)


@pytest.mark.parametrize("name", CORPUS)
def test_list_is_that_of_the_real_kernel(corpus_dump, name) -> None:
    compare(CORPUS[name], corpus_dump(name))


def test_list_is_that_of_the_live_dumped_kernel(real_dump) -> None:
    compare(QEMU, real_dump("qemu-hash-64k-6.1/dump.kdump-zlib"))


def test_radix_without_a_list_has_none_either(corpus_dump) -> None:
    guest = Guest("6.12.107", 4096, "radix", 2 * MIB, GIB, 512 * MIB)
    with vmemmap.open(corpus_dump("radix-4k-6.12")) as core:
        assert len(core.backing) == 0
    assert Machine(guest.spec).boot().run_events().walk() == []


@pytest.mark.parametrize("name", ["hash-64k-6.1", "radix-64k-6.1", "hash-4k-6.12"])
def test_boots_blocks_lie_where_the_real_kernel_has_them(corpus_dump, name) -> None:
    """Where struct pages come from one piece, nothing else decides; else the first are compared.

    The guests have 384 MiB for a capture kernel at 512 MiB. With 64 KiB pages on hash the piece
    would be as large as memory, so that there is none, and blocks come one by one from the top.
    """
    guest = CORPUS[name]
    spec = replace(guest.spec, crashkernel=384 * MIB, events=())
    model = [(virt, phys) for _node, phys, virt in reversed(Machine(spec).boot().walk())]
    with vmemmap.open(corpus_dump(name)) as core:
        rows = sorted(zip(core.backing.virt.tolist(), core.backing.phys.tolist(), strict=True))
    real = rows[: len(model)]
    if name == "hash-64k-6.1":
        assert falling(model) == falling(real) is True
    else:
        assert model == real
        assert model[0][1] == 512 * MIB - 64 * 2 * MIB, "2 MiB for each of 64 sections"


def falling(rows: list[tuple[int, int]]) -> bool:
    return all(above[1] < below[1] for below, above in pairwise(rows))


def compare(guest: Guest, path) -> None:
    """Compare the two lists entry by entry, in all that no allocator decides."""
    machine = Machine(guest.spec).boot().run_events()
    model = [(node, virt) for node, _phys, virt in machine.walk()]
    with vmemmap.open(path) as core:
        assert str(core.facts["release"].value).startswith(guest.release.rpartition(".")[0])
        assert core.backing.block_size == machine.block_size
        real = list(zip(core.backing.node.tolist(), core.backing.virt.tolist(), strict=True))
    assert len(model) == len(real)
    assert [virt for _, virt in model] == [virt for _, virt in real]
    page = guest.page_size
    assert [node % page for node, _ in model] == [node % page for node, _ in real]
    assert groups(model, page) == groups(real, page)


def groups(entries: list[tuple[int, int]], page: int) -> list[int]:
    """Number each node's page by the order in which the list first comes to it."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(node // page, len(numbers)) for node, _ in entries]
