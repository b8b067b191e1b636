"""Measures the start: short questions asked of a real dump, and where the time of one goes."""

from __future__ import annotations

import lzma
import statistics
import sys
from pathlib import Path
from typing import Any

import child
from builders.busy_machine import write_busy_machine
from rows import Figure, Row, Target, in_turn

REAL = Path(__file__).resolve().parent.parent / "tests" / "corpus" / "hash-64k-6.1" / "dump.xz"
COMMANDS = {
    "info": (),
    "vtop": ("c00c000000000040",),
    "list": (),
    "check": (),
    "page": ("0x100",),
    "usage": (),
}
"""Each with what it needs beside the dump."""
_EXIT_CODES = (0, 1)
"""A dump cut to its metadata has findings."""
_ROUNDS = 9
_STEPS = """
import sys
told = []
def step(name):
    told.append([name, time.process_time()])
step("Python's own start")
import vmemmap.cli.main
import vmemmap.cli.usage
import numpy
step("imports: numpy, the command line")
import vmemmap.vmcore
step("imports: the readers of dumps")
core = vmemmap.open(sys.argv[1])
step("opening the dump, the facts of its kernel")
core.backing
step("walk of the list")
core.page_model.exclusions
step("sections, the struct page's layout, memory ranges")
usage = core.usage()
step("counting the pages")
from vmemmap.report import usage as report
list(report.lines(report.record(core, usage, None)))
step("text")
tell((0, 0), steps=told)
"""


def bench_start(folder: Path) -> list[Row]:
    """Ask a real dump of 64 KiB pages six short questions, each a whole command.

    The limit is what the import of numpy takes, Python's own start included; all take turns.
    """
    path = folder / "real"
    path.write_bytes(lzma.decompress(REAL.read_bytes()))
    lines = {name: (name, path, *more) for name, more in COMMANDS.items()}
    # As the command does it, without threads for linear algebra: they would be counted, too.
    alone = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; import numpy"
    sides = [lambda: child.run(sys.executable, "-c", alone)]
    sides += [
        lambda line=line: child.run(*child.COMMAND, *line, expected=_EXIT_CODES)  # type: ignore[misc]
        for line in lines.values()
    ]
    limit, *figures = in_turn(sides, _ROUNDS)
    assert limit is not None
    path.unlink()
    return [
        Row(
            f"`{name}` of a real dump, the whole command",
            "s",
            figure,
            limit=Figure(limit.runs, "`import numpy`"),
            target=Target(most=0.25),
        )
        for name, figure in zip(lines, figures, strict=True)
        if figure is not None
    ]


def bench_steps(folder: Path) -> list[dict[str, Any]]:
    """Tell where the processor time of `usage` on 64 GiB goes: seconds for each step, medians."""
    path = folder / "steps"
    write_busy_machine(path, 64 << 30)
    runs = [child.ask(_STEPS, path)["steps"] for _ in range(_ROUNDS + 1)][1:]
    path.unlink()
    names = [name for name, _ in runs[0]]
    ends = [[end for _, end in run] for run in runs]
    taken = [[b - a for a, b in zip([0.0, *run], run, strict=False)] for run in ends]
    return [
        {"step": name, "seconds": statistics.median(run[at] for run in taken)}
        for at, name in enumerate(names)
    ]
