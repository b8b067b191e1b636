"""An output file that is either whole or not there: a temporary name first, then a rename.

Source: POSIX rename(), which replaces a name in one step.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vmemmap.errors import UnwritableFile

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def new_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when all of it is written.

    Until then it has a temporary name in the same folder. Whatever ends the block early, an error
    or ctrl-C, removes it, and a file that had the name before is left as it was.

    Args:
        path: Where the file goes. A file that is there is replaced; a folder or a device is not.
            Of a symbolic link it is the link, so that what it names is not lost.

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


@contextmanager
def new_files(*paths: str | Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Open files for writing that belong together, each as `new_file` does.

    They take their names in the order given, and ctrl-C or being told to end waits until all have
    theirs. What cannot wait, such as a kill or the loss of power, leaves the first of them without
    the others.

    Args:
        paths: Where they go: first the one that can do without the others.

    Yields:
        The files, in this order.

    Raises:
        UnwritableFile: One of them cannot be made, written, or renamed.
    """
    with ExitStack() as renamed, ExitStack() as opened:
        # What was opened last is renamed first.
        files = [opened.enter_context(new_file(path)) for path in reversed(paths)]
        yield tuple(reversed(files))
        renamed.enter_context(_uninterrupted())


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let ctrl-C and being told to end wait for the end of the block.

    Blocking the signals would not do: another thread takes them, and Python answers in this one.
    """
    came: list[int] = []
    answered = threading.current_thread() is threading.main_thread()  # only there signals are
    handlers = {number: signal.getsignal(number) for number in _ENDING if answered}
    before = {n: known for n, known in handlers.items() if known not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
        if came:
            signal.raise_signal(came[0])


def _remove_at_bus_error(part: Path, whether: bool) -> None:
    """Have the temporary file removed where the process ends since it cannot read a mapped one."""
    with suppress(ImportError):
        from vmemmap._compiled import remove_at_bus_error

        remove_at_bus_error(os.fsencode(part), whether)
