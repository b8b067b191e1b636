"""Runs a survey: asks what was not asked yet, on a pool, and keeps the rows as they come.

No scheduler of our own: any executor of ``concurrent.futures`` does it, or a Dask client.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vmemmap
from vmemmap.errors import DumpError
from vmemmap.progress import Progress, no_progress
from vmemmap.survey.answers import QUESTIONS, Row, check_questions, failed_row
from vmemmap.survey.bounded import Bounds, ask_bounded, end_idle
from vmemmap.survey.dumps import SurveyedDump, find_dumps
from vmemmap.survey.members import join_members
from vmemmap.survey.parts import Parts, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PART_ROWS = 256
PART_SECONDS = 10.0
"""A part is written when so many rows wait, or so long after the one before."""
WAITING = 256
"""How many dumps are given to the executor ahead."""


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a survey did.

    Attributes:
        asked: How many dumps were asked.
        failed: How many of them have an error in their row.
        known: How many had been asked before.
        requests: How many requests those at URLs took.
        fetched_bytes: How many bytes they fetched.
    """

    asked: int
    failed: int
    known: int
    requests: int = 0
    fetched_bytes: int = 0


def survey(
    sources: Iterable[str],
    out: str | Path,
    *,
    ask: Sequence[str] = tuple(QUESTIONS),
    executor: Any = None,
    jobs: int | None = None,
    bounds: Bounds = Bounds(),  # noqa: B008 (it cannot be changed)
    storage: Mapping[str, Any] | None = None,
    retry: bool = False,
    progress: Progress = no_progress,
) -> Surveyed:
    """Ask many dumps, and keep a row of each in a folder of Parquet parts.

    Run again it asks only what is new: dumps that were not asked, or changed since, or were asked
    by another version of this package, or less. Killed at any moment it loses at most rows that
    are not written yet, whose dumps are asked again; none is there twice.

    Args:
        sources: Which dumps; see `find_dumps`.
        out: The folder.
        ask: Of info, list, check and usage, those to ask.
        executor: Where: an executor of ``concurrent.futures``, or a Dask client, whose machines
            must reach the dumps by the same names; the caller closes it. None for processes of this
            machine.
        jobs: How many of those at a time; None for one on each processor.
        bounds: How much one dump may take.
        storage: Options for URLs.
        retry: Ask those anew that failed.
        progress: Told how many dumps are done.

    Raises:
        ValueError: There is no such question.
        DumpError: What is to be surveyed cannot be told.
        OutputError: The folder cannot be used, or pyarrow is missing.
    """
    check_questions(ask)
    sources, parts = list(sources), Parts(out)
    with parts.held():
        parts.tidy()
        dumps = join_members(list(find_dumps(sources, storage)), storage)
        if not dumps and not parts.latest(()):
            raise DumpError("there is no dump", path=", ".join(sources))
        known = _known(parts, ask, retry)
        new = [dump for dump in dumps if key_of(dump, vmemmap.__version__) not in known]
        with _pool(executor, jobs) as pool:
            asked = _ask_all(pool, new, parts, (tuple(ask), bounds, storage), progress)
        parts.tidy()
    return replace(asked, known=len(dumps) - len(new))


def _known(parts: Parts, ask: Sequence[str], retry: bool) -> set[tuple[str, str, str]]:
    rows = parts.latest(("version", "vmemmap", "asked", "error_code"))
    return {
        (row["address"], row["version"], row["vmemmap"])
        for row in rows
        if row["version"]
        and set(ask) <= set(row["asked"] or ())
        and not (retry and row["error_code"])
    }


@contextmanager
def _pool(executor: Any, jobs: int | None) -> Iterator[Executor]:
    """Give what takes the work: the caller's, or threads that each mind a process."""
    if hasattr(executor, "get_executor"):  # a Dask client
        # A row depends on when it is asked; and a worker may be killed in the middle.
        executor = executor.get_executor(pure=False, retries=3)
    if executor is not None:
        yield executor
        return
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="survey") as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            end_idle()


def _ask_all(
    pool: Executor,
    dumps: Sequence[SurveyedDump],
    parts: Parts,
    how: tuple[tuple[str, ...], Bounds, Mapping[str, Any] | None],
    progress: Progress,
) -> Surveyed:
    """Ask dumps, keep their rows, and tell what that came to."""
    ask, bounds, storage = how
    left = iter(dumps)
    running: dict[Future[Row], SurveyedDump] = {}
    rows: list[Row] = []
    came_to = Surveyed(0, 0, 0)
    written = time.monotonic()
    try:
        while True:
            for dump in islice(left, WAITING - len(running)):
                running[pool.submit(ask_bounded, dump, ask, bounds, storage)] = dump
            if not running:
                return came_to
            finished, _ = wait(running, timeout=PART_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                row = _row_of(future, running.pop(future), ask)
                rows.append(row)
                came_to = Surveyed(
                    came_to.asked + 1,
                    came_to.failed + (row["error"] is not None),
                    0,
                    came_to.requests + (row.get("requests") or 0),
                    came_to.fetched_bytes + (row.get("fetched_bytes") or 0),
                )
            progress("surveying", came_to.asked, len(dumps))
            if len(rows) >= PART_ROWS or time.monotonic() - written > PART_SECONDS:
                keeping, rows = rows, []
                parts.add(keeping)
                written = time.monotonic()
    finally:
        for future in running:
            future.cancel()
        parts.add(rows)


def _row_of(future: Future[Row], dump: SurveyedDump, ask: Sequence[str]) -> Row:
    """Give a future's row; where the executor itself failed, one that says so."""
    try:
        return future.result()
    except Exception as error:
        why = f"its worker failed: {type(error).__name__}: {error}"
        return failed_row(dump, ask, "worker", why)
