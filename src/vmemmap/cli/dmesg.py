"""``vmemmap dmesg``: the kernel's log, from printk's ring buffer in the dump."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.options import (
    AssumeOption,
    DebugOption,
    Dumps,
    Format,
    FormatOption,
    Opening,
    VmcoreinfoOption,
    VmlinuxOption,
    complain,
    finding_record,
    findings_code,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    from vmemmap.kernel_log.record import LogRecord
    from vmemmap.vmcore import Vmcore

COLUMNS = ("seq", "time_ns", "level", "facility", "caller", "text")


def dmesg(
    dumps: Dumps,
    output: FormatOption = Format.TEXT,
    level: Annotated[
        str | None,
        typer.Option(
            "--level",
            "-l",
            metavar="LIST",
            help="Only these levels: emerg, alert, crit, err, warn, notice, info, debug, or 0-7.",
        ),
    ] = None,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Print the kernel's log, oldest message first; as text just as vmcore-dmesg prints it.

    Of a damaged log what can be read is printed, and what is wrong is named (exit code 1).
    """
    wanted = levels(level) if level is not None else None
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume),
        lambda core: _dmesg(core, wanted, output),
    )


def levels(text: str) -> frozenset[int]:
    """Read a list of levels such as ``err,warn`` or ``3,4``.

    Raises:
        typer.BadParameter: One of them is no level.
    """
    from vmemmap.kernel_log.record import LEVELS

    numbers = {name: number for number, name in enumerate(LEVELS)}
    numbers |= {str(number): number for number in range(len(LEVELS))}
    found = set()
    for word in text.split(","):
        if word not in numbers:
            raise typer.BadParameter(
                f"{word!r} is no level: expected {', '.join(LEVELS)}, or 0 to 7",
                param_hint="--level",
            )
        found.add(numbers[word])
    return frozenset(found)


def _dmesg(core: Vmcore, wanted: frozenset[int] | None, output: Format) -> int:
    log = core.dmesg()
    chosen = (record for record in log if wanted is None or record.level in wanted)
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.writelines(
            as_json.dump_with_rows(
                {"form": log.form},
                "records",
                map(row, chosen),
                # What is wrong with the log is known when all of it has been read.
                lambda: {"findings": [finding_record(finding) for finding in log.findings]},
            )
        )
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        sys.stdout.writelines(as_csv.lines(COLUMNS, map(row, chosen)))
    else:
        sys.stdout.writelines(_lines(chosen))
    show_warnings(core)
    for finding in log.findings:
        complain(core.source.path, str(finding))
    return findings_code(log.findings)


def row(record: LogRecord) -> dict[str, Any]:
    """Give a record in the JSON form."""
    return {
        "seq": record.seq,
        "time_ns": record.time_ns,
        "level": record.level,
        "facility": record.facility,
        "caller": record.caller,
        "text": record.text,
    }


def _lines(records: Iterator[LogRecord]) -> Iterator[str]:
    return (record.line + "\n" for record in records)
