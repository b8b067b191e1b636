"""The real makedumpfile filters simulated dumps: its counts are what the spec planned.

By default each release is filtered on one of its machines at level 31, at which every kind is
counted, and three machines at all 32 levels. ``VMEMMAP_TESTS=full`` in the environment filters
every release on every machine at every level (half an hour).

makedumpfile reads dumps of its own machine's byte order only, so all of them are little-endian.
It is right on the radix MMU where the kernel keeps the list, and with 64 KiB pages also where it
does not. With 4 KiB pages and no list it is wrong, on real dumps as on these: the root of the page
tables is 64 KiB, it reads the first page of it, and takes the entry of the linear map's first
512 GiB for the vmemmap's. Those machines are in ``test_simulated_drgn.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from breadth import every, full, singles
from filter.kdump_table import read_table
from oracles import makedumpfile
from oracles.simulated import (
    RELEASES,
    Dump,
    crash,
    event,
    excluded,
    frames,
    kinds,
    numbers,
    spec_of,
    zero_pages,
)
from vmemmap.errors import PageExcluded
from vmemmap.simulate import CmaArea, PagePlan
from vmemmap.simulate.memory.image import VIRT

pytestmark = makedumpfile.needed

FULL = os.environ.get("VMEMMAP_TESTS") == "full"
ALL_LEVELS = range(32)
LEVELS = ALL_LEVELS if FULL else (31,)
TOLD = [release for release in RELEASES if numbers(release) >= (3, 13)]
"""Releases whose VMCOREINFO names the list."""
UNTOLD = [release for release in RELEASES if release not in TOLD]
PAGES = (65536, 4096)
GIB_OF_TWO = ((0, 0, 512), (1, 1024, 512))

MACHINES: dict[str, dict[str, Any]] = {
    "hash-64k": {"page": 65536},
    "hash-4k": {"page": 4096},
    "radix-64k": {"page": 65536, "mmu": "radix"},
    "radix-4k": {"page": 4096, "mmu": "radix"},
}
SHAPES: dict[str, dict[str, Any]] = {
    "16M blocks, 64K pages": {"release": "6.1", "memory": GIB_OF_TWO, "block_size": 16 << 20},
    "16M blocks, 4K pages": {
        "release": "6.12",
        "page": 4096,
        "memory": GIB_OF_TWO,
        "block_size": 16 << 20,
    },
    "4K blocks in 4.14": {"release": "4.14", "page": 4096, "block_size": 4096},
    "56-byte struct pages": {"release": "6.1", "struct_page_size": 56},
    "56-byte struct pages, 4K": {"release": "5.4", "page": 4096, "struct_page_size": 56},
    "56-byte struct pages, radix": {"release": "6.12", "mmu": "radix", "struct_page_size": 56},
    "device DAX on radix": {
        "release": "6.12",
        "mmu": "radix",
        "events": (event("add", 1 << 14, 1024, device=True, compound=1 << 30),),
    },
    "memory not online, poisoned": {
        "release": "6.1",
        "debug_vm": True,
        "events": (event("add", 4096, 32, 1, online=False),),
    },
    "CMA areas": {"release": "6.1", "cma": (CmaArea(96 << 20, 32 << 20),)},
    "a page of 16 GiB": {
        "release": "6.1",
        "memory": ((0, 0, 32 << 10),),
        "pages": PagePlan(cache=300, gigantic=16 << 14, vmalloc=4),
    },
    "a relocated kernel": {"release": "5.10", "page": 4096, "load_address": 32 << 20},
    "as kdump cuts it": {"release": "6.1", "form": "kdump", "crashkernel": 48 << 20, "cpus": 4},
    "one node": {"release": "6.4", "memory": ((0, 0, 256),)},
    "four nodes with holes": {
        "release": "6.9",
        "memory": ((2, 0, 48), (0, 64, 160), (5, 1024, 32), (0, 2048, 112), (7, 1 << 14, 16)),
    },
    "after hotplug": {
        "release": "6.10",
        "events": (
            event("add", 512, 64, 1),
            event("add", 4096, 32, 0),
            event("remove", 528, 16),
            event("remove", 4096, 32),
            event("add", 4096, 16, 1),
            event("remove", 512, 16),
        ),
    },
    "after hotplug, radix with pages only": {
        "release": "6.19",
        "mmu": "radix",
        "events": (event("add", 512, 64, 1), event("remove", 544, 32), event("add", 544, 16, 0)),
    },
    "after hotplug before subsections": {
        "release": "3.16",
        "page": 4096,
        "events": (event("add", 512, 48, 1), event("remove", 528, 16), event("add", 528, 16, 1)),
    },
    "headers from boot": {
        "release": "6.1",
        "events": (event("add", 512, 64, 1), event("add", 4096, 32, 0)),
        "headers_from": "boot",
    },
    "with device memory": {
        "release": "5.10",
        "events": (event("add", 4096, 32, 1, device=True, altmap=1 << 20),),
    },
    "far memory": {"release": "7.2", "memory": ((0, 0, 160), (1, 1 << 17, 96))},
}


def era_cases() -> Iterator[Any]:
    """Every release on every machine that makedumpfile can be right about, or on one in turn."""
    for turn, release in enumerate(TOLD):
        names = [name for name in MACHINES if name.startswith("hash")]
        if numbers(release) >= (4, 7):
            names.append("radix-64k")
        if (4, 7) <= numbers(release) < (6, 6):
            names.append("radix-4k")
        for name in names if FULL else [names[turn % len(names)]]:
            yield pytest.param(release, MACHINES[name], id=f"{release}-{name}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated")


def check_levels(dump: Dump, levels: Any, *options: object) -> None:
    """Compare its counts at each level with the plan; and the plan with itself."""
    release = numbers(dump.machine.spec.release)
    by_frame, zeros = kinds(dump), zero_pages(dump)
    for level in levels:
        out = excluded(by_frame, level, release)
        kept = ~np.logical_or.reduce(list(out.values()))
        expected = {name: int(mask.sum()) for name, mask in out.items()}
        expected["zero"] = int((zeros & kept).sum()) if level & 1 else 0
        expected["pages"] = len(by_frame)
        assert makedumpfile.counts(dump.path, level, *options) == expected, f"level {level}"
    plan = dump.machine.spec.pages
    everything = {name: int(m.sum()) for name, m in excluded(by_frame, 31, release).items()}
    assert everything["cache"] == plan.cache
    assert everything["cache_private"] == plan.cache_private
    assert everything["user"] - plan.anonymous in (0, plan.huge + plan.gigantic)
    assert everything["offline"] == plan.offline
    assert everything["free"] > 1000


@pytest.mark.parametrize(("release", "options"), every(1 if FULL else 2, era_cases()))
def test_every_era(folder: Path, release: str, options: dict[str, Any]) -> None:
    makedumpfile.skip_unless_it_knows(numbers(release))
    dump = crash(spec_of(release, **options), folder / "vmcore")
    check_levels(dump, LEVELS)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape(folder: Path, name: str) -> None:
    spec = spec_of(**SHAPES[name])
    makedumpfile.skip_unless_it_knows(numbers(spec.release))
    check_levels(crash(spec, folder / "vmcore"), LEVELS)


@pytest.mark.parametrize(
    ("release", "options"),
    [
        pytest.param("4.1", {}, marks=pytest.mark.full),
        pytest.param("6.10", {"mmu": "radix"}, marks=pytest.mark.full),
        ("7.2", {}),
    ],
)
def test_every_level(folder: Path, release: str, options: dict[str, Any]) -> None:
    makedumpfile.skip_unless_it_knows(numbers(release))
    check_levels(crash(spec_of(release, **options), folder / "vmcore"), ALL_LEVELS)


TRACKER = {
    "SIZE(vmemmap_backing)": 24,
    "OFFSET(vmemmap_backing.list)": 0,
    "OFFSET(vmemmap_backing.phys)": 8,
    "OFFSET(vmemmap_backing.virt_addr)": 16,
    "OFFSET(mmu_psize_def.shift)": 0,
}


@pytest.mark.parametrize(
    ("release", "page"),
    list(product(UNTOLD, PAGES))
    if FULL
    else [*singles(product(UNTOLD[::2], PAGES)), *full(product(UNTOLD[1::2], PAGES))],
)
def test_kernels_that_do_not_name_the_list(folder: Path, release: str, page: int) -> None:
    """Before 3.13 it needs to be told (-i) where the list is; to 3.8 it follows the free lists.

    2.6.35 and 2.6.36 do not name the node structures either, from which the free lists hang.
    """
    version = numbers(release)
    dump = crash(spec_of(release, page=page), folder / "vmcore")
    names = ["vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs"]
    told = dict(TRACKER, **{"SIZE(mmu_psize_def)": 80 if version >= (3, 10) else 32})
    if version < (2, 6, 37):
        names.append("node_data")
        told["LENGTH(node_data)"] = 256
    text = dump.machine.snapshot().vmcoreinfo.decode()
    assert not [name for name in names if f"({name})" in text]
    text += "".join(f"SYMBOL({name})={VIRT[name]:x}\n" for name in names)
    text += "".join(f"{name}={value}\n" for name, value in told.items())
    (folder / "vmcoreinfo").write_text(text)
    check_levels(dump, LEVELS, "-i", folder / "vmcoreinfo")
    # Without being told it has no way to the struct pages.
    refused = makedumpfile.run("--dry-run", "-d", 31, dump.path, folder / "none")
    assert refused.returncode != 0
    assert "Can't read the buffer of struct page" in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("level", "machine"),
    singles(
        product((1, 16, 31), [("6.1", {}), ("4.18", {"page": 4096}), ("6.10", {"mmu": "radix"})])
    ),
)
def test_written_dump(folder: Path, level: int, machine: tuple[str, dict[str, Any]]) -> None:
    """What it writes lacks the planned pages, each of them; all others have the same bytes."""
    release, options = machine
    dump = crash(spec_of(release, **options), folder / "vmcore")
    page = dump.machine.kernel.page_size
    masks = excluded(kinds(dump), level, numbers(release))
    gone = np.logical_or.reduce(list(masks.values()))
    out = folder / "filtered"
    done = makedumpfile.run("-f", "-l", "-d", level, dump.path, out)
    assert done.returncode == 0, done.stderr[-600:]
    with vmemmap.open(dump.path) as whole, vmemmap.open(out) as core:
        assert core.source.dump_level == level
        for column in ("node", "phys", "virt"):
            assert (getattr(core.backing, column) == getattr(whole.backing, column)).all()
        for pfn, absent in zip(frames(dump).tolist(), gone, strict=True):
            if absent:
                with pytest.raises(PageExcluded):
                    core.read_phys(pfn * page, page)
            else:
                assert core.read_phys(pfn * page, page) == whole.read_phys(pfn * page, page)


@pytest.mark.full
@pytest.mark.parametrize("codec", ["zlib", "lzo", "zstd"])
def test_written_as_kdump(folder: Path, codec: str) -> None:
    """The same memory in another container: the same pages are left out, byte for byte."""
    dump = crash(spec_of("6.1"), folder / "vmcore")
    dump.machine.crash(folder / "kdump", container="kdump", codec=codec)
    for name in ("vmcore", "kdump"):
        done = makedumpfile.run("-f", "-d", 31, folder / name, folder / f"{name}.d31")
        assert done.returncode == 0, done.stderr[-600:]
    ours, elfs = read_table(folder / "kdump.d31"), read_table(folder / "vmcore.d31")
    assert ours.kept.tolist() == elfs.kept.tolist()
    at = elfs.rows[0][0]
    assert (folder / "kdump.d31").read_bytes()[at:] == (folder / "vmcore.d31").read_bytes()[at:]


def test_kernel_that_does_not_name_its_mmu(folder: Path) -> None:
    """6.6.0 on radix has no list and does not say RADIX_MMU: it finds no struct page."""
    dump = crash(spec_of("6.6", mmu="radix"), folder / "vmcore")
    first_page = 0xC00C000000000000
    refused = makedumpfile.run("--dry-run", "-d", 31, dump.path, folder / "none")
    assert refused.returncode != 0
    with vmemmap.open(dump.path) as core:
        assert core.facts["mmu"].value == "radix"
        assert core.vtop(first_page).phys == dump.machine.vmemmap.map.find(first_page)
