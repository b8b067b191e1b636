"""What a file lacks is counted and placed: the first cause, which every command tells first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builders.elf_core import Segment, build_elf
from builders.flattened import build_flattened
from builders.kdump import LOST, build_kdump
from containers.chain import chain, cut
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

Open = Callable[[bytes], PhysicalSource]
BLOCK = 4096
PFNS = [*range(3, 40), *range(100, 160), *range(9000, 9010)]
COUNT = len(PFNS)


def page(pfn: int) -> bytes:
    return pfn.to_bytes(8, "little") * (BLOCK // 8)


def dump(lost: tuple[int, ...] = (), **more: object) -> bytes:
    """Raw pages, one behind the other, so that it is known where each lies."""
    pages = {pfn: LOST if pfn in lost else page(pfn) for pfn in PFNS}
    return build_kdump(pages, block_size=BLOCK, codec="raw", share_zero=False, **more)


def told(source: PhysicalSource, *, everywhere: bool = False) -> list[str]:
    return [str(loss) for loss in source.losses(everywhere=everywhere)]


def test_a_whole_file_lacks_nothing(open_bytes: Open) -> None:
    for data in (dump(), build_flattened(dump()), build_elf([Segment(0, page(1) * 3)])):
        source = open_bytes(data)
        assert told(source, everywhere=True) == []
        assert source.warnings == []


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("missing", [1, 2, 10, 11, 69, COUNT - 1, COUNT])
@pytest.mark.parametrize("into", [1, BLOCK])
def test_a_cut_off_file(open_bytes: Open, order: str, missing: int, into: int) -> None:
    data = dump(order=order)
    size = len(data) - missing * BLOCK + BLOCK - into
    source = open_bytes(data[:size])
    where = f", from pfn {PFNS[-missing]} on" if missing < COUNT else ""
    cut = f"the file is cut off at {size:#x}: {missing} of {COUNT} pages are lost{where}"
    assert told(source) == [cut]
    assert source.losses()[0].first_phys == PFNS[-missing] * BLOCK
    assert source.warnings == [cut]
    assert source.is_incomplete()


def test_a_file_cut_off_in_its_descriptors_has_no_page(open_bytes: Open) -> None:
    data = dump()
    for size in (len(data) - COUNT * BLOCK - 1, len(data) - COUNT * (BLOCK + 24)):
        lost = f"the file is cut off at {size:#x}: {COUNT} of {COUNT} pages are lost"
        assert told(open_bytes(data[:size])) == [lost]


@pytest.mark.parametrize("missing", [1, 30, COUNT])
def test_pages_that_were_never_written(open_bytes: Open, missing: int) -> None:
    """Why they were not is told only if the header says so."""
    where = f", from pfn {PFNS[-missing]} on" if missing < COUNT else ""
    lost = f"{missing} of {COUNT} pages are lost, since they were never written" + where
    marked = dump(tuple(PFNS[-missing:]))
    assert told(open_bytes(marked)) == [
        f"the dump is marked incomplete: its writer had no space left: {lost}"
    ]
    unmarked = dump(tuple(PFNS[-missing:]), header={"status": 0})
    assert told(open_bytes(unmarked)) == [
        f"the dump's writer did not finish, and the dump does not say why: {lost}"
    ]


def test_a_mark_alone(open_bytes: Open) -> None:
    source = open_bytes(dump(header={"status": 8}))
    assert told(source) == ["the dump is marked incomplete: its writer had no space left"]
    assert source.is_incomplete()


def test_pages_lost_in_the_middle_are_found_where_all_are_looked_at(open_bytes: Open) -> None:
    lost = (101, 103)
    source = open_bytes(dump(lost, header={"status": 0}))
    assert told(source, everywhere=True) == [
        f"page descriptors before the last are empty, and the dump does not say why: 2 of {COUNT} "
        "pages are lost, since they were never written, the first of them pfn 101"
    ]


@pytest.mark.parametrize("offset", [1 << 30, (1 << 64) - 1])
def test_a_damaged_descriptor_is_no_cut(open_bytes: Open, offset: int) -> None:
    source = open_bytes(dump(descriptors={PFNS[-3]: {"offset": offset}}))
    assert told(source) == [
        "damaged page descriptors point behind the end of the file, which is not cut off: "
        f"1 of {COUNT} pages are lost, the first of them pfn {PFNS[-3]}"
    ]


def test_a_flattened_file_names_its_own_end(open_bytes: Open) -> None:
    flat = chain(cut(dump(), BLOCK))
    size = len(flat) - 20 * (BLOCK + 16) - 5
    source = open_bytes(flat[:size])
    (line,) = told(source)
    assert line.startswith("the flattened dump has no end mark: it is cut off at 0x")
    lost = int(line.split(" of ")[0].split()[-1])
    assert f": {lost} of {COUNT} pages are lost, from pfn {PFNS[-lost]} on" in line
    assert lost == sum(not source.is_stored(pfn * BLOCK) for pfn in PFNS)
    assert source.warnings == [line]


@pytest.mark.parametrize("cut", [1, BLOCK, 3 * BLOCK + 5])
def test_a_cut_off_elf_file(open_bytes: Open, cut: int) -> None:
    data = build_elf([Segment(0, page(1) * 4), Segment(0x100000, page(2) * 4)])
    (line,) = told(open_bytes(data[:-cut]))
    start = 0x100000 + 4 * BLOCK - cut
    assert line == (
        f"the file is cut off at {len(data) - cut:#x}: {cut} of {8 * BLOCK} bytes of memory are "
        f"lost, from {start:#x} on (physical)"
    )


def test_missing_and_cut_members(tmp_path: Path) -> None:
    spans = [(0, 50), (50, 120), (120, 9010)]
    paths = [tmp_path / f"member{number}" for number in range(3)]
    for path, span in zip(paths, spans, strict=True):
        path.write_bytes(dump(split=span))
    source = open_source(*paths)
    assert told(source) == []
    source.close()
    paths[2].write_bytes(paths[2].read_bytes()[: -2 * BLOCK])
    source = open_source(paths[0], paths[2])
    missing, cut = told(source)
    assert missing == (
        "a member of this split dump is missing, the one with pfns 50 to 120: its pages are "
        f"lost, 20 of {COUNT}"
    )
    assert cut.startswith(f"member {paths[2]}: the file is cut off at 0x")
    assert cut.endswith("2 of 50 pages are lost, from pfn 9008 on")
    source.close()
