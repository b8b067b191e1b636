"""kdump-compressed files as the writer makes them, read by the reader and by a table of its own."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from breadth import pairs
from vmemmap.address import ByteOrder
from vmemmap.errors import NotInDump, OutputTooLarge, PageExcluded, PageLost
from vmemmap.formats.notes import Note
from vmemmap.intervals import Intervals, numbers
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source
from vmemmap.write.compress import CODECS
from vmemmap.write.flattened import FlattenedOutput
from vmemmap.write.kdump import Written, write_kdump
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.output import FileOutput
from vmemmap.write.packing import CONTENT, LOST, PageBatch
from vmemmap.write.page_bits import CHUNK_PAGES, PageBits

NOTES = [
    Note("CORE", 1, bytes(504)),
    Note("VMCOREINFO", 0, b"OSRELEASE=6.1.0\nPAGESIZE=4096\n"),
    Note("CORE", 1, bytes(504)),
]
UTSNAME = b"".join(
    name.ljust(65, b"\0") for name in (b"Linux", b"box", b"6.1.0", b"#1", b"ppc64le", b"(none)")
)
FAR = CHUNK_PAGES + 77
RAM = np.array([[0, 40], [50, 90], [FAR, FAR + 30]], dtype=np.int64)
KEPT = np.array([[3, 9], [10, 40], [60, 61], [FAR + 1, FAR + 30]], dtype=np.int64)
LOST_PFNS = (12, FAR + 3)
END = FAR + 30


def page_of(pfn: int, size: int) -> bytes:
    """A third of the pages are zero, a third compress well, a third not at all."""
    if pfn % 3 == 0:
        return bytes(size)
    if pfn % 3 == 1:
        return struct.pack(">Q", pfn) * (size // 8)
    return random.Random(pfn).randbytes(size)


def load(size: int) -> Callable[[Intervals], Iterator[PageBatch]]:
    """Give pages in batches of seven, each in a buffer of its own with something before it."""

    def batches(intervals: Intervals) -> Iterator[PageBatch]:
        pfns = numbers(intervals)
        for at in range(0, len(pfns), 7):
            some = pfns[at : at + 7]
            data = b"before" + b"".join(page_of(pfn, size) for pfn in some.tolist())
            form = np.where(np.isin(some, LOST_PFNS), LOST, CONTENT)
            offset = 6 + np.arange(len(some)) * size
            yield PageBatch(memoryview(data), offset, np.full(len(some), size), form)

    return batches


def find_zero(size: int) -> Callable[[memoryview, NDArray[np.int64]], NDArray[np.bool_]]:
    def find(data: memoryview, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.array([not any(data[at : at + size]) for at in offsets.tolist()], dtype=np.bool_)

    return find


def header_of(order: ByteOrder, size: int, codec: str) -> KdumpHeader:
    return KdumpHeader(order, size, END, NOTES, 17, codec, UTSNAME, 1795335881)


def bits_of(intervals: Intervals) -> PageBits:
    bits = PageBits(END)
    bits.add(intervals[:2])
    bits.add(intervals[2:])
    return bits.finish()


def write(
    path: Path,
    order: ByteOrder,
    size: int,
    codec: str,
    threads: int = 1,
    member: tuple[int, int] | None = None,
    limit: int | None = None,
) -> Written:
    with path.open("w+b") as file, bits_of(KEPT) as bits:
        return write_kdump(
            *(FileOutput(file, str(path), limit), header_of(order, size, codec), RAM, bits),
            *(load(size), find_zero(size)),
            threads=threads,
            member=member,
        )


def check_pages(source: PhysicalSource, size: int) -> None:
    """Compare every page of memory, and some that are none, with what was to be written."""
    ram, kept = set(numbers(RAM).tolist()), set(numbers(KEPT).tolist())
    for pfn in sorted({*ram, 40, 49, 90, FAR - 1}):
        if pfn not in ram:
            with pytest.raises(NotInDump):
                source.read(pfn * size, 8)
        elif pfn not in kept:
            with pytest.raises(PageExcluded):
                source.read(pfn * size, 8)
        elif pfn in LOST_PFNS:
            with pytest.raises(PageLost):
                source.read(pfn * size, 8)
        else:
            assert source.read(pfn * size, size) == page_of(pfn, size), pfn


ORDERS: tuple[ByteOrder, ...] = ("little", "big")


@pytest.mark.parametrize(
    ("order", "size", "codec", "threads"), pairs(product(ORDERS, (4096, 65536), CODECS, (1, 2)))
)
def test_round_trip(tmp_path, order: ByteOrder, size: int, codec: str, threads: int) -> None:
    path = tmp_path / "out"
    written = write(path, order, size, codec, threads)
    kept = numbers(KEPT)
    had = kept[~np.isin(kept, LOST_PFNS)]
    zero, dense = (int(np.count_nonzero(had % 3 == i)) for i in (0, 1))
    assert (written.pages, written.zero, written.lost) == (len(kept), zero, 2)
    assert written.compressed == (0 if codec == "none" else dense)
    assert written.lost_pfns == sorted(LOST_PFNS)
    assert written.file_bytes == path.stat().st_size
    source = open_source(path)
    assert (source.container_byte_order, source.block_size) == (order, size)
    assert (source.machine, source.release, source.dump_level) == ("ppc64le", "6.1.0", 17)
    assert source.notes == NOTES
    assert source.vmcoreinfo == NOTES[1].desc
    assert (source.ranges() // size).astype(int).tolist() == RAM.tolist()
    check_pages(source, size)
    assert source.is_incomplete()
    # What the notes and the sub-header say of VMCOREINFO is the same place; a warning says if not.
    assert [w for w in source.warnings if "VMCOREINFO" in w or "outside" in w] == []
    source.close()


@pytest.mark.parametrize("codec", CODECS)
def test_same_bytes_by_any_number_of_threads(tmp_path, codec: str) -> None:
    made = []
    for threads in (1, 2, 5):
        write(tmp_path / "out", "little", 4096, codec, threads)
        made.append((tmp_path / "out").read_bytes())
    assert made[0] == made[1] == made[2]


def test_headers_by_the_format_document(tmp_path) -> None:
    """The fields where dump-formats.md has them, by a table that no reader shares."""
    write(tmp_path / "out", "big", 4096, "snappy")
    data = (tmp_path / "out").read_bytes()
    assert struct.unpack_from(">8si", data) == (b"KDUMP   ", 6)
    assert data[12 : 12 + 390] == UTSNAME
    assert struct.unpack_from(">qq", data, 408) == (1795335881, 0)
    status, block, sub_blocks, map_blocks, max_mapnr = struct.unpack_from(">IiiII", data, 424)
    notes_bytes = 2 * (12 + 8 + 504) + 12 + 12 + 32
    map_block_count = -(-END // (8 * 4096))
    assert (status, block, sub_blocks) == (4 | 8, 4096, -(-(104 + notes_bytes) // 4096))
    assert (map_blocks, max_mapnr) == (2 * map_block_count, END)
    assert struct.unpack_from(">4Ii", data, 444) == (0, 0, 0, 0, 2)
    sub = struct.unpack_from(">QiiQQqQqQqQQQQ", data, 4096)
    text_at = 4096 + 104 + (12 + 8 + 504) + 12 + 12
    assert sub[:5] == (0, 17, 0, 0, 0)
    assert sub[5:7] == (text_at, len(NOTES[1].desc))
    assert sub[7:9] == (4096 + 104, notes_bytes)
    assert sub[9:] == (0, 0, 0, 0, END)
    assert data[text_at : text_at + 9] == b"OSRELEASE"
    maps_at = (1 + sub_blocks) * 4096
    for place, intervals in enumerate((RAM, KEPT)):
        at = maps_at + place * map_block_count * 4096
        bits = np.unpackbits(
            np.frombuffer(data, np.uint8, map_block_count * 4096, at), bitorder="little"
        )
        assert np.flatnonzero(bits).tolist() == numbers(intervals).tolist()
    table_at = maps_at + 2 * map_block_count * 4096
    rows = [
        struct.unpack_from(">QIIQ", data, table_at + 24 * rank)
        for rank in range(len(numbers(KEPT)))
    ]
    by_pfn = dict(zip(numbers(KEPT).tolist(), rows, strict=True))
    assert [pfn for pfn, row in by_pfn.items() if row == (0, 0, 0, 0)] == list(LOST_PFNS)
    zeros = {row for pfn, row in by_pfn.items() if pfn % 3 == 0 and row[0]}
    assert len(zeros) == 1  # all share one page, which is stored plain
    assert next(iter(zeros))[1:] == (4096, 0, 0)
    had = {pfn: row for pfn, row in by_pfn.items() if pfn not in LOST_PFNS}
    assert {row[2] for pfn, row in had.items() if pfn % 3 == 1} == {4}
    assert {row[1:3] for pfn, row in had.items() if pfn % 3 == 2} == {(4096, 0)}


@pytest.mark.parametrize("cuts", [(0, END), (0, 11, END), (0, 11, 60, END, END)])
def test_members_are_read_together(tmp_path, cuts: tuple[int, ...]) -> None:
    paths = [tmp_path / f"member{i}" for i in range(len(cuts) - 1)]
    written = [
        write(path, "little", 4096, "zstd", member=member)
        for path, member in zip(paths, pairwise(cuts), strict=True)
    ]
    assert sum(one.pages for one in written) == len(numbers(KEPT))
    source = open_source(*reversed(paths))
    check_pages(source, 4096)
    source.close()


@pytest.mark.parametrize("order", ORDERS)
def test_flattened_is_the_same_file(tmp_path, order: ByteOrder) -> None:
    write(tmp_path / "plain", order, 4096, "zlib")
    with (tmp_path / "flat").open("wb") as stream, bits_of(KEPT) as bits:
        out = FlattenedOutput(stream)
        header = header_of(order, 4096, "zlib")
        write_kdump(out, header, RAM, bits, load(4096), find_zero(4096))
        out.end()
    data = (tmp_path / "flat").read_bytes()
    assert data[:32] == b"makedumpfile\0\0\0\0" + struct.pack(">qq", 1, 1)
    built, at = bytearray(), 4096
    while True:
        offset, size = struct.unpack_from(">qq", data, at)
        at += 16
        if offset < 0:
            assert (offset, size, at) == (-1, -1, len(data))
            break
        built = built.ljust(offset + size, b"\0")
        built[offset : offset + size] = data[at : at + size]
        at += size
    assert bytes(built) == (tmp_path / "plain").read_bytes()
    source = open_source(tmp_path / "flat")
    check_pages(source, 4096)
    source.close()


def test_stored_forms_are_copied_as_they_are(tmp_path) -> None:
    """What a batch calls stored is not compressed again: neighbours in the buffer in one piece."""
    data = b"x" * 10 + b"AAAABBBBBB" + b"y" * 5 + b"C" * 4096
    batch = PageBatch(
        memoryview(data),
        np.array([10, 14, 25, 0]),
        np.array([4, 6, 4096, 0]),
        np.array([1, 1, 0, LOST]),
    )
    header = KdumpHeader("little", 4096, 4, [], 0, "zlib")
    with (tmp_path / "out").open("w+b") as file, PageBits(4) as bits:
        bits.add(np.array([[0, 4]]))
        written = write_kdump(
            *(FileOutput(file, "out"), header, np.array([[0, 4]]), bits.finish()),
            *(lambda _intervals: iter([batch]), find_zero(4096)),
        )
    assert (written.copied, written.lost, written.compressed) == (3, 1, 0)
    stored = (tmp_path / "out").read_bytes()
    at = header.descriptors_at + 4 * 24
    assert stored[at:] == b"AAAABBBBBB" + b"C" * 4096
    rows = [struct.unpack_from("<QII", stored, header.descriptors_at + 24 * i) for i in range(4)]
    assert rows == [(at, 4, 1), (at + 4, 6, 1), (at + 10, 4096, 0), (0, 0, 0)]


def test_no_page_at_all(tmp_path) -> None:
    """The bitmaps are whole even so: crash refuses a file that ends within them."""
    header = KdumpHeader("little", 4096, 40, [], 31, "zstd")
    with (tmp_path / "out").open("w+b") as file, PageBits(40) as bits:
        write_kdump(
            *(FileOutput(file, "out"), header, np.array([[0, 40]]), bits.finish()),
            *(load(4096), find_zero(4096)),
        )
    assert (tmp_path / "out").stat().st_size == header.descriptors_at
    source = open_source(tmp_path / "out")
    with pytest.raises(PageExcluded):
        source.read(0, 1)
    source.close()


def test_limit_is_never_passed(tmp_path) -> None:
    whole = write(tmp_path / "out", "little", 4096, "zstd").file_bytes
    assert write(tmp_path / "out", "little", 4096, "zstd", limit=whole).file_bytes == whole
    with pytest.raises(OutputTooLarge, match=str(whole - 1)):
        write(tmp_path / "out", "little", 4096, "zstd", limit=whole - 1)
    assert (tmp_path / "out").stat().st_size < whole


def test_unknown_codec(tmp_path) -> None:
    with pytest.raises(KeyError, match="brotli"):
        write(tmp_path / "out", "little", 4096, "brotli")
    assert (tmp_path / "out").read_bytes() == b""
