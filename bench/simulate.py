"""Measure the kernel half: populating big machines, and writing a big dump at the disk's speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vmemmap.simulate import Machine, MachineSpec, MemoryRange

BLOCK = 1 << 16
GROWTH_TIB = (1, 4, 16, 64)
WRITE_CHUNK = 4 << 20


def machine_of(tib: int) -> MachineSpec:
    """Describe a machine of *tib* TiB on two nodes, with 64 KiB pages and blocks."""
    half = tib << 39
    return MachineSpec(
        memory=(MemoryRange(0, 0, half), MemoryRange(1, half, half)), block_size=BLOCK
    )


def bench_populate() -> dict[str, Any]:
    """Boot machines of growing size, each in a process of its own: time and peak memory."""
    watch = (
        "import json, resource, sys, time;"
        "sys.path.insert(0, sys.argv[1]);"
        "from simulate import Machine, machine_of;"
        "begun = time.perf_counter();"
        "machine = Machine(machine_of(int(sys.argv[2]))).boot();"
        "seconds = time.perf_counter() - begun;"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10;"
        "print(json.dumps([seconds, peak, len(machine.vmemmap.map.columns()[0])]))"
    )
    here = str(Path(__file__).resolve().parent)
    growth = []
    for tib in GROWTH_TIB:
        runs = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", watch, here, str(tib)],
                check=True,
                capture_output=True,
                text=True,
            )
            runs.append(json.loads(done.stdout))
        seconds, peak, blocks = sorted(runs)[1]
        growth.append({"tib": tib, "blocks": blocks, "seconds": seconds, "peak_mib": peak})
    return {"target_seconds": 10, "target_mib": 300, "growth": growth}


def bench_write(folder: Path) -> dict[str, Any]:
    """Write a dump of 1 TiB with its 1 GiB of struct pages, beside as many bytes of one kind."""
    machine = Machine(machine_of(1)).boot()
    snapshot = machine.snapshot()
    ratios, seconds, plain = [], [], []
    for _ in range(3):
        path = folder / "sparse"
        begun = time.perf_counter()
        machine.crash(path)
        os.sync()
        seconds.append(time.perf_counter() - begun)
        size = path.stat().st_blocks * 512
        path.unlink()
        os.sync()
        begun = time.perf_counter()
        with path.open("wb") as file:
            for _chunk in range(size // WRITE_CHUNK):
                file.write(os.urandom(16) + bytes(WRITE_CHUNK - 16))
        os.sync()
        plain.append(time.perf_counter() - begun)
        path.unlink()
        os.sync()
        ratios.append(seconds[-1] / plain[-1])
    begun = time.perf_counter()
    made = sum(
        len(data) for start, end in snapshot.ranges for _, data in snapshot.contents(start, end)
    )
    making = time.perf_counter() - begun
    return {
        "bytes_on_disk": size,
        "bytes_made": made,
        "seconds": sorted(seconds)[1],
        "plain_write_seconds": sorted(plain)[1],
        "ratio": sorted(ratios)[1],
        "making_seconds": making,
    }


def print_simulate(populate: dict[str, Any], write: dict[str, Any]) -> None:
    """Print the figures as `make bench` shows them."""
    print(
        f"boot a simulated machine with blocks of 64 KiB (target for 64 TiB: "
        f"{populate['target_seconds']} s, {populate['target_mib']} MiB)"
    )
    for row in populate["growth"]:
        print(
            f"  {row['tib']:>3} TiB {row['blocks']:>9,} blocks {row['seconds']:7.3f} s, "
            f"peak {row['peak_mib']} MiB"
        )
    print(
        f"write its dump of 1 TiB, {write['bytes_on_disk'] >> 20} MiB on disk: "
        f"{write['seconds']:.2f} s (of it {write['making_seconds']:.2f} s to make the bytes); "
        f"as many plain bytes {write['plain_write_seconds']:.2f} s; ratio {write['ratio']:.2f}"
    )
