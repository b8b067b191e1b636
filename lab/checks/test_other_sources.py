"""Memory that comes another way than as a dump of the crash: the capture kernel's, and /proc/kcore.

The capture kernel runs where it was loaded, and not where it was linked: what it says of itself is
what a relocated kernel is to look like.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vmemmap
from lab.checks.guest_kernel import Symbol, parse_kallsyms
from lab.checks.guest_memory import system_ram
from lab.checks.machine_facts import fullest, said
from lab.results import CAPTURE_DUMP, KCORE, Result


@pytest.fixture
def captures_kallsyms(machine: Result) -> list[Symbol]:
    """Where the capture kernel said that its symbols are."""
    return [row for row in parse_kallsyms(said(machine, "capture/kallsyms")) if not row.module]


def existing(machine: Result, name: str) -> Path:
    """Give a file that only some machines leave."""
    path = machine.folder / name
    if not path.exists():
        pytest.skip(f"the machine leaves no {name}")
    return path


@pytest.fixture(params=["own", "vmlinux"])
def capture(machine: Result, request: pytest.FixtureRequest) -> Iterator[vmemmap.Vmcore]:
    """The capture kernel's memory, by its own symbols and by those of its vmlinux."""
    path, vmlinux = existing(machine, CAPTURE_DUMP), machine.debug_vmlinux
    if request.param == "vmlinux" and vmlinux is None:
        pytest.skip("there is no vmlinux with symbols")
    given = vmlinux if request.param == "vmlinux" else None
    with vmemmap.open(path, assume={"kernel": "2"}, vmlinux=given) as core:
        yield core


def test_a_relocated_kernels_symbols_are_where_it_says(
    capture: vmemmap.Vmcore, captures_kallsyms: list[Symbol]
) -> None:
    (stext,) = [row.address for row in captures_kallsyms if row.name == "_stext"]
    assert stext > 0xC << 60, "it was not relocated"
    try:
        found = {(symbol.address, symbol.name) for symbol in capture.symbols}
    except vmemmap.FactMissing as error:
        pytest.skip(f"the dump does not tell: {error}")
    expected = {(row.address, row.name) for row in captures_kallsyms}
    assert len(expected) > 30_000
    assert len(expected & found) > 0.99 * len(expected)
    assert b"KERNELOFFSET=0\n" in capture.vmcoreinfo_text + b"\n"


def test_a_relocated_kernel_has_its_own_list_and_log(
    machine: Result, capture: vmemmap.Vmcore
) -> None:
    assert [f for f in capture.check().findings if f.severity is not vmemmap.Severity.INFO] == []
    log = [record.line for record in capture.dmesg()]
    early = (machine.folder / "capture-dmesg.txt").read_text().splitlines()
    assert log[: len(early)] == early[: len(log)]
    page = capture.kernel.page_size.value
    ram = system_ram(said(machine, "capture/iomem"))
    assert capture.usage().kinds["free"] * page < sum(end - start for start, end in ram)


def test_kcore_copied_out_has_the_same_list(machine: Result) -> None:
    """A moment before QEMU's dump; of its memory as much as was there at boot."""
    path = existing(machine, KCORE)
    with (
        vmemmap.open(path) as core,
        vmemmap.open(machine.path(fullest(machine, "live"))) as later,
    ):
        assert list(core.backing) == list(later.backing)
        assert core.facts["release"].value == machine.release
        kinds, afterwards = core.usage().kinds, later.usage().kinds
        assert kinds["reserved"] == afterwards["reserved"]
        assert abs(kinds["free"] - afterwards["free"]) < 0.05 * afterwards["free"]
        assert [record.line for record in core.dmesg()][:100] == [
            record.line for record in later.dmesg()
        ][:100]


def test_drgn_finds_the_tasks_of_a_relocated_kernel(
    capture: vmemmap.Vmcore, machine: Result, captures_kallsyms: list[Symbol]
) -> None:
    """Without being told where it was moved it would read those of the kernel that crashed."""
    pytest.importorskip("drgn", reason="drgn is not installed")
    from drgn.helpers.linux.pid import for_each_task

    from vmemmap.drgn_plugin import load_debug_info, open_program

    if machine.debug_vmlinux is None:
        pytest.skip("there is no debugging information")
    program = open_program(capture)
    assert load_debug_info(program, [machine.debug_vmlinux]) is None
    places = {row.name: row.address for row in captures_kallsyms}
    assert program.symbol("schedule").address == places["schedule"]
    names = {task.comm.string_() for task in for_each_task(program, idle=True)}
    assert {b"swapper/0", b"kthreadd"} <= names
