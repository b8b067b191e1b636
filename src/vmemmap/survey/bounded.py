"""Asks a dump in a process of its own, so that whatever it does to that process is only a row.

A process serves one dump after the other; one that hangs, grows or dies is ended, and the next dump
gets another. It ends by itself when whoever started it is gone.
"""

from __future__ import annotations

import atexit
import os
import pickle
import queue
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vmemmap.survey.answers import Row, failed_row
from vmemmap.survey.child import LENGTH
from vmemmap.survey.dumps import SurveyedDump

DUMPS_EACH = 500
"""After so many a process is replaced, so that nothing can pile up in it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one dump may take.

    Attributes:
        seconds: Of time.
        memory_bytes: Of memory, without the files that are mapped.
    """

    seconds: float = 600.0
    memory_bytes: int = 2 << 30


def ask_bounded(
    dump: SurveyedDump,
    ask: Sequence[str],
    bounds: Bounds = Bounds(),
    storage: Mapping[str, Any] | None = None,
) -> Row:
    """Ask a dump within bounds; any thread or process may, and so may a machine of a cluster.

    Returns:
        Its row; that of a dump which took more says so.
    """
    try:
        child = _IDLE.get_nowait()
    except queue.Empty:
        child = _Child()
    row = child.ask(dump, ask, bounds, storage)
    if child.usable:
        _IDLE.put(child)
    else:
        child.end()
    return row


class _Child:
    """A process that asks dumps."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vmemmap.survey.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # ctrl-C is for the survey, which ends it
        )
        self._left = DUMPS_EACH

    @property
    def usable(self) -> bool:
        """Whether it can be given another dump."""
        return self._left > 0 and self._process.poll() is None

    def ask(
        self,
        dump: SurveyedDump,
        ask: Sequence[str],
        bounds: Bounds,
        storage: Mapping[str, Any] | None,
    ) -> Row:
        self._left -= 1
        assert self._process.stdin is not None
        task = (dump, tuple(ask), dict(storage or {}), bounds.memory_bytes)
        try:
            self._process.stdin.write(pickle.dumps(task))
            until = time.monotonic() + bounds.seconds
            answer = self._read(LENGTH.unpack(self._read(LENGTH.size, until))[0], until)
        except BaseException as error:
            self.end()
            if isinstance(error, TimeoutError):
                why = f"it takes longer than {bounds.seconds:g} seconds"
                return failed_row(dump, ask, "timeout", why)
            if isinstance(error, (EOFError, OSError)):
                return failed_row(dump, ask, "crashed", self._how_it_ended())
            raise
        row: Row = pickle.loads(answer)
        return row

    def _read(self, size: int, until: float) -> bytes:
        assert self._process.stdout is not None
        fd, data = self._process.stdout.fileno(), b""
        while len(data) < size:
            if not select.select([fd], [], [], max(until - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = os.read(fd, size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return f"its process ended, by signal {-code}" if code < 0 else "its process ended"

    def end(self) -> None:
        """End the process, whatever it is doing."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


_IDLE: queue.SimpleQueue[_Child] = queue.SimpleQueue()


def end_idle() -> None:
    """End the processes that wait for a dump."""
    with suppress(queue.Empty):
        while True:
            _IDLE.get_nowait().end()


atexit.register(end_idle)
