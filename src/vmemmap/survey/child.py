"""The process in which dumps are asked: one after the other, within bounds of memory.

It takes tasks on its standard input, pickled, and gives rows on its standard output, until the
input ends; see ``bounded.py``, which starts it. Nobody else talks to it.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import struct
import sys
from typing import Any, BinaryIO

from vmemmap.survey.answers import Row, ask_dump, failed_row, shown_line

LENGTH = struct.Struct("<Q")
"""Before each row: how many bytes it has."""
_RESERVE_BYTES = 1 << 20


def serve(tasks: BinaryIO, rows: BinaryIO) -> None:
    """Answer tasks until there are no more."""
    while True:
        try:
            dump, ask, storage, memory_bytes = pickle.load(tasks)
        except EOFError:
            return
        # Files that are mapped do not count, only what is taken for the work itself.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
        row = pickle.dumps(_answer(dump, ask, storage, memory_bytes))
        rows.write(LENGTH.pack(len(row)) + row)
        rows.flush()
        gc.collect()


def _answer(dump: Any, ask: Any, storage: Any, memory_bytes: int) -> Row:
    reserve = bytearray(_RESERVE_BYTES)
    try:
        return ask_dump(dump, ask, storage)
    except MemoryError:
        del reserve
        why = f"it takes more than {memory_bytes >> 20} MiB of memory"
        return failed_row(dump, ask, "memory", why)
    except Exception as error:
        why = shown_line(f"a fault of vmemmap itself: {type(error).__name__}: {error}")
        return failed_row(dump, ask, "fault", why)


def main() -> None:
    """Keep the pipes to oneself: what any library prints goes nowhere."""
    tasks = os.fdopen(os.dup(0), "rb")
    rows = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nowhere, fd)
    serve(tasks, rows)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
