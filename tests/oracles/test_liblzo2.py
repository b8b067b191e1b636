"""liblzo2, the codec of makedumpfile and crash, reads what we write and writes what we read.

Once as this machine's library, where it is installed, and once inside makedumpfile.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.content import address_words
from oracles import makedumpfile
from vmemmap.source.detect import open_source
from vmemmap.source.kdump import KdumpSource

compiled = pytest.importorskip("vmemmap._compiled")

BLOCK = 65536
DESCRIPTOR = np.dtype([("at", "<i8"), ("size", "<u4"), ("flags", "<u4"), ("page", "<u8")])
LZO = 2
WORK_BYTES = 1 << 17  # LZO1X_1_MEM_COMPRESS on machines of 64 bits


class Library:
    """liblzo2 through ctypes."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)

    def read(self, stream: bytes, size: int) -> bytes:
        out, length = ctypes.create_string_buffer(size), ctypes.c_size_t(size)
        call = self._library.lzo1x_decompress_safe
        assert call(stream, ctypes.c_size_t(len(stream)), out, ctypes.byref(length), None) == 0
        return out.raw[: length.value]

    def write(self, data: bytes) -> bytes:
        out, length = ctypes.create_string_buffer(len(data) * 2 + 100), ctypes.c_size_t()
        work = ctypes.create_string_buffer(WORK_BYTES)
        call = self._library.lzo1x_1_compress
        assert call(data, ctypes.c_size_t(len(data)), out, ctypes.byref(length), work) == 0
        return out.raw[: length.value]


@pytest.fixture(scope="module")
def library() -> Library:
    name = ctypes.util.find_library("lzo2")
    if name is None:
        pytest.skip("liblzo2 is absent: the package liblzo2-2 or lzo has it")
    return Library(name)


def contents(size: int) -> list[bytes]:
    noise = random.Random(size).randbytes(size)
    return [
        *(bytes(size), noise, address_words(0xC000000000000000, size, "big")),
        (noise[:40] + bytes(500) + noise[:99])[:size] * (size // 639 + 1),
    ]


@pytest.mark.parametrize("size", [1, 3, 4, 21, 255, 4096, 16384, BLOCK, 200_000])
def test_the_library_reads_ours_and_we_read_its(library: Library, size: int) -> None:
    for data in contents(size):
        assert library.read(compiled.lzo1x_compress(data), len(data)) == data
        assert compiled.lzo1x_decompress(library.write(data), len(data)) == data


def test_it_reads_every_page_of_a_real_dump(
    library: Library, real_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    """And ours are together at most three hundredths larger."""
    ours = theirs = 0
    for page in recoded(real_dump("hash-64k-6.1/vmcore.d31.zlib"), tmp_path / "lzo"):
        stream = compiled.lzo1x_compress(page)
        assert library.read(stream, BLOCK) == page
        ours += len(stream)
        theirs += len(library.write(page))
    assert theirs > 10_000_000
    assert ours <= 1.03 * theirs


@makedumpfile.needed[0]
@makedumpfile.needed[1]
def test_makedumpfile_makes_the_same_of_our_pages(
    real_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    """Each page of a dump is compressed by us; filtered again, it is the same file as before."""
    original = real_dump("hash-64k-6.1/vmcore.d31.zlib")
    recoded(original, tmp_path / "lzo")
    for dump, again in ((original, tmp_path / "from-zlib"), (tmp_path / "lzo", tmp_path / "again")):
        done = makedumpfile.run("-c", "-d", 31, dump, again)
        assert done.returncode == 0, done.stdout[-600:] + done.stderr[-600:]
    assert (tmp_path / "again").read_bytes() == (tmp_path / "from-zlib").read_bytes()


def recoded(dump: Path, out: Path) -> list[bytes]:
    """Write a kdump file with its pages compressed by us, and return these pages."""
    source: Any = open_source(dump)
    assert isinstance(source, KdumpSource)
    file, end = dump.read_bytes(), source.file.descriptors_end
    rows = np.frombuffer(file[source.file.descriptors_at : end], dtype=DESCRIPTOR).copy()
    written, pages, placed = bytearray(file[:end]), [], {}
    starts = np.arange(0, 1 << 31, BLOCK, dtype=np.uint64)
    stored = starts[source.present_many(starts)].tolist()
    for row, phys in zip(rows, stored, strict=True):
        page = source.read(phys, BLOCK)
        if page not in placed:
            stream = compiled.lzo1x_compress(page)
            packed, flags = (stream, LZO) if len(stream) < BLOCK else (page, 0)
            placed[page] = (len(written), len(packed), flags)
            pages.append(page)
            written += packed
        row["at"], row["size"], row["flags"] = placed[page]
    source.close()
    written[end - rows.nbytes : end] = rows.tobytes()
    out.write_bytes(written)
    return pages
