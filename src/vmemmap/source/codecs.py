"""Decompression of one page, with every decoder bounded against hostile input.

Nothing here trusts a length that the compressed bytes declare. The libraries are imported when the
first page of their codec is met.

Source: measurements of each library's behaviour on oversized output; makedumpfile's page formats.
"""

from __future__ import annotations

import threading
import zlib as standard_zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CodecUnavailable

Decoder = Callable[[bytes | memoryview, int], bytes]
"""(compressed bytes, page size) to the page, or a ValueError that says what is wrong."""


IntoDecoder = Callable[[memoryview, memoryview], None]
"""(compressed bytes, room for one page): fills it, or raises a ValueError."""

PagesDecoder = Callable[[memoryview, NDArray[np.int64], int, memoryview], bytes]
"""(a file, a row of offset, bytes and place in the room for each page, page size, room for them):
fills the places of those that it decodes, and gives 1 for each of these, 0 for each other."""

_NO_COMPILER = "or vmemmap where there is a C compiler, which builds its own"


@cache
def decoder_into(codec: str) -> IntoDecoder:
    """Give the decoder of a codec, or of ``raw`` pages, that writes to where the page is wanted."""
    if codec == "raw":
        return _copy_raw
    if codec == "lzo":
        return _make_lzo_into()
    if codec == "snappy":
        return _make_snappy_into()
    if codec == "zstd":
        return _make_zstd_into()
    return _through_bytes(decoder(codec))


@cache
def pages_decoder(codec: str) -> PagesDecoder | None:
    """Give the decoder of a codec that takes many pages in one call, where there is one.

    No thread needs the interpreter between its pages, so that small pages are decoded side by side.
    """
    if codec == "lzo":
        with suppress(ImportError):
            from vmemmap._compiled import lzo1x_decompress_pages

            return lzo1x_decompress_pages
    if codec == "zstd":
        from vmemmap.source.zstd_pages import zstd_pages_decoder

        with suppress(CodecUnavailable):
            zstandard = _import_zstandard()
            return zstd_pages_decoder(zstandard, _zstd_of_thread(zstandard))
    return None


def _through_bytes(decode: Decoder) -> IntoDecoder:
    def into(data: memoryview, page: memoryview) -> None:
        page[:] = decode(data, len(page))

    return into


def _copy_raw(data: memoryview, page: memoryview) -> None:
    page[:] = data


@cache
def decoder(codec: str) -> Decoder:
    """Give the decoder of a codec.

    Args:
        codec: zlib, lzo, snappy or zstd.

    Returns:
        A function from compressed bytes and a page size to exactly that many bytes. It raises
        ValueError, with the reason, for anything else.

    Raises:
        CodecUnavailable: The library is not installed.
    """
    return _MAKERS[codec]()


def zlib_head(data: bytes | memoryview, length: int) -> bytes:
    """Unpack only the first *length* bytes of a zlib page; a ValueError if they are not there."""
    try:
        head = standard_zlib.decompressobj().decompress(data, length)
    except standard_zlib.error as error:
        raise ValueError(f"zlib: {error}") from error
    if len(head) != length:
        raise ValueError(f"zlib: {len(head)} bytes, expected {length}")
    return head


def _make_zlib() -> Decoder:
    decompressobj: Callable[..., Any] = standard_zlib.decompressobj
    errors: tuple[Any, ...] = (standard_zlib.error,)
    try:
        from isal import isal_zlib
    except ImportError:
        pass
    else:  # about twice as fast, same interface
        decompressobj = isal_zlib.decompressobj
        errors = (standard_zlib.error, isal_zlib.error)

    def decode(data: bytes | memoryview, page_bytes: int) -> bytes:
        stream = decompressobj()
        try:
            # One byte more than a page: a longer stream shows itself without being unpacked.
            page: bytes = stream.decompress(data, page_bytes + 1)
        except errors as error:
            raise ValueError(f"zlib: {error}") from error
        _require_length(page, page_bytes)
        if not stream.eof:
            raise ValueError("the zlib stream does not end with the page")
        return page

    return decode


def _make_lzo() -> Decoder:
    try:
        from vmemmap._compiled import lzo1x_decompress
    except ImportError:
        return _make_lzallright()
    return lzo1x_decompress


def _make_lzallright() -> Decoder:
    try:
        from lzallright import LZOCompressor
    except ImportError:
        return _make_python_lzo()

    def decode(data: bytes | memoryview, page_bytes: int) -> bytes:
        try:
            page = bytes(LZOCompressor.decompress(bytes(data), page_bytes))
        except Exception as error:  # its exception classes differ between releases
            raise ValueError(f"lzo: {type(error).__name__} {error}") from error
        return _require_length(page, page_bytes)

    return decode


def _make_lzo_into() -> IntoDecoder:
    try:
        from vmemmap._compiled import lzo1x_decompress_into
    except ImportError:
        return _through_bytes(decoder("lzo"))
    return lzo1x_decompress_into


def _make_python_lzo() -> Decoder:
    try:
        import lzo
    except ImportError as error:
        raise CodecUnavailable("lzo", "lzallright", _NO_COMPILER) from error

    def decode(data: bytes | memoryview, page_bytes: int) -> bytes:
        try:
            page: bytes = lzo.decompress(bytes(data), False, page_bytes)
        except lzo.error as error:
            raise ValueError(f"lzo: {error}") from error
        return _require_length(page, page_bytes)

    return decode


def _make_snappy() -> Decoder:
    into = _make_snappy_into()

    def decode(data: bytes | memoryview, page_bytes: int) -> bytes:
        page = bytearray(page_bytes)
        into(memoryview(data), memoryview(page))
        return bytes(page)

    return decode


def _make_snappy_into() -> IntoDecoder:
    try:
        from cramjam import snappy
    except ImportError:
        return _make_python_snappy_into()

    def into(data: memoryview, page: memoryview) -> None:
        packed = bytes(data)
        try:
            declared = snappy.decompress_raw_len(packed)
            if declared != len(page):
                raise ValueError(f"it declares {declared} bytes, a page has {len(page)}")
            written = snappy.decompress_raw_into(packed, page)
        except Exception as error:  # cramjam raises its own DecompressionError
            raise ValueError(f"snappy: {error}") from error
        if written != len(page):
            raise ValueError(f"snappy: it unpacks to {written} bytes, a page has {len(page)}")

    return into


def _make_python_snappy_into() -> IntoDecoder:
    """What distributions have that do not have cramjam."""
    try:
        import snappy
    except ImportError as error:
        raise CodecUnavailable("snappy", "cramjam") from error

    def into(data: memoryview, page: memoryview) -> None:
        packed = bytes(data)
        if _declared_by_snappy(packed) != len(page):  # it would make as much room as they declare
            raise ValueError(f"snappy: it does not declare the {len(page)} bytes of a page")
        try:
            unpacked = snappy.uncompress(packed)
        except Exception as error:  # its exception classes differ between releases
            raise ValueError(f"snappy: {error}") from error
        page[:] = _require_length(unpacked, len(page))

    return into


def _declared_by_snappy(packed: bytes) -> int:
    """Read the size before a snappy stream: seven bits a byte, the lowest first."""
    declared = 0
    for at, byte in enumerate(packed[:5]):
        declared |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return declared
    return -1


def _make_zstd() -> Decoder:
    zstandard = _import_zstandard()
    decompressor = _zstd_of_thread(zstandard)

    def decode(data: bytes | memoryview, page_bytes: int) -> bytes:
        try:
            _check_zstd_size(zstandard, data, page_bytes)
            page: bytes = decompressor().decompress(data, max_output_size=page_bytes)
        except zstandard.ZstdError as error:
            raise ValueError(f"zstd: {error}") from error
        return _require_length(page, page_bytes)

    return decode


def _make_zstd_into() -> IntoDecoder:
    zstandard = _import_zstandard()
    decompressor = _zstd_of_thread(zstandard)

    def into(data: memoryview, page: memoryview) -> None:
        try:
            _check_zstd_size(zstandard, data, len(page))
            stream = decompressor().stream_reader(data)
            if stream.readinto(page) != len(page) or stream.read(1):
                raise ValueError(f"zstd: it does not unpack to the {len(page)} bytes of a page")
        except zstandard.ZstdError as error:
            raise ValueError(f"zstd: {error}") from error

    return into


def _import_zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise CodecUnavailable("zstd", "zstandard") from error
    return zstandard


def _zstd_of_thread(zstandard: Any) -> Callable[[], Any]:
    """Give a function that gives the thread's own decompressor: two must not share one."""
    own = threading.local()

    def get() -> Any:
        if not hasattr(own, "decompressor"):
            own.decompressor = zstandard.ZstdDecompressor()
        return own.decompressor

    return get


def _check_zstd_size(zstandard: Any, data: bytes | memoryview, page_bytes: int) -> None:
    """Refuse a frame that declares another size; decompress() would believe it."""
    declared = zstandard.frame_content_size(data)
    if declared not in (-1, page_bytes):
        raise ValueError(f"it declares {declared} bytes, a page has {page_bytes}")


def _require_length(page: bytes, page_bytes: int) -> bytes:
    if len(page) != page_bytes:
        more = "more than " if len(page) > page_bytes else ""
        found = page_bytes if more else len(page)
        raise ValueError(f"it unpacks to {more}{found} bytes, a page has {page_bytes}")
    return page


_MAKERS: dict[str, Callable[[], Decoder]] = {
    "zlib": _make_zlib,
    "lzo": _make_lzo,
    "snappy": _make_snappy,
    "zstd": _make_zstd,
}
