"""Flattened dumps from the outside: what is in them reads the same, damage is refused or said."""

from __future__ import annotations

import random
import resource
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

import vmemmap
from builders.content import address_words
from builders.elf_core import Segment, build_elf
from builders.flattened import END_MARK, HEADER_BYTES, SIGNATURE, build_flattened
from builders.kdump import build_kdump, plan_kdump
from builders.machine import Machine, build_machine
from containers.chain import HEADER, Record, chain, cut
from vmemmap.errors import (
    CorruptDump,
    DumpError,
    NotInDump,
    PageExcluded,
    Truncated,
    UnsupportedDump,
    VmemmapError,
)
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

BLOCK = 4096
CONTENT = {pfn: address_words(pfn * BLOCK, BLOCK, "little") for pfn in range(1, 24)}
KDUMP = build_kdump(CONTENT | {30: None}, block_size=BLOCK, codec="zlib")
ELF = build_elf(
    [
        Segment(BLOCK, b"".join(CONTENT.values())),
        Segment(30 * BLOCK, b"", memsz=BLOCK),
    ],
    align=BLOCK,
)
INNER = {"kdump": KDUMP, "elf": ELF}


@pytest.fixture
def open_bytes(tmp_path: Path) -> Callable[[bytes], PhysicalSource]:
    """Give a function that opens bytes as a dump; each replaces the one before."""
    path = tmp_path / "dump.flat"

    def open_it(data: bytes) -> PhysicalSource:
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return open_source(path)

    return open_it


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(byte_order="big", blocks=9)


@pytest.mark.parametrize("form", ["kdump", "elf"])
@pytest.mark.parametrize("record_bytes", [37, 4096, 1 << 20])
@pytest.mark.parametrize("skip_zero", [False, True])
def test_a_machine_inside(
    machine: Machine, tmp_path: Path, form: str, record_bytes: int, skip_zero: bool
) -> None:
    if record_bytes == 37 and form == "elf":
        record_bytes = 637  # its many zero pages make it larger
    inner = machine.kdump() if form == "kdump" else machine.elf()
    path = tmp_path / "dump.flat"
    path.write_bytes(build_flattened(inner, record_bytes=record_bytes, skip_zero=skip_zero))
    with vmemmap.open(path) as core:
        assert core.source.format == form
        assert core.source.warnings == []
        assert not core.source.is_incomplete()
        rows = zip(
            core.backing.node.tolist(),
            core.backing.phys.tolist(),
            core.backing.virt.tolist(),
            strict=True,
        )
        assert [*rows] == [tuple(entry) for entry in machine.entries]
        for block in machine.blocks:
            assert core.read(block.virt + 5, 70) == machine.content(block.virt + 5, 70)


@pytest.mark.parametrize("form", INNER)
def test_the_program_headers_may_come_last(open_bytes, form: str) -> None:
    """As in makedumpfile -F -E; and a later sub-header replaces the first, as with eraseinfo."""
    inner = INNER[form]
    garbage = b"\xee" * 512
    records = [(BLOCK, garbage), (100, garbage), *reversed(cut(inner, 512))]
    source = open_bytes(chain(records))
    check_pages(source, PageExcluded)


def check_pages(source: PhysicalSource, *allowed: type[Exception]) -> int:
    """Every page reads right or fails in an allowed way; gives how many read right."""
    right = 0
    for pfn in range(34):
        # Anything but these errors goes through to the test.
        may: tuple[type[Exception], ...] = (*allowed, PageExcluded, NotInDump)
        may = allowed if pfn in CONTENT else may
        try:
            found = source.read(pfn * BLOCK, BLOCK)
        except may:
            continue
        assert found == CONTENT.get(pfn), pfn
        right += 1
    return right


@pytest.mark.parametrize("form", INNER)
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_cut_anywhere_gives_right_bytes_or_an_error(open_bytes, form: str, seed) -> None:
    """Records in any order, so that what is lost may lie anywhere: in a header as well."""
    records = cut(INNER[form], 300)
    if seed is not None:
        random.Random(seed).shuffle(records)
    whole = chain(records)
    opened = 0
    step = max(1, (len(whole) - HEADER_BYTES) // 120)
    for length in [*range(0, HEADER_BYTES, 997), *range(HEADER_BYTES, len(whole), step)]:
        try:
            source = open_bytes(whole[:length])
        except DumpError:
            continue
        opened += 1
        check_pages(source, Truncated)
        assert source.is_incomplete(), length
        assert any("no end mark" in warning for warning in source.warnings)
        source.close()
    assert opened > 3
    source = open_bytes(whole[:-16])
    assert check_pages(source) == len(CONTENT)  # all is there but the mark
    assert source.is_incomplete()


@pytest.mark.parametrize("form", INNER)
def test_one_lost_record_anywhere(open_bytes, form: str) -> None:
    """Each record in turn is the one that the cut has taken."""
    records = cut(INNER[form], 700)
    for lost in range(len(records)):
        rest = records[:lost] + records[lost + 1 :]
        try:
            source = open_bytes(chain(rest, end=b""))
        except DumpError:
            continue
        check_pages(source, Truncated)
        assert source.is_incomplete(), lost
        source.close()


@pytest.mark.parametrize("version", [2, 4, 5, 6])
def test_a_lost_sub_header_is_not_read_as_zeros(open_bytes, version: int) -> None:
    """Zeros there mean "not split", which shifts every page of a member."""
    dump = build_kdump(CONTENT, block_size=BLOCK, version=version, split=(10, 24))
    rest = [record for record in cut(dump, BLOCK) if record[0] != BLOCK]
    with pytest.raises(CorruptDump):
        open_bytes(chain(rest, end=b""))


def test_a_lost_first_bitmap_is_not_read_as_zeros(open_bytes) -> None:
    dump, plan = plan_kdump(CONTENT | {30: None}, block_size=BLOCK)
    rest = [record for record in cut(dump, BLOCK) if record[0] != plan.bitmap1_offset]
    with pytest.raises(CorruptDump, match="bitmap"):
        open_bytes(chain(rest, end=b""))


BAD_RECORDS = {
    "offset -2": struct.pack(">qq", -2, 5),
    "lowest offset": struct.pack(">qq", -(1 << 63), 5),
    "offset 2^50 and more": struct.pack(">qq", (1 << 50) + 1, 5),
    "highest offset": struct.pack(">qq", (1 << 63) - 1, 5),
    "size 0": struct.pack(">qq", 0, 0),
    "size -1": struct.pack(">qq", 4096, -1),
    "lowest size": struct.pack(">qq", 4096, -(1 << 63)),
    "highest size": struct.pack(">qq", 4096, (1 << 63) - 1),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
@pytest.mark.parametrize("position", [0, 3])
def test_impossible_records(open_bytes, name: str, position: int) -> None:
    records = [chain([record], end=b"")[HEADER_BYTES:] for record in cut(KDUMP, 4096)]
    records.insert(position, BAD_RECORDS[name] + b"xxxxx")
    with pytest.raises(CorruptDump, match=rf"record {position} of the flattened dump.*expected"):
        open_bytes(HEADER + b"".join(records) + END_MARK)


def test_size_past_the_end_of_the_file_is_a_cut(open_bytes) -> None:
    body = chain(cut(KDUMP, 4096), end=b"") + struct.pack(">qq", len(KDUMP), 1 << 40) + b"tail"
    source = open_bytes(body)
    assert check_pages(source) == len(CONTENT)
    assert source.is_incomplete()


@pytest.mark.parametrize(("kind", "version"), [(0, 1), (2, 1), (1, 0), (1, 2), (1 << 56, 1 << 56)])
def test_type_and_version(open_bytes, kind: int, version: int) -> None:
    data = build_flattened(KDUMP, format_type=kind, format_version=version)
    with pytest.raises(CorruptDump, match=r"flattened header.*expected (type|version) 1"):
        open_bytes(data)


@pytest.mark.parametrize("depth", [2, 3])
def test_nested_wrappers(open_bytes, depth: int) -> None:
    data = KDUMP
    for _ in range(depth):
        data = build_flattened(data)
    with pytest.raises(UnsupportedDump, match="flattened twice"):
        open_bytes(data)


def test_something_else_inside(open_bytes) -> None:
    for inner in (b"hello, world" * 9, b"\x28\xb5\x2f\xfd" + bytes(90), SIGNATURE[:8]):
        with pytest.raises(DumpError):
            open_bytes(build_flattened(inner))


HOLE: list[Record] = [(1 << 49, b"x")]


def hostile_dumps() -> Iterator[tuple[str, bytes]]:
    """Headers that point into a hole of half a petabyte, which is "in the file"."""
    for bits in (33, 40, 46):
        blocks = 2 * -(-(1 << bits) // 8 // 65536)
        yield (
            f"max_mapnr 2^{bits}",
            build_kdump(
                {1: bytes(65536)},
                block_size=65536,
                header={"bitmap_blocks": min(blocks, (1 << 32) - 1)},
                sub_header={"max_mapnr_64": 1 << bits},
            ),
        )
    for count in (1 << 26, (1 << 32) - 1):
        elf = bytearray(build_elf([Segment(0, b"")], xnum=True))
        section = int.from_bytes(elf[40:48], "little")
        elf[section + 44 : section + 48] = count.to_bytes(4, "little")
        yield f"{count} program headers", bytes(elf)
    for bits in (32, 40, 48):
        elf_hole = build_elf([Segment(0, b"y", memsz=1 << bits, filesz=1 << bits)])
        yield f"a PT_LOAD of 2^{bits}", elf_hole
    yield "notes", build_elf([Segment(0, b"y")], b"n" * 16, note_header={"p_filesz": 1 << 48})


HOSTILE = dict(hostile_dumps())


@pytest.fixture
def ten_seconds() -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise AssertionError("it took more than 10 seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("ten_seconds")
def test_claims_about_a_hole_cost_nothing(open_bytes, name: str) -> None:
    """Under 10 s and 300 MB, and no exception but ours: the limits of the project."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        source = open_bytes(chain([(0, HOSTILE[name]), *HOLE]))
        core = vmemmap.Vmcore(source)
        source.ranges()
        source.is_incomplete()
        _ = core.facts  # searches the memory for VMCOREINFO
    except VmemmapError:
        pass
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300 << 10, f"{grown >> 10} MB"
