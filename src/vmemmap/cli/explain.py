"""``vmemmap explain``: what a finding means."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click

from vmemmap.cli.command import Argument, Command
from vmemmap.cli.options import debug_option, format_option, traceback_shown
from vmemmap.cli.output import emit
from vmemmap.explanations import explanations
from vmemmap.report import explain as report


@click.command("explain", cls=Command)
@click.argument(
    "codes",
    cls=Argument,
    metavar="[CODE]...",
    help="Codes of findings; none lists them all.",
    nargs=-1,
)
@format_option()
@debug_option
def command(codes: tuple[str, ...], form: str, debug: bool) -> int:
    """Say what a finding of check, usage or dmesg means, how it arises, and what to do.

    Also what crash, makedumpfile, libkdumpfile and drgn would make of such a dump.
    """
    with traceback_shown(debug):
        known = explanations()
        for code in codes:
            if code not in known:
                raise click.BadParameter(f"there is no finding {code!r}{_near(code, known)}")
        rows = [report.record(code) for code in codes or known]
        text = report.lines(rows) if codes else report.index_lines(rows)
        emit(form, rows, text=text, columns=report.COLUMNS, rows=rows)
        return 0


def _near(code: str, known: Iterable[str]) -> str:
    """Guess what a wrong code was meant to be."""
    close = get_close_matches(code, list(known), 3, 0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return "; without one, all are listed"
