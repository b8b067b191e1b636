"""The record of ``vmemmap explain``: what findings mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TypedDict

from vmemmap.explanations import explanations

COLUMNS = ("code", "severity", "means", "arises", "breaks", "do")
_WIDTH = 92


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
    """Give a line a code, with the first sentence of what it means."""
    width = max(len(row["code"]) for row in records)
    for row in records:
        yield f"{row['code']:{width}}  {row['severity']:15}  {row['means'].split('. ')[0]}\n"


def lines(records: Sequence[ExplanationRecord]) -> Iterator[str]:
    """Give all that is known of some codes."""
    between = ""
    for row in records:
        yield f"{between}{row['code']} ({row['severity']})\n"
        yield from _paragraph("What it means", row["means"])
        yield from _paragraph("How it arises", row["arises"])
        yield from _paragraph("What breaks", row["breaks"])
        yield "  Other tools with such a dump\n"
        for tool, said in row["peers"].items():
            yield _filled(f"{tool} {said}.")
        yield from _paragraph("What to do", row["do"])
        between = "\n"


def _paragraph(heading: str, text: str) -> Iterator[str]:
    yield f"  {heading}\n"
    yield _filled(text)


def _filled(text: str) -> str:
    return fill(text, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6) + "\n"
