"""A stretch of a far file as if it were an array of bytes: what is asked for is fetched.

It serves the page bitmaps, which are asked for here and there, or from one place to another; who
does the latter says so first, so that much of it comes at once.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray

from vmemmap.source.file_view import ByteView

FAR_BYTES = 64 << 10
"""What is fetched around a place, at least."""
AHEAD_BYTES = 15 << 20
"""How much is fetched at a time of what goes by, with several requests."""


class FarBytes:
    """A stretch of a far file.

    Args:
        view: The file.
        at: Where the stretch begins in it.
        size: How many bytes it has, all of them in the file.
    """

    def __init__(self, view: ByteView, at: int, size: int) -> None:
        self._view, self._at, self._size = view, at, size
        self._here = self._goal = 0

    def __len__(self) -> int:
        return self._size

    def expect(self, start: int, end: int) -> None:
        """Say that ``[start, end)`` will go by, in slices from its beginning on."""
        self._here, self._goal = start, min(end, self._size)

    @overload
    def __getitem__(self, key: int) -> np.uint8: ...
    @overload
    def __getitem__(self, key: slice | NDArray[np.int64]) -> NDArray[np.uint8]: ...
    def __getitem__(self, key: int | slice | NDArray[np.int64]) -> np.uint8 | NDArray[np.uint8]:
        """Give bytes as an array would: one, a stretch without steps, or those at many places."""
        if isinstance(key, slice):
            start, end, _ = key.indices(self._size)
            if self._here <= start < self._goal:
                self._here = min(start + AHEAD_BYTES, self._goal)
                self._view.prefetch(np.array([self._at + start]), np.array([self._here - start]))
            data = self._view.view(self._at + start, max(end - start, 0))
            return np.frombuffer(data, dtype=np.uint8)
        if isinstance(key, np.ndarray):
            return self._at_many(key)
        return np.uint8(self._view.view(self._at + key, 1)[0])

    def _at_many(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        out = np.empty(places.shape, dtype=np.uint8)
        chunk = places // FAR_BYTES
        chunks = np.unique(chunk)
        starts = self._at + chunks * FAR_BYTES
        self._view.prefetch(starts, np.full(len(starts), FAR_BYTES, dtype=np.int64))
        for number in chunks.tolist():
            mine = chunk == number
            part = self[number * FAR_BYTES : (number + 1) * FAR_BYTES]
            out[mine] = part[places[mine] - number * FAR_BYTES]
        return out
