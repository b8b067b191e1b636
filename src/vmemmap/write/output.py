"""Where what is written goes: bytes at offsets of a file, in any order.

`FlattenedOutput` in ``flattened.py`` is another such place, for what cannot be jumped about in.
"""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

from vmemmap.errors import OutputTooLarge, UnwritableFile

Bytes = bytes | bytearray | memoryview


class Output(Protocol):
    """Whoever takes the bytes of a file that is being made."""

    def put(self, offset: int, data: Bytes) -> None:
        """Write *data* at *offset* (bytes); what is never written reads as zero."""
        ...


class FileOutput:
    """A file that can be written anywhere.

    Args:
        file: The file, empty; closed by whoever opened it.
        path: What to call it in errors.
        limit: How many bytes it may have; None for as many as there is room for.
    """

    def __init__(self, file: BinaryIO, path: str, limit: int | None = None) -> None:
        self._fd, self._path, self._limit = file.fileno(), path, limit

    def put(self, offset: int, data: Bytes) -> None:
        """Write *data* at *offset*; see `Output.put`.

        Raises:
            OutputTooLarge: It would reach beyond the limit.
            UnwritableFile: The file cannot be written.
        """
        if self._limit is not None and offset + len(data) > self._limit:
            raise OutputTooLarge(
                f"would be larger than the {self._limit} bytes that it may have", path=self._path
            )
        left = memoryview(data)
        while left:
            try:
                written = os.pwrite(self._fd, left, offset)
            except OSError as error:
                reason = f"cannot be written: {error.strerror or error}"
                raise UnwritableFile(reason, path=self._path) from error
            left, offset = left[written:], offset + written
