"""What the rows of a survey say together: kernels, findings, the worst dumps, memory by kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vmemmap.errors import UnwritableFile
from vmemmap.survey.answers import Row
from vmemmap.survey.parts import Parts


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How often a finding was met.

    Attributes:
        code: Its code.
        severity: Its severity.
        dumps: In how many dumps.
        times: How often in all, as far as the rows have them.
        example: The address of one of the dumps.
    """

    code: str
    severity: str
    dumps: int
    times: int
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """Dumps that have something in common.

    Attributes:
        value: What; None where it could not be told.
        dumps: How many.
        damaged: How many of them have a finding that is an error.
        failed: How many of them could not be asked, or not everything.
    """

    value: str | None
    dumps: int
    damaged: int
    failed: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some dumps at a glance.

    Attributes:
        dumps: How many.
        groups: By what they are: a column, and the dumps of each value of it, most first.
        findings: What was found, in most dumps first.
        worst: Rows with errors or warnings, the worst first.
        failed: Rows with an error of the survey.
        kind_bytes: Memory by kind, of all dumps that told it, in bytes.
        asked_at: When the first and the last of them was asked.
    """

    dumps: int
    groups: dict[str, tuple[Group, ...]]
    findings: tuple[FindingCount, ...]
    worst: tuple[Row, ...]
    failed: tuple[Row, ...]
    kind_bytes: dict[str, int]
    asked_at: tuple[datetime, datetime]


GROUPED = ("release", "mmu", "page_size", "format")


def read_fleet(folder: str | Path) -> Fleet:
    """Read a survey's folder.

    Raises:
        OutputError: It has no parts, one is damaged, or pyarrow is missing.
    """
    rows = Parts(folder).latest()
    if not rows:
        raise UnwritableFile("there is no survey in this folder", path=str(folder))
    return fleet_of(rows)


def fleet_of(rows: Sequence[Row]) -> Fleet:
    """Add up rows, one for each dump; there is one at least."""
    marked = [row for row in rows if row["errors"] or row["cautions"]]
    marked.sort(key=lambda row: (-(row["errors"] or 0), -(row["cautions"] or 0), row["address"]))
    kinds = Counter[str]()
    for row in rows:
        for kind in row["kinds"] or ():
            kinds[kind["kind"]] += kind["bytes"] or 0
    return Fleet(
        len(rows),
        {name: _groups(name, rows) for name in GROUPED},
        _findings(rows),
        tuple(marked),
        tuple(row for row in rows if row["error"] is not None),
        dict(kinds.most_common()),
        (min(row["surveyed_at"] for row in rows), max(row["surveyed_at"] for row in rows)),
    )


def _groups(column: str, rows: Sequence[Row]) -> tuple[Group, ...]:
    """Give the dumps by a column, largest group first."""
    together = defaultdict[str | None, list[Row]](list)
    for row in rows:
        value = row[column]
        together[None if value is None else str(value)].append(row)
    groups = [
        Group(
            value,
            len(found),
            sum(bool(row["errors"]) for row in found),
            sum(row["error"] is not None for row in found),
        )
        for value, found in together.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.dumps, group.value or "")))


def _findings(rows: Sequence[Row]) -> tuple[FindingCount, ...]:
    times, dumps = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    examples: dict[tuple[str, str], str] = {}
    for row in rows:
        codes = [(finding["code"], finding["severity"]) for finding in row["findings"] or ()]
        times.update(codes)
        dumps.update(set(codes))
        for code in codes:
            examples.setdefault(code, row["address"])
    order = sorted(dumps, key=lambda code: (-dumps[code], code))
    return tuple(FindingCount(*code, dumps[code], times[code], examples[code]) for code in order)
