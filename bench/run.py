"""Measure what the design promises: walking the list, translating in bulk, starting a command.

    make bench        prints a table and writes build/bench.json

Every figure is the median of several runs in one process, together with its target. What must not
grow is measured at several sizes in the same run, so that the machine's noise is in all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import vmemmap
from builders.big_list import write_big_list
from check import bench_check, print_check
from drgn_reads import bench_drgn, print_drgn
from dumps import bench_decode, bench_open, median_seconds
from page_tables import bench_page_tables
from pages import bench_pages, print_pages
from plot import draw_growth
from simulate import bench_populate, bench_write, print_simulate

ROOT = Path(__file__).resolve().parent.parent
NODES = 1 << 20
ADDRESSES = 1 << 22


def bench_walk(folder: Path) -> dict[str, Any]:
    """Walk 1,048,576 nodes, as kernels lay them out and after heavy hotplug."""
    result: dict[str, Any] = {"nodes": NODES, "target_seconds": 0.2}
    for order in ("boot", "shuffled"):
        for byte_order in ("little", "big"):
            path = folder / f"walk-{order}-{byte_order}"
            built = write_big_list(path, nodes=NODES, node_order=order, byte_order=byte_order)

            def walk(path: Path = path, expected: int = int(built.virt[-1])) -> None:
                with vmemmap.open(path) as core:
                    assert len(core.backing) == NODES
                    assert not core.findings
                    assert int(core.backing.virt[-1]) == expected

            result[f"{order}_{byte_order}_seconds"] = median_seconds(walk, 5)
    return result


def bench_translate(folder: Path) -> dict[str, Any]:
    """Translate random vmemmap addresses in bulk, over lists of growing length."""
    rng = np.random.default_rng(1)
    growth = []
    for nodes in (1 << 10, 1 << 14, 1 << 17, NODES):
        path = folder / f"translate-{nodes}"
        write_big_list(path, nodes=nodes)
        with vmemmap.open(path) as core:
            block = core.backing.block_size
            row = rng.integers(0, nodes, ADDRESSES)
            into = rng.integers(0, block, ADDRESSES, dtype=np.uint64)
            addresses = core.backing.virt[row] + into
            phys, mask = core.vtop_many(addresses)
            assert mask.all()
            assert (phys == core.backing.phys[row] + into).all()
            seconds = median_seconds(lambda: core.vtop_many(addresses), 5)  # noqa: B023
            one = addresses[:2000].tolist()
            single = median_seconds(lambda: [core.vtop(a) for a in one], 3)  # noqa: B023
        growth.append(
            {
                "blocks": nodes,
                "million_addresses_per_second": ADDRESSES / seconds / 1e6,
                "nanoseconds_per_address": seconds / ADDRESSES * 1e9,
                "microseconds_per_vtop": single / len(one) * 1e6,
            }
        )
    return {"addresses": ADDRESSES, "target_million_per_second": 20, "growth": growth}


def bench_commands(folder: Path) -> dict[str, Any]:
    """Time whole commands, less what Python needs to start by itself."""
    big = folder / "translate-1048576"
    command = str(Path(sys.executable).parent / "vmemmap")

    def run(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    bare = median_seconds(run(sys.executable, "-c", "pass"), 5)
    dumps = {"list of 1,048,576": big}
    real = ROOT.parent / "shared" / "dumps" / "hash-64k-6.1" / "vmcore.d31.zlib"
    if real.exists():
        dumps["real kdump (zlib)"] = real
    result: dict[str, Any] = {"python_seconds": bare, "target_seconds_beyond_python": 0.5}
    for name, path in dumps.items():
        figures = {
            "info": median_seconds(run(command, "info", str(path)), 5) - bare,
            "vtop": median_seconds(run(command, "vtop", str(path), "c00c000000000040"), 5) - bare,
            "list": median_seconds(run(command, "list", str(path)), 3) - bare,
        }
        result[name] = figures
    return result


def bench_memory(folder: Path) -> dict[str, Any]:
    """Give the peak resident memory of each command on the list of 1,048,576 entries, in MiB.

    A process in between starts the command: the figure of a direct child of this one would be that
    of the harness, whose memory it has for a moment after the fork.
    """
    watch = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = str(Path(sys.executable).parent / "vmemmap")
    result: dict[str, Any] = {"target_mib": 300}
    for name in ("info", "list", "vtop"):
        line = [command, name, str(folder / "translate-1048576"), "c00c000000000040"]
        done = subprocess.run(
            [sys.executable, "-c", watch, *line[: 4 if name == "vtop" else 3]],
            check=True,
            capture_output=True,
            text=True,
        )
        result[name] = int(done.stdout) // 1024
    return result


def main() -> None:
    """Run everything, print it, and keep it as JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result: dict[str, Any] = {
            "machine": {"processors": os.cpu_count(), "load_at_start": os.getloadavg()[0]},
            "walk": bench_walk(folder),
            "translate": bench_translate(folder),
            "page_tables": bench_page_tables(folder),
            "commands": bench_commands(folder),
            "memory": bench_memory(folder),
            "check": bench_check(folder),
            "decode": bench_decode(folder),
            "open": bench_open(folder),
            "populate": bench_populate(),
            "write": bench_write(folder),
            "drgn": bench_drgn(folder),
        }
        for left in folder.iterdir():
            left.unlink()
        result["pages"] = bench_pages(folder)
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    _print(result)
    print_pages(result["pages"])
    draw_growth(ROOT / "docs" / "pages-growth.svg", result["pages"])
    print(f"\nwritten to {out.relative_to(ROOT)}")


def _print(result: dict[str, Any]) -> None:
    walk = result["walk"]
    print(f"walk {walk['nodes']:,} nodes (target {walk['target_seconds']} s)")
    for key, value in walk.items():
        if key.endswith("_seconds") and not key.startswith("target"):
            print(f"  {key.removesuffix('_seconds').replace('_', ', '):18} {value:8.3f} s")
    translate = result["translate"]
    print(f"translate in bulk (target {translate['target_million_per_second']} M addresses/s)")
    for row in translate["growth"]:
        print(
            f"  {row['blocks']:>9,} blocks {row['million_addresses_per_second']:8.1f} M/s "
            f"{row['nanoseconds_per_address']:6.1f} ns each; one by one "
            f"{row['microseconds_per_vtop']:.1f} us"
        )
    print("through page tables")
    for name, row in result["page_tables"].items():
        if isinstance(row, dict):
            print(
                f"  {name:20} {row['million_addresses_per_second']:6.1f} M addresses/s; one by one "
                f"{row['microseconds_per_vtop']:.1f} us, a word {row['microseconds_per_word']:.1f} "
                f"us; read {row['mb_per_second']:.0f} MB/s"
            )
    commands = result["commands"]
    target = commands["target_seconds_beyond_python"]
    start = commands["python_seconds"]
    print(f"commands, beyond Python's own start of {start:.3f} s (target {target} s)")
    for name, figures in commands.items():
        if isinstance(figures, dict):
            line = "  ".join(f"{key} {value:.2f} s" for key, value in figures.items())
            print(f"  {name:22} {line}")
    decode = result["decode"]
    size, target = decode["bytes"] >> 20, decode["target_ratio"]
    print(f"read {size} MiB of compressed pages, beside the codec alone (target {target})")
    for name, row in decode.items():
        if isinstance(row, dict):
            print(
                f"  {name:8} {row['read_mb_per_second']:6.0f} MB/s; codec on two threads "
                f"{row['codec_mb_per_second']:6.0f} MB/s; ratio {row['ratio']:.2f}"
            )
    opening = result["open"]
    times = "  ".join(
        f"{key.split('_')[0]} TiB {value:.3f} s" for key, value in opening.items() if "tib" in key
    )
    print(f"open (target {opening['target_seconds']} s): {times}")
    peaks = "  ".join(f"{key} {value} MiB" for key, value in result["memory"].items())
    print(f"peak memory on 1,048,576 entries: {peaks}")
    print_check(result["check"])
    print_simulate(result["populate"], result["write"])
    print_drgn(result["drgn"])


if __name__ == "__main__":
    main()
