"""Memory on its way into a kdump file: what comes in any order is laid down, and read page by page.

Chunks of a mebibyte that hold something lie one behind the other in an unnamed file beside the
output, in the order in which they were first written; all others are zeros and take no room::

    memory    | chunk 0 | chunk 1 | chunk 2 | chunk 3 | ...
                  x                             x
    file      | chunk 3 | chunk 0 |
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import UnwritableFile
from vmemmap.intervals import Intervals
from vmemmap.write.packing import CONTENT, ZERO, PageBatch

CHUNK_BYTES = 1 << 20


class Spool:
    """Memory by physical address; a context manager, which lets go of the file.

    Args:
        path: The output beside which the file lies.
        page_size: Size of a page in bytes.

    Raises:
        UnwritableFile: The file cannot be made.
    """

    def __init__(self, path: str | Path, page_size: int) -> None:
        self._path, self._page_size = str(path), page_size
        self._slots: dict[int, int] = {}
        try:
            self._file = tempfile.TemporaryFile(dir=Path(path).absolute().parent)  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, phys: int, data: bytes | memoryview) -> None:
        """Lay bytes down.

        Raises:
            UnwritableFile: There is no room for them.
        """
        left = memoryview(data)
        while left:
            chunk, into = divmod(phys, CHUNK_BYTES)
            size = min(len(left), CHUNK_BYTES - into)
            at = self._slots.setdefault(chunk, len(self._slots)) * CHUNK_BYTES + into
            try:
                size = os.pwrite(self._file.fileno(), left[:size], at)
            except OSError as error:
                raise self._failed(error) from error
            left, phys = left[size:], phys + size

    def load(self, pages: Intervals) -> Iterator[PageBatch]:
        """Give pages as `write_kdump` asks for them."""
        per_chunk = CHUNK_BYTES // self._page_size
        for start, end in pages.tolist():
            at = start
            while at < end:
                chunk = at // per_chunk
                slot = self._slots.get(chunk)
                if slot is None:
                    until = next(
                        (c for c in range(chunk, -(-end // per_chunk)) if c in self._slots),
                        -(-end // per_chunk),
                    )
                    stop = min(until * per_chunk, end)
                    yield self._batch(b"", stop - at, ZERO)
                else:
                    stop = min((chunk + 1) * per_chunk, end)
                    size = (stop - at) * self._page_size
                    place = slot * CHUNK_BYTES + at % per_chunk * self._page_size
                    data = os.pread(self._file.fileno(), size, place)
                    yield self._batch(data.ljust(size, b"\0"), stop - at, CONTENT)
                at = stop

    def _batch(self, data: bytes, pages: int, form: int) -> PageBatch:
        size = self._page_size if form == CONTENT else 0
        return PageBatch(
            memoryview(data), np.arange(pages) * size, np.full(pages, size), np.full(pages, form)
        )

    def find_zero(self, data: memoryview, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which pages of a buffer are full of zeros."""
        if not len(offsets):
            return np.zeros(0, dtype=np.bool_)
        pages = np.frombuffer(data, dtype=np.uint64).reshape(-1, self._page_size // 8)
        return np.asarray(~pages.any(axis=1))[offsets // self._page_size]

    def _failed(self, error: OSError) -> UnwritableFile:
        return UnwritableFile(
            f"memory is laid down in a file beside it, and that failed: {error.strerror}",
            path=self._path,
        )
