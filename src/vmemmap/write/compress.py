"""Compression of pages, each by itself, many in one call so that threads really work side by side.

The forms are those that makedumpfile writes, at its levels: zlib 1, LZO1X-1, snappy, zstd 1; but
small pages in a quicker way where they hardly become larger by it. The libraries are imported when
the first page is compressed. A compressor belongs to one thread.

Source: makedumpfile.c, write_kdump_pages_cyclic(); measurements in docs/filter.md.
"""

from __future__ import annotations

import zlib as standard_zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CodecUnavailable
from vmemmap.formats import kdump
from vmemmap.write.output import Bytes

Compressor = Callable[[memoryview, NDArray[np.int64]], tuple[Bytes, NDArray[np.int64]]]
"""(a buffer, the offsets of pages in it) to their compressed forms, one behind the other, and the
size of each. A page that does not get smaller is among them as it is, with the size of a page; one
of zeros may take no bytes."""

CODECS = ("zstd", "zlib", "lzo", "snappy", "none")
FLAG_OF_CODEC = {codec: flag for flag, codec in kdump.CODEC_OF_FLAG.items()} | {"none": 0}
_ZSTD_LEVEL = 1
_ZSTD_QUICK = {"target_length": 1, "min_match": 4}
"""Level 1 with literals as they are: a table of codes for those of a page of 4 KiB takes a third of
the time, and makes it 5 to 7 % smaller. With 64 KiB it is worth its while."""
_ZSTD_QUICK_PAGE_MAX = 8 << 10
_ZLIB_LEVEL = 1
_ISAL_LEVEL = 2
"""As small as zlib's level 1 and several times as fast; isal's levels 0 and 1 are neither."""


def compressor(codec: str, page_size: int) -> Compressor:
    """Make the compressor of a codec for the pages of one dump, for one thread.

    Args:
        codec: One of `CODECS`, but for ``none``.
        page_size: The size of a page in bytes.

    Raises:
        CodecUnavailable: The library is not installed.
    """
    return _MAKERS[codec](page_size)


def copies_alone(codec: str, page_size: int) -> bool:
    """Tell whether a library makes pages smaller by copies from within them, and no other way.

    Pages without such copies need not be tried then; what a table of codes would save is not lost.
    """
    return codec == "zstd" and page_size <= _ZSTD_QUICK_PAGE_MAX


def _joined(
    data: memoryview, offsets: NDArray[np.int64], page_size: int, forms: Sequence[Bytes]
) -> tuple[Bytes, NDArray[np.int64]]:
    """Put forms one behind the other, or the pages themselves where those are no larger."""
    sizes = np.fromiter(map(len, forms), dtype=np.int64, count=len(forms))
    parts = list(forms)
    for row in np.flatnonzero(sizes >= page_size).tolist():
        at = int(offsets[row])
        parts[row] = data[at : at + page_size]
    return b"".join(parts), np.minimum(sizes, page_size)


def _page_by_page(page_size: int, compress: Callable[[memoryview], Bytes]) -> Compressor:
    def several(data: memoryview, offsets: NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
        forms = [compress(data[at : at + page_size]) for at in offsets.tolist()]
        return _joined(data, offsets, page_size, forms)

    return several


def _make_zlib(page_size: int) -> Compressor:
    try:
        from isal import isal_zlib
    except ImportError:
        return _page_by_page(page_size, partial(standard_zlib.compress, level=_ZLIB_LEVEL))
    return _page_by_page(page_size, partial(isal_zlib.compress, level=_ISAL_LEVEL))


def _make_lzo(page_size: int) -> Compressor:
    try:
        from vmemmap._compiled import lzo1x_compress_pages
    except ImportError:
        return _make_lzallright(page_size)

    def several(data: memoryview, offsets: NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
        forms, sizes = lzo1x_compress_pages(data, np.ascontiguousarray(offsets), page_size)
        return forms, np.frombuffer(sizes, dtype=np.int32).astype(np.int64)

    return several


def _make_lzallright(page_size: int) -> Compressor:
    try:
        from lzallright import LZOCompressor
    except ImportError as error:
        raise CodecUnavailable("lzo", "lzallright") from error
    compress = LZOCompressor().compress
    return _page_by_page(page_size, lambda page: bytes(compress(bytes(page))))


def _make_snappy(page_size: int) -> Compressor:
    try:
        from vmemmap._compiled import pack_pages
    except ImportError:
        return _make_cramjam(page_size)

    def several(data: memoryview, offsets: NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
        count = len(offsets)
        size, form = np.full(count, page_size, np.int64), np.full(count, -1, np.int64)
        out = bytearray((count + 1) * page_size + 256)
        at = np.ascontiguousarray(offsets)
        used = pack_pages(data, at, size, form, page_size, kdump.FLAG_SNAPPY, out)
        return memoryview(out)[:used], size

    return several


def _make_cramjam(page_size: int) -> Compressor:
    try:
        from cramjam import snappy
    except ImportError as error:
        raise CodecUnavailable("snappy", "cramjam") from error
    room = bytearray(snappy.compress_raw_max_len(bytes(page_size)))
    view = memoryview(room)

    def compress(page: memoryview) -> bytes:
        return bytes(view[: snappy.compress_raw_into(page, room)])

    return _page_by_page(page_size, compress)


def _make_zstd(page_size: int) -> Compressor:
    try:
        import zstandard
    except ImportError as error:
        raise CodecUnavailable("zstd", "zstandard") from error
    quick = _ZSTD_QUICK if page_size <= _ZSTD_QUICK_PAGE_MAX else {}
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _ZSTD_LEVEL, source_size=page_size, **quick
    )
    made: Any = zstandard.ZstdCompressor(compression_params=parameters)
    if not hasattr(made, "multi_compress_to_buffer"):  # only its C backend has it
        return _page_by_page(page_size, made.compress)

    def several(data: memoryview, offsets: NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
        # All pages in one call, without Python between them: twice the rate on two processors.
        segments = np.empty((len(offsets), 2), dtype=np.uint64)
        segments[:, 0], segments[:, 1] = offsets, page_size
        pages = zstandard.BufferWithSegments(data, segments.tobytes())
        packed = made.multi_compress_to_buffer(pages, threads=1)
        return _joined(data, offsets, page_size, list(packed))

    return several


_MAKERS: dict[str, Callable[[int], Compressor]] = {
    "zstd": _make_zstd,
    "zlib": _make_zlib,
    "lzo": _make_lzo,
    "snappy": _make_snappy,
}
