"""Split kdump files: members together give every page, whatever their order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from builders.content import address_words
from builders.elf_core import Segment, build_elf
from builders.kdump import PageContent, build_kdump
from vmemmap.errors import (
    CorruptDump,
    DumpError,
    NotInDump,
    PageExcluded,
    PageLost,
    UnsupportedDump,
)
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

BLOCK = 4096


def page(pfn: int) -> bytes:
    return address_words(pfn * BLOCK, BLOCK, "little")


PAGES: dict[int, PageContent] = {pfn: page(pfn) for pfn in (1, 2, 5, 8, 9, 10, 30, 69, 70)}
PAGES |= {6: None, 31: None}
LIMIT = 71


def open_members(
    folder: Path, spans: Sequence[tuple[int, int]], **options: object
) -> PhysicalSource:
    paths = []
    for index, span in enumerate(spans):
        path = folder / f"member{index}"
        path.write_bytes(build_kdump(PAGES, block_size=BLOCK, split=span, **options))
        paths.append(path)
    return open_source(*paths)


def check(source: PhysicalSource, have: list[tuple[int, int]]) -> None:
    """Every page of the members at hand reads right; the others say why not."""
    for pfn in range(LIMIT + 5):
        address, content = pfn * BLOCK, PAGES.get(pfn)
        if pfn not in PAGES:
            with pytest.raises(NotInDump):
                source.read(address, 1)
        elif content is None:
            with pytest.raises(PageExcluded):
                source.read(address, 1)
        elif any(start <= pfn < end for start, end in have):
            assert source.read(address, BLOCK) == content
        else:
            with pytest.raises(PageLost):
                source.read(address, 1)
    here = [
        PAGES.get(pfn) is not None and any(start <= pfn < end for start, end in have)
        for pfn in range(LIMIT + 5)
    ]
    points = np.arange(LIMIT + 5, dtype=np.uint64) * np.uint64(BLOCK)
    assert source.present_many(points).tolist() == here
    assert [source.is_present(int(point)) for point in points] == here


@pytest.mark.parametrize("order", [*itertools.permutations([(0, 6), (6, 10), (10, 71)])])
@pytest.mark.parametrize("version", [2, 5, 6])
def test_members_in_any_order(
    tmp_path: Path, order: tuple[tuple[int, int], ...], version: int
) -> None:
    source = open_members(tmp_path, order, version=version)
    check(source, list(order))
    assert source.warnings == []
    assert not source.is_incomplete()
    assert source.read(8 * BLOCK, 3 * BLOCK) == page(8) + page(9) + page(10)
    source.close()


@pytest.mark.parametrize("position", range(3))
def test_empty_members_hide_nothing(tmp_path: Path, position: int) -> None:
    """makedumpfile gives small dumps empty members with start = end = max_mapnr."""
    spans = [(0, 10), (10, 71)]
    spans.insert(position, (71, 71))
    source = open_members(tmp_path, spans)
    check(source, spans)
    assert not source.is_incomplete()
    source.close()


@pytest.mark.parametrize("missing", range(3))
def test_a_missing_member_loses_its_pages_only(tmp_path: Path, missing: int) -> None:
    spans = [(0, 6), (6, 10), (10, 71)]
    start, end = spans.pop(missing)
    source = open_members(tmp_path, spans)
    check(source, spans)
    assert source.is_incomplete()
    assert [f"pfns {start} to {end}" in warning for warning in source.warnings] == [True]
    source.close()


@pytest.mark.parametrize(
    "spans", [[(0, 10), (9, 71)], [(0, 71), (0, 71)], [(0, 71), (20, 30)], [(0, 10), (0, 71)]]
)
def test_overlapping_members(tmp_path: Path, spans: list[tuple[int, int]]) -> None:
    with pytest.raises(CorruptDump, match=r"start_pfn.*expected.*found"):
        open_members(tmp_path, spans)


def mixed(folder: Path, other: bytes) -> DumpError:
    first, second = folder / "first", folder / "second"
    first.write_bytes(build_kdump(PAGES, block_size=BLOCK, split=(0, 10)))
    second.write_bytes(other)
    with pytest.raises(DumpError) as caught:
        open_source(first, second)
    assert caught.value.path == str(second)
    return caught.value


def test_a_member_of_another_dump(tmp_path: Path) -> None:
    other = build_kdump(PAGES, block_size=BLOCK, split=(10, 71), utsname={"release": "other"})
    error = mixed(tmp_path, other)
    assert isinstance(error, CorruptDump)
    assert "belongs to another dump" in str(error)


@pytest.mark.parametrize(
    "other",
    [build_kdump(PAGES, block_size=BLOCK), build_elf([Segment(0, page(0))])],
)
def test_a_file_that_is_no_member(tmp_path: Path, other: bytes) -> None:
    error = mixed(tmp_path, other)
    assert isinstance(error, UnsupportedDump)
    assert "name it alone" in str(error)


def test_only_the_incomplete_mark_may_differ(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[0].write_bytes(build_kdump(PAGES, block_size=BLOCK, split=(0, 10)))
    paths[1].write_bytes(
        build_kdump(PAGES, block_size=BLOCK, split=(10, 71), header={"status": 0x9})
    )
    source = open_source(*paths)
    check(source, [(0, 71)])
    assert source.is_incomplete()
    source.close()
