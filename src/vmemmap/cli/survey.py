"""``vmemmap survey``: many dumps, asked the same, and what they say together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vmemmap.cli.command import Argument, Command
from vmemmap.cli.options import (
    debug_option,
    format_option,
    refuse_to_replace,
    split_storage,
    storage_option,
    traceback_shown,
)
from vmemmap.cli.output import EXIT_FINDINGS, EXIT_UNREADABLE, complain, emit
from vmemmap.cli.progress import progress_here
from vmemmap.errors import DumpError, UnwritableFile, VmemmapError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmemmap.survey.fleet import Fleet
    from vmemmap.survey.run import Surveyed


@click.command("survey", cls=Command)
@click.argument(
    "sources",
    cls=Argument,
    metavar="SOURCE...",
    help="Dumps: files, folders, patterns, URLs, prefixes of a store, and files that list these.",
    nargs=-1,
    required=True,
)
@click.option("--out", "-o", metavar="DIR", help="Keep the rows here, as Parquet.")
@click.option("--show", is_flag=True, help="Ask nothing; show what is in the folder SOURCE.")
@click.option("--html", metavar="FILE", help="Write what there is to show as a page, too.")
@click.option(
    "--ask",
    metavar="NAME,...",
    default="info,list,check,usage",
    show_default=True,
    help="What each dump is asked.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 1024),
    help="How many at a time on this machine.  [default: one for each processor]",
)
@click.option("--dask", metavar="ADDRESS", help="Ask on this Dask cluster instead.")
@click.option(
    "--seconds",
    metavar="N",
    type=click.FloatRange(0.1),
    default=600.0,
    show_default=True,
    help="How long one dump may take.",
)
@click.option(
    "--max-memory", metavar="SIZE", default="2G", show_default=True, help="What one may take."
)
@click.option("--retry", is_flag=True, help="Ask those anew that failed before.")
@format_option()
@storage_option
@click.option(
    "--stats", is_flag=True, help="Say on stderr how many requests URLs took, and how many bytes."
)
@debug_option
def command(
    sources: tuple[str, ...],
    out: str | None,
    show: bool,
    html: str | None,
    ask: str,
    jobs: int | None,
    dask: str | None,
    seconds: float,
    max_memory: str,
    retry: bool,
    form: str,
    storage: tuple[str, ...],
    stats: bool,
    debug: bool,
) -> int:
    """Ask many dumps the same, keep a row of each as Parquet, and show them at a glance.

    SOURCE is a file, a folder, a pattern, a URL, a prefix of a store that ends in /, or @FILE with
    one of these a line. Members of a split dump in one folder are one dump. Run again, only what is
    new is asked. A dump that fails, hangs or takes too much is a row that says so, and makes the
    exit code 1.
    """
    if show == (out is not None) or (show and len(sources) != 1):
        raise click.UsageError("give -o DIR and what to survey, or one DIR and --show")
    from vmemmap.survey.fleet import read_fleet

    folder = out or sources[0]
    if html is not None:
        refuse_to_replace(html, *sources)
    try:
        with traceback_shown(debug):
            run = None
            if not show:
                limits = seconds, _size(max_memory)
                run = _run(sources, folder, ask, jobs, dask, limits, retry, split_storage(storage))
            from vmemmap.report import survey as report

            fleet = read_fleet(folder)
            if html is not None:
                _write_page(fleet, folder, html)
            record = report.record(fleet, run, html)
    except VmemmapError as error:
        path = error.path if isinstance(error, (DumpError, UnwritableFile)) else ""
        complain(path or folder, str(error))
        return EXIT_UNREADABLE
    if stats:
        _show_traffic(folder, run)
    emit(form, record, text=report.lines(record), columns=report.COLUMNS, rows=record["findings"])
    return EXIT_FINDINGS if record["failed"] else 0


def _run(
    sources: tuple[str, ...],
    folder: str,
    ask: str,
    jobs: int | None,
    dask: str | None,
    limits: tuple[float, int],
    retry: bool,
    storage: dict[str, str],
) -> Surveyed:
    from vmemmap.survey.answers import check_questions
    from vmemmap.survey.bounded import Bounds
    from vmemmap.survey.run import survey

    questions = tuple(name.strip() for name in ask.split(",") if name.strip())
    try:
        check_questions(questions)
    except ValueError as error:
        raise click.BadParameter(f"--ask: {error}") from None
    with progress_here() as progress, _cluster(dask) as client:
        return survey(
            sources,
            folder,
            ask=questions,
            executor=client,
            jobs=jobs,
            bounds=Bounds(*limits),
            storage=storage,
            retry=retry,
            progress=progress,
        )


def _write_page(fleet: Fleet, folder: str, path: str) -> None:
    from vmemmap.report.survey_page import make_page
    from vmemmap.write.new_file import new_file

    page = make_page(fleet, folder)
    with new_file(path) as file:
        file.write(page.encode())


def _show_traffic(folder: str, run: Surveyed | None) -> None:
    from vmemmap.report.text import count_text, size_text

    if run is None or not run.requests:
        complain(folder, "no requests: nothing was asked of a dump at a URL")
        return
    requests = count_text(run.requests, "request")
    dumps = count_text(run.asked, "dump")
    complain(folder, f"{requests}, {size_text(run.fetched_bytes)} fetched, {dumps} asked")


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Give a client of a Dask cluster, or None without one."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise click.UsageError(
            "--dask needs dask.distributed, which is not installed: pip install 'vmemmap[survey]'"
        ) from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise DumpError(
            f"no Dask scheduler answers there: {type(error).__name__}", path=address
        ) from None
    with client:
        yield client


def _size(text: str) -> int:
    from vmemmap.simulate.spec.toml import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(f"--max-memory: {error}") from None
