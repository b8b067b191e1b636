"""What the rows of a survey say together: kernels, findings, the worst dumps, memory by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """

    code: str
    severity: str
    dumps: int
    times: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some dumps at a glance.

    Attributes:
        dumps: How many.
        groups: By what they are: a column, and how many dumps have each value of it; None is what
            could not be told.
        findings: What was found, in most dumps first.
        worst: Rows with errors or warnings, the worst first.
        failed: Rows with an error of the survey.
        kind_bytes: Memory by kind, of all dumps that told it, in bytes.
    """

    dumps: int
    groups: dict[str, dict[str | None, int]]
    findings: tuple[FindingCount, ...]
    worst: tuple[Row, ...]
    failed: tuple[Row, ...]
    kind_bytes: dict[str, int]


GROUPED = ("release", "mmu", "page_size", "format")
WORST_SHOWN = 10


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
    """Add up rows, one for each dump."""
    marked = [row for row in rows if row["errors"] or row["cautions"]]
    marked.sort(key=lambda row: (-(row["errors"] or 0), -(row["cautions"] or 0), row["address"]))
    kinds = Counter[str]()
    for row in rows:
        for kind in row["kinds"] or ():
            kinds[kind["kind"]] += kind["bytes"] or 0
    return Fleet(
        len(rows),
        {name: _counts(row[name] for row in rows) for name in GROUPED},
        _findings(rows),
        tuple(marked[:WORST_SHOWN]),
        tuple(row for row in rows if row["error"] is not None),
        dict(kinds.most_common()),
    )


def _counts(values: Iterable[object]) -> dict[str | None, int]:
    counts = Counter(None if value is None else str(value) for value in values)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] or "")))


def _findings(rows: Sequence[Row]) -> tuple[FindingCount, ...]:
    times, dumps = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in rows:
        codes = [(finding["code"], finding["severity"]) for finding in row["findings"] or ()]
        times.update(codes)
        dumps.update(set(codes))
    order = sorted(dumps, key=lambda code: (-dumps[code], code))
    return tuple(FindingCount(*code, dumps[code], times[code]) for code in order)
