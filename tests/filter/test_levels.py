"""Which pages a level leaves, by the plan of simulated machines: their allocators' own books."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from breadth import full, singles, trying
from filter.kdump_table import read_table
from oracles.simulated import Dump, crash, excluded, frames, kinds, numbers, spec_of, zero_pages

MACHINES: dict[str, dict[str, Any]] = {
    "6.1 hash": {"release": "6.1"},
    "6.12 hash, 4K": {"release": "6.12", "page": 4096},
    "6.10 radix, big-endian": {"release": "6.10", "mmu": "radix", "byte_order": "big"},
    "4.4 hash, 4K, big-endian": {"release": "4.4", "page": 4096, "byte_order": "big"},
    "2.6.37 by free lists": {"release": "2.6.37"},
    "7.2 hash": {"release": "7.2"},
    "6.12 radix, 4K, without a list": {"release": "6.12", "page": 4096, "mmu": "radix"},
}
SMALL = ((0, 0, 112), (1, 128, 64))
"""Nodes and MiB."""
FEW = (0, 1, 2, 4, 8, 16, 27, 30, 31)
"""No level, each alone, and some together."""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Dump]:
    """Give a function from a machine's name to its dump."""

    @cache
    def made(name: str) -> Dump:
        options = dict(MACHINES[name])
        path = tmp_path_factory.mktemp("machine") / "vmcore"
        return crash(spec_of(options.pop("release"), memory=SMALL, **options), path)

    return made


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *singles(product(MACHINES, FEW)),
        *full(product(MACHINES, (level for level in range(32) if level not in FEW))),
    ],
)
def test_pages_left_out_are_those_planned(tmp_path, machines, name: str, level: int) -> None:
    release, dump = MACHINES[name]["release"], machines(name)
    vmlinux = None
    if numbers(release) < (3, 13):
        vmlinux = tmp_path / "vmlinux"
        dump.machine.write_symbols(vmlinux)
    pfns, zeros = frames(dump), zero_pages(dump)
    gone = excluded(kinds(dump), level, numbers(release))
    kept = ~np.logical_or.reduce(list(gone.values()))
    with vmemmap.open(dump.path, vmlinux=vmlinux) as core:
        result = core.filter(tmp_path / "out", level, "snappy", verify=True)
        runs = list(core.kept(level))
        estimate = core.filter_estimate(level, "snappy")
    table = read_table(tmp_path / "out")
    assert table.ram.tolist() == pfns.tolist()
    assert table.kept.tolist() == pfns[kept].tolist()
    assert table.zero == set(pfns[kept & zeros].tolist())
    assert table.level == result.level == level
    counts = {fate: int(mask.sum()) for fate, mask in gone.items() if mask.any()}
    assert result.gone == counts
    assert (result.pages, result.kept) == (len(pfns), int(kept.sum()))
    assert result.zero == int((kept & zeros).sum())
    assert (result.absent, result.unclassified, result.lost) == (0, {}, 0)
    assert result.warnings == ()
    assert estimate.size_bytes == pytest.approx(result.size_bytes, rel=0.05)
    assert (estimate.kept, estimate.gone) == (result.kept, result.gone)
    # The same as runs.
    by_run = dict.fromkeys(("kept", *counts), 0)
    at = 0
    for run in runs:
        assert run.pfn_start >= at
        at = run.pfn_end
        by_run[run.fate] += run.pfn_end - run.pfn_start
    assert by_run == {"kept": int(kept.sum()), **counts}
    check_bytes(dump.path, tmp_path / "out", pfns[kept].tolist(), dump.machine.kernel.page_size)


def check_bytes(whole: Path, made: Path, pfns: list[int], page: int) -> None:
    """Compare pages of the output with those of the input, each in turn."""
    with vmemmap.open(whole) as one, vmemmap.open(made) as other:
        for pfn in pfns[:: max(len(pfns) // 500, 1)]:
            with trying(f"pfn {pfn:#x}"):
                assert other.read_phys(pfn * page, page) == one.read_phys(pfn * page, page)
