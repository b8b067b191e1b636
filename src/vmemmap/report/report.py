"""The record of ``vmemmap report``: what was written, and what of it could not be had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.report.members import FindingRecord, finding_records
from vmemmap.report.text import count_text, fitted, plain, size_text

if TYPE_CHECKING:
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
    """A page that was written.

    Attributes:
        path: Where.
        bytes: How large it is.
        sections: Its sections, in order.
        findings: What is wrong with the dump, or with two dumps that were compared.
    """

    path: str
    bytes: int
    sections: list[SectionRecord]
    findings: list[FindingRecord]


def record(path: str, made: Report) -> ReportRecord:
    """Make the record of a page."""
    return {
        "path": path,
        "bytes": len(made.html.encode()),
        "sections": [{"section": s.name, "reason": s.reason or None} for s in made.sections],
        "findings": finding_records(made.findings),
    }


def rows(record: ReportRecord) -> Iterator[dict[str, object]]:
    """Yield the rows of the CSV form: the sections."""
    for section in record["sections"]:
        yield {"section": section["section"], "reason": section["reason"]}


def lines(record: ReportRecord) -> Iterator[str]:
    """Say what was written, and what is missing from it."""
    yield f"Wrote {plain(record['path'])}: {size_text(record['bytes'])}, one page without links\n"
    for section in record["sections"]:
        if section["reason"] is not None:
            yield from fitted(
                f"  not in it: {section['section']}:", plain(section["reason"]).split(), " "
            )
    found = [finding for finding in record["findings"] if finding["severity"] != "info"]
    if found:
        codes = dict.fromkeys(finding["code"] for finding in found)
        yield from fitted(f"  {count_text(len(found), 'finding')}:", codes)
