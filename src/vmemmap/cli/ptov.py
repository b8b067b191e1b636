"""``vmemmap ptov``: physical addresses to the kernel's virtual ones."""

from __future__ import annotations

import click

from vmemmap.cli.addresses import physical, split_physical
from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import EXIT_FINDINGS, emit_record, findings_code, show_findings
from vmemmap.report import ptov as report


@click.command("ptov", cls=Command)
@format_option()
@reads_dump(
    rescue=True,
    arguments="DUMP... PHYS...",
    meaning="The vmcore, then physical addresses with 0x, or pages as pfn:23552.",
    split=split_physical,
)
def command(dump: Opening, wanted: list[str], form: str) -> int:
    """Say at which virtual addresses the kernel has physical ones, and if they are in the dump.

    That is the linear map, the vmemmap where a block of the list lies there, and wherever page
    tables map it: vmalloc, modules, I/O. Where the kernel had no memory, and maps nothing, there is
    none (exit code 1).
    """
    with dump.open() as core:
        rows = [report.record(core, physical(core, word)) for word in wanted]
        show_findings(core.source.path, core.findings)
        emit_record(form, report, rows)
        none = not all(row["virtual"] for row in rows)
        return EXIT_FINDINGS if none else findings_code(core.findings)
