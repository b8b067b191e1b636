"""Measures what a server sees: requests and bytes of commands on dumps of 100 GB; and surveys."""

from __future__ import annotations

import os
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import child
from builders.huge_kdump import write_huge_kdump
from builders.huge_machine import huge_machine
from range_server import Served, serving
from vmemmap.simulate import Machine
from vmemmap.simulate.crash.damage import apply_damage
from vmemmap.simulate.crash.vmcore import write_vmcore

RAM_BYTES = 2 << 40
FILE_BYTES = 100 * 10**9
COMMANDS = ("list", "vtop", "dmesg", "info", "info --ranges")
SURVEYED = 1000
_SETTLED = 100
"""After so many dumps whatever is kept once and for all is there."""
_KINDS = tuple(product(("3.18", "4.9", "6.1", "7.1"), (4096, 65536), (None, "cycle_self")))

_LOOP = """
import sys
from pathlib import Path
from vmemmap.survey.answers import QUESTIONS, ask_dump
from vmemmap.survey.dumps import find_dumps
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
dumps = list(find_dumps([sys.argv[1]]))
settled = int(sys.argv[3])
for number in range(int(sys.argv[2])):
    row = ask_dump(dumps[number % len(dumps)], tuple(QUESTIONS))
    assert row["error"] is None, row["error"]
    if number + 1 == settled:
        begun, at = clock(), resident()
tell(begun, settled=at, at_end=resident(), kinds=len(dumps))
"""


def bench_far(folder: Path) -> list[dict[str, Any]]:
    """Ask commands of dumps on a web server on this machine, which counts; each twice.

    Returns:
        A row for each dump and command: its requests and MiB, the first time and the second.
    """
    web = folder / "web"
    web.mkdir()
    rows = []
    places = (
        ("pages of 64 KiB", 0x10000, None),
        ("pages of 4 KiB", 0x1000, None),
        ("pages of 4 KiB, list and log in the middle of memory", 0x1000, RAM_BYTES // 2),
    )
    for place, page_size, top in places:
        machine, entries = huge_machine("little", ram_bytes=RAM_BYTES, page_size=page_size, top=top)
        path = web / "vmcore"
        write_huge_kdump(path, machine, ram_bytes=RAM_BYTES, file_bytes=FILE_BYTES)
        with serving(web) as served:
            for command in COMMANDS:
                name, *options = command.split()
                line = (name, f"{served.url}/vmcore", *options, *_address(name, entries))
                cache = folder / "cache" / f"{page_size} {top} {command}"
                first, again = (_asked(served, line, cache) for _ in range(2))
                rows.append({"dump": place, "command": command, "first": first, "again": again})
        path.unlink()
    return rows


def _address(command: str, entries: list[tuple[int, int, int]]) -> tuple[str, ...]:
    return (f"{entries[0][2]:#x}",) if command == "vtop" else ()


def _asked(served: Served, line: tuple[str, ...], cache: Path) -> dict[str, float]:
    """Run a command, and give what the server saw of it."""
    served.forget()
    subprocess.run(
        [*child.COMMAND, *line],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    return {"requests": len(served.requests), "mib": served.sent_bytes / (1 << 20)}


def bench_survey(folder: Path) -> dict[str, Any]:
    """Ask small simulated dumps all that a survey asks, in one process: time, and what stays."""
    many = folder / "surveyed"
    many.mkdir()
    for number, (release, page_size, damage) in enumerate(_KINDS):
        machine = Machine(release=release, memory="1G", page_size=page_size, block_size=page_size)
        snapshot = machine.boot().snapshot()
        if damage is not None:
            apply_damage(snapshot, damage)
        write_vmcore(snapshot, many / f"{number}", lambda *_: None, "kdump", "zlib")
    told = child.ask(_LOOP, many, SURVEYED, _SETTLED)
    return {
        "dumps": SURVEYED,
        "kinds": told["kinds"],
        "settled_after": _SETTLED,
        "settled_mib": told["settled"],
        "at_end_mib": told["at_end"],
        "grown_mib": told["at_end"] - told["settled"],
        "cpu_ms_each": told["cpu"] / (SURVEYED - _SETTLED) * 1e3,
        "wall_ms_each": told["wall"] / (SURVEYED - _SETTLED) * 1e3,
    }
