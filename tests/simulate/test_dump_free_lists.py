"""The node structures of simulated dumps: counts, spans, and every free list there and back.

makedumpfile walks these lists forward, on kernels before 3.9; here the backward links are read,
too, and the page allocator's plan is the other witness.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from breadth import pairs, singles
from oracles.simulated import Dump, crash, event, spec_of

MACHINES: dict[str, dict[str, Any]] = {
    "3.13": {"release": "3.13", "page": 4096},
    "4.14 on three nodes": {
        "release": "4.14",
        "memory": ((0, 0, 160), (3, 256, 64), (0, 512, 32), (9, 1024, 64)),
    },
    "6.1 after hotplug": {
        "release": "6.1",
        "events": (event("add", 512, 64, 1), event("remove", 528, 16), event("add", 4096, 16)),
    },
    "6.12, 56-byte struct pages": {"release": "6.12", "struct_page_size": 56},
    "7.2 on radix": {"release": "7.2", "mmu": "radix", "page": 4096},
}


class Kernel:
    """Reads the dump by the keys of its VMCOREINFO."""

    def __init__(self, core: vmemmap.Vmcore, dump: Dump) -> None:
        self.core = core
        self.order = dump.machine.spec.byte_order
        text = dump.machine.snapshot().vmcoreinfo.decode()
        self.keys = dict(line.split("=", 1) for line in text.splitlines())

    def symbol(self, name: str) -> int:
        return int(self.keys[f"SYMBOL({name})"], 16)

    def __getitem__(self, key: str) -> int:
        return int(self.keys[key])

    def offset(self, name: str) -> int:
        return self[f"OFFSET({name})"]

    def word(self, virt: int, size: int = 8) -> int:
        return int.from_bytes(self.core.read(virt, size), self.order)

    def nodes(self) -> dict[int, int]:
        """Address of each node's pglist_data."""
        words = [
            self.word(self.symbol("node_data") + 8 * node)
            for node in range(self["LENGTH(node_data)"])
        ]
        return {node: at for node, at in enumerate(words) if at}

    def ring(self, head: int) -> list[int]:
        """Follow a list_head; each member must be the one before its next one."""
        members: list[int] = []
        at = head
        following, preceding = self.offset("list_head.next"), self.offset("list_head.prev")
        while True:
            after = self.word(at + following)
            assert self.word(after + preceding) == at
            if after == head:
                return members
            members.append(after)
            at = after

    def free_blocks(self, pgdat: int, order: int) -> list[int]:
        """Page frames at which the free blocks of an order begin, from all of its lists."""
        area = pgdat + self.offset("pglist_data.node_zones") + self.offset("zone.free_area")
        area += order * self["SIZE(free_area)"] + self.offset("free_area.free_list")
        members = []
        for kind in range(self["LENGTH(free_area.free_list)"]):
            members += self.ring(area + kind * self["SIZE(list_head)"])
        first = int(self.core.facts["vmemmap_base"].value) + self.offset("page.lru")
        assert not any((member - first) % self["SIZE(page)"] for member in members)
        return [(member - first) // self["SIZE(page)"] for member in members]


@pytest.mark.parametrize(("name", "order"), singles(product(MACHINES, ("little", "big"))))
def test_nodes_and_free_lists(tmp_path: Path, name: str, order: Any) -> None:
    dump = crash(spec_of(**MACHINES[name], byte_order=order), tmp_path / "vmcore")
    machine = dump.machine
    with vmemmap.open(dump.path) as core:
        kernel = Kernel(core, dump)
        nodes = kernel.nodes()
        assert set(nodes) == {part.node for part in machine.spec.memory}
        online = kernel.word(kernel.symbol("node_online_map"))
        assert online == sum(1 << node for node in nodes)
        for node, pgdat in nodes.items():
            assert kernel.word(pgdat + kernel.offset("pglist_data.node_id"), 4) == node
            home = list(machine.pages.home(node))
            start = kernel.word(pgdat + kernel.offset("pglist_data.node_start_pfn"))
            spanned = kernel.word(pgdat + kernel.offset("pglist_data.node_spanned_pages"))
            assert (start, start + spanned) == (home[0][0], home[-1][1])
            free: set[int] = set()
            for size_order in range(kernel["LENGTH(zone.free_area)"]):
                for pfn in kernel.free_blocks(pgdat, size_order):
                    block = set(range(pfn, pfn + (1 << size_order)))
                    assert not free & block
                    free |= block
            ranges = list(machine.pages.free_ranges(node))
            assert free == {pfn for low, high in ranges for pfn in range(low, high)}
            stat = pgdat + kernel.offset("zone.vm_stat") + 8 * kernel["NUMBER(NR_FREE_PAGES)"]
            assert kernel.word(stat) == len(free)


@pytest.mark.parametrize(
    ("release", "page", "order"),
    pairs(product(("2.6.35", "2.6.38"), (65536, 4096), ("little", "big"))),
)
def test_nodes_that_vmcoreinfo_does_not_count(
    tmp_path: Path, release: str, page: int, order: Any
) -> None:
    """2.6.35 does not say how many nodes there are: all are found, or none and it is told."""
    spec = spec_of(release, page=page, byte_order=order, memory=((0, 0, 160), (1, 256, 64)))
    dump = crash(spec, tmp_path / "vmcore")
    vmlinux = tmp_path / "vmlinux"
    dump.machine.write_symbols(vmlinux)
    pages = dump.machine.pages
    free = {node: sum(high - low for low, high in pages.free_ranges(node)) for node in (0, 1)}
    with vmemmap.open(dump.path, vmlinux=vmlinux) as core:
        usage = core.usage()
    assert usage.kinds["free"] == sum(free.values())
    counted = usage.makedumpfile[31]
    if counted is None:
        assert release == "2.6.35"
        assert {"nodes_unreadable", "free_list"} <= {finding.code for finding in usage.findings}
        assert [zone.node for zone in usage.zones] == [None]
    else:
        assert counted["free"] == sum(free.values())
        assert {zone.node: zone.kinds["free"] for zone in usage.zones} == free
