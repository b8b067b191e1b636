"""Many zstd pages decoded in one call, so that no thread needs the interpreter between them.

Only frames that declare just a page are taken, and of pages so small that the calls cost more than
the work; with two threads that takes half of the time. The others are left to ``codecs.py``, and so
are all of a call in which one is damaged: by itself each tells what is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_PAGE_MAX = 16 << 10
"""Of larger pages to copy them costs what one call saves."""


def zstd_pages_decoder() -> (
    Callable[[memoryview, NDArray[np.int64], int, memoryview], bytes] | None
):
    """Give the decoder, a `PagesDecoder` of ``codecs.py``; None without what it takes.

    That is the library, and its calls for many frames.
    """
    try:
        import zstandard
    except ImportError:
        return None
    if not hasattr(zstandard, "BufferWithSegments"):  # only its C backend has it
        return None
    own = threading.local()

    def several(
        file: memoryview, places: NDArray[np.int64], page_bytes: int, out: memoryview
    ) -> bytes:
        done = np.zeros(len(places), dtype=np.bool_)
        rows = np.flatnonzero(_declare_a_page(file, places, page_bytes))
        if page_bytes > _PAGE_MAX or not len(rows):
            return done.tobytes()
        if not hasattr(own, "decompressor"):  # two threads must not share one
            own.decompressor = zstandard.ZstdDecompressor()
        frames = zstandard.BufferWithSegments(file, places[rows, :2].astype(np.uint64).tobytes())
        sizes = np.full(len(rows), page_bytes, dtype=np.uint64).tobytes()
        try:
            pages = b"".join(
                own.decompressor.multi_decompress_to_buffer(
                    frames, decompressed_sizes=sizes, threads=1
                )
            )
        except (zstandard.ZstdError, ValueError):
            return done.tobytes()
        at = places[rows, 2]
        edges = np.r_[0, np.flatnonzero(np.diff(at) != page_bytes) + 1, len(rows)].tolist()
        for first, end in pairwise(edges):
            start = int(at[first])
            part = pages[first * page_bytes : end * page_bytes]
            out[start : start + len(part)] = part
        done[rows] = True
        return done.tobytes()

    return several


def _declare_a_page(
    file: memoryview, places: NDArray[np.int64], page_bytes: int
) -> NDArray[np.bool_]:
    """Tell which frames declare a page, and nothing else that would take memory to unpack.

    Source: RFC 8878, 3.1.1.1: one segment, whose size takes two bytes; a checksum may be there.
    """
    plain = places[:, 1] > 7
    size = (page_bytes - 256).to_bytes(2, "little") if 256 <= page_bytes < 65792 else b""
    expected = np.frombuffer(b"\x28\xb5\x2f\xfd\x60" + size, dtype=np.uint8)
    heads = np.frombuffer(file, dtype=np.uint8)[places[plain, :1] + np.arange(len(expected))]
    heads[:, 4] &= 0xFF ^ 4
    plain[plain] = bool(size) & (heads == expected).all(axis=1)
    return plain
