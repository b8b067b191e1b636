"""An output file that is either whole or not there: a temporary name first, then a rename.

Source: POSIX rename(), which replaces a name in one step.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vmemmap.errors import UnwritableFile


@contextmanager
def new_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when all of it is written.

    Until then it has a temporary name in the same folder. Whatever ends the block early, an error
    or ctrl-C, removes it, and a file that had the name before is left as it was.

    Args:
        path: Where the file goes. A file that is there is replaced; a folder or a device is not.

    Yields:
        The file, open for reading and writing, empty. It is closed by this function.

    Raises:
        UnwritableFile: The file cannot be made, written, or renamed; carries the path.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise UnwritableFile("exists and is no regular file", path=str(path))
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
        part = Path(temporary)
        part.chmod(0o666 & ~_umask())  # mkstemp lets nobody else read
        part.replace(target)
        temporary = None
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        raise UnwritableFile(reason, path=str(path)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
