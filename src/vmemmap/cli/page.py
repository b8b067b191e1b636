"""``vmemmap page``: single struct pages, decoded."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal

import click

from vmemmap.cli.addresses import may_be_symbol, resolve
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import EXIT_FINDINGS, emit, findings_code, show_findings, show_warnings
from vmemmap.report import page as report

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9a-fA-F]{16}", re.ASCII)
_PFN = re.compile(r"[0-9]{1,15}|pfn:(?:0[xX][0-9a-fA-F]{1,13}|[0-9]{1,15})", re.ASCII)


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from pages: the first is a dump, the rest what they read as.

    Returns:
        The dumps, and the pages as they were named.

    Raises:
        click.BadParameter: One is neither a page nor a file, or there is no page.
    """
    dumps, wanted = [arguments[0]], list[str]()
    for argument in arguments[1:]:
        if _PFN.fullmatch(argument) or _HEX.fullmatch(argument):
            wanted.append(argument)
        elif not wanted and os.path.isfile(argument):  # noqa: PTH113
            dumps.append(argument)
        elif may_be_symbol(argument):
            wanted.append(argument)
        else:
            raise click.BadParameter(
                f"{argument!r} is no page: expected a pfn in decimal or as pfn:0x5c00, or an "
                "address with 0x, or a symbol"
            )
    if not wanted:
        raise click.BadParameter(
            "there is no page to decode: name one or more after the dump, as in "
            f"vmemmap page {dumps[0]} 23552"
        )
    return dumps, wanted


@click.command("page")
@format_option()
@reads_dump(
    rescue=True,
    arguments="DUMP... PFN_OR_ADDR...",
    meaning="The vmcore, then pages: a pfn (decimal, or pfn:0x5c00), an address with 0x, "
    "physical or virtual (of the page, or of its struct page), or a symbol: name+0x10.",
    split=split_arguments,
)
def command(dump: Opening, wanted: list[str], form: str) -> int:
    """Decode single struct pages: what each page is, its flags, node and zone, and where it lies.

    A page that is damaged, or whose struct page cannot be read, is told with the reason, and the
    others are still answered (exit code 1).
    """
    with dump.open() as core:
        asked = [_number(core, argument) for argument in wanted]
        rows = [report.record(core, by, number) for by, number in asked]
        emit(form, rows, text=report.lines(rows), columns=report.COLUMNS, rows=report.rows(rows))
        show_warnings(core)
        show_findings(core.source.path, core.findings)
        wrong = any(report.is_wrong(row) for row in rows)
        return EXIT_FINDINGS if wrong else findings_code(core.findings)


def _number(core: Vmcore, argument: str) -> tuple[Literal["pfn", "virt"], int]:
    """Give what an argument names, and the number.

    Raises:
        click.BadParameter: It is a symbol that this kernel has not.
    """
    if _PFN.fullmatch(argument):
        digits = argument.removeprefix("pfn:")
        return "pfn", int(digits, 16 if digits[:2] in ("0x", "0X") else 10)  # 0 would refuse 007
    if _HEX.fullmatch(argument):
        return "virt", int(argument, 16)
    return "virt", resolve(core, argument).address
