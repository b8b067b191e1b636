"""``vmemmap page``: single struct pages, decoded."""

from __future__ import annotations

import click

from vmemmap.cli.addresses import page_number, resolve_each, split_pages
from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import EXIT_FINDINGS, emit_record, findings_code, show_findings
from vmemmap.report import page as report


@click.command("page", cls=Command)
@format_option()
@reads_dump(
    rescue=True,
    arguments="DUMP... PFN_OR_ADDR...",
    meaning="The vmcore, then pages: a pfn (decimal, or pfn:0x5c00), an address with 0x, "
    "physical or virtual (of the page, or of its struct page), or a symbol: name+0x10.",
    split=split_pages,
)
def command(dump: Opening, wanted: list[str], form: str) -> int:
    """Decode single struct pages: what each page is, its flags, node and zone, and where it lies.

    A page that is damaged, or whose struct page cannot be read, or a symbol that the kernel has
    not, is told with the reason, and the others are still answered (exit code 1).
    """
    with dump.open() as core:
        asked, unknown = resolve_each(core, wanted, page_number)
        rows = [report.record(core, by, number) for by, number in asked]
        show_findings(core.source.path, core.findings)
        emit_record(form, report, rows)
        wrong = any(report.is_wrong(row) for row in rows)
        return EXIT_FINDINGS if wrong or unknown else findings_code(core.findings)
