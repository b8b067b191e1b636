"""``vmemmap page``: single struct pages, decoded."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.addresses import may_be_symbol, resolve
from vmemmap.cli.options import (
    EXIT_FINDINGS,
    AssumeOption,
    DebugOption,
    Format,
    FormatOption,
    Opening,
    RescueOption,
    VmcoreinfoOption,
    VmlinuxOption,
    findings_code,
    hex_or_none,
    show_findings,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    from vmemmap.pages.page import PageInfo
    from vmemmap.vmcore import Vmcore

COLUMNS = (
    *("pfn", "phys", "virt", "kind", "reason", "flags", "flags_raw", "refcount", "mapcount"),
    *("page_type", "mapping", "mapping_kind", "private", "head", "order", "node", "zone"),
    *("zone_name", "fields_origin", "section", "online", "early", "entry", "struct_phys"),
    *("file_offset", "error"),
)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9a-fA-F]{16}", re.ASCII)
_PFN = re.compile(r"[0-9]{1,15}|pfn:(?:0[xX][0-9a-fA-F]{1,13}|[0-9]{1,15})", re.ASCII)


def page(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="DUMP... PFN_OR_ADDR...",
            help="The vmcore, then pages: a pfn (decimal, or pfn:0x5c00), an address with 0x, "
            "physical or virtual (of the page, or of its struct page), or a symbol: name+0x10.",
            show_default=False,
        ),
    ],
    output: FormatOption = Format.TEXT,
    rescue: RescueOption = False,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Decode single struct pages: what each page is, its flags, node and zone, and where it lies.

    A page that is damaged, or whose struct page cannot be read, is told with the reason, and the
    others are still answered (exit code 1).
    """
    dumps, wanted = split_arguments(arguments)
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume, rescue=rescue),
        lambda core: _page(core, wanted, output),
    )


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from pages: the first is a dump, the rest what they read as.

    Returns:
        The dumps, and the pages as they were named.

    Raises:
        typer.BadParameter: One is neither a page nor a file, or there is no page.
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
            raise typer.BadParameter(
                f"{argument!r} is no page: expected a pfn in decimal or as pfn:0x5c00, or an "
                "address with 0x, or a symbol"
            )
    if not wanted:
        raise typer.BadParameter(
            "there is no page to decode: name one or more after the dump, as in "
            f"vmemmap page {dumps[0]} 23552"
        )
    return dumps, wanted


def _number(core: Vmcore, argument: str) -> tuple[str, int]:
    """Give what an argument names: ``pfn`` or ``virt``, and the number.

    Raises:
        typer.BadParameter: It is a symbol that this kernel has not.
    """
    if _PFN.fullmatch(argument):
        digits = argument.removeprefix("pfn:")
        return "pfn", int(digits, 16 if digits[:2] in ("0x", "0X") else 10)  # 0 would refuse 007
    if _HEX.fullmatch(argument):
        return "virt", int(argument, 16)
    return "virt", resolve(core, argument).address


def _page(core: Vmcore, wanted: list[str], output: Format) -> int:
    from vmemmap.errors import TranslateError

    rows: list[dict[str, Any]] = []
    wrong = False
    for name, number in [_number(core, argument) for argument in wanted]:
        try:
            info = core.pages[number] if name == "pfn" else core.page_of(number)
        except (TranslateError, IndexError) as error:
            code = error.code if isinstance(error, TranslateError) else "no_such_page"
            where = {name: number if name == "pfn" else f"{number:#x}"}
            rows.append(where | {"error": code, "reason": str(error)})
            wrong = True
            continue
        rows.append(record(info))
        if info.entry is not None and core.backing.rescued[info.entry]:
            rows[-1]["rescued"] = core.backing[info.entry].rescued
        wrong = wrong or bool(info.reason)
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(rows))
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        flat = ({**row, "flags": "|".join(row.get("flags", ()))} for row in rows)
        sys.stdout.writelines(as_csv.lines(COLUMNS, flat))
    else:
        from vmemmap.report import page as page_text

        sys.stdout.writelines(page_text.page_lines(rows))
    show_warnings(core)
    show_findings(core)
    return EXIT_FINDINGS if wrong else findings_code(core.findings)


def record(info: PageInfo) -> dict[str, Any]:
    """Give a page in the JSON form: addresses as texts, everything else as it is."""
    row: dict[str, Any] = {
        name: getattr(info, name) for name in COLUMNS if name not in ("error", "kind", "flags")
    }
    for name in ("phys", "virt", "flags_raw", "page_type", "mapping", "private", "struct_phys"):
        row[name] = hex_or_none(row[name])
    row |= {"kind": info.kind.word, "flags": list(info.flags)}
    return {name: row[name] for name in COLUMNS if name in row}
