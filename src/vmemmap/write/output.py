"""Where what is written goes: bytes at offsets of a file, in any order.

`FlattenedOutput` in ``flattened.py`` is another such place, for what cannot be jumped about in.
"""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

from vmemmap.errors import OutputTooLarge

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
        limit: How many bytes it may have; None for as many as there is room for.
    """

    def __init__(self, file: BinaryIO, limit: int | None = None) -> None:
        self._fd = file.fileno()
        self._limit = limit
        self._path = str(file.name)

    def put(self, offset: int, data: Bytes) -> None:
        """Write *data* at *offset*; see `Output.put`.

        Raises:
            OutputTooLarge: It would reach beyond the limit.
            OSError: The file cannot be written.
        """
        if self._limit is not None and offset + len(data) > self._limit:
            raise OutputTooLarge(
                f"is larger than the {self._limit} bytes that it may have", path=self._path
            )
        left = memoryview(data)
        while left:
            written = os.pwrite(self._fd, left, offset)
            left, offset = left[written:], offset + written
