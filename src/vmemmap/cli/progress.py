"""How long work is shown on stderr: a bar on a terminal, or a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from vmemmap.cli.output import tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_SECONDS = 1.0
LINE_SECONDS = 5.0
LONG_SECONDS = 30.0
"""How often a line is written for what is quick most often, so that cron has nothing to mail."""


def progress_here(*, rates: bool = False) -> ProgressBar | ProgressLines:
    """Give a bar on a terminal, and plain lines elsewhere.

    Args:
        rates: It is bytes that are counted, for minutes: show them, and write lines more often.
    """
    if sys.stderr.isatty():
        return ProgressBar(rates=rates)
    return ProgressLines(LINE_SECONDS if rates else LONG_SECONDS)


class ProgressBar:
    """What the library tells about long work, as a bar; a context manager that clears it away.

    Where stderr is no terminal nothing is shown.

    Args:
        rates: Show the rate as well, in bytes.
    """

    def __init__(self, *, rates: bool = False) -> None:
        self._rates = rates
        self._since: dict[str, float] = {}
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._shown = sys.stderr.isatty()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Take a report: what is being done, how much is done, how much there is (or None)."""
        if not self._shown:
            return
        if done == total:
            self._stop()
            return
        began = self._since.setdefault(what, time.monotonic())
        if time.monotonic() - began < PATIENCE_SECONDS:
            return
        if self._bar is None:
            self._bar = _make_bar(self._rates)
            self._bar.start()
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        if total is None:
            self._bar.update(self._tasks[what], description=f"{what}: {done >> 20} MiB")
        else:
            self._bar.update(self._tasks[what], completed=done)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        """Clear the bar away; another may come."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
        self._tasks.clear()


class ProgressLines:
    """The same as plain lines, for logs and serial consoles.

    Args:
        seconds: How long there is none.
    """

    def __init__(self, seconds: float = LINE_SECONDS) -> None:
        self._seconds = seconds
        self._began: dict[str, float] = {}
        self._told = 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Take a report; see `ProgressBar`."""
        now = time.monotonic()
        began = self._began.setdefault(what, now)
        self._told = self._told or now
        if done == total or now - self._told < self._seconds or total == 0:
            return
        self._told = now
        if total is None:
            tell(f"vmemmap: {what}: {done >> 20} MiB")
            return
        share, seconds = done / total, now - began
        left = seconds / share - seconds if share else 0.0
        tell(f"vmemmap: {what}: {share:.0%}, {_rate(what, done, seconds)}{left:.0f} s left")

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *_: object) -> None:
        return


def _rate(what: str, done: int, seconds: float) -> str:
    """Give the rate where the work counts bytes, as writing does."""
    return f"{done / 1e6 / seconds:.0f} MB/s, " if what == "writing" and seconds > 0 else ""


def _make_bar(rates: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    columns += [TaskProgressColumn(), *[TransferSpeedColumn()] * rates, TimeRemainingColumn()]
    return Progress(
        *columns,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
