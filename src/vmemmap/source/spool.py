"""A dump that comes through a pipe, put into an unnamed temporary file so that it can be read.

Readers jump about in a dump, which a pipe cannot do. The file has no name: it is gone when it is
closed, however that comes about.
"""

from __future__ import annotations

import os

from vmemmap.errors import UnreadableFile
from vmemmap.progress import Progress, no_progress
from vmemmap.source.file_view import unreadable

CHUNK_BYTES = 1 << 20
_WHAT = "copying the piped dump"


def spool(fd: int, path: str, progress: Progress = no_progress) -> int:
    """Copy everything that comes from *fd* into an unnamed temporary file.

    Args:
        fd: A pipe or socket; read to its end, not closed.
        path: What to call it in errors.
        progress: Told after every chunk, in bytes.

    Returns:
        The descriptor of the temporary file, at its start.

    Raises:
        UnreadableFile: Reading failed, or there is no room (TMPDIR says where).
    """
    import tempfile  # with what it imports a hundredth of a second, and few dumps are piped

    os.set_blocking(fd, True)
    done = 0
    try:
        # Unbuffered, so that the last piece is not first written when the file is closed.
        copy = tempfile.TemporaryFile(prefix="vmemmap-", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _no_room(path, error) from error
    with copy:
        while chunk := _read_chunk(fd, path):
            left = memoryview(chunk)
            while left:
                try:
                    left = left[copy.write(left) or 0 :]
                except OSError as error:
                    raise _no_room(path, error) from error
            done += len(chunk)
            progress(_WHAT, done, None)
        progress(_WHAT, done, done)
        return os.dup(copy.fileno())


def _read_chunk(fd: int, path: str) -> bytes:
    try:
        return os.read(fd, CHUNK_BYTES)
    except OSError as error:
        raise unreadable(path, f"reading the pipe failed: {error.strerror}") from error


def _no_room(path: str, error: OSError) -> UnreadableFile:
    reason = f"a piped dump is copied to a temporary file first, and that failed: {error.strerror}"
    return unreadable(path, reason, "set TMPDIR to a folder with more room")
