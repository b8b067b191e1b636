"""``vmemmap pages``: struct pages as a table: Parquet, Arrow, CSV or JSON lines."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmemmap.cli.addresses import pfn_number
from vmemmap.cli.command import Command
from vmemmap.cli.options import (
    Opening,
    check_stdout,
    reads_dump,
    refuse_to_replace,
    require_pyarrow,
)
from vmemmap.cli.output import EXIT_FINDINGS, findings_code, show_findings, tell

if TYPE_CHECKING:
    from vmemmap.report.pages import Choice

_FORM_OF_SUFFIX = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@click.command("pages", cls=Command)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    default="-",
    help="Where to, over what is there if it is no dump; without it, or as -, stdout.  "
    "[default: -]",
)
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["csv", "jsonl", "parquet", "arrow"]),
    help="What to write.  [default: as FILE ends: .csv, .jsonl, .parquet, .arrow; to stdout csv]",
)
@click.option("--fields", metavar="NAME,...", help="Only these columns (default: all).")
@click.option("--kind", "kinds", metavar="KIND,...", help="Only pages of these kinds.")
@click.option(
    "--node", "nodes", metavar="N", type=click.IntRange(0), multiple=True, help="Only of this node."
)
@click.option(
    "--range", "pfns", metavar="START-END", help="Only these pfns, END not among them, as 0-1024."
)
@reads_dump()
def command(
    dump: Opening,
    output: str,
    form: str | None,
    fields: str | None,
    kinds: str | None,
    nodes: tuple[int, ...],
    pfns: str | None,
) -> int:
    """Write struct pages to a table for polars, pandas or DuckDB, a row a page.

    Parquet and Arrow need pyarrow, the extra named parquet; to stdout Arrow is written as a stream.
    Pages that cannot be read have nulls, the kind unknown, and the reason (exit code 1).
    """
    from vmemmap.pages.records import SCAN_FIELDS
    from vmemmap.report.pages import write
    from vmemmap.write.new_file import new_file

    if output != "-":
        refuse_to_replace(output, *dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    form = form or _form_of(output)
    chosen = fields.split(",") if fields is not None else SCAN_FIELDS
    wrong = [name for name in chosen if name not in SCAN_FIELDS]
    if wrong:
        raise click.BadParameter(
            f"there is no column {wrong[0]!r}: expected some of {', '.join(SCAN_FIELDS)}"
        )
    choice = _choice(kinds, nodes, pfns)
    if form in ("parquet", "arrow"):
        require_pyarrow()  # before a long scan
        if output == "-":
            check_stdout(form.capitalize())
    with dump.open() as core:
        show_findings(core.source.path, core.findings)
        if output != "-":
            with new_file(output) as file:
                rows, bad = write(core, file, chosen, form=form, choice=choice)
            tell(f"{output}: {rows} pages")
        elif form != "parquet":
            _, bad = write(core, sys.stdout.buffer, chosen, form=form, choice=choice, stream=True)
            sys.stdout.flush()
        else:
            with tempfile.TemporaryFile() as whole:  # its writer wants to know where it is
                _, bad = write(core, whole, chosen, form=form, choice=choice)
                whole.seek(0)
                shutil.copyfileobj(whole, sys.stdout.buffer)
            sys.stdout.flush()
        return EXIT_FINDINGS if bad else findings_code(core.findings)


def _form_of(output: str) -> str:
    """Tell the form by the file's name.

    Raises:
        click.BadParameter: It does not tell, or would fill a terminal.
    """
    if output == "-":
        return "csv"
    form = _FORM_OF_SUFFIX.get(Path(output).suffix.lower())
    if form is None:
        raise click.BadParameter(
            f"{output}: name it .parquet or .arrow (or .feather), .csv or .jsonl, for what is to "
            "be in it, or say --format"
        )
    return form


def _choice(kinds: str | None, nodes: tuple[int, ...], pfns: str | None) -> Choice:
    """Tell which pages are wanted.

    Raises:
        click.BadParameter: A kind or a range is none.
    """
    from vmemmap.pages.kinds import COUNTED
    from vmemmap.report.pages import Choice

    words = {kind.word: kind for kind in COUNTED}
    wanted = kinds.split(",") if kinds is not None else []
    for word in wanted:
        if word not in words:
            raise click.BadParameter(
                f"there is no kind {word!r}: expected some of {', '.join(words)}"
            )
    span = None
    if pfns is not None:
        first, dash, end = pfns.replace(" ", "").partition("-")
        if not dash:
            raise click.BadParameter(f"--range {pfns}: expected START-END in pfns, as 0-1024")
        span = pfn_number(first), pfn_number(end)
        if span[0] >= span[1]:
            raise click.BadParameter(f"--range {pfns}: ends before it begins")
    return Choice(frozenset(words[word] for word in wanted), frozenset(nodes), span)
