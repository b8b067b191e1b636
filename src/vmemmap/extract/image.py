"""What is shown of memory, piece by piece, and the pages that this makes.

A page of which two words of a list and one of a zone are shown::

    pieces       [0x10, 0x20) list   [0x48, 0x50) nodes
    page         0 0 0 W W 0 0 0 0 Z 0 0 ...        everything else is zero, whatever it was
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vmemmap.extract.classes import Shown
from vmemmap.intervals import Intervals, join, touched


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are shown.

    Attributes:
        phys: Physical address of the first.
        data: The bytes, those that are not for sharing already zero.
        shown: Their class.
    """

    phys: int
    data: bytes
    shown: Shown

    @property
    def end(self) -> int:
        """The physical address after the last."""
        return self.phys + len(self.data)


class Image:
    """The pieces of an extract, but for struct pages, which are far too many to be kept.

    Where two overlap, what either shows is shown: it is the same memory.
    """

    def __init__(self) -> None:
        self._added: list[Piece] = []
        self._pieces: list[Piece] | None = None

    def add(self, phys: int, data: bytes, shown: Shown) -> None:
        """Show some bytes."""
        if data:
            self._added.append(Piece(phys, data, shown))
            self._pieces = None

    @property
    def pieces(self) -> list[Piece]:
        """What is shown, by rising address, without overlap; neighbours of a class are one."""
        if self._pieces is None:
            self._pieces = list(_joined(_apart(self._added)))
        return self._pieces

    def pages(self, page_size: int) -> Intervals:
        """Give the numbers of the pages with a piece."""
        bounds = np.array([(p.phys, p.end) for p in self.pieces], dtype=np.int64).reshape(-1, 2)
        return touched(join(bounds[:, 0], bounds[:, 1]), page_size)

    def within(self, phys: int, end: int) -> Iterator[Piece]:
        """Yield the pieces in ``[phys, end)``, cut to it, by rising address."""
        pieces = self.pieces
        first = bisect_right(pieces, phys, key=lambda piece: piece.end)
        stop = bisect_left(pieces, end, key=lambda piece: piece.phys)
        for piece in pieces[first:stop]:
            low, high = max(piece.phys, phys), min(piece.end, end)
            yield Piece(low, piece.data[low - piece.phys : high - piece.phys], piece.shown)


def _apart(added: list[Piece]) -> Iterator[Piece]:
    """Yield pieces by rising address, without overlap.

    Where two overlap, each shows some of the bytes and has zeros for the others, so that both
    together show what either does.
    """
    waiting: list[tuple[int, bytearray, Shown]] = []
    for piece in sorted(added, key=lambda piece: piece.phys):
        while waiting and waiting[0][0] + len(waiting[0][1]) <= piece.phys:
            phys, data, shown = waiting.pop(0)
            yield Piece(phys, bytes(data), shown)
        at = piece.phys
        for phys, data, _ in waiting:
            into, size = at - phys, min(phys + len(data), piece.end) - at
            both = zip(data[into : into + size], piece.data[at - piece.phys :], strict=False)
            data[into : into + size] = bytes(one | other for one, other in both)
            at = max(at, min(phys + len(data), piece.end))
        if at < piece.end:
            waiting.append((at, bytearray(piece.data[at - piece.phys :]), piece.shown))
    for phys, data, shown in waiting:
        yield Piece(phys, bytes(data), shown)


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join neighbours of the same class."""
    group: list[Piece] = []
    for piece in pieces:
        if group and (group[-1].end != piece.phys or group[-1].shown is not piece.shown):
            yield _one(group)
            group = []
        group.append(piece)
    if group:
        yield _one(group)


def _one(group: list[Piece]) -> Piece:
    first = group[0]
    return Piece(first.phys, b"".join(piece.data for piece in group), first.shown)
