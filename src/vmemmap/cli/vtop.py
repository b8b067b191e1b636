"""``vmemmap vtop``: kernel virtual addresses to physical ones, and by which way."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.addresses import EXPECTED, may_be_address, resolve, symbol_at
from vmemmap.cli.options import (
    EXIT_FINDINGS,
    EXIT_UNREADABLE,
    AssumeOption,
    DebugOption,
    Format,
    FormatOption,
    Opening,
    RescueOption,
    VmcoreinfoOption,
    VmlinuxOption,
    complain,
    findings_code,
    show_findings,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

COLUMNS = (
    "virt", "phys", "method", "in_dump", "region", "entry", "block_virt", "error", "reason",
    "absence", "symbol", "rescued",
)  # fmt: skip


def vtop(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="DUMP... ADDR...",
            help="The vmcore, then addresses in hex, with or without 0x, or symbols: name+0x10.",
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
    """Translate kernel virtual addresses to physical ones, and say by which way.

    An address that has no translation is told with the reason, and the others are still answered
    (exit code 1).
    """
    dumps, addresses = split_arguments(arguments)
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume, rescue),
        lambda core: _vtop(core, addresses, output),
    )


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from addresses: the first is a dump, the rest what they read as.

    Raises:
        typer.BadParameter: One cannot be an address, a symbol or a file, or there is no address.
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
            raise typer.BadParameter(f"{argument!r} is no address: expected {EXPECTED}")
    if not addresses:
        raise typer.BadParameter(
            "there is no address to translate: name one or more after the dump, as in "
            f"vmemmap vtop {dumps[0]} 0xc00c000000000000"
        )
    return dumps, addresses


def _vtop(core: Vmcore, addresses: list[str], output: Format) -> int:
    rows: list[dict[str, Any]] = []
    unreadable: Exception | None = None
    for asked in [resolve(core, address) for address in addresses]:
        row, error = translate(core, asked.address)
        symbol = asked.symbol or symbol_at(core, asked.address)
        if symbol is not None:
            row["symbol"] = symbol
        rows.append(row)
        unreadable = unreadable or error
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(rows))
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        sys.stdout.writelines(as_csv.lines(COLUMNS, rows))
    else:
        from vmemmap.report import text as as_text

        sys.stdout.writelines(as_text.vtop_lines(rows))
    show_warnings(core)
    damaged = 0
    if any(row.get("method") == "vmemmap_list" or row.get("error") == "not_backed" for row in rows):
        show_findings(core)
        damaged = findings_code(core.findings)
    if unreadable is not None:
        complain(core.source.path, str(unreadable))
        return EXIT_UNREADABLE
    return EXIT_FINDINGS if damaged or any("error" in row for row in rows) else 0


def translate(core: Vmcore, address: int) -> tuple[dict[str, Any], Exception | None]:
    """Give the record of one address, and the error if it lay with the dump, not the address."""
    from vmemmap.errors import FactError, ReadError, TranslateError

    row: dict[str, Any] = {"virt": f"{address:#x}"}
    try:
        hit = core.vtop(address)
    except TranslateError as error:
        return row | {"error": error.code, "reason": str(error)}, None
    except ReadError as error:
        why = core.why_absent(error.phys)
        row |= {"error": "unreadable", "reason": str(error)}
        return row | ({} if why is None else {"absence": str(why)}), None
    except FactError as error:
        return row | {"error": "fact_missing", "reason": str(error)}, error
    row |= {
        "phys": f"{hit.phys:#x}",
        "method": hit.method,
        "in_dump": hit.in_dump,
        "region": hit.region,
    }
    if hit.absence is not None:
        row |= {"absence": str(hit.absence), "reason": hit.absence.explanation}
    if hit.entry is not None:
        row |= {"entry": hit.entry, "block_virt": f"{int(core.backing.virt[hit.entry]):#x}"}
        if core.backing.rescued[hit.entry]:
            row["rescued"] = core.backing[hit.entry].rescued
    return row, None
