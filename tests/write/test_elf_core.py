"""The ELF writer, field by field, and as our reader sees what it wrote."""

from __future__ import annotations

import errno
import os
import struct
from contextlib import closing

import pytest

import vmemmap.write.elf_core as writer
from vmemmap.errors import OutputTooLarge, UnwritableFile
from vmemmap.formats.elf64 import PN_XNUM
from vmemmap.source.detect import open_source
from vmemmap.write.elf_core import Segment, write_elf_core
from vmemmap.write.notes import pack_note
from vmemmap.write.output import FileOutput

MIB = 1 << 20
LINEAR = 0xC << 60


def contents(pieces):
    return lambda start, end: [(at, data) for at, data in pieces if start <= at < end]


@pytest.mark.parametrize("order", ["little", "big"])
def test_headers_say_what_was_asked(tmp_path, order) -> None:
    path = tmp_path / "core"
    notes = pack_note(order, "VMCOREINFO", 0, b"OSRELEASE=1\n")
    segments = [Segment(0, LINEAR, MIB), Segment(1 << 32, LINEAR + (1 << 32), 3 * MIB)]
    write_elf_core(path, order, notes, segments, contents([(64, b"low"), ((1 << 32) + 5, b"hi")]))
    data = path.read_bytes()
    sign = "<" if order == "little" else ">"
    assert data[:6] == b"\x7fELF\x02" + (b"\x01" if order == "little" else b"\x02")
    kind, machine, version, _entry, phoff = struct.unpack_from(sign + "HHIQQ", data, 16)
    assert (kind, machine, version, phoff) == (4, 21, 1, 64)
    headers = [struct.unpack_from(sign + "IIQQQQQQ", data, 64 + 56 * i) for i in range(3)]
    assert [header[0] for header in headers] == [4, 1, 1]
    at, size = headers[0][2], headers[0][5]
    assert data[at : at + size] == notes
    for header, segment in zip(headers[1:], segments, strict=True):
        assert header[3:7] == (segment.virt, segment.phys, segment.size, segment.size)
        assert header[2] % 65536 == 0
    assert data[headers[1][2] + 64 :][:3] == b"low"
    assert data[headers[2][2] + 5 :][:2] == b"hi"
    assert len(data) == headers[2][2] + 3 * MIB


@pytest.mark.parametrize("order", ["little", "big"])
def test_note_is_padded_to_four(order) -> None:
    note = pack_note(order, "CORE", 1, b"12345")
    sign = "<" if order == "little" else ">"
    assert note == struct.pack(sign + "3I", 5, 5, 1) + b"CORE\0\0\0\0" + b"12345\0\0\0"


def test_reader_gives_back_every_byte(tmp_path) -> None:
    path = tmp_path / "core"
    pieces = [(at, bytes([at >> 16 & 0xFF or 1]) * 777) for at in range(0, 4 * MIB, 65536)]
    segments = [Segment(0, LINEAR, 2 * MIB), Segment(2 * MIB, LINEAR + 2 * MIB, 2 * MIB)]
    write_elf_core(path, "big", b"", segments, contents(pieces))
    with closing(open_source(path)) as source:
        for at, data in pieces:
            assert source.read(at, 800) == data + bytes(23)


def test_zeros_take_no_room(tmp_path) -> None:
    path = tmp_path / "core"
    write_elf_core(path, "little", b"", [Segment(0, LINEAR, 1 << 36)], contents([(1 << 35, b"x")]))
    assert path.stat().st_size > 1 << 36
    assert path.stat().st_blocks * 512 < MIB


def test_more_segments_than_fit_the_header(tmp_path) -> None:
    path = tmp_path / "core"
    segments = [Segment(i << 17, LINEAR + (i << 17), 4096) for i in range(PN_XNUM + 3)]
    write_elf_core(path, "little", b"", segments, contents([(7 << 17, b"seven")]))
    with closing(open_source(path)) as source:
        assert len(source.ranges()) == PN_XNUM + 3
        assert source.read(7 << 17, 5) == b"seven"


def test_small_pieces_go_together_and_large_ones_apart(monkeypatch) -> None:
    monkeypatch.setattr(writer, "RUN_MAX_BYTES", 10)
    pieces = [(0, b"abcd"), (4, b"efgh"), (8, b"ijkl"), (20, b"mn"), (22, b"o")]
    assert list(writer._side_by_side(pieces)) == [
        *((0, [b"abcd", b"efgh"]), (8, [b"ijkl"]), (20, [b"mn", b"o"]))
    ]


@pytest.mark.parametrize("taken", [0, 1, 4, 5, 9])
def test_parts_are_written_whole_however_much_the_system_takes(
    tmp_path, monkeypatch, taken: int
) -> None:
    def some(fd: int, parts: list[bytes], offset: int) -> int:
        if not taken:
            raise OSError(errno.EAGAIN, "not now")
        return os.pwrite(fd, b"".join(parts)[:taken], offset)

    monkeypatch.setattr(os, "pwritev", some)
    with (tmp_path / "out").open("w+b") as file:
        FileOutput(file, "out", limit=12).put_parts(3, [b"abcd", b"", b"efghi"])
        assert file.read() == b"\0\0\0abcdefghi"
        with pytest.raises(OutputTooLarge):
            FileOutput(file, "out", limit=11).put_parts(3, [b"abcd", b"efghi"])


def test_size_that_the_file_system_cannot_hold_is_told_at_once(tmp_path) -> None:
    asked = []

    def never(start, end):
        asked.append((start, end))
        return []

    segments = [Segment(0, LINEAR, (1 << 63) - (1 << 20))]
    with pytest.raises(UnwritableFile, match="GiB large"):
        write_elf_core(tmp_path / "core", "little", b"", segments, never)
    assert not asked
    assert not list(tmp_path.iterdir())
