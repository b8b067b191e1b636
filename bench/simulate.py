"""Measures the other half: machines booted, and a dump of one written beside plain writing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import child
from rows import Row, Spent, Target, measure, spent
from vmemmap.simulate import Machine, MachineSpec, MemoryRange
from vmemmap.simulate.spec.parts import PagePlan

GROWTH_TIB = (1, 4, 16, 64)
IN_USE = PagePlan(cache=40_000, cache_private=4_000, anonymous=28_000, slab=8_000)
"""80,000 pages, apart from one another in memory."""
PAGE = 65536
_CHUNK = 4 << 20
_BOOT = """
import sys
from simulate import Machine, machine_of
begun = clock()
Machine(machine_of(int(sys.argv[1]))).boot()
tell(begun)
"""


def machine_of(tebibytes: int, pages: PagePlan | None = None) -> MachineSpec:
    """Describe a machine on two nodes, with 64 KiB pages and blocks."""
    half = tebibytes << 39
    memory = (MemoryRange(0, 0, half), MemoryRange(1, half, half))
    return MachineSpec(memory=memory, block_size=PAGE, pages=pages or PagePlan())


def bench_boot() -> list[Row]:
    """Boot machines of growing size."""
    return [
        measure(
            f"boot a simulated machine of {size} TiB",
            "s",
            lambda size=size: child.asked(_BOOT, size),  # type: ignore[misc]
            rounds=3,
            target=Target(most=10, mib=300),
        )
        for size in GROWTH_TIB
    ]


def bench_write(folder: Path) -> list[Row]:
    """Write dumps of 1 TiB, with nothing but the kernel in it and with 80,000 pages in use.

    Plain writing puts as many bytes into a file, in pieces as long and as far apart as ours: where
    the file system's own work is, both have it.
    """
    rows = []
    path, plain = folder / "simulated", folder / "plain"
    for words, plan in (("", None), (f", {IN_USE.total:,} pages in use", IN_USE)):
        machine = Machine(machine_of(1, plan)).boot()
        machine.crash(path)
        pieces = _pieces(path)
        rows.append(
            measure(
                f"write a simulated dump of 1 TiB{words}",
                "s",
                lambda: _anew(path, lambda: machine.crash(path)),  # noqa: B023 (used at once)
                peer=lambda: _anew(plain, lambda: _write(plain, pieces)),  # noqa: B023
                peer_name=f"plain writing of {sum(size for _, size in pieces) >> 20} MiB",
                rounds=3,
                target=Target(1 / 1.5),
            )
        )
    path.unlink()
    plain.unlink()
    return rows


def _anew(path: Path, work: Callable[[], object]) -> Spent:
    """Do it where no file is yet."""
    path.unlink(missing_ok=True)
    return spent(work)


def _pieces(path: Path) -> list[tuple[int, int]]:
    """Give where a sparse file has data: offset and size of each piece."""
    out, at = [], 0
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # nothing but a hole up to the end
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            out.append((start, at - start))
    return out


def _write(path: Path, pieces: list[tuple[int, int]]) -> None:
    chunk = memoryview(os.urandom(_CHUNK))
    with path.open("wb", buffering=0) as file:
        for start, size in pieces:
            file.seek(start)
            for done in range(0, size, _CHUNK):
                file.write(chunk[: min(_CHUNK, size - done)])
