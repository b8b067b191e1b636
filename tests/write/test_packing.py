"""Pages packed by the compiled module and by libraries: other readers read what comes of it."""

from __future__ import annotations

import errno
import io
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from cramjam import snappy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from breadth import examples, trying
from builders.content import address_words
from vmemmap.errors import OutputTooLarge, UnreadableFile
from vmemmap.memory import OpenFile
from vmemmap.source.codecs import decoder
from vmemmap.source.flattened import FlattenedView
from vmemmap.source.opening import open_bytes
from vmemmap.write import packing
from vmemmap.write.compress import CODECS, FLAG_OF_CODEC
from vmemmap.write.flattened import FlattenedOutput
from vmemmap.write.output import FileOutput
from vmemmap.write.packing import CONTENT, LOST, PLAIN, ZERO, Packed, Packer, PageBatch

compiled = pytest.importorskip("vmemmap._compiled")

NOISE = random.Random(5).randbytes(1 << 18)
PIECES = st.lists(
    st.one_of(
        st.tuples(st.just("noise"), st.integers(0, 1 << 17), st.integers(1, 400)),
        st.tuples(st.just("byte"), st.integers(0, 255), st.integers(1, 3000)),
        st.tuples(st.just("again"), st.integers(1, 70_000), st.integers(1, 300)),
    ),
    min_size=1,
    max_size=40,
)


def text_of(pieces: list[tuple[str, int, int]], size: int) -> bytes:
    """Put content together: fresh bytes, one byte often, and what was there some way back."""
    out = bytearray()
    while len(out) < size:
        for kind, value, length in pieces:
            if kind == "noise":
                out += NOISE[value : value + length]
            elif kind == "byte":
                out += bytes([value]) * length
            else:
                start = max(len(out) - value, 0)
                out += out[start : start + length] or b"x"
    return bytes(out[:size])


def by_snappy(page: bytes) -> tuple[bytes, int]:
    """Give a page as it is packed, and its form."""
    size, form = np.array([len(page)]), np.array([CONTENT])
    out = bytearray(len(page) * 2)
    used = compiled.pack_pages(page, np.zeros(1, np.int64), size, form, len(page), 4, out)
    assert used == size[0] <= len(page)
    return bytes(out[:used]), int(form[0])


@pytest.mark.parametrize("size", [64, 4096, 65536, 1 << 18])
@settings(max_examples=examples(60))
@given(pieces=PIECES)
def test_another_reader_reads_snappy(size: int, pieces: list[tuple[str, int, int]]) -> None:
    page = text_of(pieces, size)
    packed, form = by_snappy(page)
    if form == FLAG_OF_CODEC["snappy"]:
        assert bytes(snappy.decompress_raw(packed)) == page
        assert len(packed) < size
    else:
        assert packed == (b"" if form == ZERO else page)
        assert (form == ZERO) == (not any(page))


def test_snappy_is_as_small_as_another_writer_makes_it() -> None:
    words = address_words(0xC000000000000000, 65536, "little")
    text = b"vmemmap_populate: node 1, block 0xc000000012340000\n" * 1500
    for page in (words, text[:65536], NOISE[:5000] * 13 + bytes(536), words[:4096], text[:4096]):
        with trying(page[:20].hex()):
            assert len(by_snappy(page)[0]) < len(snappy.compress_raw(page)) * 1.05


@pytest.mark.parametrize("size", [256, 4096, 8192])
def test_noise_is_told_from_what_copies_make_smaller(size: int) -> None:
    words = address_words(0xC000000000000000, size, "little")
    text = (b"vmemmap_populate: node 1, block 0xc000000012340000\n" * 1500)[:size]
    half, page = size // 2, {}
    page[0] = [NOISE[at : at + size] for at in range(0, 4 * size, size)] + [bytes(range(64))]
    page[CONTENT] = [words, text, NOISE[:half] + bytes(half), bytes(half) + NOISE[:half]]
    page[CONTENT] += [NOISE[:half] * 2, NOISE[: size - 200] + b"x" * 200]
    page[ZERO] = [bytes(size)]
    for expected, texts in page.items():
        for text in texts:
            sizes, form = np.array([len(text)]), np.array([CONTENT])
            out = bytearray(2 * size + 256)
            compiled.pack_pages(text, np.zeros(1, np.int64), sizes, form, len(text), -1, out)
            with trying(text[:20].hex()):
                assert form.tolist() == [expected]
                assert bytes(out[: int(sizes[0])]) == (b"" if expected == ZERO else text)


def test_a_library_is_not_asked_for_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compress(data: memoryview, offsets: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
        asked.extend(offsets.tolist())
        return b"small" * len(offsets), np.full(len(offsets), 5)

    monkeypatch.setattr(packing, "compressor", lambda *_: compress)
    data = NOISE[:4096] + address_words(0, 4096, "little") + NOISE[4096 : 3 * 4096]
    offset, size = np.arange(4) * 4096, np.full(4, 4096)
    for codec, expected in (("zstd", [4096]), ("zlib", [0, 4096, 2 * 4096, 3 * 4096])):
        packer = Packer(codec, 4096, find_zero(4096))
        packed = packer.pack(PageBatch(memoryview(data), offset, size, np.full(4, CONTENT)))
        assert asked == expected
        asked.clear()
        if codec == "zstd":
            assert pages_of(packed) == [data[:4096], b"small", data[8192:12288], data[12288:]]
            assert packed.flags.tolist() == [0, FLAG_OF_CODEC["zstd"], 0, 0]


def batch_of(size: int, file: OpenFile | None, data: bytes) -> PageBatch:
    """Six pages of which one is of zeros, one stored already, one lost, and one known zero."""
    return PageBatch(
        memoryview(data),
        np.array([0, size, 2 * size, 3 * size, 0, 0]),
        np.array([size, size, size, 100, 0, 0]),
        np.array([CONTENT, PLAIN, CONTENT, 7, LOST, ZERO]),
        file,
    )


def find_zero(size: int):
    def find(data: memoryview, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.array([not any(data[at : at + size]) for at in offsets.tolist()], dtype=np.bool_)

    return find


def pages_of(packed: Packed) -> list[bytes]:
    ends = np.cumsum(packed.size)
    return [
        bytes(packed.data[end - size : end])
        for end, size in zip(ends.tolist(), packed.size.tolist(), strict=True)
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_pages_by_every_way(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (4096, 65536):
        texts = [address_words(1 << 40, size, "little"), NOISE[:size], bytes(size), NOISE[9:109]]
        path = tmp_path / f"pages{size}"
        path.write_bytes(b"".join(texts))
        file = OpenFile(os.open(path, os.O_RDONLY), str(path))
        made = {}
        for way in ("file", "buffer", "library"):
            if way == "library":
                monkeypatch.setitem(sys.modules, "vmemmap._compiled", None)
            packer = Packer(codec, size, find_zero(size))
            for _ in range(2):  # the second time in the room of the first
                batch = batch_of(size, file if way == "file" else None, path.read_bytes())
                packed = packer.pack(batch)
                made[way] = pages_of(packed)
                with trying(f"{way}, pages of {size} bytes"):
                    flag = FLAG_OF_CODEC[codec]
                    assert packed.flags.tolist() == [flag, 0, 0, 7, 0, 0]
                    assert packed.zero.tolist() == [False, False, True, False, False, True]
                    assert packed.lost.tolist() == [False] * 4 + [True, False]
                    assert (packed.copied, packed.compressed) == (2, int(flag > 0))
                    assert made[way][1:] == [NOISE[:size], b"", NOISE[9:109], b"", b""]
                    first = made[way][0]
                    assert (decoder(codec)(first, size) if flag else first) == texts[0]
                packer.release(packed)
            monkeypatch.undo()
        os.close(file.fd)
        assert made["file"] == made["buffer"]
        if codec in ("none", "zstd", "zlib"):  # for the others the module has its own way
            assert made["file"] == made["library"]


def test_a_file_that_ends_too_early_is_an_error_of_one_line(tmp_path: Path) -> None:
    size = 4096
    path = tmp_path / "short"
    path.write_bytes(NOISE[: 3 * size])
    fd = os.open(path, os.O_RDONLY)
    packer = Packer("none", size, find_zero(size))
    with pytest.raises(UnreadableFile, match="cannot read the dump: it has become shorter"):
        packer.pack(batch_of(size, OpenFile(fd, str(path)), bytes(4 * size)))
    os.close(fd)
    with pytest.raises(UnreadableFile, match="cannot read the dump: Bad file descriptor"):
        packer.pack(batch_of(size, OpenFile(fd, str(path)), bytes(4 * size)))


@pytest.mark.parametrize("how", ["system", "across", "elsewhere", "stuck"])
def test_long_runs_are_copied_from_file_to_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """By the system, or by reading and writing where it does not, and never but what is there."""

    def fails(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if how == "across":
        monkeypatch.setattr(os, "copy_file_range", fails, raising=False)
    elif how == "elsewhere":
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    elif how == "stuck":
        monkeypatch.setattr(os, "copy_file_range", lambda *_: 0, raising=False)
    size, count = 65536, 9
    texts = [bytes([number]) * size for number in range(1, count + 1)]
    texts[6] = bytes(size)
    (tmp_path / "in").write_bytes(b"before" + b"".join(texts))
    data = (tmp_path / "in").read_bytes()
    offset, full = 6 + np.arange(count) * size, np.full(count, size)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("w+b") as out:
        file = OpenFile(source.fileno(), "in")
        batch = PageBatch(memoryview(data), offset, full, np.full(count, PLAIN), file)
        packed = Packer("zstd", size, find_zero(size)).pack(batch)
        assert packed.runs is not None
        assert packed.runs.tolist() == [[6, 6 * size], [6 + 7 * size, 2 * size]]
        assert packed.zero.tolist() == [False] * 6 + [True, False, False]
        assert (packed.copied, bool(packed.flags.any())) == (8, False)
        output, stream = FileOutput(out, "out", 10 + 8 * size), io.BytesIO()
        flat, at = FlattenedOutput(stream), 10
        for start, length in packed.runs.tolist():
            output.copy(at, file, start, length)
            flat.copy(at, file, start, length)
            at += length
        flat.end()
        expected = bytes(10) + b"".join(texts[:6] + texts[7:])
        assert (tmp_path / "out").read_bytes() == expected
        (tmp_path / "flat").write_bytes(stream.getvalue())
        view = FlattenedView(open_bytes(tmp_path / "flat"))
        assert bytes(view.view(10, len(expected))) == expected[10:]
        view.close()
        with pytest.raises(OutputTooLarge):
            output.copy(at - size + 1, file, 6, size)
        with pytest.raises(UnreadableFile, match="it has become shorter"):
            output.copy(10, file, 6 + (count - 1) * size, size + 1)
        mixed = PageBatch(memoryview(data), offset, full, np.full(count, CONTENT), file)
        assert Packer("zstd", size, find_zero(size)).pack(mixed).runs is None
        assert Packer("none", size, find_zero(size)).pack(mixed).runs is not None


@pytest.mark.parametrize(
    ("offset", "size", "form", "page", "codec", "room"),
    [
        (1, 4096, -1, 4096, 0, 9000),  # beyond the end
        (-1, 4096, -1, 4096, 0, 9000),
        (1 << 62, 4096, -1, 4096, 0, 9000),
        (0, 100, -1, 4096, 0, 9000),  # no whole page
        (0, 4097, 4, 4096, 0, 9000),
        (0, -1, 4, 4096, 0, 9000),
        (0, 4096, -1, 4000, 0, 9000),  # no size of a page
        (0, 4096, -1, 1 << 19, 0, 9000),
        (0, 4096, -1, 4096, 1, 9000),  # no codec of the module's
        (0, 4096, -1, 4096, -2, 9000),
        (0, 1 << 17, -1, 1 << 17, -1, 1 << 18),  # noise is not told from such a page
        (0, 4096, -1, 4096, 0, 4095),  # no room
        (0, 4096, -1, 4096, 2, 4200),
        (0, 4096, -1, 4096, 4, 4200),
    ],
)
def test_what_cannot_be_is_refused(
    offset: int, size: int, form: int, page: int, codec: int, room: int
) -> None:
    columns = [np.array([value], dtype=np.int64) for value in (offset, size, form)]
    with pytest.raises(ValueError, match=r"outside|a page has|codec|no room|noise"):
        compiled.pack_pages(NOISE[:4096], *columns, page, codec, bytearray(room))
    with pytest.raises(ValueError, match="different lengths"):
        compiled.pack_pages(
            NOISE[:4096], columns[0], np.zeros(2, np.int64), columns[2], 4096, 0, bytearray(9000)
        )
