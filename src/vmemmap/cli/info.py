"""``vmemmap info``: what this dump and its kernel are, each fact with its origin."""

from __future__ import annotations

from contextlib import suppress

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import (
    EXIT_UNREADABLE,
    complain,
    emit_record,
    findings_code,
    show_findings,
)
from vmemmap.errors import FactError
from vmemmap.findings import Finding
from vmemmap.report import info as report


@click.command("info", cls=Command)
@click.option(
    "--ranges",
    is_flag=True,
    help="Of a dump at a URL, fetch the map of memory for its ranges, however large it is; else "
    "one of more than 6 MiB is left, and the ranges are said to be unknown.",
)
@format_option()
@reads_dump()
def command(dump: Opening, ranges: bool, form: str) -> int:
    """Say what a dump and its kernel are, each fact with where it comes from.

    What cannot be told is named on stderr, and the rest is printed all the same (exit code 3).
    """
    with dump.open() as core:
        record = report.record(core, all_ranges=ranges)
        findings: tuple[Finding, ...] = ()
        with suppress(FactError):
            findings = core.findings
        show_findings(core.source.path, findings)
        with suppress(FactError):
            if core.kernel.no_vmemmap:
                why = core.kernel.no_vmemmap
                complain(core.source.path, f"warning: this kernel has no vmemmap: {why}")
        missing = core.facts.missing
        if missing:
            # One thing missing makes others impossible; the first is the cause.
            complain(core.source.path, str(next(iter(missing.values()))))
        emit_record(form, report, record)
        return EXIT_UNREADABLE if missing else findings_code(findings)
