"""Pieces of a dump's memory that are kept for the next read: views of the file, or decoded pages.

A piece is as long as it can be, so that a read of much is a piece of it and nobody has to put it
together: decoded pages lie at their places in windows, one behind the other. Of a window of eight
pages, of which five were read::

    page       0    1    2    3    4    5    6    7
    decoded    no   yes  yes  yes  no   no   yes  yes
    pieces          [-----------]            [------]
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import NamedTuple

from vmemmap.errors import VmemmapError

CACHE_BYTES = 64 << 20
"""How much of decoded or copied memory is kept. Views of a mapped file take no memory."""
WINDOW_PAGES = 32
_ADDRESSES_MOST = 1 << 30
"""Bounds the windows: they take addresses for all of their pages, and memory for those decoded."""
_VIEWS_MOST = 1 << 14


class Piece(NamedTuple):
    """Memory that lies in one piece: the address of its first byte, and its bytes."""

    start: int
    data: memoryview


class Views:
    """Pieces of an uncompressed dump, where the file has them.

    Args:
        view: Gives the bytes at an address, without a copy if it can; a VmemmapError where they do
            not lie in one piece, or not in the dump.
        page_bytes: Size of aligned pieces that surely lie in one, a power of two.
        forget: Called when pieces given before are let go of.
    """

    def __init__(
        self, view: Callable[[int, int], memoryview], page_bytes: int, forget: Callable[[], None]
    ) -> None:
        self._view, self._forget = view, forget
        self._sizes = (WINDOW_PAGES * page_bytes, page_bytes)
        self._kept: dict[tuple[int, int], memoryview] = {}
        self._copied = 0

    def find(self, address: int, count: int) -> Piece | None:
        """Give a piece with all of the bytes asked for; None where none has them all.

        Raises:
            VmemmapError: They, or what surrounds them in their page, cannot be read.
        """
        for size in self._sizes:
            start = address & -size
            if address + count <= start + size:
                data = self._at(start, size)
                if len(data):
                    return Piece(start, data)
        return None

    def _at(self, start: int, size: int) -> memoryview:
        data = self._kept.get((start, size))
        if data is not None:
            return data
        try:
            data = self._view(start, size)
        except VmemmapError:
            if size == self._sizes[-1]:
                raise
            data = memoryview(b"")  # not in one piece
        if not isinstance(data.obj, mmap.mmap):
            self._copied += len(data)
        if self._copied > CACHE_BYTES or len(self._kept) >= _VIEWS_MOST:
            self._kept.clear()
            self._forget()
            self._copied = len(data)
        self._kept[start, size] = data
        return data


class Windows:
    """Pieces of a compressed dump, decoded when they are first asked for.

    Args:
        fill: Decodes the pages at an address into a place of their size, one page or several.
        page_bytes: Size of the pages, a power of two.
        forget: Called when pieces given before are let go of.
    """

    def __init__(
        self,
        fill: Callable[[int, memoryview], None],
        page_bytes: int,
        forget: Callable[[], None],
    ) -> None:
        self._fill, self._forget = fill, forget
        self._page_bytes, self._window_bytes = page_bytes, WINDOW_PAGES * page_bytes
        self._windows: dict[int, tuple[memoryview, bytearray]] = {}
        self._decoded = 0

    def find(self, address: int, count: int) -> Piece | None:
        """Give a piece with all of the bytes asked for; None where they reach over two windows.

        Raises:
            VmemmapError: A page of them cannot be read as a whole.
        """
        number, into = divmod(address, self._window_bytes)
        if into + count > self._window_bytes:
            return None
        memory, known = self._windows.get(number) or self._add(number)
        page_bytes = self._page_bytes
        first, end = into // page_bytes, -(-(into + count) // page_bytes)
        while (missing := known.find(0, first, end)) >= 0:
            after = known.find(1, missing, end)
            pages = slice(missing, after if after >= 0 else end)
            place = memory[pages.start * page_bytes : pages.stop * page_bytes]
            self._fill(number * self._window_bytes + pages.start * page_bytes, place)
            known[pages] = b"\1" * (pages.stop - pages.start)
            self._decoded += len(place)
            self._make_room(number)
        low, high = known.rfind(0, 0, first) + 1, known.find(0, end)
        begin, stop = low * page_bytes, (high if high >= 0 else WINDOW_PAGES) * page_bytes
        return Piece(number * self._window_bytes + begin, memory[begin:stop])

    def _add(self, number: int) -> tuple[memoryview, bytearray]:
        if len(self._windows) * self._window_bytes >= _ADDRESSES_MOST:
            self._drop(next(iter(self._windows)))
        place = mmap.mmap(-1, self._window_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):  # one decoded page is not to take the place of all
            place.madvise(mmap.MADV_NOHUGEPAGE)
        window = self._windows[number] = memoryview(place), bytearray(WINDOW_PAGES)
        return window

    def _make_room(self, needed: int) -> None:
        """Let go of the oldest windows, but not of the one that is needed."""
        while self._decoded > CACHE_BYTES and len(self._windows) > 1:
            oldest = next(number for number in self._windows if number != needed)
            self._drop(oldest)

    def _drop(self, number: int) -> None:
        _, known = self._windows.pop(number)
        self._decoded -= known.count(1) * self._page_bytes
        self._forget()
