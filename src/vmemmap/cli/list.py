"""``vmemmap list``: the backing list, head first."""

from __future__ import annotations

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import emit, findings_code, show_findings
from vmemmap.report import list as report


@click.command("list", cls=Command)
@format_option("crash", help_text="crash: the very lines of crash's 'help -m'.")
@reads_dump(rescue=True)
def command(dump: Opening, form: str) -> int:
    """Print vmemmap_list, head (newest) first: node, virtual and physical address, pfns.

    A damaged list is printed as far as it goes, and what is wrong is named (exit code 1).
    """
    with dump.open() as core:
        if form != "crash":
            _ = core.kernel.struct_page_size  # without it there are no pfns: fail before any output
        if form != "json":
            show_findings(core.source.path, core.findings)
        emit(
            form,
            report.record(core),
            text=report.lines(core),
            csv=report.csv_lines(core),
            crash=report.crash_lines(core),
        )
        return findings_code(core.findings)
