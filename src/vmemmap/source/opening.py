"""A path, a URL, a pipe, the standard input or an open file as bytes at offsets, whatever is in it.

This is the one place where an address becomes something that can be read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

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
from vmemmap.source.urls import scheme_of, shown

if TYPE_CHECKING:
    from vmemmap.source.file_object import SeekableFile

Opened: TypeAlias = "str | os.PathLike[str] | SeekableFile"
"""What a dump can be given as: a path, a URL, ``-``, or an object with ``read`` and ``seek``."""


def open_bytes(
    path: Opened,
    what: str = "the dump",
    progress: Progress = no_progress,
    storage: Mapping[str, Any] | None = None,
) -> ByteView:
    """Open a file, a URL, a pipe, ``-`` for the standard input, or an open file.

    Args:
        path: What to open. A pipe is copied to an unnamed temporary file first. An object stays
            open when the dump is closed.
        what: What it ought to be, for errors.
        progress: Told how far such a copy has come.
        storage: Options for URLs; see `StoredObject`.

    Raises:
        UnreadableFile: It is missing, not readable, a directory, a device without an end, or empty.
        TypeError: It is nothing that can be opened.
    """
    if not isinstance(path, (str, os.PathLike)):
        return _open_object(path, what, progress)
    if scheme := scheme_of(path):
        return _open_url(str(path), scheme, what, progress, storage)
    name = os.fspath(path)
    if name == "-":
        try:
            fd = os.dup(0)
        except OSError as error:
            raise unreadable(name, "the standard input is closed", what=what) from error
    else:
        fd = open_file(name, what)
    return _open_fd(fd, name, what, progress)


def _open_fd(fd: int, name: str, what: str, progress: Progress) -> ByteView:
    """Make the view of an open file, which is closed here or by it."""
    if os.path.realpath(name) == LIVE_KERNEL:
        return LiveView(fd, name)
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return FileView(fd, name, what)
    try:
        return FileView(spool(fd, name, progress), name, what)
    finally:
        os.close(fd)


def _open_url(
    url: str, scheme: str, what: str, progress: Progress, storage: Mapping[str, Any] | None
) -> ByteView:
    if scheme == "file":
        from urllib.parse import unquote, urlsplit

        name = unquote(urlsplit(url).path)
        return _open_fd(open_file(name, what), name, what, progress)
    # Neither is needed for a file, nor what they import.
    from vmemmap.source.object_store import StoredObject
    from vmemmap.source.ranges import RangeView

    return RangeView(StoredObject(url, storage, what))


def _open_object(file: object, what: str, progress: Progress) -> ByteView:
    from vmemmap.source.file_object import FileObject, SeekableFile, descriptor_of
    from vmemmap.source.ranges import RangeView

    fd = descriptor_of(file)
    if fd is not None:
        return _open_fd(fd, shown(file), what, progress)
    if not isinstance(file, SeekableFile):
        raise TypeError(
            f"expected a path, a URL, or an object with read and seek, found {type(file).__name__}"
        )
    return RangeView(FileObject(file, what))
