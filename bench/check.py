"""Measures `check`: a million sound entries, and a million that go round for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import vmemmap
from builders.big_list import write_big_list
from dumps import median_seconds

NODES = 1 << 20
LINEAR = 0xC000000000000000
_WATCH = (
    "import resource, subprocess, sys;"
    "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def bench_check(folder: Path) -> dict[str, Any]:
    """Check 1,048,576 entries: as the boot leaves them, after heavy hotplug, and in a cycle."""
    result: dict[str, Any] = {"nodes": NODES, "target_seconds": 1.0, "target_mib": 300}
    content = folder / "check-content"
    content.write_bytes(bytes(range(256)) * (1 << 14))
    for name, order in (("boot", "boot"), ("shuffled", "shuffled"), ("cycle", "boot")):
        path = folder / f"check-{name}"
        built = write_big_list(path, node_order=order, struct_pages="content", content=content)  # type: ignore[arg-type]
        if name == "cycle":
            _close(path, int(built.node[-1]), int(built.node[0]))
        expected = {"list_cycle"} if name == "cycle" else set()

        def check(path: Path = path, expected: set[str] = expected) -> None:
            with vmemmap.open(path) as core:
                report = core.check()
                assert report.entries == NODES
                assert {finding.code for finding in report.findings} == expected

        result[f"{name}_seconds"] = median_seconds(check, 3)
        line = [sys.executable, "-c", _WATCH, sys.executable, "-m", "vmemmap", "check", str(path)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        result[f"{name}_mib"] = int(done.stdout) // 1024
    return result


def _close(path: Path, last: int, first: int) -> None:
    """Make the oldest node point to the newest."""
    with vmemmap.open(path) as core:
        offset = core.source.file_offset(last - LINEAR)
    assert offset is not None
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(first.to_bytes(8, "little"))


def print_check(result: dict[str, Any]) -> None:
    """Print the figures."""
    print(
        f"check {result['nodes']:,} entries (target {result['target_seconds']} s, "
        f"{result['target_mib']} MiB)"
    )
    for name in ("boot", "shuffled", "cycle"):
        print(f"  {name:18} {result[f'{name}_seconds']:8.3f} s {result[f'{name}_mib']:5} MiB")
