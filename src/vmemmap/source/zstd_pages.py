"""Many zstd pages decoded in one call, so that no thread needs the interpreter between them.

Only frames that declare just a page are taken, and of pages so small that the calls cost more than
the work; with two threads that takes half of the time. The others are left to ``codecs.py``, and so
are all of a call in which one is damaged: by itself each tells what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE_MIN, _PAGE_MAX = 256, 16 << 10
"""Of fewer bytes a frame declares the number in one byte; to copy larger pages costs what one call
saves."""


def zstd_pages_decoder(
    zstandard: Any, decompressor: Callable[[], Any]
) -> Callable[[memoryview, NDArray[np.int64], int, memoryview], bytes] | None:
    """Give the decoder, a `PagesDecoder` of ``codecs.py``; None without the library's C backend.

    Args:
        zstandard: The library.
        decompressor: Gives the thread's own decompressor.
    """
    if not hasattr(zstandard, "BufferWithSegments"):
        return None

    def several(
        file: memoryview, places: NDArray[np.int64], page_bytes: int, out: memoryview
    ) -> bytes:
        done = np.zeros(len(places), dtype=np.bool_)
        if not _PAGE_MIN <= page_bytes <= _PAGE_MAX:
            return done.tobytes()
        rows = np.flatnonzero(_declare_a_page(file, places, page_bytes))
        if not len(rows):
            return done.tobytes()
        frames = zstandard.BufferWithSegments(file, places[rows, :2].astype(np.uint64).tobytes())
        sizes = np.full(len(rows), page_bytes, dtype=np.uint64).tobytes()
        try:
            pages = b"".join(
                decompressor().multi_decompress_to_buffer(
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
    size = (page_bytes - _PAGE_MIN).to_bytes(2, "little")
    expected = np.frombuffer(b"\x28\xb5\x2f\xfd\x60" + size, dtype=np.uint8)
    heads = np.frombuffer(file, dtype=np.uint8)[places[plain, :1] + np.arange(len(expected))]
    heads[:, 4] &= 0xFF ^ 4
    plain[plain] = (heads == expected).all(axis=1)
    return plain
