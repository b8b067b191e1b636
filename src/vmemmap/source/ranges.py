"""A file that is read by ranges, each of which costs a request: object storage, a web server.

Bytes are fetched in blocks and kept, within a bound. What is asked for together is fetched at once:
neighbours in one request, and what lies apart in several at a time. Where reading goes on in one
direction more is fetched each time::

    asked    .....xx......x.x.................xxxx
    fetched  ....[==]....[=====]..............[==][==]       blocks; a small gap is fetched, too

How the bytes come is the reader's business: ``object_store.py``, ``file_object.py``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from vmemmap.source.file_view import ByteView
from vmemmap.source.traffic import Traffic
from vmemmap.threads import all_at_once

BLOCK_BYTES = 64 << 10
CACHE_BYTES = 48 << 20
WINDOW_BYTES = 16 << 20
"""How much is fetched into the cache at a time; what is larger and in one piece goes past it."""
PIECE_BYTES = 2 << 20
"""The largest request."""
GAP_BYTES = 256 << 10
"""A gap that is fetched rather than asked for around: about as long as an answer takes to begin."""
AHEAD_BYTES = 8 << 20
_DIRECTIONS = 8


class RangeReader(ABC):
    """What gives ranges of a file's bytes; several threads ask at once.

    Attributes:
        path: What the file is called, without secrets.
        size: How many bytes there are.
        start: The first bytes, as far as they came with the size.
        traffic: What it cost so far.
        at_once: How many requests to have on the way at a time.
        identity: What tells this version of the file from any other; empty if nothing does.
    """

    path: str
    size: int
    start: bytes = b""
    traffic: Traffic
    at_once: int = 8
    identity: str = ""

    @abstractmethod
    def read(self, start: int, end: int) -> bytes:
        """Read the bytes ``[start, end)``, all of which are in the file.

        Raises:
            UnreadableFile: They cannot be had; says why, in one line without secrets.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open; a request on the way is not waited for."""


class RangeView(ByteView):
    """The bytes behind a reader of ranges, with what was fetched kept within a bound.

    `trim` lets go of nothing: reading it again would cost requests, and the bound holds anyway.

    Args:
        reader: Where they come from; closed with this view.
        cache_bytes: How much is kept, twice `WINDOW_BYTES` at least.
    """

    far = True
    contiguous = True

    def __init__(self, reader: RangeReader, cache_bytes: int = CACHE_BYTES) -> None:
        self._reader = reader
        self.path, self.size, self.identity = reader.path, reader.size, reader.identity
        self.warnings = []
        self._room = max(cache_bytes, 2 * WINDOW_BYTES) // BLOCK_BYTES
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next: OrderedDict[int, int] = OrderedDict()
        """Where reading would go on, as a block, and how many blocks were fetched to there."""
        self._lock = RLock()
        self._closed = False
        whole = len(reader.start) if len(reader.start) == self.size else 0
        usable = whole or len(reader.start) // BLOCK_BYTES * BLOCK_BYTES
        self._keep(0, reader.start[:usable])

    @property
    def traffic(self) -> Traffic:
        """What it cost so far."""
        return self._reader.traffic

    def view(self, offset: int, size: int) -> memoryview:
        """Give the bytes ``[offset, offset + size)``, cut at the end; see `ByteView.view`.

        Raises:
            UnreadableFile: They cannot be had.
        """
        if self._closed:
            raise ValueError("the dump is closed")
        end = min(offset + size, self.size)
        if offset < 0 or end <= offset:
            return memoryview(b"")
        with self._lock:
            if end - offset > WINDOW_BYTES:
                return self._past_the_cache(offset, end).data
            first, last = offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
            self._have(first, last + 1)
            at = offset - first * BLOCK_BYTES
            if first == last:
                return memoryview(self._block(first))[at : at + end - offset]
            parts = [self._block(block) for block in range(first, last + 1)]
            return memoryview(b"".join(parts))[at : at + end - offset]

    def holds(self, offset: int, size: int) -> bool:
        """Tell whether ``[offset, offset + size)`` lies wholly inside the file."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def prefetch(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Fetch what will be asked for next, several requests at a time; see `ByteView`."""
        first = np.clip(offsets, 0, self.size) // BLOCK_BYTES
        last = -(-np.clip(offsets + np.maximum(sizes, 0), 0, self.size) // BLOCK_BYTES)
        some = (last > first) & (sizes <= WINDOW_BYTES)  # more than that goes past the cache
        rows = np.unique(np.stack([first, last], axis=1)[some], axis=0)
        runs: list[tuple[int, int]] = []
        left = WINDOW_BYTES // BLOCK_BYTES
        for start, end in rows.tolist():
            start = max(start, runs[-1][1]) if runs else start
            end = min(end, start + left)
            if end <= start:
                continue
            left -= end - start
            runs.append((start, end))
        with self._lock:
            self._fetch([run for start, end in runs for run in self._missing(start, end)])

    def close(self) -> None:
        """Close the reader; views handed out stay valid."""
        self._closed = True
        self._blocks.clear()
        self._reader.close()

    def _block(self, block: int) -> bytes:
        self._blocks.move_to_end(block)
        return self._blocks[block]

    def _have(self, start: int, end: int) -> None:
        """Make sure that the blocks ``[start, end)`` are there, and those after if that goes on."""
        missing = self._missing(start, end)
        if not missing:
            return
        before = self._next.pop(missing[0][0], 0)
        if before:
            window = min(2 * before, AHEAD_BYTES // BLOCK_BYTES)
            end = max(end, min(missing[0][0] + window, -(-self.size // BLOCK_BYTES)))
            missing = self._missing(missing[0][0], end)
        self._fetch(missing)
        self._next[end] = end - missing[0][0]
        if len(self._next) > _DIRECTIONS:
            self._next.popitem(last=False)

    def _missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """Give the runs of blocks in ``[start, end)`` that are not there."""
        runs: list[tuple[int, int]] = []
        for block in range(start, end):
            if block in self._blocks:
                self._blocks.move_to_end(block)
            elif runs and runs[-1][1] == block:
                runs[-1] = (runs[-1][0], block + 1)
            else:
                runs.append((block, block + 1))
        return runs

    def _fetch(self, runs: list[tuple[int, int]]) -> None:
        """Fetch runs of blocks, by rising number; those with a small gap between them as one."""
        joined: list[tuple[int, int]] = []
        for start, end in runs:
            if joined and (start - joined[-1][1]) * BLOCK_BYTES <= GAP_BYTES:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        step = PIECE_BYTES // BLOCK_BYTES
        pieces = [
            (at * BLOCK_BYTES, min(min(at + step, end) * BLOCK_BYTES, self.size))
            for start, end in joined
            for at in range(start, end, step)
        ]
        for (start, _), data in zip(pieces, self._read_all(pieces), strict=True):
            self._keep(start // BLOCK_BYTES, data)

    def _keep(self, first: int, data: bytes) -> None:
        for at in range(0, len(data), BLOCK_BYTES):
            block = first + at // BLOCK_BYTES
            self._blocks[block] = data[at : at + BLOCK_BYTES]
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._room:
            self._blocks.popitem(last=False)

    def _past_the_cache(self, offset: int, end: int) -> NDArray[np.uint8]:
        """Read much in one piece; nobody asks for so much twice."""
        out = np.empty(end - offset, dtype=np.uint8)
        for window in range(offset, end, WINDOW_BYTES):
            stop = min(window + WINDOW_BYTES, end)
            pieces = [(at, min(at + PIECE_BYTES, stop)) for at in range(window, stop, PIECE_BYTES)]
            for (start, _), data in zip(pieces, self._read_all(pieces), strict=True):
                out[start - offset : start - offset + len(data)] = np.frombuffer(data, np.uint8)
        return out

    def _read_all(self, pieces: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read several ranges, a few of them at a time."""
        if not pieces:
            return []
        began = time.monotonic()
        try:
            return read_together(self._reader, pieces)
        finally:
            self.traffic.seconds += time.monotonic() - began


def read_together(reader: RangeReader, pieces: Sequence[tuple[int, int]]) -> list[bytes]:
    """Read several ranges, as many at a time as the reader takes; ctrl-C does not wait for them.

    Raises:
        UnreadableFile: One cannot be had; the others are given up.
    """
    if reader.at_once == 1:
        return [reader.read(*piece) for piece in pieces]
    return all_at_once(lambda piece: reader.read(*piece), pieces, reader.at_once)
