"""What the commands write: records to stdout in the form asked for, all else to stderr.

Exit codes: 0 fine, 1 findings, 2 usage, 3 the dump cannot be read, 4 a fault of the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO, TypeVar, cast

if TYPE_CHECKING:
    from vmemmap.findings import Finding
    from vmemmap.report.as_json import LongRecord
    from vmemmap.vmcore import Vmcore

Of = TypeVar("Of", contravariant=True)

EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_UNREADABLE = 3
EXIT_FAULT = 4


def emit(
    form: str,
    record: Mapping[str, object] | Sequence[Mapping[str, object]] | LongRecord,
    *,
    text: Iterable[str],
    columns: Sequence[str] = (),
    rows: Iterable[Mapping[str, object]] = (),
    **more: Iterable[str],
) -> bool:
    """Write a record to stdout in one of its forms; only that form is made.

    Args:
        form: ``text``, ``json`` or ``csv``, or one of *more*.
        record: What JSON shows.
        text: The lines of the text.
        columns: The columns of CSV.
        rows: The rows of CSV.
        more: The lines of forms that only this command has, or of ``csv`` if it makes them itself.

    Returns:
        What `write` gives.
    """
    if form in more:
        return write(more[form])
    if form == "json":
        from vmemmap.report import as_json

        return write(as_json.lines(record))
    if form == "csv":
        from vmemmap.report import as_csv

        return write(as_csv.lines(columns, rows))
    return write(text)


class Shown(Protocol[Of]):
    """A module of `report`: what it makes of a record."""

    @property
    def COLUMNS(self) -> Sequence[str]:  # noqa: N802 (as the modules call it)
        """The columns of CSV."""
        ...

    def lines(self, record: Of, /) -> Iterable[str]:
        """Make the text."""
        ...

    def rows(self, record: Of, /) -> Iterable[Mapping[str, object]]:
        """Make the rows of CSV."""
        ...


def emit_record(form: str, report: Shown[Of], record: Of, **more: Iterable[str]) -> bool:
    """Write a record as its module of `report` shows it; see `emit`."""
    return emit(
        form,
        cast("Mapping[str, object]", record),
        text=report.lines(record),
        columns=report.COLUMNS,
        rows=report.rows(record),
        **more,
    )


def write(lines: Iterable[str]) -> bool:
    """Write to stdout.

    Returns:
        Whether all of it was written. Not so if whoever reads it has closed it, as ``head`` does.
        That is no error, and hides none: the command goes on, and ends as it would have.
    """
    try:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        return False
    return True


def tell(line: str) -> None:
    """Write a line to stderr; whatever it holds stays one line, its severity is in colour."""
    from vmemmap.report.palette import paint_severity
    from vmemmap.shown import as_utf8

    line = "".join(c if c.isprintable() else "?" for c in as_utf8(line))
    try:
        sys.stderr.write(paint_severity(line, sys.stderr) + "\n")
    except BrokenPipeError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let an output go nowhere from here on; Python would complain again when it flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def complain(path: str, message: str) -> None:
    """Write one line about a file to stderr."""
    from vmemmap.shown import escaped

    tell(f"vmemmap: {escaped(path) or repr('')}: {message}")


def show_warnings(core: Vmcore, told: Sequence[str] = ()) -> list[str]:
    """Write what is odd in the container to stderr, what it lacks first.

    Args:
        core: The dump.
        told: Warnings that were written already.

    Returns:
        All that are written now.
    """
    core.source.is_incomplete()  # looks for what the file lacks, and warns of it
    warnings = list(core.source.warnings)
    for warning in warnings:
        if warning not in told:
            complain(core.source.path, f"warning: {warning}")
    return warnings


def show_traffic(core: Vmcore) -> None:
    """Write to stderr what reading the dump over a network cost."""
    from vmemmap.report.text import count_text, size_text

    traffic = core.source.traffic
    if traffic is None:
        complain(core.source.path, "no requests: the dump is on this machine")
        return
    again = f", {traffic.retries} of them tried again" if traffic.retries else ""
    complain(
        core.source.path,
        f"{count_text(traffic.requests, 'request')}{again}, {size_text(traffic.bytes)} of "
        f"{size_text(traffic.file_bytes)} fetched, {traffic.seconds:.1f} s waited",
    )


def show_findings(path: str, findings: Iterable[Finding]) -> None:
    """Write findings to stderr."""
    for finding in findings:
        complain(path, str(finding))


def findings_code(findings: Iterable[Finding]) -> int:
    """Give the exit code for findings: 1 if any is worse than information."""
    from vmemmap.findings import Severity

    return EXIT_FINDINGS if any(f.severity is not Severity.INFO for f in findings) else 0
