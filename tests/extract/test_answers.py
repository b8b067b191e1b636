"""An extract gives the answers of the dump that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from oracles.simulated import crash, event, spec_of
from vmemmap import Vmcore
from vmemmap.extract.checker import check
from vmemmap.report import usage

COLUMNS: tuple[Any, ...] = (
    "pfn",
    "kind",
    "why",
    "order",
    "node",
    "zone",
    "refcount",
    "mapcount",
    "head",
)
ERAS: dict[str, dict[str, Any]] = {
    "2.6.35 4K big": {"release": "2.6.35", "page": 4096, "byte_order": "big"},
    "2.6.38 64K": {"release": "2.6.38"},
    # A block begins with struct pages of a hole, and those of removed memory are on the list yet.
    "3.4 4K holes": {
        "release": "3.4",
        "page": 4096,
        "struct_page_size": 56,
        "memory": ((0, 0, 112), (1, 208, 64)),
        "events": (event("add", 304, 64), event("remove", 304, 64)),
    },
    "3.7 big": {"release": "3.7", "byte_order": "big"},
    "3.10 56 bytes": {"release": "3.10", "struct_page_size": 56},
    "4.4 big": {"release": "4.4", "byte_order": "big"},
    "4.14 4K": {"release": "4.14", "page": 4096},
    # All bits of a poison are set, those of the last zone among them, which is that of devices.
    "4.19 4K poisoned": {
        "release": "4.19",
        "page": 4096,
        "debug_vm": True,
        "events": (event("add", 4096, 32, online=False),),
    },
    "5.3": {"release": "5.3"},
    "6.1 big 4K": {"release": "6.1", "page": 4096, "byte_order": "big"},
    "6.6 radix": {"release": "6.6.9", "mmu": "radix"},
    "6.12 radix 4K": {"release": "6.12", "mmu": "radix", "page": 4096},
    "7.1": {"release": "7.1"},
    "7.3": {"release": "7.3"},
}


OF_THE_RANGES = {"makedumpfile", "makedumpfile_levels", "original_pages"}
"""Counts that go by the memory ranges of the dump, which an extract has in whole pages."""


def asked(core: Vmcore, *, ranges: bool) -> dict[str, Any]:
    """What a dump answers, without what only says which file it is.

    Args:
        core: The dump.
        ranges: Whether its memory ranges are whole pages.
    """
    apart = {"findings", *(() if ranges else OF_THE_RANGES)}
    report = core.check()
    counted = usage.record(core, core.usage(), None)
    # Last, as what types were asked for so far is among them.
    facts = {name: (fact.value, fact.origin) for name, fact in core.facts.items()}
    return {
        "facts": {name: fact for name, fact in facts.items() if name != "vmcoreinfo"},
        "missing": sorted(core.facts.missing),
        "list": [(e.node, e.phys, e.virt, e.pfn_start, e.pfn_end) for e in core.backing],
        "findings": [(f.code, f.node, f.virt) for f in report.findings if f.code != "extract"],
        "coverage": None if report.coverage is None else report.coverage.counts,
        "usage": {name: value for name, value in counted.items() if name not in apart},
        "nodes": core.page_model.nodes,
    }


def same(one: Vmcore, other: Vmcore, virts: list[int], *, ranges: bool = True) -> None:
    """Compare two dumps: what they answer, every page, and some translations."""
    assert asked(one, ranges=ranges) == asked(other, ranges=ranges)
    assert [f.code for f in one.check().findings].count("extract") == 0
    assert [f.code for f in other.check().findings].count("extract") == 1
    for left, right in zip(one.pages.scan(COLUMNS), other.pages.scan(COLUMNS), strict=True):
        np.testing.assert_array_equal(left, right)
    for virt in virts:
        assert translated(one, virt) == translated(other, virt)


def translated(core: Vmcore, virt: int) -> Any:
    try:
        found = core.vtop(virt)
    except vmemmap.TranslateError as error:
        return type(error), error.virt
    return found.phys, found.method, found.region


def checked(path: Path) -> None:
    assert check(str(path)) == []


@pytest.mark.parametrize("name", list(ERAS))
def test_of_simulated_machines(name: str, tmp_path: Path) -> None:
    more = dict(ERAS[name])
    dump = crash(spec_of(more.pop("release"), **more), tmp_path / "vmcore")
    symbols = tmp_path / "vmlinux"
    dump.machine.write_symbols(symbols)
    start = dump.machine.kernel.regions.vmalloc.start
    areas = [start + page * dump.machine.kernel.page_size + 8 for page in range(20)]
    with vmemmap.open(dump.path, vmlinux=symbols) as core:
        core.extract(tmp_path / "shared")
        checked(tmp_path / "shared")
        with vmemmap.open(tmp_path / "shared", vmlinux=symbols) as extract:
            blocks = [int(virt) + 80 for virt in core.backing.virt[:50]]
            same(core, extract, [*areas, *blocks, 0xC000_0000_0000_0000 + 4096])


HIDDEN = ["2.6.38 64K", "3.7 big", "5.3", "6.12 radix 4K"]
ALSO_HIDDEN = [pytest.param(name, marks=pytest.mark.full) for name in ERAS if name not in HIDDEN]


@pytest.mark.parametrize("name", [*HIDDEN, *ALSO_HIDDEN])
def test_with_hidden_addresses_and_as_elf(name: str, tmp_path: Path) -> None:
    """What is hidden is in no answer."""
    more = dict(ERAS[name])
    dump = crash(spec_of(more.pop("release"), **more), tmp_path / "vmcore")
    symbols, out = tmp_path / "vmlinux", tmp_path / "shared"
    dump.machine.write_symbols(symbols)
    with vmemmap.open(dump.path, vmlinux=symbols) as core:
        made = core.extract(out, hide_addresses=True, form="elf")
        checked(out)
        assert made.file_bytes == out.stat().st_size
        with vmemmap.open(out, vmlinux=symbols) as extract:
            assert extract.source.format == "elf"
            assert extract.extract_note is not None
            assert extract.extract_note.hidden_addresses
            same(core, extract, [int(virt) + 80 for virt in core.backing.virt[:50]])


@pytest.mark.parametrize("name", ["hash-64k-6.1", "radix-64k-6.1"])
def test_of_real_dumps(real_dump: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    path = real_dump(f"{name}/vmcore.d31.zlib")
    with vmemmap.open(path) as core:
        core.extract(tmp_path / "shared")
        checked(tmp_path / "shared")
        core.extract(tmp_path / "hidden", hide_addresses=True, form="elf")
        checked(tmp_path / "hidden")
        virts = [0xC008_0000_0000_0000 + at * 65536 for at in range(40)]
        for name in ("shared", "hidden"):
            with vmemmap.open(tmp_path / name) as extract:
                same(core, extract, virts)
    assert (tmp_path / "shared").stat().st_size * 20 < path.stat().st_size


@pytest.mark.parametrize("name", ["be-2.6.35-4k-hash", "le-4.9-64k-hash"])
def test_of_real_old_dumps(real_dump: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    path = real_dump(f"old/{name}.meta.elf.zst")
    text = real_dump(f"old/{name}.vmcoreinfo.txt")
    symbols = real_dump(f"old/symbols-{name}.elf")
    with vmemmap.open(path, vmcoreinfo=text, vmlinux=symbols) as core:
        core.extract(tmp_path / "shared")
        checked(tmp_path / "shared")
        with vmemmap.open(tmp_path / "shared", vmlinux=symbols) as extract:
            same(core, extract, [int(v) + 80 for v in core.backing.virt[:50]], ranges=False)
