"""The project's reader on simulated dumps of every era, in both byte orders.

The reader and the simulator share no code, so each is a witness for the other: the list, every
block's place, every struct page's kind (decoded here from VMCOREINFO's numbers), compound pages,
and on the radix MMU the page tables.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from breadth import pairs, singles
from containers.vmlinux_file import build_vmlinux
from oracles.simulated import (
    RELEASES,
    Dump,
    bytes_at,
    crash,
    event,
    frames,
    kinds,
    numbers,
    spec_of,
    zero_pages,
)
from simulate.kernel_history import FLAG_BITS, STRUCT_PAGE, TYPE_VALUES
from simulate.page_bytes import PageBytes
from vmemmap.simulate.memory.image import VIRT
from vmemmap.simulate.mm.usage import Use

PAGES = (65536, 4096)
ORDERS = ("little", "big")
ERAS = (*RELEASES, "3.1", "6.6.30", "6.8.9")
PSIZE_DEFS = {(2, 6): 12 * 32, (3, 4): 14 * 32, (3, 10): 14 * 80}
"""Size of mmu_psize_defs, from which a reader without VMCOREINFO's keys learns the element's."""


SHAPES: dict[str, dict[str, Any]] = {
    "16M blocks": {"release": "6.1", "memory": ((0, 0, 1024),), "block_size": 16 << 20},
    "4K blocks": {"release": "4.14", "page": 4096, "block_size": 4096},
    "56-byte struct pages": {"release": "2.6.38", "struct_page_size": 56},
    "56-byte struct pages, radix": {"release": "6.12", "mmu": "radix", "struct_page_size": 56},
    "four nodes with holes": {
        "release": "6.9",
        "memory": ((2, 0, 48), (0, 64, 160), (5, 1024, 32), (0, 2048, 112), (7, 1 << 20, 16)),
    },
    "hotplug": {
        "release": "6.1",
        "events": (
            event("add", 512, 64, 1),
            event("add", 4096, 32, 0),
            event("remove", 528, 16),
            event("remove", 4096, 32),
            event("add", 4096, 16, 1),
        ),
    },
    "hotplug on radix": {
        "release": "6.12",
        "mmu": "radix",
        "page": 4096,
        "events": (event("add", 512, 64, 1), event("remove", 544, 32), event("add", 544, 16, 0)),
    },
    "headers from boot": {
        "release": "6.1",
        "events": (event("add", 512, 64, 1), event("add", 4096, 32, 0)),
        "headers_from": "boot",
    },
    "memory on its own struct pages": {
        "release": "6.6.9",
        "mmu": "radix",
        "events": (event("add", 512, 256, 1, altmap=2 << 20),),
    },
}


def open_dump(dump: Dump) -> vmemmap.Vmcore:
    """Open a dump, with a symbol table where VMCOREINFO does not name the list."""
    spec, vmlinux = dump.machine.spec, None
    if numbers(spec.release) < (3, 13):
        vmlinux = dump.path.with_suffix(".vmlinux")
        defs = max(row for row in PSIZE_DEFS.items() if row[0] <= numbers(spec.release))[1]
        sizes = {"vmemmap_list": 8, "mmu_vmemmap_psize": 4, "mmu_psize_defs": defs}
        rows = [(name, VIRT[name], size) for name, size in sizes.items()]
        vmlinux.write_bytes(build_vmlinux(rows, order=spec.byte_order))
    return vmemmap.open(dump.path, vmlinux=vmlinux)


def check_list_and_places(core: vmemmap.Vmcore, dump: Dump) -> None:
    machine = dump.machine
    table = core.backing
    rows = zip(table.node.tolist(), table.phys.tolist(), table.virt.tolist(), strict=True)
    assert list(rows) == machine.walk()
    assert core.findings == ()
    keeps = machine.kernel.keeps_list
    assert bool(len(table)) == keeps
    if keeps:
        assert table.block_size == machine.block_size
    virt, phys = machine.vmemmap.map.columns()
    assert len(virt)
    unit = machine.vmemmap.map.unit
    if keeps and machine.crashed is None:
        assert unit * len(virt) == machine.block_size * len(table)
    found, mask = core.vtop_many(np.concatenate([virt, virt + np.uint64(unit - 1)]))
    assert mask.all()
    assert (found == np.concatenate([phys, phys + np.uint64(unit - 1)])).all()
    method = "vmemmap_list" if keeps else "page_table"
    assert {core.vtop(int(at)).method for at in virt[:3]} == {method}
    assert core.facts["vmemmap_base"].value == machine.kernel.vmemmap_base
    assert core.facts["mmu"].value == machine.spec.mmu


class Vmcoreinfo:
    """The dump's own text, read here."""

    def __init__(self, text: str) -> None:
        self.keys = dict(line.split("=", 1) for line in text.splitlines())

    def number(self, key: str, assumed: int | None = None) -> int | None:
        found = next((v for k, v in self.keys.items() if re.fullmatch(key, k)), None)
        return assumed if found is None else int(found)


def decoded_kinds(core: vmemmap.Vmcore, dump: Dump) -> np.ndarray:
    """Classify every page frame of the dump by its struct page, as makedumpfile's rules do."""
    told = Vmcoreinfo(dump.machine.snapshot().vmcoreinfo.decode())
    release = dump.machine.spec.release
    # Kernels before 3.9 do not say all of it.
    bits, assumed_at = FLAG_BITS.get(release), STRUCT_PAGE.get(release)
    types = TYPE_VALUES[release]
    size = told.number(r"SIZE\(page\)") or 0
    base = dump.machine.kernel.vmemmap_base
    pfns = frames(dump)
    raw = np.empty((len(pfns), size), np.uint8)
    breaks = np.flatnonzero(np.diff(pfns) != 1) + 1
    for rows in np.split(np.arange(len(pfns)), breaks):
        data = core.read(base + int(pfns[rows[0]]) * size, len(rows) * size)
        raw[rows] = np.frombuffer(data, np.uint8).reshape(-1, size)
    order = "<" if dump.machine.spec.byte_order == "little" else ">"

    def field(key: str, kind: str, assumed: int | None = None) -> np.ndarray:
        at = told.number(rf"OFFSET\(page\.{key}\)", assumed)
        assert at is not None, key
        width = np.dtype(kind).itemsize
        return np.ascontiguousarray(raw[:, at : at + width]).view(order + kind)[:, 0]

    flags = field("flags", "u8")

    def flag(name: str, assumed: int | None = None) -> np.ndarray:
        bit = told.number(rf"NUMBER\(PG_{name}\)", assumed)
        return np.zeros(len(pfns), bool) if bit is None else flags >> np.uint64(bit) & 1 == 1

    mapcount = field("_mapcount", "i4", assumed_at and assumed_at.mapcount)
    private = field("private", "u8", assumed_at and assumed_at.private)
    refcount = field("(_refcount|_count)", "i4")

    def typed(name: str, assumed: int | None = None) -> np.ndarray:
        value = told.number(rf"NUMBER\(PAGE_{name}_MAPCOUNT_VALUE\)", assumed)
        return np.zeros(len(pfns), bool) if value is None else mapcount == value

    if types.buddy is None:
        buddy = flag("buddy", bits and bits.buddy)
    else:
        buddy = typed("BUDDY", types.buddy)
    slab = typed("SLAB") if types.slab is not None else flag("slab", bits and bits.slab)
    anon = (field("mapping", "u8") & np.uint64(1) == 1) & ~slab
    cached = flag("lru") & ~anon
    poison = flag("hwpoison", bits and bits.hwpoison)
    assert (refcount[buddy] == 0).all()
    assert (refcount[cached | anon | poison] > 0).all()
    assert slab.sum()

    found = np.full(len(pfns), "kept", "U16")
    found[cached & ~flag("private")] = "cache"
    found[cached & flag("private")] = "cache_private"
    found[anon] = "user"
    found[poison] = "hwpoison"
    found[typed("OFFLINE") & ~slab] = "offline"
    for row in np.flatnonzero(buddy).tolist():
        assert private[row] < dump.machine.kernel.free_area_orders
        assert pfns[row] % (1 << int(private[row])) == 0
        found[row : row + (1 << int(private[row]))] = "free"
    return found


def check_struct_pages(core: vmemmap.Vmcore, dump: Dump) -> None:
    expected = kinds(dump)
    expected[expected == "huge"] = "kept"  # told by its second page; makedumpfile counts them
    found = decoded_kinds(core, dump)
    wrong = np.flatnonzero(found != expected)
    assert not len(wrong), [(frames(dump)[i], found[i], expected[i]) for i in wrong[:5]]


def check_compound_pages(core: vmemmap.Vmcore, dump: Dump) -> None:
    """Order, head and tails of every slab and huge page, and what tells the huge ones."""
    pages, usage = PageBytes.dumped(core, dump.machine), dump.machine.usage
    runs = [run for run in usage.runs if run.order]
    assert {run.use for run in runs} == {Use.HUGE, Use.SLAB}
    for run in runs:
        assert pages.is_head(run.start)
        assert pages.order_of(run.start) == run.order
        assert 1 << run.order == run.end - run.start
        assert pages.is_hugetlb(run.start) in (None, run.use is Use.HUGE)
        assert pages.head_of(run.start) is None
        for tail in (run.start + 1, run.start + (run.end - run.start) // 2, run.end - 1):
            assert pages.head_of(tail) == pages.at(run.start)
    for run in usage.of(Use.ANONYMOUS):
        assert pages.head_of(run.start) is None


@pytest.mark.parametrize(
    ("release", "page", "mmu", "order"),
    singles(
        case
        for case in product(ERAS, PAGES, ("hash", "radix"), ORDERS)
        if case[2] == "hash" or numbers(case[0]) >= (4, 7)
    ),
)
def test_every_era(tmp_path: Path, release: str, page: int, mmu: str, order: Any) -> None:
    spec = spec_of(release, page=page, mmu=mmu, byte_order=order)
    if page == 4096:  # a huge page is up to 4096 pages there, and one of them will do
        spec = replace(spec, pages=replace(spec.pages, huge=spec.pages.huge // 2))
    dump = crash(spec, tmp_path / "vmcore")
    with open_dump(dump) as core:
        check_list_and_places(core, dump)
        check_struct_pages(core, dump)
        check_compound_pages(core, dump)


@pytest.mark.parametrize(("name", "order"), singles(product(SHAPES, ORDERS)))
def test_every_shape(tmp_path: Path, name: str, order: Any) -> None:
    dump = crash(spec_of(**SHAPES[name], byte_order=order), tmp_path / "vmcore")
    with open_dump(dump) as core:
        check_list_and_places(core, dump)
        check_struct_pages(core, dump)


@pytest.mark.parametrize(
    ("release", "page", "order"),
    pairs(product(("4.7", "4.18", "5.10", "6.6", "6.12", "7.2"), PAGES, ORDERS)),
)
def test_vmalloc_through_radix_tables(tmp_path: Path, release: str, page: int, order: Any) -> None:
    """Each vmalloc page has its own virtual address at its start; between areas lies a hole."""
    spec = spec_of(release, page=page, mmu="radix", byte_order=order)
    dump = crash(spec, tmp_path / "vmcore")
    start = dump.machine.kernel.regions.vmalloc.start
    pages = [run.start for run in dump.machine.usage.of(Use.VMALLOC)]
    assert len(pages) == 13
    with open_dump(dump) as core:
        virt = start
        for index, pfn in enumerate(pages):
            assert core.vtop(virt + 8).phys == pfn * page + 8
            assert core.vtop(virt).method == "page_table"
            assert int.from_bytes(core.read(virt, 8), order) == virt
            virt += page
            if index % 4 == 3:
                with pytest.raises(vmemmap.TranslateError):
                    core.vtop(virt)
                virt += page


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.usefixtures("kernel_text")
def test_linear_map_is_the_files_bytes(tmp_path: Path, order: Any) -> None:
    dump = crash(spec_of("6.1", byte_order=order), tmp_path / "vmcore")
    empty = dict(zip(frames(dump).tolist(), zero_pages(dump).tolist(), strict=True))
    with open_dump(dump) as core:
        for phys in (0, 65528, 16 << 20, (192 << 20) - 8, 256 << 20, (384 << 20) - 64):
            data = bytes_at(dump.path, phys, 8)
            assert core.read(0xC000000000000000 + phys, 8) == data
            assert core.read_phys(phys, 8) == data
            assert not (empty[phys >> 16] and any(data))
        assert not all(empty.values())
