"""Which pages a kdump-compressed file should have and has not: cut off, or never written.

The file's bitmap says which pages it has, and their descriptors where they are. A writer appends
pages in the order of pfns, so that what is missing is missing from some pfn on, and a look at the
last descriptors tells of it::

    descriptors    0x9000+812  0x932c+640  ...  0x97f0+700  0x9aac+512   0  0  0
    file ends at                                0x9980
                   kept        kept             cut off     cut off      never written
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.formats import kdump as layout
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.losses import Loss

_AT_A_TIME = 16384
_AT_MOST = 1 << 24
"""So many descriptors are looked at, from the last one back; a count of more is "at least"."""
_AT_MOST_FAR = 1 << 17
"""Of a far file, 3 MiB of them, unless all are to be looked at."""


def find_losses(file: KdumpFile, *, everywhere: bool = False) -> tuple[Loss, ...]:
    """Work out what a file, or a member of a split dump, lacks of its own pages.

    Args:
        file: The file.
        everywhere: Look at all descriptors, not only from the last ones back to the first of them
            that is sound.

    Returns:
        At most one loss for each cause; a mark that the dump is incomplete is one by itself.
    """
    found = _Tally(file, everywhere)
    losses = []
    if len(found.cut):
        cause = file.view.cut_text if found.is_cut else _DAMAGED
        losses.append(found.loss(cause, found.cut, "lost"))
    if len(found.unwritten):
        cause = _UNFINISHED if found.reaches_end(found.unwritten) else _EMPTY
        if file.marked_incomplete:
            cause = layout.MARKED_INCOMPLETE
        losses.append(found.loss(cause, found.unwritten, "lost, since they were never written,"))
    elif file.marked_incomplete:
        losses.append(Loss(layout.MARKED_INCOMPLETE))
    if file.view.truncated and not len(found.cut):
        losses.append(Loss(file.view.cut_text))
    return tuple(losses)


_DAMAGED = "damaged page descriptors point behind the end of the file, which is not cut off"
_EMPTY = "page descriptors before the last are empty, and the dump does not say why"
_UNFINISHED = "the dump's writer did not finish, and the dump does not say why"


class _Tally:
    """The pages that a file lacks, by their place among its descriptors: 0 is the first."""

    def __init__(self, file: KdumpFile, everywhere: bool) -> None:
        self._file = file
        self._total = (file.descriptors_end - file.descriptors_at) // layout.DESCRIPTOR_BYTES
        self.is_cut = False
        cut, unwritten = [], []
        end, self._all_seen = self._total, True
        at_most = _AT_MOST_FAR if file.view.far and not everywhere else _AT_MOST
        while end > 0:
            if self._total - end >= at_most:
                self._all_seen = False
                self.is_cut |= file.tells_count  # whose pages go on behind the end
                break
            start = max(end - _AT_A_TIME, 0)
            lost, empty = self._look(start, end)
            cut.append(np.flatnonzero(lost & ~empty) + start)
            unwritten.append(np.flatnonzero(empty) + start)
            if not everywhere and not lost.any():
                break
            end = start
        self.cut = _joined(cut)
        self.unwritten = _joined(unwritten)

    def _look(self, start: int, end: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which of some pages are lost, and which of them have an empty descriptor."""
        view, size = self._file.view, layout.DESCRIPTOR_BYTES
        at = self._file.descriptors_at + start * size
        raw = bytes(view.view(at, (end - start) * size)).ljust((end - start) * size, b"\0")
        rows = np.frombuffer(raw, dtype=_dtype(self._file))
        places = at + np.arange(end - start, dtype=np.int64) * size
        have = view.holds_many(places, np.full(end - start, size, dtype=np.int64))
        offset, length = rows["offset"], rows["size"].astype(np.int64)
        empty = have & (offset == 0)
        near = np.minimum(offset, np.uint64(1 << 62)).astype(np.int64)
        lost = ~have | empty | ~view.holds_many(near, length)
        # The page at which a file was cut off begins before its end; damage points anywhere.
        at_the_end = ~have | (lost & ~empty & (near <= view.size))
        self.is_cut |= view.truncated or bool(at_the_end.any())
        return lost, empty

    def reaches_end(self, places: NDArray[np.int64]) -> bool:
        """Tell whether all pages from the first of these on are among them."""
        return int(places[0]) + len(places) == self._total

    def loss(self, cause: str, places: NDArray[np.int64], word: str) -> Loss:
        """Make the record of some lost pages, given by their places, of which there is one."""
        file, first = self._file, int(places[0])
        pfn = file.pfn_of(first)
        least = "" if self._all_seen else "at least "
        if len(places) == self._total:
            where = ""
        elif self.reaches_end(places):
            where = f", {'from' if self._all_seen else 'all those from'} pfn {pfn} on"
        else:
            where = f", the first of them pfn {pfn}"
        count = f"{least}{len(places)} of {self._total} pages are {word}"
        return Loss(cause, count.rstrip(",") + where, pfn * file.main.block_size)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts[::-1]) if parts else np.empty(0, dtype=np.int64)


def _dtype(file: KdumpFile) -> np.dtype[np.void]:
    word = numpy_prefix(file.main.order)
    names = (("offset", "u8"), ("size", "u4"), ("flags", "u4"), ("page_flags", "u8"))
    return np.dtype([(name, word + kind) for name, kind in names])
