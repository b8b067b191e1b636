"""``vmemmap pages``: all struct pages to a Parquet or Arrow file."""

from __future__ import annotations

from pathlib import Path

import click

from vmemmap.cli.options import Opening, reads_dump, refuse_to_replace
from vmemmap.cli.output import EXIT_FINDINGS, findings_code, show_findings, tell

_ARROW = (".arrow", ".feather")


@click.command("pages")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    required=True,
    help="Parquet, or Arrow if it ends in .arrow or .feather.",
)
@click.option("--fields", metavar="NAME,...", help="Only these columns (default: all).")
@reads_dump()
def command(dump: Opening, output: str, fields: str | None) -> int:
    """Write every struct page to a table for polars, pandas or DuckDB, a row a page.

    Needs pyarrow, the extra named parquet. Pages that cannot be read have nulls, the kind
    unknown, and the reason (exit code 1).
    """
    from vmemmap.errors import OutputError
    from vmemmap.pages.records import SCAN_FIELDS
    from vmemmap.report.as_arrow import require_pyarrow
    from vmemmap.report.pages import write
    from vmemmap.write.new_file import new_file

    refuse_to_replace(output, *dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    kind = Path(output).suffix.lower()
    if kind not in (".parquet", *_ARROW):
        raise click.BadParameter(
            f"{output}: name it .parquet or .arrow (or .feather), for what is to be in it"
        )
    chosen = fields.split(",") if fields is not None else SCAN_FIELDS
    wrong = [name for name in chosen if name not in SCAN_FIELDS]
    if wrong:
        raise click.BadParameter(
            f"there is no column {wrong[0]!r}: expected some of {', '.join(SCAN_FIELDS)}"
        )
    try:
        require_pyarrow()  # before a long scan
    except OutputError as error:
        raise click.BadParameter(str(error)) from None
    with dump.open() as core:
        show_findings(core.source.path, core.findings)
        with new_file(output) as file:
            rows, bad = write(core, file, chosen, arrow=kind in _ARROW)
        tell(f"{output}: {rows} pages")
        return EXIT_FINDINGS if bad else findings_code(core.findings)
