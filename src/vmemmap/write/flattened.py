"""Writes makedumpfile's flattened form: a file as a stream of records, through any pipe.

It knows nothing of what is in the records; ``vmemmap.formats.flattened`` has the picture.

Source: makedumpfile.c, write_start_flat_header(), write_buffer() with -F.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from vmemmap.errors import OutputTooLarge
from vmemmap.formats import flattened
from vmemmap.memory import OpenFile
from vmemmap.write.output import Bytes, read_pieces


class FlattenedOutput:
    """A place for bytes at offsets that is written front to back.

    Args:
        stream: Takes the stream, a pipe for instance; closed by whoever opened it.
        limit: How many bytes the stream may have; None for any number.
        path: What to call it in errors.
    """

    may_wait = True

    def __init__(self, stream: BinaryIO, limit: int | None = None, path: str = "-") -> None:
        self._stream, self._limit, self._path = stream, limit, path
        self._written = 0
        kind = struct.pack(">qq", flattened.TYPE, flattened.VERSION)
        self._write((flattened.SIGNATURE + kind).ljust(flattened.HEADER_BYTES, b"\0"))

    def put(self, offset: int, data: Bytes) -> None:
        """Write a record; see `Output.put`.

        Raises:
            OutputTooLarge: The stream would be longer than its limit.
            OSError: The stream cannot be written.
        """
        if data:
            self._write(flattened.RECORD.pack(offset, len(data)))
            self._write(data)

    def put_parts(self, offset: int, parts: Sequence[Bytes]) -> None:
        """Write one record of several parts; see `Output.put_parts`, errors as for `put`."""
        self._write(flattened.RECORD.pack(offset, sum(map(len, parts))))
        for part in parts:
            self._write(part)

    def copy(self, offset: int, file: OpenFile, start: int, size: int) -> None:
        """Write records of what another file has; see `Output.copy`.

        Raises:
            OutputTooLarge, OSError: As for `put`.
            UnreadableFile: The other file cannot be read so far.
        """
        for data in read_pieces(file, start, size):
            self.put(offset, data)
            offset += len(data)

    def expect(self, offset: int, most: int) -> None:
        """Do nothing: a stream takes what comes; see `Output.expect`."""

    def end(self) -> None:
        """Write the record that ends the stream, without which it counts as cut off."""
        self._write(flattened.RECORD.pack(flattened.END_OFFSET, flattened.END_OFFSET))
        self._stream.flush()

    def _write(self, data: Bytes) -> None:
        self._written += len(data)
        if self._limit is not None and self._written > self._limit:
            raise OutputTooLarge(
                f"would be larger than the {self._limit} bytes that it may have", path=self._path
            )
        left = memoryview(data)
        while left:  # an unbuffered stream may take a part only
            left = left[self._stream.write(left) or 0 :]
