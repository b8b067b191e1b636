"""Stored pages of a file that is no plain one, put together in one buffer.

A plain file is mapped, so that its pages can be copied from where they are. One that is read by
ranges, or is the inside of a flattened one, gives its bytes piece by piece.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CorruptDump
from vmemmap.source.file_view import ByteView

_RUN_BYTES = 1 << 20
"""Pages that lie side by side are read together, up to about so much."""


def gather(
    view: ByteView, offset: NDArray[np.int64], size: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> tuple[memoryview, NDArray[np.int64], NDArray[np.bool_]]:
    """Read stored pages; one that several pages share is read once.

    Args:
        view: The file.
        offset: Where each page is in it: int64, shape (n,), bytes.
        size: How many bytes it has there, likewise.
        wanted: Which of them to read; all that these claim lies within the file.

    Returns:
        The buffer, where each page is in it, and which of them could be had.
    """
    had, place = wanted.copy(), np.zeros(len(offset), dtype=np.int64)
    rows = np.flatnonzero(wanted)
    if not len(rows):
        return memoryview(b""), place, had
    both = np.column_stack([offset[rows], size[rows]])
    once, which = np.unique(both, axis=0, return_inverse=True)
    which = which.reshape(-1)
    start, end = once[:, 0], once[:, 0] + once[:, 1]
    step = (start[1:] != end[:-1]) | (start[1:] // _RUN_BYTES != start[:-1] // _RUN_BYTES)
    first = np.flatnonzero(np.r_[True, step])
    last = np.r_[first[1:], len(once)] - 1
    length = end[last] - start[first]
    view.prefetch(start[first], length)
    begin = np.cumsum(length) - length
    out = np.empty(int(length.sum()), dtype=np.uint8)
    good = np.ones(len(first), dtype=np.bool_)
    runs = zip(start[first].tolist(), begin.tolist(), length.tolist(), strict=True)
    for run, (at, to, count) in enumerate(runs):
        try:
            out[to : to + count] = np.frombuffer(view.view(at, count), dtype=np.uint8)
        except (CorruptDump, ValueError):  # in no record of a flattened file, or cut since
            good[run] = False
    of = np.repeat(np.arange(len(first)), last + 1 - first)
    place[rows] = (begin[of] + start - start[first][of])[which]
    had[rows] = good[of][which]
    return out.data, place, had
