"""Where what is written goes: bytes at offsets of a file, in any order.

`FlattenedOutput` in ``flattened.py`` is another such place, for what cannot be jumped about in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, Protocol

from vmemmap.errors import OutputTooLarge, UnwritableFile
from vmemmap.memory import OpenFile

Bytes = bytes | bytearray | memoryview
_PIECE_BYTES = 1 << 20
_ROOM_BYTES = 64 << 20
"""What is found on the disk at once: that much again is no faster."""


class Output(Protocol):
    """Whoever takes the bytes of a file that is being made.

    Attributes:
        may_wait: Whether writing can wait for somebody else, who reads a pipe for instance. Ctrl-C
            ends that wait only in the thread that asked for the work, so no other may write.
    """

    may_wait: bool

    def put(self, offset: int, data: Bytes) -> None:
        """Write *data* at *offset* (bytes); what is never written reads as zero."""
        ...

    def put_parts(self, offset: int, parts: Sequence[Bytes]) -> None:
        """Write bytes that are in several places, one behind the other from *offset* on."""
        ...

    def copy(self, offset: int, file: OpenFile, start: int, size: int) -> None:
        """Write at *offset* the *size* bytes that another file has from *start* on."""
        ...

    def expect(self, offset: int, most: int) -> None:
        """Be told that from *offset* on all is written next, *most* bytes or fewer; 0: no more."""
        ...


class FileOutput:
    """A file that can be written anywhere.

    Args:
        file: The file, empty; closed by whoever opened it.
        path: What to call it in errors.
        limit: How many bytes it may have; None for as many as there is room for.
    """

    may_wait = False

    def __init__(self, file: BinaryIO, path: str, limit: int | None = None) -> None:
        self._fd, self._path, self._limit = file.fileno(), path, limit
        self._room_end = 0
        self._make_room = _compiled_make_room()

    def put(self, offset: int, data: Bytes) -> None:
        """Write *data* at *offset*; see `Output.put`.

        Raises:
            OutputTooLarge: It would reach beyond the limit.
            UnwritableFile: The file cannot be written.
        """
        self._check_limit(offset + len(data))
        left = memoryview(data)
        while left:
            try:
                written = os.pwrite(self._fd, left, offset)
            except OSError as error:
                if self._give_room_back():
                    continue  # what comes may lie elsewhere, and take less than there was
                reason = f"cannot be written: {error.strerror or error}"
                raise UnwritableFile(reason, path=self._path) from error
            left, offset = left[written:], offset + written

    def put_parts(self, offset: int, parts: Sequence[Bytes]) -> None:
        """Write what is in several places without joining it; see `Output.put_parts`.

        Raises:
            OutputTooLarge, UnwritableFile: As for `put`.
        """
        written, size = 0, sum(map(len, parts))
        if len(parts) > 1 and hasattr(os, "pwritev"):
            self._check_limit(offset + size)
            # If it is an error it comes again, and is told there.
            with suppress(OSError):
                written = os.pwritev(self._fd, parts, offset)
            if written == size:
                return
        for part in parts:
            self.put(offset + min(written, len(part)), part[min(written, len(part)) :])
            offset, written = offset + len(part), max(written - len(part), 0)

    def copy(self, offset: int, file: OpenFile, start: int, size: int) -> None:
        """Write what another file has, by the system alone where it can; see `Output.copy`.

        Raises:
            OutputTooLarge, UnwritableFile: As for `put`.
            UnreadableFile: The other file cannot be read so far.
        """
        self._check_limit(offset + size)
        while size and hasattr(os, "copy_file_range"):
            try:
                done = os.copy_file_range(file.fd, self._fd, size, start, offset)
            except OSError:
                break  # not here, or not between these two; if it is an error it comes again
            if not done:
                break
            start, offset, size = start + done, offset + done, size - done
        for data in read_pieces(file, start, size):
            self.put(offset, data)
            offset += len(data)

    def expect(self, offset: int, most: int) -> None:
        """Have room made on the disk, some way ahead, where that makes writing faster.

        With 0 bytes to come the room that is left over is given back; see `Output.expect`.
        """
        if not most:
            self._give_room_back()
            return
        end = offset + most if self._limit is None else min(offset + most, self._limit)
        start = max(offset, self._room_end)
        if self._make_room and start < min(end, offset + _ROOM_BYTES // 2):
            self._room_end = min(end, offset + _ROOM_BYTES)
            if not self._make_room(self._fd, start, self._room_end - start):
                self._give_room_back()  # where the disk is full it may have been made in part

    def _give_room_back(self) -> bool:
        """Give back what room there is beyond the file's end, and make no more; tell if it did."""
        had, self._room_end, self._make_room = self._room_end > 0, 0, None
        if had:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size)
        return had

    def _check_limit(self, end: int) -> None:
        if self._limit is not None and end > self._limit:
            raise OutputTooLarge(
                f"would be larger than the {self._limit} bytes that it may have", path=self._path
            )


def _compiled_make_room() -> Callable[[int, int, int], bool] | None:
    try:
        from vmemmap._compiled import make_room
    except ImportError:
        return None
    return make_room


def read_pieces(file: OpenFile, start: int, size: int) -> Iterator[bytes]:
    """Read a part of a file, about a mebibyte at a time.

    Raises:
        UnreadableFile: It cannot be read, or ends before.
    """
    while size:
        try:
            data = os.pread(file.fd, min(size, _PIECE_BYTES), start)
        except OSError as error:
            raise file.unreadable(error) from error
        if not data:
            raise file.unreadable()
        yield data
        start, size = start + len(data), size - len(data)
