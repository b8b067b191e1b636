"""The record of ``vmemmap check``: what is wrong with the list, and what memory it covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict, final

from vmemmap.report.members import FindingRecord, finding_records
from vmemmap.report.palette import ROLE_OF_SEVERITY, paint
from vmemmap.report.text import count_text, fitted_behind, plain, size_text, wrapped

if TYPE_CHECKING:
    from vmemmap.check.coverage import Counts
    from vmemmap.check.whole_dump import CheckReport

COLUMNS = ("severity", "code", "node", "virt", "phys", "message")


class CountsRecord(TypedDict):
    """How much of something is there, is covered by an entry, and can be read in this dump.

    Sections count as covered, or readable, when all their struct pages are.

    Attributes:
        sections: Sections of memory.
        covered: Of them, those that the list covers.
        readable: Of them, those whose struct pages can be read.
        pages: Pages of memory.
        covered_pages: Of them, those whose struct page is in a block of the list.
        readable_pages: Of them, those whose struct page can be read.
        bytes: Bytes of struct pages.
        covered_bytes: Of them, those in a block of the list.
        readable_bytes: Of them, those that can be read.
    """

    sections: int
    covered: int
    readable: int
    pages: int
    covered_pages: int
    readable_pages: int
    bytes: int
    covered_bytes: int
    readable_bytes: int


class NodeCoverageRecord(CountsRecord):
    """The same of one NUMA node.

    Attributes:
        node: Its number.
    """

    node: int


@final
class CoverageRecord(CountsRecord):
    """What of the memory the list reaches, with what was rescued of it.

    Attributes:
        origin: Where the sections are from: mem_section, or vmemmap_list where only the list could
            tell.
        nodes: The same by NUMA node; empty where the nodes cannot be told apart.
        nodes_unknown: Why they cannot, in words; null where they can.
        listed: The same without what was rescued; null where nothing was, or it cannot be told.
        entries: How many entries the list has, as far as it goes.
        rescued: How many more were found in the rest of the dump.
    """

    origin: str
    nodes: list[NodeCoverageRecord]
    nodes_unknown: str | None
    listed: CountsRecord | None
    entries: int
    rescued: int


@final
class NoCoverageRecord(TypedDict):
    """A coverage that cannot be told.

    Attributes:
        sections: 0.
        covered: 0.
        origin: null.
        entries: How many entries the list has, as far as it goes.
        rescued: How many more were found in the rest of the dump.
    """

    sections: int
    covered: int
    origin: None
    entries: int
    rescued: int


class CheckRecord(TypedDict):
    """What a check found.

    Attributes:
        findings: What is wrong: what the file lacks, then the worst first.
        coverage: What of the memory the list covers.
    """

    findings: list[FindingRecord]
    coverage: CoverageRecord | NoCoverageRecord


def record(report: CheckReport) -> CheckRecord:
    """Make the record of a check."""
    return {"findings": finding_records(report.findings), "coverage": _coverage(report)}


def _coverage(report: CheckReport) -> CoverageRecord | NoCoverageRecord:
    found = report.coverage
    if found is None:
        return {
            "sections": 0,
            "covered": 0,
            "origin": None,
            "entries": report.entries,
            "rescued": report.rescued,
        }
    return {
        **_counts(found.counts),
        "origin": found.origin,
        "nodes": [{"node": node, **_counts(counts)} for node, counts in found.nodes.items()],
        "nodes_unknown": found.nodes_unknown,
        "listed": None if report.listed is None else _counts(report.listed.counts),
        "entries": report.entries,
        "rescued": report.rescued,
    }


def _counts(counts: Counts) -> CountsRecord:
    return {
        "sections": counts.sections,
        "covered": counts.covered,
        "readable": counts.readable,
        "pages": counts.pages,
        "covered_pages": counts.covered_pages,
        "readable_pages": counts.readable_pages,
        "bytes": counts.bytes,
        "covered_bytes": counts.covered_bytes,
        "readable_bytes": counts.readable_bytes,
    }


def rows(record: CheckRecord) -> list[FindingRecord]:
    """Give the rows of the CSV form."""
    return record["findings"]


def lines(record: CheckRecord) -> Iterator[str]:
    """Give the findings, the worst first, then what the list reaches."""
    findings, coverage = record["findings"], record["coverage"]
    for finding in findings:
        severity = finding["severity"]
        lines = wrapped(f"{severity}: {finding['code']}: {plain(finding['message'])}")
        yield paint(severity, ROLE_OF_SEVERITY[severity]) + next(lines).removeprefix(severity)
        yield from lines
    if findings:
        yield "\n"
    yield from wrapped(_summary(findings))
    if coverage["origin"] is None:
        yield "coverage: unknown, since neither mem_section nor the list can be used\n"
        return
    yield from _coverage_lines(coverage)


def _coverage_lines(coverage: CoverageRecord) -> Iterator[str]:
    yield from _counts_lines("coverage", coverage)
    for node in coverage["nodes"] if len(coverage["nodes"]) > 1 else ():
        yield from _counts_lines(f"  node {node['node']}", node)
    if coverage["nodes_unknown"] is not None:
        why = plain(coverage["nodes_unknown"])
        yield from wrapped(f"unknown, since {why}", "  by node: ", "    ")
    if coverage["origin"] != "mem_section":
        yield "  (mem_section cannot be read: the sections are those that the list covers)\n"
    if coverage["rescued"]:
        # Without mem_section, a list of which nothing can be used names no section.
        listed = coverage["listed"]
        if listed is None:
            yield "  by the list alone: unknown\n"
        else:
            yield from _counts_lines("  by the list alone", listed)
        yield f"  rescued: {count_text(coverage['rescued'], 'entry')}\n"


def _summary(findings: Sequence[FindingRecord]) -> str:
    counts = [
        count_text(number, noun)
        for severity, noun in (("error", "error"), ("warning", "warning"))
        if (number := sum(finding["severity"] == severity for finding in findings))
    ]
    codes = dict.fromkeys(f["code"] for f in findings if f["severity"] != "info")
    if not counts:
        return paint("the list holds together", "good")
    return f"{' and '.join(counts)}; see: vmemmap explain {' '.join(codes)}"


def _counts_lines(name: str, counts: CountsRecord) -> Iterator[str]:
    words = [
        f"{counts['covered']} of {count_text(counts['sections'], 'section')},",
        f"{counts['covered_pages']} of {count_text(counts['pages'], 'page')};",
        f"struct pages that can be read: {counts['readable_pages']},",
        f"{size_text(counts['readable_bytes'])} of {size_text(counts['bytes'])}",
    ]
    indent = " " * (len(name) - len(name.lstrip()) + 2)
    return fitted_behind(f"{name}: ", words, indent)
