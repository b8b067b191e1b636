"""A dump that comes through a pipe, put into an unnamed temporary file so that it can be read.

Readers jump about in a dump, which a pipe cannot do. The file has no name: it is gone when it is
closed, however that comes about.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from vmemmap.source.file_view import unreadable

CHUNK_BYTES = 1 << 20
_WHAT = "copying the piped dump"

Progress = Callable[[str, int, int | None], None]
"""(what is being done, how much is done, how much there is or None if that is unknown).

At the end of a piece of work it is told that all is done.
"""


def no_progress(what: str, done: int, total: int | None) -> None:
    """Tell nobody; the default."""


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
    os.set_blocking(fd, True)
    with tempfile.TemporaryFile(prefix="vmemmap-") as copy:
        done = 0
        while True:
            try:
                chunk = os.read(fd, CHUNK_BYTES)
            except OSError as error:
                raise unreadable(path, f"reading the pipe failed: {error}") from error
            if not chunk:
                progress(_WHAT, done, done)
                break
            try:
                copy.write(chunk)
            except OSError as error:
                where = tempfile.gettempdir()
                advice = "set TMPDIR to a folder with more room"
                what = f"no room for a copy of the piped dump in {where}: {error}"
                raise unreadable(path, what, advice) from error
            done += len(chunk)
            progress(_WHAT, done, None)
        copy.flush()
        return os.dup(copy.fileno())
