"""What `vmemmap check` found, as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmemmap.report.text import count_text, plain, size_text


def check_lines(record: dict[str, Any]) -> Iterator[str]:
    """Give the findings, the worst first, then what the list reaches."""
    findings, coverage = record["findings"], record["coverage"]
    for finding in findings:
        yield f"{finding['severity']}: {finding['code']}: {plain(finding['message'])}\n"
    if findings:
        yield "\n"
    yield _summary(findings) + "\n"
    if coverage["origin"] is None:
        yield "coverage: unknown, since neither mem_section nor the list can be used\n"
        return
    yield f"coverage: {_counts(coverage)}\n"
    for node in coverage["nodes"] if len(coverage["nodes"]) > 1 else ():
        yield f"  node {node['node']}: {_counts(node)}\n"
    if coverage["origin"] != "mem_section":
        yield "  (mem_section cannot be read: the sections are those that the list itself covers)\n"
    if coverage["rescued"]:
        yield f"  by the list alone: {_counts(coverage['listed'])}\n"
        yield f"  rescued: {count_text(coverage['rescued'], 'entry')}\n"


def _summary(findings: list[dict[str, Any]]) -> str:
    counts = [
        count_text(number, noun)
        for severity, noun in (("error", "error"), ("warning", "warning"))
        if (number := sum(finding["severity"] == severity for finding in findings))
    ]
    codes = dict.fromkeys(f["code"] for f in findings if f["severity"] != "info")
    if not counts:
        return "the list holds together"
    return f"{' and '.join(counts)}; see: vmemmap explain {' '.join(codes)}"


def _counts(counts: dict[str, Any]) -> str:
    return (
        f"{counts['covered']} of {count_text(counts['sections'], 'section')}, "
        f"{counts['covered_pages']} of {count_text(counts['pages'], 'page')}; struct pages that "
        f"can be read: {counts['readable_pages']}, {size_text(counts['readable_bytes'])} of "
        f"{size_text(counts['bytes'])}"
    )
