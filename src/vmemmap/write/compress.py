"""Compression of pages, each by itself, many in one call so that threads really work side by side.

The forms are those that makedumpfile writes, at its levels: zlib 1, LZO1X-1, snappy, zstd 1. The
libraries are imported when the first page is compressed. A compressor belongs to one thread.

Source: makedumpfile.c, write_kdump_pages_cyclic(); measurements in docs/filter.md.
"""

from __future__ import annotations

import zlib as standard_zlib
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CodecUnavailable
from vmemmap.formats import kdump

Compressor = Callable[[memoryview, NDArray[np.int64]], Sequence[bytes | memoryview]]
"""(a buffer, the offsets of pages in it) to the compressed form of each."""

CODECS = ("zstd", "zlib", "lzo", "snappy", "none")
FLAG_OF_CODEC = {codec: flag for flag, codec in kdump.CODEC_OF_FLAG.items()} | {"none": 0}
_ZSTD_LEVEL = 1
_ZLIB_LEVEL = 1
_ISAL_LEVEL = 2
"""As small as zlib's level 1 and several times as fast; isal's levels 0 and 1 are neither."""


def compressor(codec: str, page_size: int) -> Compressor:
    """Make the compressor of a codec for the pages of one dump, for one thread.

    Args:
        codec: One of `CODECS`; ``none`` gives no page at all.
        page_size: The size of a page in bytes.

    Raises:
        ValueError: There is no such codec.
        CodecUnavailable: The library is not installed.
    """
    if codec not in _MAKERS:
        raise ValueError(f"there is no codec {codec!r}: expected one of {', '.join(CODECS)}")
    return _MAKERS[codec](page_size)


def _page_by_page(page_size: int, compress: Callable[[memoryview], bytes]) -> Compressor:
    def several(data: memoryview, offsets: NDArray[np.int64]) -> list[bytes | memoryview]:
        return [compress(data[at : at + page_size]) for at in offsets.tolist()]

    return several


def _make_none(_page_size: int) -> Compressor:
    return lambda _data, _offsets: []


def _make_zlib(page_size: int) -> Compressor:
    try:
        from isal import isal_zlib
    except ImportError:
        return _page_by_page(page_size, partial(standard_zlib.compress, level=_ZLIB_LEVEL))
    return _page_by_page(page_size, partial(isal_zlib.compress, level=_ISAL_LEVEL))


def _make_lzo(page_size: int) -> Compressor:
    if find_spec("vmemmap._compiled") is not None:
        own = getattr(import_module("vmemmap._compiled"), "lzo1x_compress", None)
        if own is not None:
            return _page_by_page(page_size, own)
    try:
        from lzallright import LZOCompressor
    except ImportError as error:
        raise CodecUnavailable("lzo", "lzallright") from error
    compress = LZOCompressor().compress
    return _page_by_page(page_size, lambda page: bytes(compress(bytes(page))))


def _make_snappy(page_size: int) -> Compressor:
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
    made: Any = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    if not hasattr(made, "multi_compress_to_buffer"):  # only its C backend has it
        return _page_by_page(page_size, made.compress)

    def several(data: memoryview, offsets: NDArray[np.int64]) -> list[bytes | memoryview]:
        # All pages in one call, without Python between them: twice the rate on two processors.
        segments = np.empty((len(offsets), 2), dtype=np.uint64)
        segments[:, 0], segments[:, 1] = offsets, page_size
        pages = zstandard.BufferWithSegments(data, segments.tobytes())
        packed = made.multi_compress_to_buffer(pages, threads=1)
        return [memoryview(packed[i]) for i in range(len(packed))]

    return several


_MAKERS: dict[str, Callable[[int], Compressor]] = {
    "zstd": _make_zstd,
    "zlib": _make_zlib,
    "lzo": _make_lzo,
    "snappy": _make_snappy,
    "none": _make_none,
}
