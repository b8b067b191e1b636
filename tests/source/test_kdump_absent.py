"""Why a page of a kdump file cannot be had: five reasons, five exceptions, never a wrong byte."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from builders.byte_order import Order
from builders.content import address_words
from builders.kdump import LOST, PageContent, build_kdump, plan_kdump
from vmemmap.errors import (
    CorruptDump,
    CorruptPage,
    NotInDump,
    PageExcluded,
    PageLost,
    ReadError,
    Truncated,
)
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
BLOCK = 4096


def page(pfn: int) -> bytes:
    return address_words(pfn * BLOCK, BLOCK, "little")


@pytest.mark.parametrize("order", ORDERS)
def test_five_reasons(open_bytes: Open, order: Order) -> None:
    content: dict[int, PageContent] = {pfn: page(pfn) for pfn in (1, 4, 5)}
    content |= {2: None, 3: LOST}
    data, plan = plan_kdump(content, block_size=BLOCK, order=order, codec="raw", share_zero=False)
    assert plan.descriptor_pfns == (1, 3, 4, 5)
    damaged, _ = plan_kdump(
        content,
        block_size=BLOCK,
        order=order,
        codec="raw",
        share_zero=False,
        dump_level=17,
        descriptors={4: {"flags": 1}},
    )
    source = open_bytes(damaged[: plan.data_offset + 3 * BLOCK - 1])
    assert len(data) == plan.data_offset + 3 * BLOCK
    reasons: dict[int, type[ReadError]] = {
        0: NotInDump,
        2: PageExcluded,
        3: PageLost,
        4: CorruptPage,
        5: Truncated,
        6: NotInDump,
        1 << 40: NotInDump,
    }
    for pfn, expected in reasons.items():
        for into in (0, 1, BLOCK - 1):
            with pytest.raises(ReadError) as caught:
                source.read(pfn * BLOCK + into, 1)
            assert type(caught.value) is expected
            assert caught.value.phys == pfn * BLOCK + into
            assert f"{pfn * BLOCK + into:#x}" in str(caught.value)
    assert source.read(BLOCK, BLOCK) == page(1)
    with pytest.raises(PageExcluded, match="dump level 17"):
        source.read(2 * BLOCK, 1)


def test_a_read_names_the_first_bad_byte(open_bytes: Open) -> None:
    content: dict[int, PageContent] = {1: page(1), 2: page(2), 3: None, 4: page(4)}
    source = open_bytes(build_kdump(content, block_size=BLOCK))
    with pytest.raises(PageExcluded) as caught:
        source.read(BLOCK + 5, 4 * BLOCK)
    assert caught.value.phys == 3 * BLOCK


def test_incomplete_flag(open_bytes: Open) -> None:
    source = open_bytes(build_kdump({1: page(1), 2: LOST}, block_size=BLOCK))
    assert source.is_incomplete()
    assert any("incomplete" in warning for warning in source.warnings)
    assert source.read(BLOCK, BLOCK) == page(1)
    flagged = open_bytes(build_kdump({1: page(1)}, block_size=BLOCK, header={"status": 0x9}))
    assert flagged.is_incomplete()
    assert not open_bytes(build_kdump({1: page(1)}, block_size=BLOCK)).is_incomplete()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("codec", ["raw", "zlib"])
def test_every_truncation_of_the_data(open_bytes: Open, order: Order, codec: str) -> None:
    """Pages before the cut are right, those behind it are Truncated, and the dump says so."""
    content = {pfn: page(pfn) for pfn in range(1, 9)}
    data, plan = plan_kdump(
        dict(content),
        block_size=BLOCK,
        order=order,
        codec="raw" if codec == "raw" else "zlib",
        share_zero=False,
    )
    step = (len(data) - plan.descriptors_offset) // 60 + 1
    for end in range(plan.descriptors_offset, len(data), step):
        source = open_bytes(data[:end])
        assert source.is_incomplete()
        good = []
        for pfn, expected in content.items():
            blamed = pfn * BLOCK
            try:
                assert source.read(pfn * BLOCK, BLOCK) == expected
                good.append(pfn)
            except Truncated as error:
                blamed = error.phys
            assert blamed == pfn * BLOCK
        assert good == list(range(1, 1 + len(good)))
        assert len(good) < 8
        if codec == "raw":
            assert len(good) == max(end - plan.data_offset, 0) // BLOCK
    assert not open_bytes(data).is_incomplete()


@pytest.mark.parametrize("keep_last_map_bytes", [0, 1, 2, 3, 600])
def test_file_ending_inside_the_bitmaps_unused_tail(
    open_bytes: Open, keep_last_map_bytes: int
) -> None:
    """makedumpfile leaves the tail of the last bitmap a hole; an empty split member ends there."""
    content: dict[int, PageContent] = dict.fromkeys((1, 12))  # 13 bits: 2 bytes matter
    data, plan = plan_kdump(content, block_size=BLOCK, split=(13, 13))
    cut = data[: plan.bitmap2_offset + keep_last_map_bytes]
    if keep_last_map_bytes < 2:
        with pytest.raises(CorruptDump, match=r"bitmap.*cut off"):
            open_bytes(cut)
        return
    source = open_bytes(cut)
    assert source.ranges().tolist() == [[BLOCK, 2 * BLOCK], [12 * BLOCK, 13 * BLOCK]]
    for pfn in (1, 12):
        with pytest.raises(PageExcluded):
            source.read(pfn * BLOCK, 1)
    with pytest.raises(NotInDump):
        source.read(2 * BLOCK, 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("version", [2, 5, 6])
def test_split_member(open_bytes: Open, version: int, order: Order) -> None:
    content: dict[int, PageContent] = {pfn: page(pfn) for pfn in (1, 5, 8, 9, 10, 30, 70)}
    content |= {6: None, 31: None}
    spans = [(0, 8), (8, 10), (10, 40), (40, 71)]
    for start, end in spans:
        source = open_bytes(
            build_kdump(content, block_size=BLOCK, order=order, version=version, split=(start, end))
        )
        assert source.is_incomplete()
        assert any("split" in warning for warning in source.warnings)
        for pfn in range(80):
            address = pfn * BLOCK
            if pfn not in content:
                with pytest.raises(NotInDump):
                    source.read(address, 1)
            elif content[pfn] is None:
                with pytest.raises(PageExcluded):
                    source.read(address, 1)
            elif start <= pfn < end:
                assert source.read(address, BLOCK) == page(pfn)
            else:
                with pytest.raises(PageLost, match="member of this split dump"):
                    source.read(address, 1)
        here = [start <= pfn < end and content.get(pfn) is not None for pfn in range(80)]
        points = np.arange(80, dtype=np.uint64) * np.uint64(BLOCK)
        assert source.present_many(points).tolist() == here
        assert [source.is_present(int(point)) for point in points] == here


@pytest.mark.parametrize(
    ("start", "end"), [(5, 2), (1 << 60, 1 << 61), (0, 0), (71, 71), (2**64 - 1, 2**64 - 1)]
)
def test_split_with_no_pages_of_its_own(open_bytes: Open, start: int, end: int) -> None:
    """An empty or inverted range holds nothing; every page is lost, none is excluded or wrong."""
    content: dict[int, PageContent] = {pfn: page(pfn) for pfn in (1, 5, 70)}
    fields = {"split": 1, "start_pfn_64": start, "end_pfn_64": end}
    source = open_bytes(build_kdump(content, block_size=BLOCK, sub_header=fields))
    for pfn in content:
        with pytest.raises(PageLost):
            source.read(pfn * BLOCK, 1)
    assert not source.present_many(np.array([BLOCK, 5 * BLOCK], dtype=np.uint64)).any()


def test_bits_beyond_max_mapnr_do_not_count(open_bytes: Open) -> None:
    content: dict[int, PageContent] = {1: page(1), 2: page(2)}
    data, plan = plan_kdump(content, block_size=BLOCK)
    dirty = bytearray(data)
    for at in (plan.bitmap1_offset, plan.bitmap2_offset):
        dirty[at] |= 0xF8
        dirty[at + 1 : at + 100] = b"\xff" * 99
    source = open_bytes(bytes(dirty))
    assert source.ranges().tolist() == [[BLOCK, 3 * BLOCK]]
    assert source.read(BLOCK, 2 * BLOCK) == page(1) + page(2)
    with pytest.raises(NotInDump):
        source.read(3 * BLOCK, 1)
    assert not source.is_incomplete()
