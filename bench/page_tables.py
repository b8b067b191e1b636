"""Measure what goes through page tables: one address, very many, and reads across pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import vmemmap
from builders.kernel_era import VMALLOC_BASES, Mmu
from builders.machine import build_machine
from dumps import median_seconds

PAGES = 2048
ADDRESSES = 1 << 22
CASES: tuple[tuple[Mmu, int], ...] = (
    ("hash", 4096),
    ("hash", 65536),
    ("radix", 4096),
    ("radix", 65536),
)


def bench_page_tables(folder: Path) -> dict[str, Any]:
    """Translate vmalloc addresses of both MMUs and page sizes, and read over their pages."""
    result: dict[str, Any] = {"pages": PAGES, "addresses": ADDRESSES}
    rng = np.random.default_rng(2)
    for mmu, page_size in CASES:
        machine = build_machine(
            mmu=mmu,
            page_size=page_size,
            block_shift=21 if mmu == "radix" else 16,
            blocks=8,
            store="none",
        )
        start = VMALLOC_BASES[machine.layout]
        ram = sorted(machine.pages)
        for number in range(PAGES):
            machine.map_page(start + number * page_size, ram[number % len(ram)] * page_size)
        path = folder / f"tables-{mmu}-{page_size}"
        path.write_bytes(machine.elf())
        asked = rng.integers(0, PAGES * page_size, ADDRESSES, dtype=np.uint64) + np.uint64(start)
        with vmemmap.open(path) as core:
            assert core.vtop_many(asked).mask.all()
            bulk = median_seconds(lambda: core.vtop_many(asked), 5)  # noqa: B023
            few = asked[:2000].tolist()
            one = median_seconds(lambda: [core.vtop(a) for a in few], 3)  # noqa: B023
            word = median_seconds(lambda: [core.read(a & ~7, 8) for a in few], 3)  # noqa: B023
            size = PAGES * page_size
            whole = median_seconds(lambda: core.read(start, size), 3)  # noqa: B023
        result[f"{mmu}, {page_size >> 10} KiB pages"] = {
            "million_addresses_per_second": ADDRESSES / bulk / 1e6,
            "microseconds_per_vtop": one / len(few) * 1e6,
            "microseconds_per_word": word / len(few) * 1e6,
            "mb_per_second": size / whole / 1e6,
        }
    return result
