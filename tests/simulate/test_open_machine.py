"""A machine opened without a file answers everything as the vmcore that it crashes into."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import breadth
import vmemmap
from simulate.machines import SECTION, M, add, remove, small_spec
from vmemmap.errors import FactError, NotInDump, VmemmapError
from vmemmap.memory import Dumpable
from vmemmap.simulate import Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.crash.damage import apply_damage

ASKED = 0xC000_0000_0000_0000
IN_USE = PagePlan(cache=70, anonymous=40, slab=12, vmalloc=4)
ERAS = [
    *product(("2.6.35", "3.10", "3.17", "4.19"), (4096, 65536), ("hash",), ("little", "big")),
    *product(("5.2", "5.9", "6.1", "7.3"), (4096, 65536), ("hash", "radix"), ("little", "big")),
]
FEW = ("2.6.35", "4.19", "5.9", "7.3")


def spec_of(release: str, page_size: int, mmu: str, order: str) -> MachineSpec:
    memory = (MemoryRange(0, 0, 64 * M), MemoryRange(1, 128 * M, 32 * M))
    events = (add(512 * M, 2 * SECTION, 1), remove(512 * M))
    return small_spec(
        *(release, memory),
        page_size=page_size,
        mmu=mmu,
        byte_order=order,
        events=events,
        pages=IN_USE,
    )


def plain(value: Any) -> Any:
    """What can be compared of an answer: arrays as lists, objects as what they hold."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return value


def outcome(ask: Callable[[], Any]) -> Any:
    try:
        return plain(ask())
    except VmemmapError as error:
        return type(error).__name__


def filtered(core: vmemmap.Vmcore) -> bytes:
    out = io.BytesIO()
    core.filter(out, 31, "zlib", threads=1)
    return out.getvalue()


def extracted(core: vmemmap.Vmcore, folder: Path) -> bytes:
    core.extract(folder / "extract", codec="zlib")
    return (folder / "extract").read_bytes()


def compared(core: vmemmap.Vmcore) -> list[Any]:
    """What is different in a small machine with pages of the same size."""
    page_size = core.kernel.page_size.value
    with vmemmap.open(Machine(memory="64M", page_size=page_size)) as later:
        found = core.compare(later)
    entries = None if found.entries is None else found.entries.virt.tolist()
    return [entries, str(found.pages), found.facts_alike, sorted(found.reasons)]


def questions(core: vmemmap.Vmcore, folder: Path) -> dict[str, Callable[[], Any]]:
    """Something to ask of each public member."""
    base = core.vmemmap_base.value
    virts = np.array([ASKED, base, base + 4096, base + (1 << 40), 1 << 62], dtype=np.uint64)
    some = [0, 1, 1000, (512 * M + SECTION) // core.kernel.page_size.value]
    root = core.kernel.root_table_phys + ASKED
    pfns = range(0, 160 * M // core.kernel.page_size.value, 37)
    return {
        "backing": lambda: [core.backing.node, core.backing.phys, core.backing.virt],
        "check": lambda: core.check().findings,
        "compare": lambda: compared(core),
        "dmesg": lambda: [(record.time_ns, record.text) for record in core.dmesg()],
        "extract": lambda: extracted(core, folder),
        "extract_note": lambda: core.extract_note,
        "facts": lambda: [
            (name, core.facts[name].value) for name in core.facts if name != "vmlinux"
        ],
        "filter": lambda: filtered(core),
        "filter_estimate": lambda: core.filter_estimate(31, "zlib"),
        "findings": lambda: core.findings,
        "kept": lambda: list(core.kept(31)),
        "kernel": lambda: core.kernel.release.value,
        "layout": lambda: [core.layout.name, core.layout.vmemmap.start],
        "list_facts": lambda: core.list_facts.block_size.value,
        "mmu": lambda: core.mmu.value,
        "page_model": lambda: core.page_model.nodes,
        "page_of": lambda: [str(core.page_of(pfn << 16)) for pfn in some],
        "page_table": lambda: core.page_table.value,
        "page_table_at": lambda: core.page_table_at(root).mapped(base, base + (1 << 24)),
        "pages": lambda: [str(core.pages[pfn]) for pfn in pfns],
        "ptov": lambda: [[t.virt for t in core.ptov(at)] for at in (0, 64 * M - 1, 1 << 50)],
        "read": lambda: [core.read(base, 200), core.read(ASKED + 300, 9000)],
        "read_phys": lambda: core.read_phys(16 * M - 5000, 2 * M),
        "source": lambda: [core.source.ranges(), core.source.notes, core.source.warnings],
        "report": lambda: len(core.report(folder / "page.html").sections),
        "symbol": lambda: core.symbol("vmemmap_list").address,
        "symbolize": lambda: core.symbolize(ASKED + 64),
        "symbols": lambda: len(core.symbols),
        "system": lambda: [(name, core.system[name].value) for name in core.system],
        "typed_facts": lambda: [fact.name for fact in core.typed_facts],
        "usage": lambda: str(core.usage()),
        "vmcoreinfo_text": lambda: core.vmcoreinfo_text,
        "vmemmap_base": lambda: core.vmemmap_base.value,
        "vtop": lambda: [str(core.vtop(int(virt))) for virt in virts[:3]],
        "vtop_many": lambda: core.vtop_many(virts),
        "why_absent": lambda: [str(core.why_absent(at)) for at in (0, 100 * M, 512 * M, 1 << 50)],
        "zero_pages": lambda: core.zero_pages(31),
    }


def answers(core: vmemmap.Vmcore, folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return {name: outcome(ask) for name, ask in questions(core, folder).items()}


@pytest.mark.parametrize(
    ("release", "page_size", "mmu", "order"),
    [
        *breadth.singles(era for era in ERAS if era[0] in FEW),
        *breadth.full(era for era in ERAS if era[0] not in FEW),
    ],
)
def test_every_answer_is_that_of_the_vmcore(
    tmp_path: Path, release: str, page_size: int, mmu: str, order: str
) -> None:
    machine = Machine(spec_of(release, page_size, mmu, order)).boot().run_events()
    with vmemmap.open(machine) as core:
        found = answers(core, tmp_path / "memory")
        asked = questions(core, tmp_path)
    machine.crash(tmp_path / "vmcore")
    needs_symbols = tuple(map(int, release.split("."))) < (3, 13)
    machine.write_symbols(tmp_path / "vmlinux")
    vmlinux = tmp_path / "vmlinux" if needs_symbols else None
    with vmemmap.open(tmp_path / "vmcore", vmlinux=vmlinux) as core:
        expected = answers(core, tmp_path / "file")
    for name in asked:
        assert found[name] == expected[name], name
    # What cannot be answered at all is no answer: the kernel without a list has no blocks.
    failed = {
        name for name, answer in found.items() if isinstance(answer, str) and "Fact" in answer
    }
    assert failed <= {"list_facts", "symbols", "symbolize"}


def test_each_public_member_is_asked() -> None:
    public = {name for name in dir(vmemmap.Vmcore) if not name.startswith("_")}
    with vmemmap.open(Machine(memory="64M")) as core:
        assert set(questions(core, Path())) == public - {"close"}


def test_what_happens_afterwards_does_not_show_and_nothing_of_it_changes_the_machine() -> None:
    machine = Machine(memory="64M", release="6.1", block_size="64K")
    assert isinstance(machine, Dumpable)
    frames = {phys: bytes(frame) for phys, frame in machine.boot().memory.frames(0, 1 << 50)}
    with vmemmap.open(machine) as before:
        now = {phys: bytes(frame) for phys, frame in machine.memory.frames(0, 1 << 50)}
        assert now == frames
        machine.add_memory("1G", "32M")
        assert machine.remove_memory("32M", "16M").word == "done"
        assert len(before.backing) == 1
        assert sum(before.usage().kinds.values()) == 64 * M >> 16
        assert before.source.ranges().tolist() == [[0, 64 * M]]
        with vmemmap.open(machine) as after:
            assert after.backing.virt.tolist() == [entry.virt_addr for entry in machine.backing]
            assert after.read_phys(1 << 30, 4) == bytes(4)
        with pytest.raises(NotInDump, match="no memory there"):
            before.read_phys(1 << 30, 4)
    with pytest.raises(ValueError, match="the dump is closed"):
        before.read_phys(0, 4)
    with pytest.raises(ValueError, match="alone"):
        vmemmap.open("vmcore", machine)


def test_a_damaged_snapshot_is_opened_and_rescued_without_a_file() -> None:
    machine = Machine(memory="64M", release="6.1", page_size="4K", block_size="4K")
    listed = {entry.virt_addr for entry in machine.backing}
    dump = machine.dumped()
    harm = apply_damage(dump.snapshot, "truncated")
    with vmemmap.open(dump) as core:
        assert {finding.code for finding in core.check().findings} & set(harm.findings)
        assert len(core.backing) < len(listed)
    with vmemmap.open(dump, rescue=True) as core:
        assert set(core.backing.virt.tolist()) == listed


def test_an_old_kernel_brings_its_symbols_along() -> None:
    machine = Machine(memory="64M", release="2.6.35", byte_order="big", page_size="4K")
    with vmemmap.open(machine) as core:
        assert core.backing.virt.tolist() == [entry.virt_addr for entry in machine.backing]
    # From 6.0 on it says itself where its symbols are; before, only where some variables are.
    with vmemmap.open(Machine(memory="64M", release="5.10")) as core, pytest.raises(FactError):
        assert core.symbols
