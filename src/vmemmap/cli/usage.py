"""``vmemmap usage``: where the memory is."""

from __future__ import annotations

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import (
    EXIT_FINDINGS,
    complain,
    emit_record,
    findings_code,
    show_findings,
)
from vmemmap.report import usage as report

_DAMAGE_SHOWN = 20


@click.command("usage", cls=Command)
@format_option()
@click.option(
    "--zero", is_flag=True, help="Count pages full of zeros too, which reads all of the dump."
)
@reads_dump(rescue=True)
def command(dump: Opening, form: str, zero: bool) -> int:
    """Count all pages: by kind, node and zone, and as makedumpfile would leave them out.

    Pages whose struct page cannot be read are unknown, with the reason, and damaged ones are named
    (exit code 1).
    """
    with dump.open() as core:
        counted = core.usage()
        zero_pages = core.zero_pages(report.LEVEL) if zero else None
        record = report.record(core, counted, zero_pages)
        path, findings = core.source.path, (*core.findings, *counted.findings)
        show_findings(path, findings)
        if counted.unknown:
            reasons = ", ".join(f"{count} {why}" for why, count in counted.unknown.items())
            complain(path, f"error: unknown: struct pages that cannot be read: {reasons}")
        for damage in counted.damage[:_DAMAGE_SHOWN]:
            complain(path, f"error: {damage.code}: {damage}")
        if counted.damaged > _DAMAGE_SHOWN:
            complain(path, f"error: damaged: {counted.damaged} struct pages in all")
        if zero and zero_pages is None:
            complain(path, "warning: zero pages cannot be counted: some pages are not in the dump")
        emit_record(form, report, record)
        bad = counted.damaged or counted.unknown
        return EXIT_FINDINGS if bad else findings_code(findings)
