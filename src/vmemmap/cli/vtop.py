"""``vmemmap vtop``: kernel virtual addresses to physical ones, and by which way."""

from __future__ import annotations

import os

import click

from vmemmap.cli.addresses import EXPECTED, may_be_address, resolve
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import (
    EXIT_FINDINGS,
    EXIT_UNREADABLE,
    complain,
    emit,
    findings_code,
    show_findings,
    show_warnings,
)
from vmemmap.report import vtop as report


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from addresses: the first is a dump, the rest what they read as.

    Raises:
        click.BadParameter: One cannot be an address, a symbol or a file, or there is no address.
    """
    dumps, addresses = [arguments[0]], list[str]()
    for argument in arguments[1:]:
        # A member of a split dump may be called b or c0de; an address has 16 digits, or 0x.
        plainly_address = argument[:2] in ("0x", "0X") or len(argument) == 16
        is_file = not addresses and not plainly_address and os.path.isfile(argument)  # noqa: PTH113
        if is_file:
            dumps.append(argument)
        elif may_be_address(argument):
            addresses.append(argument)
        else:
            raise click.BadParameter(f"{argument!r} is no address: expected {EXPECTED}")
    if not addresses:
        raise click.BadParameter(
            "there is no address to translate: name one or more after the dump, as in "
            f"vmemmap vtop {dumps[0]} 0xc00c000000000000"
        )
    return dumps, addresses


@click.command("vtop")
@format_option()
@reads_dump(
    rescue=True,
    arguments="DUMP... ADDR...",
    meaning="The vmcore, then addresses in hex, with or without 0x, or symbols: name+0x10.",
    split=split_arguments,
)
def command(dump: Opening, addresses: list[str], form: str) -> int:
    """Translate kernel virtual addresses to physical ones, and say by which way.

    An address that has no translation is told with the reason, and the others are still answered
    (exit code 1).
    """
    with dump.open() as core:
        asked = [resolve(core, address) for address in addresses]
        rows = [report.record(core, each.address, each.symbol) for each in asked]
        emit(form, rows, text=report.lines(rows), columns=report.COLUMNS, rows=rows)
        show_warnings(core)
        damaged = 0
        if any(report.asked_the_list(row) for row in rows):
            show_findings(core.source.path, core.findings)
            damaged = findings_code(core.findings)
        failed = [row for row in rows if "error" in row]
        for row in failed:
            if row["error"] == report.FACT_MISSING:
                # It lies with the dump, and so with every address.
                complain(core.source.path, row["reason"])
                return EXIT_UNREADABLE
        return EXIT_FINDINGS if failed else damaged
