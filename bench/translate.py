"""Measures translation: in bulk and one at a time, by the list and through page tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import vmemmap
from builders.big_list import write_big_list
from builders.kernel_data import PAGE_OFFSET
from builders.kernel_era import VMALLOC_BASES, Mmu
from builders.machine import build_machine
from rows import Row, Spent, Target, measure, spent

BLOCKS = (1 << 10, 1 << 14, 1 << 17, 1 << 20)
ADDRESSES = 1 << 21
ONE_BY_ONE = 20_000
TABLE_PAGES = 2048
TABLES: tuple[tuple[Mmu, int], ...] = (
    ("hash", 4096),
    ("hash", 65536),
    ("radix", 4096),
    ("radix", 65536),
)
_BULK, _EACH = Target(most=10), Target(most=3)
_ROUNDS = 5


def bench_list_translation(folder: Path) -> list[Row]:
    """Translate random vmemmap addresses over lists of growing length.

    The limit in bulk is one look-up of numpy for each address, in a table of as many blocks: random
    addresses of a million blocks leave the processor's cache, and that it pays, too.
    """
    rng = np.random.default_rng(1)
    path = folder / "translated"
    bulk, each = [], []
    for blocks in BLOCKS:
        write_big_list(path, nodes=blocks, top_down=True)
        with vmemmap.open(path) as core:
            size = core.backing.block_size
            row = rng.integers(0, blocks, ADDRESSES)
            into = rng.integers(0, size, ADDRESSES, dtype=np.uint64)
            virt, table = core.backing.virt[row] + into, np.array(core.backing.phys)
            found = core.vtop_many(virt)
            assert found.mask.all()
            assert (found.phys == table[row] + into).all()
            bulk.append(
                measure(
                    f"translate in bulk, {blocks:,} blocks",
                    "ns an address",
                    lambda: spent(lambda: core.vtop_many(virt)),  # noqa: B023 (used at once)
                    limit=lambda: spent(lambda: table[row] + into),  # noqa: B023
                    limit_name="one look-up of numpy each",
                    rounds=_ROUNDS,
                    factor=1e9 / ADDRESSES,
                    target=_BULK,
                )
            )
            few = virt[:ONE_BY_ONE].tolist()
            each.append(_one_by_one(f"`vtop` one at a time, {blocks:,} blocks", core.vtop, few))
            linear = [PAGE_OFFSET + core.vtop(address).phys for address in few]
            words = f"`vtop` one at a time in the linear map, {blocks:,} blocks"
            each.append(_one_by_one(words, core.vtop, linear))
    path.unlink()
    return [*bulk, *each]


def bench_table_translation(folder: Path) -> list[Row]:
    """Translate vmalloc addresses through the page tables of both MMUs and page sizes."""
    rng = np.random.default_rng(2)
    path = folder / "tables"
    rows = []
    for mmu, page_size in TABLES:
        machine = build_machine(
            mmu=mmu,
            page_size=page_size,
            block_shift=21 if mmu == "radix" else 16,
            blocks=8,
            store="none",
        )
        start, ram = VMALLOC_BASES[machine.layout], sorted(machine.pages)
        for number in range(TABLE_PAGES):
            machine.map_page(start + number * page_size, ram[number % len(ram)] * page_size)
        path.write_bytes(machine.elf())
        virt = rng.integers(0, TABLE_PAGES * page_size, ADDRESSES, dtype=np.uint64)
        virt += np.uint64(start)
        words = f"page tables, {mmu}, {page_size >> 10} KiB pages"
        with vmemmap.open(path) as core:
            assert core.vtop_many(virt).mask.all()
            rows.append(
                measure(
                    f"in bulk through {words}",
                    "ns an address",
                    lambda: spent(lambda: core.vtop_many(virt)),  # noqa: B023
                    rounds=_ROUNDS,
                    factor=1e9 / ADDRESSES,
                )
            )
            few = virt[:ONE_BY_ONE].tolist()
            rows.append(_one_by_one(f"`vtop` through {words}", core.vtop, few))
    path.unlink()
    return rows


def _one_by_one(work: str, vtop: Callable[[int], object], virt: list[int]) -> Row:
    def ours() -> Spent:
        return spent(lambda: [vtop(each) for each in virt])

    return measure(work, "us", ours, rounds=_ROUNDS, factor=1e6 / len(virt), target=_EACH)
