"""Benchmark of the struct pages: the census of machines from 64 GiB to 64 TiB, beside makedumpfile.

The machines have 64 KiB pages and 64 KiB vmemmap blocks. Their struct pages are a gigabyte of real
ones, which the dump's program headers show again and again, so that all sizes read from the page
cache and no file is larger than that.
"""

from __future__ import annotations

import json
import os
import platform
import pty
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from builders.big_list import write_big_list
from builders.page_content import write_content

BLOCKS = 16384
"""Blocks in a gigabyte of struct pages, those of 1 TiB of memory."""
SIZES = {"64 GiB": 1 << 10, "1 TiB": 1 << 14, "16 TiB": 1 << 18, "64 TiB": 1 << 20}
"""Blocks by size of the machine."""
COMPARED = {"64 GiB": 1 << 10, "256 GiB": 1 << 12, "1 TiB": 1 << 14, "4 TiB": 1 << 16}
"""Those that makedumpfile is let loose on; it takes longer the longer the list is."""
TARGET_NS, TARGET_MIB = 15, 300
PATIENCE_SECONDS = 300.0
_STEP = re.compile(r"STEP \[Excluding unnecessary pages\] : ([0-9.]+) seconds")
_BLOCK_MEMORY = 64 << 20
_RUN = """
import json, resource, sys, time
import vmemmap
best = None
for _ in range(int(sys.argv[3])):
    with vmemmap.open(sys.argv[1]) as core:
        core.page_model.view
        wall, cpu = time.perf_counter(), time.process_time()
        usage = core.usage(threads=int(sys.argv[2]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert not usage.damaged and not usage.unknown
    best = min(best or (wall, cpu), (wall, cpu))
print(json.dumps({"pages": usage.pages, "wall": best[0], "cpu": best[1], "kinds": usage.kinds,
    "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def bench_pages(folder: Path) -> dict[str, Any]:
    """Take the census of growing machines, of one with compounds in both byte orders, and compare.

    The figures are of one thread but for the last; the best of several runs, in processes of their
    own, since the peak of memory is looked at too.
    """
    plain = folder / "content-plain"
    write_content(plain, BLOCKS, compounds=False)
    result: dict[str, Any] = {"target_ns": TARGET_NS, "target_mib": TARGET_MIB, "growth": []}
    for name, blocks in SIZES.items():
        path = folder / "pages-growing"
        write_big_list(path, nodes=blocks, struct_pages="content", content=plain)
        result["growth"].append({"memory": name} | _census(path, runs=3 if blocks < 1 << 18 else 1))
        path.unlink()
    path = folder / "pages-shuffled"
    write_big_list(path, nodes=BLOCKS, struct_pages="content", content=plain, node_order="shuffled")
    result["scattered blocks"] = _census(path)
    path.unlink()
    for order in ("little", "big"):
        content, path = folder / f"content-{order}", folder / f"pages-{order}"
        made = write_content(content, BLOCKS, byte_order=order)
        write_big_list(
            path, nodes=BLOCKS, byte_order=order, struct_pages="content", content=content
        )
        for threads in (1, 2):
            figures = _census(path, threads)
            counted = {kind: figures["kinds"][kind] for kind in made}
            assert counted == made, (counted, made)
            result[f"{order}-endian, {threads} threads"] = figures
        path.unlink()
        content.unlink()
    result["makedumpfile"] = _compare(folder, plain)
    plain.unlink()
    return result


def _census(path: Path, threads: int = 1, runs: int = 3) -> dict[str, Any]:
    command = [sys.executable, "-c", _RUN, str(path), str(threads), str(runs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    for name in ("wall", "cpu"):
        figures[f"{name}_ns"] = figures.pop(name) / figures["pages"] * 1e9
    return figures


def find_makedumpfile() -> tuple[list[str], str] | None:
    """Give the command of a makedumpfile that reads such dumps, and what it is, for the label."""
    found = shutil.which("makedumpfile")
    if found and platform.machine() == "ppc64le":
        return [found], "native"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "vmemmap" / "peers" / "root"
    program = root / "usr/bin/makedumpfile"
    emulator = shutil.which("qemu-ppc64le-static") or shutil.which("qemu-ppc64le")
    if program.exists() and emulator:
        return [emulator, "-L", str(root), str(program)], "ppc64le under qemu-user, which is slower"
    return None


def _compare(folder: Path, content: Path) -> dict[str, Any] | None:
    """Time makedumpfile's exclusion step and our census on the same files, one after the other."""
    tool = find_makedumpfile()
    if tool is None:
        return None
    command, label = tool
    rows = []
    for name, blocks in COMPARED.items():
        path = folder / "pages-compared"
        memory = blocks * _BLOCK_MEMORY
        write_big_list(
            path, nodes=blocks, struct_pages="content", content=content, ram_bytes=memory
        )
        ours = _census(path)
        seconds = _exclusion_seconds([*command, "--message-level", "22", "--dry-run"], path)
        theirs = seconds / ours["pages"] * 1e9 if seconds is not None else None
        rows.append(
            {
                "memory": name,
                "ours_ns": ours["wall_ns"],
                "makedumpfile_ns": theirs,
                "ratio": theirs / ours["wall_ns"] if theirs else None,
            }
        )
        path.unlink()
    return {"makedumpfile": label, "rows": rows}


def _exclusion_seconds(command: list[str], path: Path) -> float | None:
    """Run makedumpfile until it says how long the exclusion took; it need not go further."""
    line = [*command, "-d", "30", str(path), str(path) + ".out"]
    end = time.monotonic() + PATIENCE_SECONDS
    # A terminal, since into a pipe it would tell all at its very end.
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    seen = ""
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        try:
            while time.monotonic() < end:
                with suppress(OSError):
                    seen += os.read(ours, 65536).decode("latin-1")
                step = _STEP.search(seen)
                if step or process.poll() is not None:
                    return float(step[1]) if step else None
                time.sleep(0.05)
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)
    return None


def print_pages(result: dict[str, Any]) -> None:
    """Print the figures."""
    print(
        f"struct pages, one thread (target {result['target_ns']} ns a page, "
        f"{result['target_mib']} MiB)"
    )
    first = result["growth"][0]["wall_ns"]
    for row in result["growth"]:
        print(
            f"  {row['memory']:>8} {row['wall_ns']:6.1f} ns a page ({row['cpu_ns']:5.1f} of "
            f"processor), {row['mib']:4} MiB, growth {row['wall_ns'] / first:.2f}"
        )
    for name, row in result.items():
        if "thread" in name or "scattered" in name:
            print(f"  1 TiB, {name:26} {row['wall_ns']:6.1f} ns a page, {row['mib']:4} MiB")
    compared = result["makedumpfile"]
    if compared is None:
        print("  no makedumpfile here that reads such dumps (python tools/fetch_peers.py)")
        return
    print(f"beside makedumpfile ({compared['makedumpfile']}), its exclusion step on the same file")
    for row in compared["rows"]:
        theirs = row["makedumpfile_ns"]
        words = f"{theirs:7.0f} ns, ratio {row['ratio']:.0f}" if theirs else "gave none in time"
        print(f"  {row['memory']:>8} ours {row['ours_ns']:6.1f} ns a page, makedumpfile {words}")
