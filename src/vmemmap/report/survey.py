"""The record of ``vmemmap survey``: many dumps at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.report.text import count_text, plain, size_text

if TYPE_CHECKING:
    from vmemmap.survey.fleet import Fleet
    from vmemmap.survey.run import Surveyed

COLUMNS = ("code", "severity", "dumps", "times")
_LINES = 10
_WIDE = 76


class GroupRecord(TypedDict):
    """How many dumps have something in common.

    Attributes:
        value: What; null where it could not be told.
        dumps: How many.
        damaged: How many of them have a finding that is an error.
        failed: How many of them could not be asked, or not everything.
    """

    value: str | None
    dumps: int
    damaged: int
    failed: int


class FindingCountRecord(TypedDict):
    """How often a finding was met.

    Attributes:
        code: Its code.
        severity: error, warning or info.
        dumps: In how many dumps.
        times: How often in all; of one dump the first 200 findings count.
    """

    code: str
    severity: str
    dumps: int
    times: int


class WorstRecord(TypedDict):
    """A dump in which something was found.

    Attributes:
        address: Its path, or its URL without secrets.
        errors: How many findings are errors.
        warnings: How many are warnings.
    """

    address: str
    errors: int
    warnings: int


class FailedRecord(TypedDict):
    """A dump that could not be asked, or not everything.

    Attributes:
        address: Its path, or its URL without secrets.
        code: What kind of error: timeout, memory, crashed, fault, worker, or the name of an error
            of the library.
        error: What happened, in words.
    """

    address: str
    code: str
    error: str


class KindBytesRecord(TypedDict):
    """Memory of one kind.

    Attributes:
        kind: The kind, as in ``vmemmap usage``.
        bytes: How much of it all dumps have together.
    """

    kind: str
    bytes: int


class SurveyRecord(TypedDict):
    """Many dumps at a glance.

    Attributes:
        dumps: How many there are rows of.
        asked: How many were asked in this run; null where nothing was run.
        known: How many had been asked before; likewise.
        releases: The kernels.
        mmus: The MMUs.
        page_sizes: The page sizes in bytes.
        formats: The containers.
        findings: What was found, in most dumps first.
        worst: The dumps with most errors, ten at most.
        failed: The dumps that could not be asked, or not everything.
        memory: Memory by kind.
        page: Where the page of ``--html`` was written; null without one.
    """

    dumps: int
    asked: int | None
    known: int | None
    releases: list[GroupRecord]
    mmus: list[GroupRecord]
    page_sizes: list[GroupRecord]
    formats: list[GroupRecord]
    findings: list[FindingCountRecord]
    worst: list[WorstRecord]
    failed: list[FailedRecord]
    memory: list[KindBytesRecord]
    page: str | None


def record(fleet: Fleet, run: Surveyed | None = None, page: str | None = None) -> SurveyRecord:
    """Make the record of a survey's rows, of the run that made them if there was one, and a page.

    Args:
        fleet: The rows.
        run: What the run did.
        page: Where a page of them was written.
    """
    groups = {
        name: [
            GroupRecord(value=g.value, dumps=g.dumps, damaged=g.damaged, failed=g.failed)
            for g in found
        ]
        for name, found in fleet.groups.items()
    }
    return {
        "dumps": fleet.dumps,
        "asked": None if run is None else run.asked,
        "known": None if run is None else run.known,
        "releases": groups["release"],
        "mmus": groups["mmu"],
        "page_sizes": groups["page_size"],
        "formats": groups["format"],
        "findings": [
            {"code": f.code, "severity": f.severity, "dumps": f.dumps, "times": f.times}
            for f in fleet.findings
        ],
        "worst": [
            {
                "address": row["address"],
                "errors": row["errors"] or 0,
                "warnings": row["cautions"] or 0,
            }
            for row in fleet.worst[:_LINES]
        ],
        "failed": [
            {
                "address": row["address"],
                "code": row["error_code"] or "",
                "error": row["error"],
            }
            for row in fleet.failed
        ],
        "memory": [{"kind": kind, "bytes": size} for kind, size in fleet.kind_bytes.items()],
        "page": page,
    }


def lines(record: SurveyRecord) -> Iterator[str]:
    """Give the text for people."""
    head = count_text(record["dumps"], "dump")
    if record["asked"] is not None:
        head += f": {record['asked']} asked now, {record['known']} known before"
    yield head + "\n"
    for title, groups in (
        ("Kernels", record["releases"]),
        ("MMUs", record["mmus"]),
        ("Page sizes", record["page_sizes"]),
        ("Containers", record["formats"]),
    ):
        rows = [(str(group["dumps"]), group["value"] or "unknown") for group in groups]
        yield from _table(title, rows)
    yield from _table(
        "Findings, and in how many dumps",
        [(str(f["dumps"]), f"{f['code']} ({f['severity']})") for f in record["findings"]],
    )
    yield from _table(
        "Dumps with most errors",
        [(str(worst["errors"]), worst["address"]) for worst in record["worst"]],
    )
    yield from _failures(record["failed"])
    yield from _table(
        "Memory by kind, of all together",
        [(size_text(kind["bytes"]), kind["kind"]) for kind in record["memory"] if kind["bytes"]],
    )
    if record["page"] is not None:
        yield f"\nThe same as a page: {plain(record['page'])}\n"


def _failures(failed: list[FailedRecord]) -> Iterator[str]:
    """Give the dumps that failed, and why as far as it goes on a line; JSON has all of it."""
    if not failed:
        return
    yield "\nNot asked, or not everything\n"
    for row in failed[:_LINES]:
        yield f"  {plain(row['address'])}\n"
        error = plain(row["error"])
        yield f"    {error if len(error) <= _WIDE else error[: _WIDE - 3] + '...'}\n"
    if len(failed) > _LINES:
        yield f"  and {len(failed) - _LINES} more\n"


def _table(title: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    """Give a title and rows beneath, as many as are read with pleasure; none without rows."""
    if not rows:
        return
    yield f"\n{title}\n"
    width = max(len(first) for first, _ in rows[:_LINES])
    for first, second in rows[:_LINES]:
        yield f"  {first:>{width}}  {plain(second)}\n"
    if len(rows) > _LINES:
        yield f"  {'':>{width}}  and {len(rows) - _LINES} more\n"
