"""Split dumps as a user names them: members in any order, missing, double, foreign."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.byte_order import other
from builders.flattened import build_flattened
from builders.machine import Machine, build_machine
from vmemmap.errors import (
    CorruptDump,
    DumpError,
    NotInDump,
    PageLost,
    ReadError,
    UnsupportedDump,
)

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=12, node_order="shuffled")


@pytest.fixture(scope="module")
def limit(machine: Machine) -> int:
    return max(machine.pages) + 1


@pytest.fixture
def member(machine: Machine, tmp_path: Path) -> Write:
    """Give a function that writes a member of ``[start, end)`` under a name of its own."""
    number = itertools.count()

    def write(*span: int, of: Machine = machine, **options: Any) -> Path:
        path = tmp_path / f"member{next(number)}"
        path.write_bytes(of.kdump(split=span, **options))
        return path

    return write


def entries(core: vmemmap.Vmcore) -> list[tuple[int, int, int]]:
    table = core.backing
    columns = (table.node.tolist(), table.phys.tolist(), table.virt.tolist())
    return list(zip(*columns, strict=True))


def reads_right(core: vmemmap.Vmcore, machine: Machine, lost: range = range(0)) -> None:
    """Every page of memory, and what is beyond it."""
    size = machine.page_size
    for pfn in range(max(machine.pages) + 4):
        address = pfn * size
        if pfn not in machine.pages:
            with pytest.raises(NotInDump):
                core.read_phys(address, size)
        elif pfn in lost:
            with pytest.raises(PageLost):
                core.read_phys(address, size)
            assert not core.source.is_present(address)
        else:
            assert core.read_phys(address, size) == machine.memory.read(address, size)
    for address in (1 << 40, (1 << 64) - 1):
        with pytest.raises(NotInDump):
            core.read_phys(address, 1)


def test_any_order_with_empty_members(machine: Machine, limit: int, member: Write) -> None:
    paths = [member(0, 17), member(17, 23), member(23, limit), member(limit, limit)]
    for order in itertools.permutations(paths):
        with vmemmap.open(*order) as core:
            assert entries(core) == [tuple(entry) for entry in machine.entries]
            assert core.findings == ()
            assert core.source.warnings == []
            assert not core.source.is_incomplete()
    for members in (paths, paths[::-1]):
        with vmemmap.open(*members) as core:
            reads_right(core, machine)


def test_many_empty_members(machine: Machine, limit: int, member: Write) -> None:
    """As makedumpfile makes of a small dump: the first has all."""
    empty = [member(limit, limit) for _ in range(3)]
    for at in range(4):
        with vmemmap.open(*empty[:at], member(0, limit), *empty[at:]) as core:
            reads_right(core, machine)
            assert not core.source.is_incomplete()


def test_only_empty_members(machine: Machine, limit: int, member: Write) -> None:
    with vmemmap.open(member(limit, limit), member(limit, limit)) as core:
        assert core.source.is_incomplete()
        reads_right(core, machine, range(limit))
        with pytest.raises((ReadError, vmemmap.errors.FactError)):
            _ = core.backing


@pytest.mark.parametrize("missing", range(3))
def test_a_missing_member_is_named_by_its_pfns(
    machine: Machine, limit: int, member: Write, missing: int, run_vmemmap
) -> None:
    spans = [(0, 17), (17, 23), (23, limit)]
    start, end = spans.pop(missing)
    paths = [member(*span) for span in spans]
    words = f"the one with pfns {start} to {end}: its pages are lost"
    with vmemmap.open(*paths) as core:
        assert [words in warning for warning in core.source.warnings] == [True]
        assert core.source.is_incomplete()
        reads_right(core, machine, range(start, end))
    ran = run_vmemmap("info", *paths, "-f", "json")
    assert ran.json["dump"]["incomplete"] is True
    assert words in ran.err


def test_all_but_one_member_missing(machine: Machine, limit: int, member: Write) -> None:
    """A single member alone; two ranges are missing."""
    with vmemmap.open(member(17, 23)) as core:
        reads = range(17, 23)
        assert len(core.source.warnings) == 2
        for pfn in machine.pages:
            if pfn in reads:
                size = machine.page_size
                assert core.read_phys(pfn * size, size) == machine.memory.read(pfn * size, size)
            else:
                with pytest.raises(PageLost):
                    core.read_phys(pfn * machine.page_size, 1)


def test_a_read_over_the_border_of_members(machine: Machine, limit: int, member: Write) -> None:
    size = machine.page_size
    pfn = next(pfn for pfn in machine.pages if {pfn + 1, pfn + 2} <= machine.pages.keys())
    with vmemmap.open(member(pfn + 1, limit), member(0, pfn + 1)) as core:
        expected = machine.memory.read(pfn * size, 3 * size)
        assert core.read_phys(pfn * size, 3 * size) == expected
        assert core.read_phys(pfn * size + 7, size) == expected[7 : size + 7]
    with vmemmap.open(member(0, pfn + 1)) as core, pytest.raises(PageLost) as caught:
        core.read_phys(pfn * size, 3 * size)
    assert caught.value.phys == (pfn + 1) * size  # the first byte that cannot be had


@pytest.mark.parametrize("block_size", [4096, 65536])
@pytest.mark.parametrize("flat", [False, True])
def test_members_in_another_order_of_bytes(
    machine: Machine, limit: int, tmp_path: Path, member: Write, block_size: int, flat: bool
) -> None:
    scale = machine.page_size // block_size
    options = {"order": other(machine.byte_order), "block_size": block_size}
    spans = [(19 * scale + scale // 2, limit * scale), (0, 19 * scale + scale // 2)]
    paths = [member(*span, **options) for span in spans]
    if flat:
        for path in paths:
            path.write_bytes(build_flattened(path.read_bytes()))
    with vmemmap.open(*paths) as core:
        assert entries(core) == [tuple(entry) for entry in machine.entries]


def refused(kind: type[DumpError], words: str, blamed: Path, *paths: Path) -> None:
    with pytest.raises(kind, match=words) as caught:
        vmemmap.open(*paths)
    assert caught.value.path == str(blamed)


def test_the_same_member_twice(limit: int, member: Write) -> None:
    first, second = member(0, 20), member(20, limit)
    refused(CorruptDump, "named twice", first, first, second, first)
    refused(CorruptDump, "named twice", second, second, second)


def test_members_of_two_dumps(limit: int, member: Write) -> None:
    stranger = build_machine(blocks=12, release="6.1.0-51-powerpc64le")
    ours, theirs = member(0, 20), member(20, limit, of=stranger)
    refused(CorruptDump, "belongs to another dump", theirs, ours, theirs)
    refused(CorruptDump, "belongs to another dump", theirs, theirs, ours)


def test_members_written_at_different_times_are_one_dump(
    machine: Machine, limit: int, member: Write
) -> None:
    """As hosts write them that each have their own clock; makedumpfile itself copies one header."""
    paths = [member(0, 20), member(20, limit, timestamp=1)]
    with vmemmap.open(*paths) as core:
        (warning,) = core.source.warnings
        assert "written at 2 different times; all else in their headers agrees" in warning
        assert not core.source.is_incomplete()
        reads_right(core, machine, range(0))


def test_a_whole_dump_with_a_member(
    machine: Machine, limit: int, member: Write, tmp_path: Path
) -> None:
    whole, elf = tmp_path / "whole", tmp_path / "elf"
    whole.write_bytes(machine.kdump())
    elf.write_bytes(machine.elf())
    part = member(0, limit)
    for order in ((whole, part), (part, whole)):
        refused(UnsupportedDump, "not a member of a split dump.*name it alone", whole, *order)
    for order in ((elf, part), (part, elf)):
        refused(UnsupportedDump, "ELF file: name it alone", elf, *order)
    refused(UnsupportedDump, "name it alone", elf, elf, elf)
    refused(UnsupportedDump, "name it alone", whole, whole, whole)


def test_one_bad_member_is_the_one_to_blame(limit: int, member: Write, tmp_path: Path) -> None:
    good, bad = member(0, 20), tmp_path / "bad"
    bad.write_bytes(member(20, limit).read_bytes()[:70000])
    for order in ((good, bad), (bad, good)):
        with pytest.raises(DumpError) as caught:
            vmemmap.open(*order)
        assert caught.value.path == str(bad)
    with pytest.raises(DumpError) as caught:
        vmemmap.open(good, tmp_path / "missing")
    assert caught.value.path == str(tmp_path / "missing")


def test_no_dump_at_all() -> None:
    with pytest.raises((ValueError, TypeError)):
        vmemmap.open()
