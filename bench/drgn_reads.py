"""Benchmark of reads in drgn: through the plugin, beside drgn's own of the same bytes.

The struct pages of a hash kernel are read at their vmemmap addresses, which only the plugin
translates, and at their linear addresses, which drgn reads by itself.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builders.kernel_data import PAGE_OFFSET
from builders.machine import Machine, build_machine
from dumps import PAGE, like_kernel_memory

SIZES = (8, 64, 4096, 65536, 1 << 20)
BYTES_A_ROUND = 1 << 24
READS_A_ROUND = 20000
ROUNDS = 9


def bench_drgn(folder: Path) -> dict[str, Any] | None:
    """Read struct pages in drgn both ways; None where drgn is not installed.

    Returns:
        For each container: microseconds for reads of each size of what was read before, for an
        object's value, and milliseconds for all of the array in a new session.
    """
    try:
        import drgn  # noqa: F401 (whether it is there)
    except ImportError:
        return None
    machine = build_machine(blocks=2, block_shift=24, store="none")
    for block in machine.blocks:
        for into in range(0, machine.block_size, PAGE):
            machine.memory.write(block.phys + into, like_kernel_memory(into // PAGE))
    result: dict[str, Any] = {"target_ratio": 2}
    for name, content in (("elf", machine.elf()), ("kdump_zlib", machine.kdump(codec="zlib"))):
        path = folder / f"drgn-{name}"
        path.write_bytes(content)
        result[name] = _both_ways(path, machine)
    return result


def _both_ways(path: Path, machine: Machine) -> dict[str, Any]:
    import drgn

    virt = machine.blocks[0].virt
    linear = PAGE_OFFSET + machine.blocks[0].phys
    rows: dict[str, Any] = {}
    with _program(path) as prog:
        for size in SIZES:
            times = max(1, min(READS_A_ROUND, BYTES_A_ROUND // size))
            rows[f"read_{size}"] = _row(
                *_interleaved(
                    lambda: prog.read(linear, size),  # noqa: B023 (used at once)
                    lambda: prog.read(virt, size),  # noqa: B023
                    times,
                )
            )
        word = "unsigned long"
        rows["object"] = _row(
            *_interleaved(
                lambda: drgn.Object(prog, word, address=linear).value_(),
                lambda: drgn.Object(prog, word, address=virt).value_(),
                READS_A_ROUND,
            )
        )
    seconds = [_cold(path, start, machine.block_size) for start in (linear, virt)]
    rows["first_read_of_all"] = _row(*seconds) | {"bytes": machine.block_size}
    return rows


@contextmanager
def _program(path: Path) -> Iterator[Any]:
    """A program with the plugin attached, however drgn finds its plugins."""
    import drgn

    from vmemmap.drgn_plugin import attach

    prog = drgn.Program()
    prog.set_core_dump(path)
    core = attach(prog).core
    assert core is not None
    yield prog
    del prog
    core.close()


def _interleaved(
    plain: Callable[[], object], plugin: Callable[[], object], times: int
) -> tuple[float, float]:
    """Give the seconds of one read each way: medians of rounds that take turns."""
    assert plain() == plugin()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, into in zip((plain, plugin), seconds, strict=True):
            start = time.perf_counter()
            for _ in range(times):
                work()
            into.append((time.perf_counter() - start) / times)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _cold(path: Path, start: int, size: int) -> float:
    """Give the seconds for reading *size* bytes once, 64 at a time, each time in a new program."""
    times = []
    for _ in range(3):
        with _program(path) as prog:
            began = time.perf_counter()
            for address in range(start, start + size, 64):
                prog.read(address, 64)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _row(plain: float, plugin: float) -> dict[str, float]:
    return {
        "drgn_microseconds": plain * 1e6,
        "plugin_microseconds": plugin * 1e6,
        "ratio": plugin / plain,
    }


def print_drgn(result: dict[str, Any] | None) -> None:
    """Print the figures as a table."""
    if result is None:
        print("reads in drgn: drgn is not installed")
        return
    print(f"reads in drgn through the plugin, beside drgn's own (target {result['target_ratio']})")
    for container, rows in result.items():
        if isinstance(rows, dict):
            for name, row in rows.items():
                print(
                    f"  {container:10} {name:18} {row['plugin_microseconds']:10.2f} us; drgn "
                    f"{row['drgn_microseconds']:10.2f} us; ratio {row['ratio']:.2f}"
                )
