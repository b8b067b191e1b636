"""Measure what the design promises, beside peers and beside the least that the work takes.

    make bench                        all of it: a table, build/bench.json, docs/speed.md
    python bench/run.py --only Lists  some sections, as a table
    ... --only Lists --renew          and they take the place of what build/bench.json had of them
    python bench/run.py --page        docs/speed.md again, from build/bench.json

All is measured in processor time beside wall time, and everybody in turn, so that no quiet machine
is needed for ratios. makedumpfile is a peer where a native one is found (``peer.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import page
import vmemmap
from builders.busy_machine import write_busy_machine
from drgn_reads import bench_drgn
from dumps import bench_decode, bench_many, bench_open
from far import bench_far, bench_survey
from filtering import bench_copies, bench_filter
from lists import bench_check, bench_list, bench_walk
from peer import VARIABLE, Makedumpfile, find_makedumpfile
from plot import draw_growth
from rows import Row
from scan import GROWTH, bench_columns, bench_growth, bench_scan, bench_whole
from simulate import bench_boot, bench_write
from start import bench_start, bench_steps
from translate import bench_list_translation, bench_table_translation

ROOT = Path(__file__).resolve().parent.parent
JSON = ROOT / "build" / "bench.json"
Part = Callable[[Path, Makedumpfile | None], list[Row]]
SECTIONS: dict[str, tuple[Part, ...]] = {
    "Struct pages": (bench_scan, lambda folder, _: bench_columns(folder)),
    "Whole commands": (bench_whole, lambda folder, _: bench_start(folder)),
    "Lists": (
        lambda folder, _: bench_list(folder),
        lambda folder, _: bench_walk(folder),
        lambda folder, _: bench_check(folder),
    ),
    "Translation": (
        lambda folder, _: bench_list_translation(folder),
        lambda folder, _: bench_table_translation(folder),
    ),
    "Dump files": (
        lambda folder, _: bench_open(folder),
        lambda folder, _: bench_decode(folder),
    ),
    "Filtering": (bench_filter, bench_copies),
    "drgn": (lambda folder, _: bench_drgn(folder),),
    "Simulated machines": (
        lambda _folder, _: bench_boot(),
        lambda folder, _: bench_write(folder),
    ),
}


def main() -> None:
    """Run what is asked for, print it, and keep it when it is all of it."""
    options = argparse.ArgumentParser(description="Measure the speed of vmemmap.")
    options.add_argument("--only", action="append", choices=SECTIONS, default=[])
    options.add_argument("--page", action="store_true", help="no measuring: only docs/speed.md")
    options.add_argument("--renew", action="store_true", help="keep what --only measures")
    asked = options.parse_args()
    if not asked.page:
        result = measure_sections(asked.only or list(SECTIONS), more=not asked.only)
        if asked.only and not asked.renew:
            return
        if asked.only:
            result = renewed(json.loads(JSON.read_text()), result, asked.only)
        JSON.parent.mkdir(exist_ok=True)
        JSON.write_text(json.dumps(result, indent=1) + "\n")
    result = json.loads(JSON.read_text())
    (ROOT / "docs" / "speed.md").write_text(page.fill(page.TEMPLATE.read_text(), result))
    draw_growth(ROOT / "docs" / "pages-growth.svg", result)
    print(
        f"{JSON.relative_to(ROOT)}, docs/speed.md and docs/pages-growth.svg are made from this run"
    )


def measure_sections(names: list[str], *, more: bool) -> dict[str, Any]:
    """Measure sections, and print their rows.

    Args:
        names: Of `SECTIONS`.
        more: Also what is no row: growth to 64 TiB, steps of a command, a thousand dumps, and
            what a web server sees.
    """
    begun = time.perf_counter()
    result: dict[str, Any] = {
        "machine": {
            "processor": processor(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "compiled": vmemmap.__compiled__,
            "load_at_start": os.getloadavg()[0],
        },
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = find_makedumpfile(write_busy_machine(folder / "tried", 32 << 30).path)
        if peer is None:
            print(f"no native makedumpfile in {VARIABLE} or on the PATH reads ppc64 dumps")
        result["makedumpfile"] = peer and peer.version
        parts = {name: SECTIONS[name] for name in names}
        if more:
            parts["Growth"] = (lambda folder, _: bench_growth(folder),)
        for section in parts:
            print(f"\n{section}", flush=True)
            for part in parts[section]:
                for row in part(folder, peer):
                    record = {"section": section} | row.record()
                    print("  " + page.line(record), flush=True)
                    result["rows"].append(record)
        if more:
            grown = [row for row in result["rows"] if row["section"] == "Growth"]
            result["growth"] = [
                {"memory": name, "blocks": count}
                | {key: row["ours"][key] for key in ("cpu", "wall", "mib")}
                for (name, count), row in zip(GROWTH.items(), grown, strict=True)
            ]
            result["steps"] = bench_steps(folder)
            result["many"] = bench_many(folder)
            result["survey"] = bench_survey(folder)
            result["far"] = bench_far(folder)
    result["machine"]["load_at_end"] = os.getloadavg()[0]
    result["seconds"] = time.perf_counter() - begun
    return result


def renewed(whole: dict[str, Any], part: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Put the rows of some sections in the place of those that a whole run has of them."""
    order = [*SECTIONS, "Growth"]
    rows = [row for row in whole["rows"] if row["section"] not in names] + part["rows"]
    rows.sort(key=lambda row: order.index(row["section"]))
    again = {"sections": names, "load": part["machine"]["load_at_start"]}
    return whole | {"rows": rows, "renewed": again}


def processor() -> str:
    """Give the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "cpu\t")):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
