"""``vmemmap report``: a dump as one page that shows it, or what is different between two dumps."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump, refuse_to_replace
from vmemmap.cli.output import EXIT_FAULT, complain, emit, findings_code
from vmemmap.errors import VmemmapError
from vmemmap.report import report

if TYPE_CHECKING:
    from vmemmap.compare.comparison import Comparison
    from vmemmap.picture.report import Report

_DUMPS = (
    "The dump, or all members of a split dump; or two dumps of one machine, the earlier first, to "
    "see what is different. - for standard input; URLs as for all commands."
)


def _two_dumps(words: list[str]) -> tuple[list[str], list[str]]:
    """Part the files of two dumps: members of a split one stand together.

    Raises:
        click.BadParameter: There are more than two.
    """
    if len(words) == 1:
        return words, []
    dumps: list[tuple[bytes | None, list[str]]] = []
    for word in words:
        own = _split_dump_of(word)
        known = next((files for which, files in dumps if which == own), None)
        if own is None or known is None:
            dumps.append((own, [word]))
        else:
            known.append(word)
    if len(dumps) > 2:
        raise click.BadParameter(f"expected one dump, or two to compare; found {len(dumps)}")
    return dumps[0][1], [word for _, files in dumps[1:] for word in files]


def _split_dump_of(word: str) -> bytes | None:
    """Tell which split dump a file is a member of, if it is one."""
    from vmemmap.source.detect import open_source
    from vmemmap.source.split import SplitSource

    own = None
    with suppress(VmemmapError):  # told when the dump is opened
        if word != "-":
            source = open_source(word)
            own = source.identity if isinstance(source, SplitSource) else None
            source.close()
    return own


@click.command("report", cls=Command)
@click.option(
    "--out",
    "-o",
    metavar="FILE",
    help="Write the page here, as HTML. Of two dumps the difference is told without it, too.",
)
@format_option()
@reads_dump(rescue=True, split=_two_dumps, arguments="DUMP... [LATER...]", meaning=_DUMPS)
def command(dump: Opening, later: list[str], form: str, out: str | None) -> int:
    """Draw a dump: one page of HTML, below 1 MB, that any browser shows without a network.

    What crashed and whether the dump is whole, the memory map down to single pages, the list, free
    memory, what a smaller dump would leave out, the address space, the log and the facts. What
    cannot be had is told in its place (exit code 1, as for all findings). Of two dumps: facts that
    differ, list entries that came and went, pages of another kind, findings new and gone.
    """
    if out is None and not later:
        raise click.UsageError("expected -o FILE, the page to write; only two dumps need none")
    if out is not None:
        refuse_to_replace(out, *dump.dumps, *later, dump.vmcoreinfo, dump.vmlinux)
    made: Report | None = None
    compared: Comparison | None = None
    with ExitStack() as opened:
        core = opened.enter_context(dump.open())
        if later:
            other = opened.enter_context(replace(dump, dumps=later).open())
            compared = core.compare(other)
            if out is not None:
                made = core.report(out, beside=other, found=compared)
        elif out is not None:
            made = core.report(out)
        record = report.record(out, made, compared)
        emit(
            form,
            record,
            text=report.lines(record),
            columns=report.columns(record),
            rows=report.rows(record),
        )
    for fault in () if made is None else made.faults:
        complain(dump.dumps[0], f"error: a fault of vmemmap itself, please report it: {fault}")
    if made is not None and made.faults:
        return EXIT_FAULT
    lacking = made is not None and any(section.reason for section in made.sections)
    lacking = lacking or (compared is not None and bool(compared.reasons))
    found = report.findings_of(made, compared)
    return int(lacking) or findings_code(found)
