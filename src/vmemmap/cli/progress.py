"""A progress bar on stderr, if it is a terminal, for work that takes more than a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_SECONDS = 1.0


class ProgressBar:
    """What the library tells about long work, as a bar; a context manager that clears it away."""

    def __init__(self) -> None:
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
            self._bar = _make_bar()
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


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
