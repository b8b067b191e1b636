"""Extracts of the guests' whole dumps: nothing planted comes through, and crash can begin.

The guests plant texts of their own wherever a secret can be (``lab/guest/plant.sh``). That the dump
itself has them says that looking for them means something.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import vmemmap
from extract.painted import memory_of
from lab.checks.crash_session import ask
from lab.checks.machine_facts import said
from lab.checks.opened import Opened
from lab.plant_program import MARK
from lab.results import Result
from vmemmap.extract.checker import check
from vmemmap.extract.manifest import manifest_path

PIECE_BYTES = 8
KINDS_AT_LEAST = 10
STEP = 16 << 20
ALL = ("dmesg", "symbols", "types", "crash")
SAME = ("help -m", "kmem -i", "kmem -n", "kmem -f")
OWN_WORDS = ("_read:", "pgd:", "pud:", "pmd:", "ptbl:", "machspec:")


def pieces_of(kinds: list[str]) -> list[bytes]:
    """Give every eight bytes in a row of what was planted, repeated and by itself."""
    found: dict[bytes, None] = {}
    for kind in kinds:
        text = MARK.format(kind).encode()
        repeated = text + b"\n" + text
        for at in range(len(repeated) - PIECE_BYTES + 1):
            found[repeated[at : at + PIECE_BYTES]] = None
    return list(found)


def memory(core: vmemmap.Vmcore) -> Iterator[bytes]:
    """Yield all memory that a dump has, in pieces that overlap."""
    for start, end in core.source.ranges().tolist():
        edges = [*range(start, end, STEP), end]
        for at, stop in pairwise(edges):
            yield core.source.read(at, min(stop + 64, end) - at)


@pytest.mark.parametrize("classes", [(), *((name,) for name in ALL), ALL], ids=str)
@pytest.mark.parametrize("form", ["kdump", "elf"])
def test_nothing_planted_comes_through(
    machine: Result, whole: Opened, classes: tuple[str, ...], form: str, tmp_path: Path
) -> None:
    kinds = said(machine, "planted").split()
    out = tmp_path / "shared"
    with vmemmap.open(machine.path(whole.dump), vmlinux=machine.debug_vmlinux) as core:
        core.extract(out, classes=classes, form=form)
    assert check(str(out)) == []
    decoded = b"\0".join(memory_of(out).values())
    raw = out.read_bytes() + manifest_path(out).read_bytes()
    found = [piece for piece in pieces_of(kinds) if piece in decoded or piece in raw]
    assert not found


def test_the_dump_has_all_that_was_planted(machine: Result, whole: Opened) -> None:
    kinds = said(machine, "planted").split()
    assert len(kinds) >= KINDS_AT_LEAST
    missing = {MARK.format(kind).encode() for kind in kinds}
    for part in memory(whole.core):
        missing = {text for text in missing if text not in part}
        if not missing:
            return
    codes = {finding.code for finding in whole.core.check().findings}
    if "memory_not_in_dump" in codes and len(missing) < KINDS_AT_LEAST // 2:
        pytest.skip(f"{len(missing)} lie in memory that was added later, and is not in the dump")
    assert not missing


def answers(said_by_crash: str) -> dict[str, list[str]]:
    """Give what crash answers to each command, without its own buffers."""
    found = {}
    for part in said_by_crash.split("\ncrash> ")[1:]:
        command, _, body = part.partition("\n")
        lines = [line.rstrip() for line in body.splitlines()]
        found[command] = [line for line in lines if not any(word in line for word in OWN_WORDS)]
    return found


def test_crash_says_the_same_of_memory(machine: Result, whole: Opened, tmp_path: Path) -> None:
    if whole.dump.maker == "qemu" and len(machine.dumps) > 2:
        pytest.skip("the dump of the crash stands for this machine")
    out = tmp_path / "shared"
    with vmemmap.open(machine.path(whole.dump), vmlinux=machine.debug_vmlinux) as core:
        core.extract(out, classes=["crash"])
    virts = [int(entry.virt) for entry in whole.core.backing][:8]
    text = "\n".join([*SAME, *(f"vtop {virt:x}" for virt in virts), "ps", "log", "q", ""])
    expected = answers(ask(machine, machine.path(whole.dump), text, f"{whole.dump.file}.asked"))
    manifest = manifest_path(out).read_text()
    found = answers(ask(machine, out, text, f"{whole.dump.file}.extract", manifest))
    for command in SAME:
        assert len(expected[command]) > 4
        assert found[command] == expected[command], command
    for virt in virts:
        command = f"vtop {virt:x}"
        assert found[command][1].split() == expected[command][1].split()
    assert not found["log"]
    assert len(found["ps"]) < len(expected["ps"])
