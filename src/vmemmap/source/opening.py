"""A path, a pipe or the standard input opened as bytes at offsets, whatever is in it."""

from __future__ import annotations

import os
import stat

from vmemmap.progress import Progress, no_progress
from vmemmap.source.file_view import (
    LIVE_KERNEL,
    ByteView,
    FileView,
    LiveView,
    open_file,
    unreadable,
)
from vmemmap.source.spool import spool


def open_bytes(
    path: str | os.PathLike[str], what: str = "the dump", progress: Progress = no_progress
) -> ByteView:
    """Open a file, a pipe, or ``-`` for the standard input.

    Args:
        path: What to open. A pipe is copied to an unnamed temporary file first.
        what: What it ought to be, for errors.
        progress: Told how far such a copy has come.

    Raises:
        UnreadableFile: It is missing, not readable, a directory, a device without an end, or empty.
    """
    name = os.fspath(path)
    if name == "-":
        try:
            fd = os.dup(0)
        except OSError as error:
            raise unreadable(name, "the standard input is closed", what=what) from error
    else:
        fd = open_file(name, what)
    if os.path.realpath(name) == LIVE_KERNEL:
        return LiveView(fd, name)
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return FileView(fd, name, what)
    try:
        return FileView(spool(fd, name, progress), name, what)
    finally:
        os.close(fd)
