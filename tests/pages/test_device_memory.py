"""Device memory: a kind of its own, and struct pages on the device itself named as that.

The machines are simulated kernels with two devices. Where their struct pages lie is asked of the
simulator's own map of the vmemmap, byte by byte.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from breadth import pairs
from oracles.simulated import crash, event, spec_of
from pages.machines import one_of_everything
from vmemmap import Kind
from vmemmap.absence import Absence
from vmemmap.mmzone.device_zone import find_device_zone
from vmemmap.mmzone.nodes import NodeInfo, ZoneInfo
from vmemmap.mmzone.pgdat_layout import read_pgdat_layout
from vmemmap.simulate import Machine, PagePlan

MIB = 1 << 20
DEVICES = ((1 << 14, 160), ((1 << 14) + 512, 64))
"""Start and size in MiB."""
RELEASES = ("4.14.0", "4.18.0", "5.4.0", "6.1.0", "6.8.0", "7.2.0")
CASES = [
    pytest.param(case.values, id="-".join(map(str, case.values)), marks=case.marks)
    for case in pairs(product(RELEASES, ("hash", "radix"), (65536, 4096), (0, 16)))
]


@dataclass(frozen=True)
class WithDevices:
    """A dump of a machine with device memory; sizes in pages."""

    machine: Machine
    path: Path

    def lie_on_device(self) -> np.ndarray:
        """The pages of devices of which a byte of the struct page lies on a device, as pfns."""
        kernel = self.machine.kernel
        virt, phys = (np.asarray(column) for column in self.machine.vmemmap.map.columns())
        order = np.argsort(virt)
        virt, phys = virt[order], phys[order]
        pfns = np.array(self.pfns(), dtype=np.int64)
        at = np.uint64(kernel.vmemmap_base) + pfns.astype(np.uint64) * kernel.struct_page_size
        found = np.zeros(len(pfns), dtype=np.bool_)
        for byte in (at, at + np.uint64(kernel.struct_page_size - 1)):
            row = np.searchsorted(virt, byte, side="right") - 1
            where = phys[row].astype(np.uint64) + (byte - virt[row].astype(np.uint64))
            for start, size in DEVICES:
                found |= (where >= start * MIB) & (where < (start + size) * MIB)
        return pfns[found]

    def pfns(self) -> list[int]:
        """All pages of devices."""
        per = MIB // self.machine.kernel.page_size
        return [pfn for start, size in DEVICES for pfn in range(start * per, (start + size) * per)]


@pytest.fixture(scope="module", params=CASES)
def made(request, tmp_path_factory) -> WithDevices:
    release, mmu, page, altmap = request.param
    path = tmp_path_factory.mktemp("device") / "vmcore"
    (first, size), (second, more) = DEVICES
    spec = spec_of(
        release,
        page=page,
        mmu=mmu,
        memory=((0, 0, 256),),
        events=(
            event("add", first, size, device=True, altmap=altmap * MIB),
            event("add", second, more, device=True),
        ),
        pages=PagePlan(cache=20, slab=16),
    )
    return WithDevices(crash(spec, path).machine, path)


def test_device_pages_are_of_their_own_kind(made: WithDevices) -> None:
    devices, hosted = set(made.pfns()), set(made.lie_on_device().tolist())
    with vmemmap.open(made.path) as core:
        rows = np.concatenate(list(core.pages.scan(("pfn", "kind", "why"))))
        usage = core.usage()
    of = {kind: set(rows["pfn"][rows["kind"] == kind].tolist()) for kind in Kind}
    assert of[Kind.DEVICE] == devices - hosted
    assert of[Kind.UNKNOWN] == hosted
    assert set(rows["why"][rows["kind"] == Kind.UNKNOWN].tolist()) <= {Absence.ON_DEVICE}
    assert usage.kinds["device"] == len(devices - hosted)
    assert usage.unknown == ({"on_device": len(hosted)} if hosted else {})
    assert usage.kinds["offline"] == 0
    if not hosted:
        assert usage.managed == len(rows) - len(devices) - usage.kinds["reserved"]


def test_check_says_how_many_lie_on_the_device(made: WithDevices) -> None:
    hosted = made.lie_on_device()
    with vmemmap.open(made.path) as core:
        report = core.check()
    found = [each for each in report.findings if each.code == "struct_pages_on_device"]
    assert len(found) == bool(len(hosted))
    assert report.coverage is not None
    assert not any(each.severity != "info" for each in report.findings)
    unread = report.coverage.unread
    assert int((unread[:, 1] - unread[:, 0]).sum()) == len(hosted)
    if found:
        assert found[0].phys == int(hosted[0]) * made.machine.kernel.page_size
        assert found[0].message.startswith(f"{len(hosted)} pages of device memory")


def test_a_page_says_where_its_struct_page_is(made: WithDevices) -> None:
    hosted, kernel = made.lie_on_device().tolist(), made.machine.kernel
    with vmemmap.open(made.path) as core:
        for pfn in hosted[:2]:
            assert core.pages[pfn].kind is Kind.UNKNOWN
            assert "on the device itself" in core.pages[pfn].reason
            virt = kernel.vmemmap_base + pfn * kernel.struct_page_size
            bytes_at = [core.vtop(virt + at) for at in (0, kernel.struct_page_size - 1)]
            assert Absence.ON_DEVICE in [found.absence for found in bytes_at]
            assert Absence.HOT_ADDED not in [found.absence for found in bytes_at]
        for pfn in sorted(set(made.pfns()) - set(hosted))[:2]:
            assert core.pages[pfn].kind is Kind.DEVICE
            assert core.pages[pfn].reason == ""


def test_a_section_that_is_marked_needs_no_zone(tmp_path) -> None:
    """SECTION_TAINT_ZONE_DEVICE is bit 4 of section_mem_map since 5.12 (ppc64-kernel.md 5.4)."""
    built = one_of_everything(tmp_path / "vmcore", "6.1.0", "little")
    machine = built.machine
    root = int.from_bytes(machine.read(machine.symbols["mem_section"], 8), "little")
    for number, flags in ((3, 0x13), (4, 0x3)):
        entry = root + 32 * machine.sections[number]
        machine.poke_u64(entry, machine.vmemmap_base | flags)
    with built.saved().open() as core:
        kinds = [core.pages[256 * machine.sections[number]].kind for number in (3, 4)]
        usage = core.usage()
    assert kinds == [Kind.DEVICE, Kind.OFFLINE]
    assert usage.kinds["device"] == 256


def zone(index: int, name: str | None) -> ZoneInfo:
    return ZoneInfo(0, index, name, 0, 16, None, None, None)


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (("DMA", "Normal", "Movable", "Device"), 3),
        (("Normal", "Movable", "Device"), 2),
        (("DMA", "Normal", "Movable"), None),
        (("Normal", "Movable"), None),
    ],
)
def test_the_zone_is_known_by_its_name(tmp_path, names, index) -> None:
    """Before 5.0 ppc64 kernels have ZONE_DMA, so that the third of three zones is no device's."""
    with one_of_everything(tmp_path / "vmcore", "4.14.0", "big").open() as core:
        kernel = core.kernel
        layout = replace(read_pgdat_layout(kernel.vmcoreinfo, numa=True), nr_zones=0)
        zones = tuple(zone(number, name) for number, name in enumerate(names))
        found = find_device_zone(kernel.types, layout, (NodeInfo(0, 0, 16, zones),))
    assert (None if found is None else found.value) == index


@pytest.mark.parametrize("release", ["4.7", "6.12"])
def test_a_node_that_is_mostly_a_device_names_its_zones(release: str) -> None:
    """Its zone has a span of its own, within the node's, and lists on which nothing is."""
    events = (event("add", 512, 1024, device=True), event("add", 2048, 64))
    machine = Machine(spec_of(release, memory=((0, 0, 192),), pages=PagePlan(), events=events))
    with vmemmap.open(machine) as core:
        usage, (node,) = core.usage(), core.page_model.nodes
    assert node.spanned == 2112 << 4
    assert [zone.spanned for zone in node.zones if zone.spanned] == [2112 << 4, 1024 << 4]
    assert {zone.node for zone in usage.zones} == {0}
    assert usage.kinds["device"] == (1024 << 4 if release == "6.12" else 0)
    assert {finding.code for finding in usage.findings} <= {"subsections_unknown"}
