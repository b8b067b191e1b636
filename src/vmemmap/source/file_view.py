"""A dump file as bounded, read-only bytes.

Whoever asks for bytes beyond the file's end is told so here, once, instead of meeting a short read
or a bus error later. It knows no format.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from vmemmap.errors import UnreadableFile


class FileView:
    """A regular file or block device, mapped for reading.

    Args:
        path: The file; it stays open until `close`.

    Attributes:
        path: As given.
        size: Bytes in the file when it was opened.

    Raises:
        UnreadableFile: It is missing, not readable, a directory, a pipe, or empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            # O_NONBLOCK: opening a pipe that nobody writes to must not wait for ever.
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise self._unreadable(_reason(error)) from error
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise self._unreadable("it is a directory; expected a dump file", self._hint())
            if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
                raise self._unreadable(
                    "it is not a regular file; expected a dump file",
                    "copy the dump to a file first",
                )
            self.size = os.lseek(fd, 0, os.SEEK_END)
            if self.size == 0:
                raise self._unreadable(
                    "it is empty (0 bytes); expected a vmcore",
                    "the dump was probably never written: look at the capture kernel's log",
                )
            self._map = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError, OverflowError) as error:
            raise self._unreadable(_reason(error)) from error
        finally:
            os.close(fd)
        self._view = memoryview(self._map)

    def view(self, offset: int, size: int) -> memoryview:
        """Give the bytes ``[offset, offset + size)`` of the file, cut at its end; no copy."""
        return self._view[offset : offset + size] if offset < self.size else self._view[:0]

    def holds(self, offset: int, size: int) -> bool:
        """Tell whether ``[offset, offset + size)`` lies wholly inside the file."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def close(self) -> None:
        """Release the mapping; views handed out and still alive keep it until they go."""
        self._view.release()
        # A BufferError means that arrays over the file are still in use; they keep the map alive.
        try:
            self._map.close()
        except BufferError:
            return

    def _hint(self) -> str:
        inside = sorted(p.name for p in Path(self.path).glob("*vmcore*") if p.is_file())
        return f"did you mean {Path(self.path) / inside[0]}?" if inside else "name the file in it"

    def _unreadable(self, what: str, advice: str = "") -> UnreadableFile:
        return UnreadableFile(
            f"cannot read the dump: {what}" + (f" ({advice})" if advice else ""), path=self.path
        )


def _reason(error: Exception) -> str:
    """Put an operating system error into words for the one-line message."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission denied (dumps are often readable by root only: try sudo, or chmod)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
