"""An output file that is either whole or not there: a temporary name first, then a rename.

Source: POSIX rename(), which replaces a name in one step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vmemmap.errors import UnwritableFile

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ENDING = (signal.SIGINT, signal.SIGTERM)


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
    # The name is ours before the file is there, so that it can be removed at every moment.
    part = target.with_name(f".{target.name}.{os.urandom(8).hex()}.part")
    _remove_at_bus_error(part, True)
    try:
        with os.fdopen(os.open(part, _NEW, 0o666), "w+b") as file:
            yield file
            file.flush()
        part.replace(target)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        raise UnwritableFile(reason, path=str(path)) from error
    finally:
        # Being interrupted once more waits until it is gone.
        waiting = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        with suppress(OSError):
            part.unlink()
        _remove_at_bus_error(part, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)


def _remove_at_bus_error(part: Path, whether: bool) -> None:
    """Have the temporary file removed where the process ends since it cannot read a mapped one."""
    with suppress(ImportError):
        from vmemmap._compiled import remove_at_bus_error

        remove_at_bus_error(os.fsencode(part), whether)
