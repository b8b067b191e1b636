"""``vmemmap vtop``: kernel virtual addresses to physical ones, and by which way."""

from __future__ import annotations

import click

from vmemmap.cli.addresses import resolve, resolve_each, split_addresses
from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import (
    EXIT_FINDINGS,
    EXIT_UNREADABLE,
    complain,
    emit_record,
    findings_code,
    show_findings,
)
from vmemmap.report import vtop as report


@click.command("vtop", cls=Command)
@format_option()
@reads_dump(
    rescue=True,
    arguments="DUMP... ADDR...",
    meaning="The vmcore, then addresses in hex, with or without 0x, or symbols: name+0x10.",
    split=split_addresses,
)
def command(dump: Opening, addresses: list[str], form: str) -> int:
    """Translate kernel virtual addresses to physical ones, and say by which way.

    An address that has no translation, or a symbol that the kernel has not, is told with the
    reason, and the others are still answered (exit code 1).
    """
    with dump.open() as core:
        asked, unknown = resolve_each(core, addresses, resolve)
        rows = [report.record(core, each.address, each.symbol) for each in asked]
        damaged = 0
        if any(report.asked_the_list(row) for row in rows):
            show_findings(core.source.path, core.findings)
            damaged = findings_code(core.findings)
        failed = [row for row in rows if "error" in row]
        # What the dump lacks fails with every address; once is enough.
        lacking = next((row for row in failed if row["error"] == report.FACT_MISSING), None)
        if lacking is not None:
            complain(core.source.path, lacking["reason"])
            if "layout" in core.facts.missing and "--assume" not in lacking["reason"]:
                from vmemmap.translate.assumable import ASSUMABLE

                names = ", ".join(ASSUMABLE["layout"])
                advice = "is mapped by page tables (vmalloc, I/O), --assume layout=NAME is enough"
                complain(core.source.path, f"for what {advice}: one of {names}")
        emit_record(form, report, rows)
        if lacking is not None:
            return EXIT_UNREADABLE
        return EXIT_FINDINGS if failed or unknown else damaged
