"""A dump file as bounded, read-only bytes.

Whoever asks for bytes beyond the file's end is told so here, once, instead of meeting a short read
or a bus error later. That is the end when the file was opened: a file that somebody cuts while it
is mapped still ends the process with a bus error, the command with a line that says so. It knows no
format.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import weakref
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import UnreadableFile
from vmemmap.memory import OpenFile
from vmemmap.source.traffic import Traffic

LIVE_KERNEL = "/proc/kcore"
_EMPTY_ADVICE = {
    "the dump": "expected a vmcore; it was probably never written: see the capture kernel's log"
}


class ByteView(ABC):
    """Bytes at offsets, as a dump's reader sees its file.

    Attributes:
        path: The file, as the user named it.
        size: How many bytes there are.
        warnings: What is odd about the file, one line each.
        truncated: Bytes that ought to be there are known to be lost.
        moves: The bytes change while they are read, so that nothing may be kept.
        far: A read can cost a request over a network: little is to be read, and it is to be asked
            for together.
        contiguous: Offsets are those in the file itself, which has a byte at each.
        identity: What tells this version of a far file from any other; empty if nothing does.
    """

    path: str
    size: int
    warnings: list[str]
    truncated: bool = False
    moves: bool = False
    far: bool = False
    contiguous: bool = False
    identity: str = ""

    @abstractmethod
    def view(self, offset: int, size: int) -> memoryview:
        """Give the bytes ``[offset, offset + size)``, cut at the end."""

    @abstractmethod
    def holds(self, offset: int, size: int) -> bool:
        """Tell whether ``[offset, offset + size)`` is wholly there."""

    def holds_many(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each ``[offset, offset + size)`` whether it is wholly there; all at least 0."""
        return np.asarray(offsets <= self.size - sizes)

    def holes(self, offset: int, size: int) -> NDArray[np.int64]:
        """Give the parts of ``[offset, offset + size)`` that are not there.

        Returns:
            int64, shape (n, 2): start and end of each, half-open, sorted.
        """
        end, here = offset + size, max(offset, self.size)
        return np.array([(here, end)] if here < end else [], dtype=np.int64).reshape(-1, 2)

    @property
    def end_text(self) -> str:
        """Where the file ends, as a clause."""
        return f"the file ends at {self.size:#x}"

    @property
    def cut_text(self) -> str:
        """The same of a file that ought to go on."""
        return f"the file is cut off at {self.size:#x}"

    def next_data(self, offset: int) -> int:
        """Give the first offset from *offset* on that is in no hole; `size` if there is none.

        What lies in a hole reads as zeros.
        """
        return min(offset, self.size)

    def data_end(self, offset: int) -> int:
        """Give where the data around *offset* ends, if it lies in data; at least one byte on."""
        return max(self.size, offset + 1)

    @property
    def traffic(self) -> Traffic | None:
        """What reading it over a network cost so far; None if it is on this machine."""
        return None

    def prefetch(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Have the bytes of many stretches at hand, as far as there is room for them.

        Nothing depends on it but the time that reading them takes.

        Args:
            offsets: Where each begins, by rising offset for the most part.
            sizes: How many bytes it has.
        """
        return

    def trim(self) -> None:
        """Let go of memory that holds what was read; reading it again is all that it costs."""
        return

    def expect_scattered(self, scattered: bool) -> None:
        """Say whether reads to come lie far apart, so that reading ahead only costs time."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


class FileView(ByteView):
    """A regular file or block device, mapped for reading.

    Args:
        fd: An open file; closed by `close`, or at once if it cannot be read.
        path: What to call it.
        what: What it ought to be, for errors.

    Raises:
        UnreadableFile: It is a directory, a device without an end, or empty.
    """

    contiguous = True

    def __init__(self, fd: int, path: str, what: str = "the dump") -> None:
        self.path = path
        self.warnings = []
        self._fd, self._close_fd = fd, weakref.finalize(self, os.close, fd)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise unreadable(path, "it is a directory; expected a file", _hint(path), what)
            if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
                why = "it is not a regular file; expected a file or a pipe"
                raise unreadable(path, why, what=what)
            self.size = os.lseek(fd, 0, os.SEEK_END)
            if self.size == 0:
                raise empty(path, what)
            self._map = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        except UnreadableFile:
            self._close_fd()
            raise
        except (OSError, ValueError, OverflowError) as error:
            self._close_fd()
            raise unreadable(path, _reason(error), _room_hint(error), what) from error
        self._view = memoryview(self._map)

    @property
    def open_file(self) -> OpenFile | None:
        """The file, where it can be read without moving about in it."""
        return OpenFile(self._fd, self.path) if hasattr(os, "pread") else None

    def view(self, offset: int, size: int) -> memoryview:
        """Give the bytes ``[offset, offset + size)`` of the file, cut at its end; no copy."""
        return self._view[offset : offset + size] if offset < self.size else self._view[:0]

    def holds(self, offset: int, size: int) -> bool:
        """Tell whether ``[offset, offset + size)`` lies wholly inside the file."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def next_data(self, offset: int) -> int:
        """Give the first offset from *offset* on that the file system does not know to be zero."""
        return OpenFile(self._fd, self.path).next_data(offset, self.size)

    def data_end(self, offset: int) -> int:
        """Give where the next hole of a sparse file is, or where the file ends."""
        return max(OpenFile(self._fd, self.path).data_end(offset, self.size), offset + 1)

    def trim(self) -> None:
        """Unmap what was read; it stays in the system's page cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def expect_scattered(self, scattered: bool) -> None:
        """Say whether to read ahead; in the holes of a sparse file that takes most of the time."""
        if hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM if scattered else mmap.MADV_NORMAL)

    def close(self) -> None:
        """Release the mapping; views handed out and still alive keep it until they go."""
        self._close_fd()
        self._view.release()
        # A BufferError means that arrays over the file are still in use; they keep the map alive.
        try:
            self._map.close()
        except BufferError:
            return


class LiveView(ByteView):
    """/proc/kcore: read piece by piece, since it cannot be mapped and has no real size.

    Args:
        fd: An open file; closed by `close`.
        path: What to call it.
    """

    moves = True

    def __init__(self, fd: int, path: str) -> None:
        self.path = path
        self.size = (1 << 63) - 1
        self.warnings = ["this is the running kernel: its memory moves while it is read"]
        self._fd = fd

    def view(self, offset: int, size: int) -> memoryview:
        """Read the bytes ``[offset, offset + size)``; fewer where the kernel gives fewer."""
        out = bytearray()
        while len(out) < size:
            try:
                part = os.pread(self._fd, size - len(out), offset + len(out))
            except (OSError, OverflowError) as error:
                raise unreadable(self.path, _reason(error)) from error
            if not part:
                break
            out += part
        return memoryview(bytes(out))

    def holds(self, offset: int, size: int) -> bool:
        """Tell whether the offsets are possible; what is behind them only a read can tell."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def open_file(path: str | os.PathLike[str], what: str = "the dump") -> int:
    """Open a file for reading and give its descriptor.

    Raises:
        UnreadableFile: It is missing or not readable.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not wait for ever.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise unreadable(os.fspath(path), _reason(error), what=what) from error


def unreadable(path: str, reason: str, advice: str = "", what: str = "the dump") -> UnreadableFile:
    """Make the error for a file that cannot be read; *what* is what it ought to be."""
    hint = f" ({advice})" if advice else ""
    return UnreadableFile(f"cannot read {what}: {reason}{hint}", path=path)


def empty(path: str, what: str = "the dump") -> UnreadableFile:
    """Make the error for a file without a byte."""
    return unreadable(path, "it is empty (0 bytes)", _EMPTY_ADVICE.get(what, ""), what)


def _hint(path: str) -> str:
    inside = sorted(p.name for p in Path(path).glob("*vmcore*") if p.is_file())
    return f"did you mean {Path(path) / inside[0]}?" if inside else "name the file in it"


def _room_hint(error: Exception) -> str:
    no_room = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return "ulimit -v leaves fewer addresses than mapping the file takes" if no_room else ""


def _reason(error: Exception) -> str:
    """Put an operating system error into words for the one-line message."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission denied (dumps are often readable by root only: try sudo, or chmod)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def end_at_bus_error(message: str, code: int) -> None:
    """From now on end the process in order where a mapped file cannot be read any more.

    Somebody has cut it, or its disk fails. What `write.new_file` has half written goes, too.
    Without the compiled module the system ends the process as it always does.

    Args:
        message: What is said on the standard error, 255 bytes at most.
        code: The exit code.
    """
    with suppress(ImportError):
        from vmemmap._compiled import end_at_bus_error as end

        end(message.encode(), code)
