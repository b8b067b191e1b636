"""Hostile kdump headers and descriptors, a test for each row of dump-formats.md 1.11."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from builders.byte_order import Order
from builders.content import address_words
from builders.kdump import PageContent, build_kdump, plan_kdump
from builders.machine import build_machine
from vmemmap.errors import (
    CorruptDump,
    CorruptPage,
    NotInDump,
    PageExcluded,
    PageLost,
    ReadError,
    Truncated,
    VmemmapError,
)
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
BLOCK = 4096


def page(pfn: int) -> bytes:
    return address_words(pfn * BLOCK, BLOCK, "little")


PAGES: dict[int, PageContent] = {3: page(3), 4: page(4), 9: page(9)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("field", "at", "value"),
    [
        *(("block_size", 428, v) for v in (0, -1, -4096, -(2**31), 1, 3, 512, 2048, 4095, 4097)),
        *(("block_size", 428, v) for v in (12288, 65535, 131072, 2**30, 2**31 - 1)),
        *(("sub_hdr_size", 432, v) for v in (0, -1, -(2**31), 50, 2**20, 2**31 - 1)),
        ("bitmap_blocks", 436, 0),
        *(("header_version", 8, v) for v in (-1, -6, -(2**31), 17, 100, 2**31 - 1)),
    ],
)
def test_impossible_header_field(
    open_bytes: Open, order: Order, field: str, at: int, value: int
) -> None:
    data = build_kdump(PAGES, block_size=BLOCK, order=order, header={field: value})
    with pytest.raises(CorruptDump, match=f"{field}.*expected.*found {value}$") as caught:
        open_bytes(data)
    assert caught.value.file_offset == at
    assert caught.value.path


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("level", "told"), [(31, 31), (0, 0), (32, None), (-1, None)])
def test_a_dump_level_that_there_is_not_is_unknown(
    open_bytes: Open, order: Order, level: int, told: int | None
) -> None:
    source = open_bytes(
        build_kdump(PAGES, block_size=BLOCK, order=order, sub_header={"dump_level": level})
    )
    assert source.dump_level == told
    assert [f"dump level {level};" in text for text in source.warnings] == [True] * (told is None)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("wrong", [4096, 8192, 16384, 32768])
def test_block_size_plausible_but_wrong(open_bytes: Open, order: Order, wrong: int) -> None:
    """The sub-header is then looked for in the wrong place, and found to be none."""
    machine = build_machine(blocks=2)
    with pytest.raises(CorruptDump, match=r"expected.*found"):
        open_bytes(machine.kdump(order=order, header={"block_size": wrong}))


def never_wrong(source: PhysicalSource, known: dict[int, PageContent]) -> None:
    """Each page reads right, or fails with a reason."""
    for pfn, content in known.items():
        blamed = pfn * BLOCK
        try:
            assert source.read(pfn * BLOCK, BLOCK) == content
        except ReadError as error:
            blamed = error.phys
        assert blamed == pfn * BLOCK


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", [1, 3, 4, 5, 100, 1 << 20, 2**31 - 1, 2**31, 2**32 - 1])
def test_bitmap_blocks(open_bytes: Open, order: Order, blocks: int) -> None:
    data = build_kdump(PAGES, block_size=BLOCK, order=order, header={"bitmap_blocks": blocks})
    if blocks > 100:
        with pytest.raises(CorruptDump, match=r"bitmap.*expected.*found.*cut off"):
            open_bytes(data)
        return
    try:
        source = open_bytes(data)
    except CorruptDump:
        return
    never_wrong(source, PAGES)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_sub_hdr_size_plausible_but_wrong(open_bytes: Open, order: Order, blocks: int) -> None:
    data = build_kdump(PAGES, block_size=BLOCK, order=order, header={"sub_hdr_size": blocks})
    try:
        source = open_bytes(data)
    except CorruptDump:
        return
    never_wrong(source, PAGES)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("value", [0, 1 << 20, 1 << 40, 1 << 47, 1 << 62, 2**63, 2**64 - 1])
def test_max_mapnr_64(open_bytes: Open, order: Order, value: int) -> None:
    fields = {"max_mapnr_64": value}
    with pytest.raises(CorruptDump, match=f"max_mapnr.*expected 1 to .*found {value}$") as caught:
        open_bytes(build_kdump(PAGES, block_size=BLOCK, order=order, sub_header=fields))
    assert caught.value.file_offset == BLOCK + 96


@pytest.mark.parametrize("value", [0, 1 << 20, 2**32 - 1])
def test_max_mapnr_before_version_six(open_bytes: Open, value: int) -> None:
    data = build_kdump(PAGES, block_size=BLOCK, version=5, header={"max_mapnr": value})
    with pytest.raises(CorruptDump, match="max_mapnr") as caught:
        open_bytes(data)
    assert caught.value.file_offset == 440


def test_max_mapnr_too_small_hides_pages_but_shifts_none(open_bytes: Open) -> None:
    source = open_bytes(build_kdump(PAGES, block_size=BLOCK, sub_header={"max_mapnr_64": 5}))
    assert source.read(3 * BLOCK, 2 * BLOCK) == page(3) + page(4)
    with pytest.raises(NotInDump):
        source.read(9 * BLOCK, 1)


@pytest.mark.parametrize("keep", [8, 16, 463, 464, BLOCK, BLOCK + 50, BLOCK + 103, 2 * BLOCK])
def test_headers_cut_short(open_bytes: Open, keep: int) -> None:
    data = build_kdump(PAGES, block_size=BLOCK)
    with pytest.raises(CorruptDump, match=r"expected.*found"):
        open_bytes(data[:keep])


def damaged(fields: dict[str, int], codec: str = "raw", order: Order = "little") -> bytes:
    """A sound file but for the descriptor of page 4."""
    return build_kdump(
        PAGES, block_size=BLOCK, order=order, codec=codec, share_zero=False, descriptors={4: fields}
    )


def fails(source: PhysicalSource, kind: type[VmemmapError], words: str) -> None:
    """Page 4 fails as said, on every try, and its neighbours are still right."""
    for _ in range(2):
        with pytest.raises(kind, match=words) as caught:
            source.read(4 * BLOCK, BLOCK)
        assert f"{4 * BLOCK:#x}" in str(caught.value)
        assert source.read(3 * BLOCK, BLOCK) == page(3)
        assert source.read(9 * BLOCK, BLOCK) == page(9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("beyond", [0, 1, 1 << 31, 1 << 40, (1 << 63) - 20000, 1 << 63])
def test_descriptor_offset_past_the_end(open_bytes: Open, order: Order, beyond: int) -> None:
    size = len(damaged({}))
    source = open_bytes(damaged({"offset": size + beyond}, order=order))
    fails(source, Truncated, f"{size + beyond:#x}.*ends at {size:#x}")


def test_descriptor_offset_wraps(open_bytes: Open) -> None:
    fails(open_bytes(damaged({"offset": 2**64 - 1})), Truncated, "ends at")


@pytest.mark.parametrize("offset", [1, 464, BLOCK, BLOCK + 104, 2 * BLOCK, 4 * BLOCK - 1])
def test_descriptor_offset_inside_the_headers(open_bytes: Open, offset: int) -> None:
    fails(open_bytes(damaged({"offset": offset})), CorruptPage, f"{offset:#x}.*inside the headers")


@pytest.mark.parametrize("into", [0, 1, 24, 71])
def test_descriptor_offset_inside_the_descriptors(open_bytes: Open, into: int) -> None:
    _, plan = plan_kdump(PAGES, block_size=BLOCK, codec="raw", share_zero=False)
    assert plan.data_offset - plan.descriptors_offset == 72
    source = open_bytes(damaged({"offset": plan.descriptors_offset + into}))
    fails(source, CorruptPage, "inside")


@pytest.mark.parametrize("flags", [0, 1, 2, 4, 0x20])
@pytest.mark.parametrize("size", [0, BLOCK + 1, 1 << 16, 1 << 30, 0x80000000, 0xFFFFFFFF])
def test_descriptor_size(open_bytes: Open, flags: int, size: int) -> None:
    source = open_bytes(damaged({"size": size, "flags": flags}))
    fails(source, CorruptPage, f"expected 1 to {BLOCK} bytes.*says {size}$")


@pytest.mark.parametrize("size", [1, 100, BLOCK - 1])
def test_short_raw_page(open_bytes: Open, size: int) -> None:
    fails(open_bytes(damaged({"size": size})), CorruptPage, f"{BLOCK} bytes, this one {size}$")


@pytest.mark.parametrize(
    "flags", [8, 0x10, 0x40, 0x80000000, 3, 5, 6, 0x21, 0x22, 0x24, 0xFFFFFFFF]
)
def test_unknown_and_double_codec_flags(open_bytes: Open, flags: int) -> None:
    source = open_bytes(damaged({"flags": flags}))
    fails(source, CorruptPage, f"expected the flag of one codec.*found {flags:#x}$")


@pytest.mark.parametrize("flags", [1, 2, 4, 0x20])
def test_the_wrong_codec(open_bytes: Open, flags: int) -> None:
    """A raw page of addresses is no stream of any codec."""
    fails(open_bytes(damaged({"flags": flags})), CorruptPage, "cannot decode the page")


def test_page_flags_mean_nothing(open_bytes: Open) -> None:
    source = open_bytes(damaged({"page_flags": 2**64 - 1}))
    assert source.read(4 * BLOCK, BLOCK) == page(4)


def test_all_zero_descriptor_is_lost_not_corrupt(open_bytes: Open) -> None:
    """Why the page was never written is known only if the header says so."""
    empty = {"offset": 0, "size": 0}
    fails(open_bytes(damaged(empty)), PageLost, "never wrote its page")
    marked = damaged(empty)[:424] + (8).to_bytes(4, "little") + damaged(empty)[428:]
    fails(open_bytes(marked), PageLost, "marked incomplete: its writer had no space left")


def test_trailing_bytes_after_a_zlib_stream_are_tolerated(open_bytes: Open) -> None:
    data, plan = plan_kdump(PAGES, block_size=BLOCK, codec="zlib", share_zero=False)
    offset, size = struct.unpack_from("<QI", data, plan.descriptors_offset + 24)
    again = build_kdump(
        PAGES, block_size=BLOCK, codec="zlib", share_zero=False, descriptors={4: {"size": size + 9}}
    )
    assert len(data) > offset + size + 9
    assert open_bytes(again).read(4 * BLOCK, BLOCK) == page(4)


@pytest.mark.parametrize("first", [3, 4])
@pytest.mark.parametrize("change", [{"flags": 0x40}, {"flags": 1}, {"size": 5}, {"size": 0}])
def test_two_descriptors_of_one_offset(
    open_bytes: Open, first: int, change: dict[str, int]
) -> None:
    """Page 4 borrows page 3's offset with other fields: what it gives depends on no history."""
    _, plan = plan_kdump(PAGES, block_size=BLOCK, codec="raw", share_zero=False)
    source = open_bytes(damaged({"offset": plan.data_offset} | change))
    if first == 3:
        assert source.read(3 * BLOCK, BLOCK) == page(3)
    fails(source, CorruptPage, "cannot decode")


@pytest.mark.parametrize("cut", [1, 23, 24, 25, 48, 71])
def test_descriptor_array_past_the_end(open_bytes: Open, cut: int) -> None:
    data, plan = plan_kdump(PAGES, block_size=BLOCK)
    source = open_bytes(data[: plan.data_offset - cut])
    assert source.is_incomplete()
    for pfn in PAGES:
        with pytest.raises(Truncated, match="cut off"):
            source.read(pfn * BLOCK, 1)
    with pytest.raises(NotInDump):
        source.read(0, 1)


def test_bitmap_two_beyond_bitmap_one(open_bytes: Open) -> None:
    """A page in the second map only is stored; one in the first only is excluded."""
    data, plan = plan_kdump({3: page(3), 4: None}, block_size=BLOCK)
    changed = bytearray(data)
    changed[plan.bitmap1_offset] = 1 << 4
    source = open_bytes(bytes(changed))
    assert source.read(3 * BLOCK, BLOCK) == page(3)
    with pytest.raises(PageExcluded):
        source.read(4 * BLOCK, 1)


@pytest.mark.parametrize("extra", [5, 6, 8])
def test_a_bit_too_many_in_bitmap_two(open_bytes: Open, extra: int) -> None:
    """There is one descriptor less than bits: the pages behind it must not be taken on trust."""
    data, plan = plan_kdump(PAGES, block_size=BLOCK, codec="raw", share_zero=False, max_mapnr=10)
    changed = bytearray(data)
    changed[plan.bitmap2_offset + extra // 8] |= 1 << extra % 8
    source = open_bytes(bytes(changed))
    assert source.read(4 * BLOCK, BLOCK) == page(4)
    with pytest.raises(ReadError):
        source.read(9 * BLOCK, BLOCK)
