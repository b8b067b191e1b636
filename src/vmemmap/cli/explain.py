"""``vmemmap explain``: what a finding means."""

from __future__ import annotations

import sys
from dataclasses import asdict
from difflib import get_close_matches
from textwrap import fill
from typing import Annotated

import typer

from vmemmap.cli.options import Format, FormatOption

COLUMNS = ("code", "severity", "means", "arises", "breaks", "do")
_HEADINGS = {"means": "What it means", "arises": "How it arises", "breaks": "What breaks"}
_WIDTH = 92


def explain(
    codes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CODE]...", help="Codes of findings; none lists them all.", show_default=False
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Say what a finding of check, usage or dmesg means, how it arises, and what to do.

    Also what crash, makedumpfile, libkdumpfile and drgn would make of such a dump.
    """
    from vmemmap.report.explanations import explanations

    known = explanations()
    for code in codes or ():
        if code not in known:
            close = get_close_matches(code, known, 3, 0.5)
            near = (
                f"; did you mean {' or '.join(close)}?"
                if close
                else "; without one, all are listed"
            )
            raise typer.BadParameter(f"there is no finding {code!r}{near}")
    wanted = [known[code] for code in codes or known]
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump([asdict(row) for row in wanted]))
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        sys.stdout.writelines(as_csv.lines(COLUMNS, map(asdict, wanted)))
    elif not codes:
        width = max(map(len, known))
        for row in wanted:
            sys.stdout.write(f"{row.code:{width}}  {row.severity:15}  {row.means.split('. ')[0]}\n")
    else:
        for number, row in enumerate(wanted):
            sys.stdout.write("\n" * bool(number) + f"{row.code} ({row.severity})\n")
            for name, heading in _HEADINGS.items():
                _paragraph(heading, getattr(row, name))
            sys.stdout.write("  Other tools with such a dump\n")
            for tool, said in row.peers.items():
                _paragraph("", f"{tool} {said}.")
            _paragraph("What to do", row.do)
    sys.stdout.flush()
    raise typer.Exit(0)


def _paragraph(heading: str, text: str) -> None:
    if heading:
        sys.stdout.write(f"  {heading}\n")
    indent = " " * 4
    sys.stdout.write(
        fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ") + "\n"
    )
