"""An object with ``read`` and ``seek``, opened by the caller, as a dump's bytes: fsspec's, BytesIO.

A file of the system's own, as ``open(path, "rb")`` gives it, is mapped instead; see ``opening.py``.
"""

from __future__ import annotations

import io
import os
from threading import Lock
from typing import Protocol, runtime_checkable

from vmemmap.source.file_view import empty, unreadable
from vmemmap.source.ranges import RangeReader
from vmemmap.source.traffic import Traffic
from vmemmap.source.urls import shown


@runtime_checkable
class SeekableFile(Protocol):
    """What can be read from: bytes at a position, and the position can be set."""

    def read(self, size: int, /) -> bytes:
        """Read at most *size* bytes from the position on."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Set the position, and give it."""
        ...


class FileObject(RangeReader):
    """What an object with ``read`` and ``seek`` gives; it stays open, since the caller opened it.

    Args:
        file: The object; nobody else may move its position while the dump is open.
        what: What it ought to be, for errors.

    Raises:
        UnreadableFile: It is empty, or gives no bytes.
    """

    at_once = 1

    def __init__(self, file: SeekableFile, what: str = "the dump") -> None:
        self.path, self._what = shown(file), what
        self.traffic = Traffic()
        self._file = file
        self._lock = Lock()
        self.size = self._end()
        if not self.size:
            raise empty(self.path, what)
        self.traffic.file_bytes = self.size

    def read(self, start: int, end: int) -> bytes:
        """Read the bytes ``[start, end)``; see `RangeReader.read`."""
        out = bytearray()
        with self._lock:
            try:
                self._file.seek(start)
                while start + len(out) < end:
                    part = self._file.read(end - start - len(out))
                    if not part:
                        break
                    out += memoryview(part)  # which refuses texts
            except Exception as error:
                raise self._failed(error) from error
        self.traffic.count(len(out))
        if len(out) < end - start:
            why = f"it ends at {start + len(out):#x}, and said that it had {self.size} bytes"
            raise unreadable(self.path, why, what=self._what)
        return bytes(out)

    def close(self) -> None:
        """Leave the file open."""
        return

    def _end(self) -> int:
        try:
            at = self._file.seek(0, os.SEEK_END)
            # Not everything that has a seek gives what it comes to.
            return int(at if at is not None else getattr(self._file, "tell")())  # noqa: B009
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> Exception:
        if isinstance(error, TypeError) or isinstance(self._file, io.TextIOBase):
            return unreadable(
                self.path, "it gives texts, not bytes", "open it in binary mode", self._what
            )
        why = f"reading it failed: {type(error).__name__}"
        if isinstance(error, OSError) and error.strerror:
            why = f"reading it failed: {error.strerror.lower()}"
        return unreadable(self.path, why, what=self._what)


def descriptor_of(file: object) -> int | None:
    """Give a descriptor of its own for a file of the system's; None for all else.

    Only what Python's ``open`` itself makes counts: a gzip file has a descriptor, too, of other
    bytes than it gives.
    """
    raw = file.raw if isinstance(file, (io.BufferedReader, io.BufferedRandom)) else file
    if type(raw) is not io.FileIO or not raw.readable():
        return None
    return os.dup(raw.fileno())
