"""What makes it fast, counted: instructions a page, lines of Python, calls into the source.

No time is measured, so that it holds on a busy machine; ``make bench`` measures that. A bound is
what the work takes today and about half more.
"""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from breadth import trying
from builders.big_list import BigList, write_big_list
from builders.busy_machine import BusyMachine, write_busy_machine
from vmemmap.pages import one_pass
from vmemmap.report import list as list_report
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange
from vmemmap.simulate.steps import Access, Runner
from work import calls_into, instructions_in, lines_of

GIB = 1 << 30
PAGES = 1 << 19
"""Of the smallest busy machine that there is."""
LINEAR = 0xC000000000000000
FEW, MANY = 1 << 14, 1 << 16

only_compiled = pytest.mark.skipif(
    one_pass.compiled is None, reason="the compiled module is not there: it needs a compiler"
)
MACHINES: tuple[dict[str, Any], ...] = (
    {"ram_bytes": 32 * GIB, "page_size": 65536, "block_size": 65536, "byte_order": "little"},
    {"ram_bytes": 32 * GIB, "page_size": 65536, "block_size": 1 << 24, "byte_order": "big"},
    {"ram_bytes": 2 * GIB, "page_size": 4096, "block_size": 1 << 24, "byte_order": "little"},
    {"ram_bytes": 2 * GIB, "page_size": 4096, "block_size": 65536, "byte_order": "big"},
)
"""Each half of a million pages."""

_COUNT = """
import sys
import vmemmap
for path in sys.argv[1:]:
    with vmemmap.open(path) as core:
        usage = core.usage()
        assert not usage.damaged and not usage.unknown
"""
_SCAN = """
import sys
import vmemmap
for path in sys.argv[1:]:
    with vmemmap.open(path) as core:
        assert sum(map(len, core.pages.scan())) == 1 << 19
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> list[BusyMachine]:
    """Two machines of each byte order."""
    folder = tmp_path_factory.mktemp("busy")
    return [
        write_busy_machine(folder / str(number), **shape) for number, shape in enumerate(MACHINES)
    ]


@pytest.mark.full
@only_compiled
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not there")
@pytest.mark.parametrize(
    ("code", "number", "most"),
    [
        pytest.param(_COUNT, 0, 70, id="count"),
        pytest.param(_SCAN, 1, 260, id="scan"),
    ],
)
def test_instructions_of_the_compiled_module_for_a_page(
    code: str, number: int, most: float, machines: list[BusyMachine], tmp_path: Path
) -> None:
    made = machines[number]
    each = instructions_in("_compiled", code, made.path, folder=tmp_path) / made.pages
    assert 10 < each < most


def test_a_busy_machine_is_counted_as_it_was_made(machines: list[BusyMachine]) -> None:
    for made in machines:
        with trying(str(made.path)), vmemmap.open(made.path) as core:
            usage = core.usage()
            assert {kind: usage.kinds[kind] for kind in made.counts} == made.counts
            assert sum(made.counts.values()) == usage.pages == PAGES


@only_compiled
def test_python_per_window_and_not_per_block(tmp_path: Path) -> None:
    """Blocks of 64 KiB are 256 times as many as those of 16 MiB, and take no more of it."""
    lines, reads = {}, {}
    for block_size in (1 << 16, 1 << 24):
        for ram_bytes in (64 * GIB, 256 * GIB):
            made = write_busy_machine(tmp_path / "vmcore", ram_bytes, block_size=block_size)
            with vmemmap.open(made.path) as core:
                _ = core.backing, core.page_model.exclusions
                core.usage()
                lines[ram_bytes, block_size] = [
                    lines_of(core.usage),
                    lines_of(lambda: sum(map(len, core.pages.scan()))),
                    lines_of(lambda: sum(map(len, core.pages.scan(("pfn", "kind"))))),
                ]
                reads[ram_bytes, block_size] = calls_into("source", core.usage)
    for ram_bytes in (64 * GIB, 256 * GIB):
        assert lines[ram_bytes, 1 << 16] == lines[ram_bytes, 1 << 24]
        assert reads[ram_bytes, 1 << 16] == reads[ram_bytes, 1 << 24]
    million = 3 * (64 * GIB >> 16) / 1e6
    few, many = lines[64 * GIB, 1 << 16], lines[256 * GIB, 1 << 16]
    for a, b, most in zip(few, many, (2700, 9700, 6900), strict=True):
        assert (b - a) / million < most
    assert (reads[256 * GIB, 1 << 16] - reads[64 * GIB, 1 << 16]) / million < 15


def _printed(rows: Callable[[Any], Iterable[str]]) -> Callable[[Any], Any]:
    return lambda core: sum(map(len, rows(core)))


WORK: dict[str, tuple[Callable[[Any], Any], float]] = {
    "walk": (lambda core: core.backing, 0.07),
    "check": (lambda core: core.check(), 0.1),
    "list as text": (_printed(list_report.lines), 0.16),
    "list as csv": (_printed(list_report.csv_lines), 0.13),
    "list as crash has it": (_printed(list_report.crash_lines), 0.11),
}
"""What is asked of a list, and the lines of Python that an entry may take."""


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> list[BigList]:
    """A short list and a long one, with struct pages to look at."""
    folder = tmp_path_factory.mktemp("lists")
    content = folder / "content"
    content.write_bytes(bytes(range(256)) * (1 << 12))
    return [
        write_big_list(
            folder / str(nodes), nodes=nodes, top_down=True, struct_pages="content", content=content
        )
        for nodes in (FEW, MANY)
    ]


def _lines_an_entry(lists: list[BigList], ask: Callable[[Any], Any], **how: bool) -> float:
    """Give the lines of Python that each further entry takes, opening the dump included."""

    def whole(path: Path) -> None:
        with vmemmap.open(path, **how) as core:  # type: ignore[arg-type]
            ask(core)

    whole(lists[0].path)  # imports
    few, many = (lines_of(partial(whole, big.path)) for big in lists)
    return (many - few) / (MANY - FEW)


def test_no_python_for_an_entry_of_a_list(lists: list[BigList]) -> None:
    for name, (ask, most) in WORK.items():
        with trying(name):
            assert _lines_an_entry(lists, ask) < most


def test_memory_for_an_entry_of_a_list(lists: list[BigList]) -> None:
    """Three numbers of 8 bytes are kept of each; what else is made is made of a part alone."""

    def peak(big: BigList) -> int:
        with vmemmap.open(big.path) as core:
            _ = core.list_facts
            tracemalloc.start()
            try:
                assert len(core.backing) == len(big.node)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(lists[0])  # imports
    few, many = map(peak, lists)
    assert (many - few) / (MANY - FEW) < 60


def _write(big: BigList, virt: int, word: int) -> None:
    with vmemmap.open(big.path) as core:
        offset = core.source.file_offset(virt - LINEAR)
    assert offset is not None
    with big.path.open("r+b") as file:
        file.seek(offset)
        file.write(word.to_bytes(8, "little"))


@pytest.mark.parametrize(
    ("code", "check_most", "rescue_most", "edit"),
    [
        ("list_cycle", 0.12, 0.12, lambda big: (big.node[-1], big.node[0])),
        ("list_truncated", 0.13, 11, lambda big: (big.node[FEW // 2], 0)),
        ("virt_duplicate", 0.19, 21, lambda big: (big.node[FEW // 2] + np.uint64(16), big.virt[0])),
        ("phys_duplicate", 0.1, 0.1, lambda big: (big.node[FEW // 2] + np.uint64(8), big.phys[0])),
    ],
    ids=["cycle", "cut short", "same address", "same block"],
)
def test_damage_does_not_make_it_slow(
    code: str,
    check_most: float,
    rescue_most: float,
    edit: Callable[[BigList], tuple[Any, int]],
    lists: list[BigList],
) -> None:
    before = [big.path.read_bytes() for big in lists]
    try:
        for big in lists:
            virt, word = edit(big)
            _write(big, int(virt), int(word))
        with vmemmap.open(lists[0].path) as core:
            assert code in {finding.code for finding in core.check().findings}
        assert _lines_an_entry(lists, lambda core: core.check()) < check_most
        assert _lines_an_entry(lists, lambda core: core.backing, rescue=True) < rescue_most
    finally:
        for big, data in zip(lists, before, strict=True):
            big.path.write_bytes(data)


def test_translation_in_bulk_is_some_lines_for_a_batch(lists: list[BigList]) -> None:
    with vmemmap.open(lists[1].path) as core:
        virt = core.backing.virt
        core.vtop_many(virt)
        few, many = (lines_of(partial(core.vtop_many, np.tile(virt, often))) for often in (4, 16))
        assert many - few < 45 * 12
        assert lines_of(lambda: [core.vtop(each) for each in virt[:100].tolist()]) < 100 * 75


def test_memory_is_removed_without_a_stop_at_each_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each block that goes, the kernel walks its list; nobody can look in between."""
    stops: list[Access] = []
    admit = Runner.admit

    def count(runner: Runner, access: Access) -> None:
        stops.append(access)
        admit(runner, access)

    monkeypatch.setattr(Runner, "admit", count)
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, GIB // 4),),
        page_size=4096,
        block_size=4096,
        events=(
            HotplugEvent("add", 4 * GIB, GIB // 16),
            HotplugEvent("remove", 4 * GIB, GIB // 16),
        ),
    )
    machine = Machine(spec).boot().run_events()
    assert [outcome.word for outcome in machine.outcomes[-2:]] == ["done", "done"]
    assert len(stops) == machine.runner.stores > 1000
