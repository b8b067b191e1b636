"""The record of ``vmemmap report``: what was written, and what of it could not be had.

Of two dumps it is the difference, with a page of it or without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.report import comparison
from vmemmap.report.comparison_record import ComparisonRecord
from vmemmap.report.members import FindingRecord, finding_records
from vmemmap.report.text import count_text, fitted, plain, size_text
from vmemmap.shown import escaped

if TYPE_CHECKING:
    from vmemmap.compare.comparison import Comparison
    from vmemmap.findings import Finding
    from vmemmap.picture.report import Report

COLUMNS = ("section", "reason")


class SectionRecord(TypedDict):
    """A section of the page.

    Attributes:
        section: Its name, which is its anchor in the page.
        reason: Why it could not be drawn; null where it was.
    """

    section: str
    reason: str | None


class ReportRecord(TypedDict):
    """A page that was written, or the difference of two dumps.

    Attributes:
        path: Where the page is; null where none was asked for.
        bytes: How large it is; null likewise.
        sections: Its sections, in order.
        findings: What is wrong with the dump, or with two dumps that were compared.
        comparison: What is different between two dumps; null for one.
    """

    path: str | None
    bytes: int | None
    sections: list[SectionRecord]
    findings: list[FindingRecord]
    comparison: ComparisonRecord | None


def record(
    path: str | None, made: Report | None, compared: Comparison | None = None
) -> ReportRecord:
    """Make the record of a page, of a comparison, or of the page of one."""
    return {
        "path": path,
        "bytes": None if made is None else len(made.html.encode()),
        "sections": []
        if made is None
        else [{"section": s.name, "reason": s.reason or None} for s in made.sections],
        "findings": finding_records(findings_of(made, compared)),
        "comparison": None if compared is None else comparison.record(compared),
    }


def findings_of(made: Report | None, compared: Comparison | None) -> tuple[Finding, ...]:
    """Give what is wrong with a dump, or with two."""
    found = () if made is None else made.findings
    if compared is not None:
        found += (*compared.before.findings, *compared.after.findings)
    return tuple(dict.fromkeys(found))


def columns(record: ReportRecord) -> tuple[str, ...]:
    """Give the columns of the CSV form: the sections, or the difference of two dumps."""
    return COLUMNS if record["comparison"] is None else comparison.COLUMNS


def rows(record: ReportRecord) -> Iterator[dict[str, object]]:
    """Yield its rows."""
    if record["comparison"] is not None:
        yield from comparison.rows(record["comparison"])
        return
    for section in record["sections"]:
        yield {"section": section["section"], "reason": section["reason"]}


def lines(record: ReportRecord) -> Iterator[str]:
    """Say what is different, what was written, and what is missing from it."""
    compared = record["comparison"]
    if compared is not None:
        yield from comparison.lines(compared)
    if record["path"] is not None:
        size = size_text(record["bytes"] or 0)
        yield f"Wrote {escaped(record['path'])}: {size}, one page without links\n"
    told = set() if compared is None else {part["reason"] for part in compared["missing"]}
    for section in record["sections"]:
        if section["reason"] is not None and section["reason"] not in told:
            yield from fitted(
                f"  not in it: {section['section']}:", plain(section["reason"]).split(), " "
            )
    found = [finding for finding in record["findings"] if finding["severity"] != "info"]
    if found and compared is None:
        codes = dict.fromkeys(finding["code"] for finding in found)
        yield from fitted(f"  {count_text(len(found), 'finding')}:", codes)
