"""``vmemmap report``: a dump, or two of one machine, as one page that shows it."""

from __future__ import annotations

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump, refuse_to_replace
from vmemmap.cli.output import EXIT_FAULT, complain, emit_record, findings_code
from vmemmap.report import report


@click.command("report", cls=Command)
@click.option("--out", "-o", metavar="FILE", required=True, help="Write the page here, as HTML.")
@format_option()
@reads_dump(rescue=True)
def command(dump: Opening, form: str, out: str) -> int:
    """Draw a dump: one page of HTML, below 1 MB, that any browser shows without a network.

    What crashed and whether the dump is whole, the memory map down to single pages, the list, free
    memory, what a smaller dump would leave out, the address space, the log and the facts. What
    cannot be had is told in its place (exit code 1, as for all findings).
    """
    refuse_to_replace(out, *dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    with dump.open() as core:
        made = core.report(out)
        record = report.record(out, made)
        emit_record(form, report, record)
        for fault in made.faults:
            complain(
                core.source.path, f"error: a fault of vmemmap itself, please report it: {fault}"
            )
        if made.faults:
            return EXIT_FAULT
        lacking = any(section.reason for section in made.sections)
        return int(lacking) or findings_code(made.findings)
