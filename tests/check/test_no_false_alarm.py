"""Nothing is wrong with machines that nobody has damaged, real or simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vmemmap
from breadth import examples, pairs
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange
from vmemmap.simulate.crash.vmcore import write_vmcore

MIB = 1 << 20
RELEASES = (
    *("2.6.35", "2.6.38", "3.4.0", "3.10.0", "3.16.0", "3.18.0", "4.1.0", "4.4.0", "4.9.0"),
    *("4.14.0", "4.18.0", "5.2.0", "5.3.0", "5.4.0", "5.10.0", "6.1.0", "6.6.0", "6.12.0", "7.2.0"),
)
REAL = (
    *("hash-64k-6.1/vmcore.d31.zlib", "hash-64k-6.1/vmcore.d31.zstd"),
    *("radix-64k-6.1/vmcore.d31.zlib", "qemu-hash-64k-6.1/dump.kdump-zlib"),
)
CORPUS = sorted(p.parent.name for p in (Path(__file__).parent.parent / "corpus").glob("*/dump.xz"))


@st.composite
def specs(draw: st.DrawFn) -> MachineSpec:
    """A machine with a random history: memory comes and goes, in parts, also the same twice."""
    release = draw(st.sampled_from(RELEASES))
    version = tuple(map(int, release.split(".")[:2]))
    page_size = draw(st.sampled_from([4096, 65536]))
    mmu = draw(st.sampled_from(["hash", "radix"])) if version >= (4, 9) else "hash"
    byte_order = draw(st.sampled_from(["little", "big"])) if version >= (3, 18) else "big"
    boot = draw(st.integers(4, 10)) * 16 * MIB
    nodes = [MemoryRange(0, 0, boot)]
    if draw(st.booleans()):
        nodes.append(MemoryRange(1, 1 << 32, draw(st.integers(1, 6)) * 16 * MIB))
    events: list[HotplugEvent] = []
    present: dict[int, int] = {}
    cut: set[int] = set()
    for _ in range(draw(st.integers(0, 6))):
        slot = draw(st.sampled_from(sorted({0, 1, 2, 3, 4} - cut)))
        start = (1 << 34) + slot * 256 * MIB
        if slot in present:
            sections = present.pop(slot)
            low = draw(st.integers(0, sections - 1))
            high = draw(st.integers(low + 1, sections))
            if high - low < sections:
                cut.add(slot)
            piece = start + low * 16 * MIB, (high - low) * 16 * MIB
            events.append(HotplugEvent("remove", *piece))
        else:
            present[slot] = draw(st.integers(1, 8))
            node, online = draw(st.integers(0, len(nodes) - 1)), draw(st.integers(0, 3)) > 0
            size = present[slot] * 16 * MIB
            events.append(HotplugEvent("add", start, size, node=node, online=online))
    spec = MachineSpec(
        memory=tuple(nodes),
        release=release,
        page_size=page_size,
        byte_order=byte_order,  # type: ignore[arg-type]
        mmu=mmu,  # type: ignore[arg-type]
        struct_page_size=draw(st.sampled_from([56, 64])),
        events=tuple(events),
    )
    sizes = spec.check().block_sizes(spec.boot_bytes)
    return replace(spec, block_size=draw(st.sampled_from(sizes)))


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(spec=specs())
def test_no_undamaged_simulated_machine(spec: MachineSpec, tmp_path: Path) -> None:
    machine = Machine(spec).boot().run_events()
    assert machine.crashed is None
    machine.write_symbols(tmp_path / "vmlinux")
    write_vmcore(machine.snapshot(), tmp_path / "dump", lambda *_: None)
    old = machine.kernel.version < (3, 13)
    vmlinux = tmp_path / "vmlinux" if old else None
    with vmemmap.open(tmp_path / "dump", vmlinux=vmlinux) as core:
        report = core.check()
        went = [run for run in core.kept(30) if run.fate != "kept"]
        chunks = list(core.pages.scan(("pfn", "node")))
    assert [str(f) for f in report.findings if f.severity is not vmemmap.Severity.INFO] == []
    assert report.coverage is not None
    counts = report.coverage.counts
    assert counts.readable_pages == counts.pages
    # What the allocators know of each page.
    known = machine.known_pages()
    expected = [run for run in known if run.levels is not None and run.levels >> 30 & 1]
    unknown = set(pfns_in([run for run in known if run.levels is None]))
    assert sorted({*pfns_in(went)} - unknown) == pfns_in(expected)
    node = np.full(known[-1].pfn_end, -1)
    for chunk in chunks:
        inside = chunk[chunk["pfn"] < len(node)]
        node[inside["pfn"]] = inside["node"]
    for run in known:
        if run.use not in ("not_online", "no_node"):
            assert set(node[run.pfn_start : run.pfn_end].tolist()) == {run.node}


def pfns_in(runs: Sequence[Any]) -> list[int]:
    return [pfn for run in runs for pfn in range(run.pfn_start, run.pfn_end)]


@pytest.mark.parametrize("name", REAL)
def test_no_real_dump(name: str, real_dump: Callable[[str], Path]) -> None:
    with vmemmap.open(real_dump(name)) as core:
        report = core.check()
    assert {f.code for f in report.findings} <= {"memory_not_in_dump"}
    assert report.coverage is not None
    assert report.coverage.counts.readable == report.coverage.counts.sections > 0


@pytest.mark.parametrize("name", CORPUS)
def test_no_cut_dump_has_an_error(name: str, corpus_dump: Callable[[str], Path]) -> None:
    """Some have no mem_section, and lack most struct pages: that is said, and no more.

    An extract has both, and says that it is one.
    """
    with vmemmap.open(corpus_dump(name)) as core:
        report = core.check()
    allowed = {
        *("memory_not_in_dump", "mem_section_unreadable", "mem_section_part"),
        "block_excluded",
    }
    if name.startswith("extract-"):
        allowed = {"memory_not_in_dump", "extract"}
    assert {f.code for f in report.findings} <= allowed
    assert not [f for f in report.findings if f.severity is vmemmap.Severity.ERROR]


def test_the_old_entry_of_memory_added_again_is_legal_before_3_17(tmp_path: Path) -> None:
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, 128 * MIB),),
        release="3.14.0",
        byte_order="big",
        page_size=65536,
        block_size=65536,
        struct_page_size=64,  # of 56 bytes, some lie across two blocks, which is told as well
        events=(
            HotplugEvent("add", 1 << 32, 256 * MIB),
            HotplugEvent("remove", 1 << 32, 256 * MIB),
            HotplugEvent("add", 1 << 32, 256 * MIB),
        ),
    )
    machine = Machine(spec).boot().run_events()
    virts = [virt for _, _, virt in machine.walk()]
    assert len(virts) > len(set(virts)), "this era leaves the old entries"
    write_vmcore(machine.snapshot(), tmp_path / "dump", lambda *_: None)
    with vmemmap.open(tmp_path / "dump") as core:
        findings = core.check().findings
    assert {(f.code, f.severity) for f in findings} == {
        ("virt_duplicate", vmemmap.Severity.INFO),
    }


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_one_mapping_may_have_struct_pages_on_both_sides_of_a_hole(page_size: int) -> None:
    """A page of the vmemmap on radix has those of 64 MiB at least, of which the third part left."""
    events = (HotplugEvent("remove", 224 * MIB, 16 * MIB),)
    memory = (MemoryRange(0, 0, 192 * MIB),)
    added = HotplugEvent("add", 192 * MIB, 64 * MIB)
    spec = MachineSpec(
        memory=memory, release="6.12", mmu="radix", page_size=page_size, events=(added, *events)
    )
    with vmemmap.open(Machine(spec)) as core:
        assert core.check().findings == ()


@pytest.mark.parametrize(
    ("release", "page_size", "altmap"),
    pairs(product(("4.14.0", "5.3.0", "5.10.0", "6.1.0", "7.2.0"), (4096, 65536), (0, 4 * MIB))),
)
def test_no_device_memory(release: str, page_size: int, altmap: int, tmp_path: Path) -> None:
    """It has struct pages and is in no dump; since 5.3 it can begin in the middle of a section."""
    parts = release >= "5.3" or release.startswith(("6", "7"))
    start = (1 << 34) + (2 * MIB if parts else 0)
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, 256 * MIB),),
        release=release,
        page_size=page_size,
        events=(
            HotplugEvent("add", start, (36 if parts else 32) * MIB, altmap=altmap, device=True),
            HotplugEvent("add", 1 << 35, 64 * MIB),
        ),
    )
    for block_size in spec.check().block_sizes(spec.boot_bytes):
        machine = Machine(replace(spec, block_size=block_size)).boot().run_events()
        write_vmcore(machine.snapshot(), tmp_path / "dump", lambda *_: None)
        with vmemmap.open(tmp_path / "dump") as core:
            report = core.check()
        assert {str(f.severity) for f in report.findings} <= {"info"}
        newest: dict[int, int] = {}
        for _, phys, virt in machine.walk():
            newest.setdefault(virt, phys)
        in_device = [phys for phys in newest.values() if start <= phys < start + 36 * MIB]
        said = sorted(f.phys or 0 for f in report.findings if f.code == "phys_in_device")
        assert bool(said) == bool(in_device)
        if len(in_device) <= 20:
            assert said == sorted(in_device)


def test_a_page_table_that_is_not_in_the_dump_is_named(
    corpus_dump: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """makedumpfile leaves such out on radix with 4 KiB pages; that is no gap in the tables."""
    asked: list[int] = []
    lost: list[int] = []

    def opened() -> vmemmap.Vmcore:
        core = vmemmap.open(corpus_dump("radix-4k-6.12"))
        read = core.source.read

        def read_some(address: int, size: int) -> bytes:
            if address in lost:
                raise vmemmap.PageExcluded("it was excluded", phys=address)
            asked.append(address)
            return read(address, size)

        monkeypatch.setattr(core.source, "read", read_some)
        return core

    with opened() as core:
        base = int(core.facts["vmemmap_base"].value)
        core.vtop(base)
        lost += asked[-2:]
    with opened() as core:
        report = core.check()
    (finding,) = (f for f in report.findings if f.severity is vmemmap.Severity.ERROR)
    assert finding.code == "page_table_unreadable"
    assert "entry at" in finding.message
    assert finding.virt == base
    assert report.coverage is not None
    assert report.coverage.counts.readable == 0
