"""Nothing of what is in memory beside the classes comes through: by painting it, and by looking.

The source is painted, not the file: every byte that the extract does not show is another one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import breadth
import vmemmap
from extract.painted import MARKER, PaintedSource, memory_of
from oracles import crash_session
from oracles.simulated import crash, event, spec_of
from simulate.machines import specs
from vmemmap import Vmcore
from vmemmap.extract.checker import check
from vmemmap.extract.manifest import manifest_path, read_manifest
from vmemmap.facts.fact import Origin
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.intervals import intersect, join, subtract
from vmemmap.linear_map import PAGE_OFFSET
from vmemmap.progress import no_progress
from vmemmap.report import usage
from vmemmap.simulate import Machine, MachineSpec, PagePlan
from vmemmap.simulate.crash.damage import DAMAGE_KINDS, apply_damage
from vmemmap.simulate.crash.vmcore import write_vmcore
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

MACHINES: dict[str, dict[str, Any]] = {
    "2.6.35 4K big": {"release": "2.6.35", "page": 4096, "byte_order": "big"},
    "2.6.35 that has mapped nothing": {
        "release": "2.6.35",
        "memory": ((0, 0, 32),),
        "pages": PagePlan(vmalloc=0),
    },
    "3.7": {"release": "3.7"},
    "4.4 big": {"release": "4.4", "byte_order": "big"},
    "4.18 4K": {"release": "4.18", "page": 4096},
    "6.1 hotplug": {
        "release": "6.1",
        "events": (event("add", 512, 64, 1), event("remove", 528, 16)),
    },
    "6.12 radix 4K": {"release": "6.12", "mmu": "radix", "page": 4096},
    "7.3": {"release": "7.3"},
}


def shown_bytes(core: Vmcore, out: Path) -> NDArray[np.int64]:
    """Give the addresses of all bytes that an extract shows as they are.

    A byte of a run that is zero in the extract and was not before is hidden; but of the flags of
    struct pages some bits of a byte can be hidden, so that they all count as shown.
    """
    extract = open_source(out)
    flags = flags_at(core)
    found = [np.empty(0, dtype=np.int64)]
    for run in read_manifest(out)["runs"]:
        now = np.frombuffer(extract.read(run["phys"], run["size"]), dtype=np.uint8)
        before = [np.frombuffer(part, dtype=np.uint8) for part in parts(core.source, run)]
        same = (now != 0) | (np.concatenate(before) == 0)
        if run["shown"] == "struct_pages":
            same |= flags(run["phys"], run["size"])
        found.append(run["phys"] + np.flatnonzero(same))
    extract.close()
    return np.sort(np.concatenate(found))


def flags_at(core: Vmcore) -> Callable[[int, int], NDArray[np.bool_]]:
    """Give a function that tells which bytes of a stretch of struct pages are those of flags."""
    layout, base = core.page_model.layout, int(core.vmemmap_base.value)
    runs = core.page_model.runs.rows(base, base + (1 << 46))

    def find(phys: int, size: int) -> NDArray[np.bool_]:
        virt, start, _ = next(r for r in runs.tolist() if r[1] <= phys < r[1] + r[2])
        into = (virt + phys - start - base + np.arange(size)) % layout.size
        return np.asarray((into >= layout.flags) & (into < layout.flags + 8))

    return find


def parts(source: PhysicalSource, run: Any) -> list[bytes]:
    """Read a run where the source has it; what it lacks reads as zero."""
    try:
        return [source.read(run["phys"], run["size"])]
    except vmemmap.ReadError:
        pass
    out = []
    for at in range(run["phys"], run["phys"] + run["size"], 8):
        size = min(8, run["phys"] + run["size"] - at)
        out.append(source.read(at, size) if source.is_present(at) else bytes(size))
    return out


def same_extracts(
    open_again: Callable[[], PhysicalSource],
    folder: Path,
    vmlinux: Path | None = None,
    **options: Any,
) -> None:
    """Extract a dump, paint what is not shown, and extract that: the files are the same."""

    def symbols() -> SymbolFile | None:
        return None if vmlinux is None else SymbolFile(vmlinux)

    with Vmcore(open_again(), vmlinux=symbols()) as core:
        core.extract(folder / "one", **options)
        kept = shown_bytes(core, folder / "one")
    with Vmcore(PaintedSource(open_again(), kept), vmlinux=symbols()) as core:
        core.extract(folder / "other", **options)
    assert (folder / "one").read_bytes() == (folder / "other").read_bytes()
    one, other = (manifest_path(folder / name).read_bytes() for name in ("one", "other"))
    assert one == other


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_not_shown_changes_nothing(name: str, tmp_path: Path) -> None:
    more = dict(MACHINES[name])
    dump = crash(spec_of(more.pop("release"), **more), tmp_path / "vmcore")
    dump.machine.write_symbols(tmp_path / "vmlinux")
    same_extracts(lambda: open_source(dump.path), tmp_path, tmp_path / "vmlinux")


@pytest.mark.full
@settings(max_examples=breadth.examples(24))
@given(
    spec=specs(),
    options=st.fixed_dictionaries(
        {
            "classes": st.sampled_from([(), ("dmesg",)]),
            "hide_addresses": st.booleans(),
            "form": st.sampled_from(["kdump", "elf"]),
        }
    ),
)
def test_what_is_not_shown_of_any_machine_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, spec: MachineSpec, options: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    machine = Machine(spec).boot()
    machine.crash(folder / "vmcore")
    machine.write_symbols(folder / "vmlinux")
    same_extracts(lambda: open_source(folder / "vmcore"), folder, folder / "vmlinux", **options)


@pytest.mark.parametrize("name", ["hash-64k-6.1", "radix-64k-6.1"])
def test_what_is_not_shown_of_a_real_dump_changes_nothing(
    real_dump: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    path = real_dump(f"{name}/vmcore.d31.zlib")
    same_extracts(lambda: open_source(path), tmp_path)


@pytest.mark.parametrize("options", [{"hide_addresses": True}, {"classes": ["symbols"]}], ids=str)
def test_nor_does_it_with_options(
    real_dump: Callable[[str], Path], options: dict[str, Any], tmp_path: Path
) -> None:
    path = real_dump("hash-64k-6.1/vmcore.d31.zlib")
    same_extracts(lambda: open_source(path), tmp_path, **options)


@pytest.mark.full
@pytest.mark.parametrize("name", ["hash-64k-6.1", "radix-64k-6.1"])
@pytest.mark.skipif(
    not crash_session.VMLINUX.exists(),
    reason=f"{crash_session.VMLINUX.name} is absent: python tools/fetch_peers.py --debuginfo",
)
def test_nor_does_it_with_what_crash_reads(
    real_dump: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    path = real_dump(f"{name}/vmcore.d31.zlib")
    same_extracts(lambda: open_source(path), tmp_path, crash_session.VMLINUX, classes=["crash"])
    shown = {run["shown"] for run in read_manifest(tmp_path / "one")["runs"]}
    assert "crash" in shown


def test_hidden_addresses_change_nothing(tmp_path: Path) -> None:
    """Of pointers that are left out, no other value is seen either."""
    dump = crash(spec_of("4.18", page=4096), tmp_path / "vmcore")
    same_extracts(lambda: open_source(dump.path), tmp_path, hide_addresses=True, form="elf")


DAMAGED = spec_of(
    "6.1",
    page=4096,
    memory=((0, 0, 32), (1, 64, 16)),
    events=(event("add", 512, 64, 1), event("add", 4096, 16, 0), event("remove", 528, 16)),
    pages=PagePlan(cache=60, cache_private=9, anonymous=40, slab=16, hwpoison=1, vmalloc=9),
)
FAST = ("cycle_self", "node_page_missing", "stale_nodes", "virt_beyond", "phys_impossible")
"""Pointers to the list itself, to nothing, to what was freed, and to what is not memory."""
RESCUED = [
    pytest.param(kind, True, marks=() if kind in FAST else (pytest.mark.full,))
    for kind in DAMAGE_KINDS
]
AS_IT_IS = [pytest.param(kind, False, marks=pytest.mark.full) for kind in DAMAGE_KINDS]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.int64]:
    """The bytes of a machine's memory that are in use or shown: all others are painted."""
    folder = tmp_path_factory.mktemp("painted")
    Machine(DAMAGED).boot().run_events().crash(folder / "sound")
    with vmemmap.open(folder / "sound") as core:
        core.extract(folder / "one")
        found = np.r_[shown_bytes(core, folder / "one"), used_bytes(core.source)]
    return np.sort(found)


@pytest.mark.parametrize(("damage", "rescue"), [*RESCUED, *AS_IT_IS])
def test_a_damaged_list_leads_to_no_secret(
    damage: str, rescue: bool, kept: NDArray[np.int64], tmp_path: Path
) -> None:
    """Whatever a pointer leads to, no eight painted bytes in a row come through."""
    snapshot = Machine(DAMAGED).boot().run_events().snapshot()
    apply_damage(snapshot, damage)
    write_vmcore(snapshot, tmp_path / "vmcore", no_progress)
    source = PaintedSource(open_source(tmp_path / "vmcore"), kept)
    with Vmcore(source, rescue=rescue) as core:
        try:
            core.extract(tmp_path / "other")
        except vmemmap.FactError:
            return  # nothing is known, and nothing was written
    pages = memory_of(tmp_path / "other")
    assert pages
    found = {phys: MARKER.search(data) for phys, data in pages.items()}
    assert not [hex(phys) for phys, marker in found.items() if marker]


def used_bytes(source: PhysicalSource) -> NDArray[np.int64]:
    """Give the addresses of all 4 KiB pieces of a dump that are not all zero."""
    found = []
    for start, end in source.ranges().tolist():
        for at in range(start, end, 1 << 24):
            data = np.frombuffer(source.read(at, min(1 << 24, end - at)), dtype=np.uint8)
            used = np.flatnonzero(data.reshape(-1, 4096).any(axis=1))
            found.append((at + (used[:, None] * 4096 + np.arange(4096))).reshape(-1))
    return np.concatenate(found).astype(np.int64)


def test_types_are_those_of_the_kernel_and_nothing_else_comes_with_them(tmp_path: Path) -> None:
    dump = crash(spec_of("6.12", page=4096, byte_order="big"), tmp_path / "vmcore")
    same_extracts(lambda: open_source(dump.path), tmp_path, classes=["types"])
    assert check(str(tmp_path / "one")) == []
    (types,) = (run for run in read_manifest(tmp_path / "one")["runs"] if run["shown"] == "types")
    with vmemmap.open(dump.path) as core, vmemmap.open(tmp_path / "one") as extract:
        shown = core.read_phys(types["phys"], types["size"])
        magic, _, _, header, _, type_bytes, _, text_bytes = struct.unpack_from(">HBB5I", shown)
        assert (magic, header + type_bytes + text_bytes) == (0xEB9F, len(shown))
        for one in (core, extract):
            assert usage.record(one, one.usage(), None)["node_and_zone"]["origin"] == Origin.BTF


def ranges(bounds: list[tuple[int, int]]) -> NDArray[np.int64]:
    return join(*np.array(bounds, dtype=np.int64).T)


def test_what_is_rescued_is_of_the_blocks_that_the_list_lost(tmp_path: Path) -> None:
    machine = Machine(DAMAGED).boot().run_events()
    before = machine.walk()
    snapshot = machine.snapshot()
    apply_damage(snapshot, "truncated")
    write_vmcore(snapshot, tmp_path / "vmcore", no_progress)
    with vmemmap.open(tmp_path / "vmcore") as core:
        left = {entry.node for entry in core.backing}
    lost = [entry for entry in before if entry.node not in left]
    assert left
    assert lost
    with vmemmap.open(tmp_path / "vmcore", rescue=True) as core:
        assert core.extract(tmp_path / "one").rescued == len(lost)
    assert check(str(tmp_path / "one")) == []
    manifest = read_manifest(tmp_path / "one")
    runs = [run for run in manifest["runs"] if run["shown"] == "rescued"]
    found = ranges([(run["phys"], run["phys"] + run["size"]) for run in runs])
    blocks = [(entry.phys, entry.phys + 4096) for entry in lost]
    nodes = [(entry.node - PAGE_OFFSET, entry.node - PAGE_OFFSET + 24) for entry in lost]
    assert not len(subtract(found, ranges([*blocks, *nodes])))
    shown = ranges([(run["phys"], run["phys"] + run["size"]) for run in manifest["runs"]])
    assert all(len(intersect(shown, ranges([block]))) for block in blocks)
