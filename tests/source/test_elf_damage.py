"""ELF vmcores cut short, with very many segments, and with the PN_XNUM escape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from builders.byte_order import Order
from builders.content import address_words
from builders.elf_core import Segment, build_elf
from builders.notes import kernel_notes
from vmemmap.errors import CorruptDump, NotInDump, PageExcluded, Truncated
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
PAGE = 4096


def content(phys: int, size: int) -> bytes:
    return address_words(phys, size, "big")


@pytest.mark.parametrize("kept", [0, 1, 100, PAGE, 2 * PAGE - 1])
def test_data_cut_short(open_bytes: Open, kept: int) -> None:
    """The last of two segments lacks its end; a part excluded anyway follows it."""
    segments = [
        Segment(0, content(0, PAGE)),
        Segment(0x10000, content(0x10000, 2 * PAGE), memsz=3 * PAGE),
    ]
    data = build_elf(segments, kernel_notes("little", vmcoreinfo=b"A=1\n"))
    source = open_bytes(data[: len(data) - 2 * PAGE + kept])
    assert source.is_incomplete()
    assert any("cut off" in warning for warning in source.warnings)
    assert source.read(0, PAGE) == content(0, PAGE)
    assert source.read(0x10000, kept) == content(0x10000, kept)
    with pytest.raises(Truncated, match="cut off") as caught:
        source.read(0x10000, 2 * PAGE)
    assert caught.value.phys == 0x10000 + kept
    with pytest.raises(PageExcluded):
        source.read(0x10000 + 2 * PAGE, 1)
    assert source.ranges().tolist() == [[0, PAGE], [0x10000, 0x10000 + 3 * PAGE]]
    points = np.array([0, 0x10000, 0x10000 + kept, 0x10000 + 2 * PAGE - 1], dtype=np.uint64)
    assert source.present_many(points).tolist() == [True, kept > 0, False, False]


def test_another_segment_fills_in_for_a_truncated_one(open_bytes: Open) -> None:
    """The first in file has the address but its bytes are gone; the second still has them."""
    segments = [
        Segment(0, b"", memsz=PAGE, filesz=PAGE, offset=1 << 40),
        Segment(0, content(0, PAGE)),
    ]
    source = open_bytes(build_elf(segments))
    assert source.read(0, PAGE) == content(0, PAGE)
    assert source.is_incomplete()


@pytest.mark.parametrize("offset", [1 << 31, 1 << 40, 1 << 63, 2**64 - 1, 2**64 - PAGE])
def test_data_wholly_past_the_end(open_bytes: Open, offset: int) -> None:
    segments = [
        Segment(0, b"", memsz=PAGE, filesz=PAGE, offset=offset),
        Segment(PAGE, content(PAGE, PAGE)),
    ]
    source = open_bytes(build_elf(segments))
    assert source.is_incomplete()
    with pytest.raises(Truncated):
        source.read(0, 1)
    assert source.read(PAGE, PAGE) == content(PAGE, PAGE)
    assert not source.is_present(0)


def test_qemu_filter_marks_unsaved_memory_with_offset_minus_one(open_bytes: Open) -> None:
    source = open_bytes(build_elf([Segment(0, b"", memsz=PAGE, filesz=0, offset=2**64 - 1)]))
    with pytest.raises(PageExcluded):
        source.read(0, 1)
    assert not source.is_incomplete()


@pytest.mark.parametrize("keep", [16, 17, 63, 64, 65, 64 + 55, 64 + 2 * 56 - 1])
def test_headers_cut_short(open_bytes: Open, keep: int) -> None:
    data = build_elf([Segment(0, content(0, PAGE)), Segment(PAGE, content(PAGE, PAGE))])
    with pytest.raises(CorruptDump, match=r"cut off|copy it again"):
        open_bytes(data[:keep])


def test_notes_cut_short(open_bytes: Open) -> None:
    notes = kernel_notes("little", vmcoreinfo=b"A=1\n" * 100)
    data = build_elf([], notes, align=PAGE)
    source = open_bytes(data[:-10])
    assert source.is_incomplete()
    assert source.vmcoreinfo is None
    assert [note.name for note in source.notes] == ["CORE"]
    assert any("notes" in warning for warning in source.warnings)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sections", ["none", "qemu"])
def test_pn_xnum_escape_with_few_segments(open_bytes: Open, order: Order, sections: str) -> None:
    segments = [Segment(index * 2 * PAGE, content(index * 2 * PAGE, PAGE)) for index in range(5)]
    data = build_elf(
        segments,
        kernel_notes(order),
        order=order,
        xnum=True,
        sections="qemu" if sections == "qemu" else "none",
    )
    source = open_bytes(data)
    assert len(source.ranges()) == 5
    assert source.read(8 * PAGE, PAGE) == content(8 * PAGE, PAGE)
    assert len(source.notes) == 1


@pytest.mark.parametrize("order", ["little", pytest.param("big", marks=pytest.mark.full)])
def test_seventy_thousand_segments(open_bytes: Open, order: Order) -> None:
    """Above the 16-bit limit; every second page, file order reversed, 16 bytes of data each."""
    count = 70_000
    segments = [
        Segment(index * 2 * PAGE, content(index * 2 * PAGE, 16), memsz=PAGE)
        for index in reversed(range(count))
    ]
    source = open_bytes(build_elf(segments, order=order, align=1))
    ranges = source.ranges()
    assert len(ranges) == count
    assert ranges[:, 0].tolist() == list(range(0, count * 2 * PAGE, 2 * PAGE))
    for index in range(0, count, 7):
        start = index * 2 * PAGE
        assert source.read(start, 16) == content(start, 16)
    for index in (0, count // 2, count - 1):
        with pytest.raises(PageExcluded):
            source.read(index * 2 * PAGE + 16, 1)
        with pytest.raises(NotInDump):
            source.read(index * 2 * PAGE + PAGE, 1)
    starts = ranges[:, 0]
    assert source.present_many(starts + np.uint64(15)).all()
    assert not source.present_many(starts + np.uint64(16)).any()


def test_seventy_thousand_overlapping_segments(open_bytes: Open) -> None:
    """Each segment covers 16 bytes and starts 8 behind the one before it."""
    count = 70_000
    segments = [Segment(index * 8, index.to_bytes(8, "big") * 2) for index in range(count)]
    source = open_bytes(build_elf(segments, align=1))
    assert source.ranges().tolist() == [[0, count * 8 + 8]]
    # First in the file wins: all but the very first word come from the segment before.
    expected = np.maximum(np.arange(count + 1) - 1, 0).astype(">u8").tobytes()
    assert source.read(0, count * 8 + 8) == expected


def test_many_note_segments_over_the_same_bytes_stay_cheap(open_bytes: Open) -> None:
    """A small file cannot make its notes be parsed once for each of thousands of headers."""
    notes = kernel_notes("little", vmcoreinfo=b"A=1\n").data + bytes((0,) * 8 + (1, 0, 0, 0)) * 500
    at = 0x10000
    segments = [
        Segment(0, p_type=4, offset=at, filesz=len(notes), memsz=len(notes)) for _ in range(400)
    ]
    data = build_elf([*segments, Segment(0, content(0, PAGE))], notes)
    assert data[at : at + len(notes)] == notes
    source = open_bytes(data)
    # One note is at least 12 bytes of the file, and no byte need be read twice.
    assert len(source.notes) <= len(data) // 12
    assert source.vmcoreinfo == b"A=1\n"


def test_closing_twice_is_harmless(open_bytes: Open) -> None:
    source = open_bytes(build_elf([Segment(0, content(0, PAGE))]))
    source.close()
    source.close()
