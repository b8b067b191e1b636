"""The record of ``vmemmap explain``: what findings mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from vmemmap.explanations import explanations
from vmemmap.report.palette import paint
from vmemmap.report.text import INDENT, fitted, wrapped

COLUMNS = ("code", "severity", "means", "arises", "breaks", "do")


class ExplanationRecord(TypedDict):
    """What a finding means and what to do about it; every text is a sentence or more.

    Attributes:
        code: The finding's code.
        severity: As `check` gives it; several words where the kernel's release decides.
        means: What has been seen.
        arises: How it comes about.
        breaks: What can no longer be relied on.
        peers: What other tools do with such a dump, by their names.
        do: What to do about it.
        command: The command that tells of it.
    """

    code: str
    severity: str
    means: str
    arises: str
    breaks: str
    peers: dict[str, str]
    do: str
    command: str


def record(code: str) -> ExplanationRecord:
    """Make the record of a finding's code."""
    known = explanations()[code]
    return {
        "code": known.code,
        "severity": known.severity,
        "means": known.means,
        "arises": known.arises,
        "breaks": known.breaks,
        "peers": known.peers,
        "do": known.do,
        "command": known.command,
    }


def index_lines(records: Sequence[ExplanationRecord]) -> Iterator[str]:
    """Give a line or two a code, with the first sentence of what it means."""
    width = max(len(row["code"]) for row in records)
    for row in records:
        start = f"{row['code']:{width}}  {row['severity']}"
        yield from fitted(start, f"{row['means'].split('. ')[0]}".split(), " ")


def lines(records: Sequence[ExplanationRecord]) -> Iterator[str]:
    """Give all that is known of some codes."""
    between = ""
    for row in records:
        yield f"{between}{paint(row['code'], 'heading')} ({row['severity']})\n"
        yield from _paragraph("What it means", row["means"])
        yield from _paragraph("How it arises", row["arises"])
        yield from _paragraph("What breaks", row["breaks"])
        yield _heading("Other tools with such a dump")
        for tool, said in row["peers"].items():
            yield from wrapped(f"{tool} {said}.", INDENT, INDENT + "  ")
        yield from _paragraph("What to do", row["do"])
        between = "\n"


def _paragraph(heading: str, text: str) -> Iterator[str]:
    yield _heading(heading)
    yield from wrapped(text, INDENT, INDENT)


def _heading(text: str) -> str:
    return f"  {paint(text, 'mark')}\n"
