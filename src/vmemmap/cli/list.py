"""``vmemmap list``: the backing list, head first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.options import (
    AssumeOption,
    DebugOption,
    Dumps,
    ListFormat,
    Opening,
    RescueOption,
    VmcoreinfoOption,
    VmlinuxOption,
    finding_record,
    findings_code,
    show_findings,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

COLUMNS = ("node", "phys", "virt", "pfn_start", "pfn_end")
_ROWS_AT_A_TIME = 1 << 16


def list_(
    dumps: Dumps,
    output: Annotated[
        ListFormat,
        typer.Option("--format", "-f", help="crash: the very lines of crash's 'help -m'."),
    ] = ListFormat.TEXT,
    rescue: RescueOption = False,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Print vmemmap_list, head (newest) first: node, virtual and physical address, pfns.

    A damaged list is printed as far as it goes, and what is wrong is named (exit code 1).
    """
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume, rescue),
        lambda core: _list(core, output),
    )


def _list(core: Vmcore, output: ListFormat) -> int:
    if output is not ListFormat.CRASH:
        _ = core.kernel.struct_page_size  # without it there are no pfns: fail before any output
    backing, findings = core.backing, core.findings
    if output is ListFormat.JSON:
        from vmemmap.report import as_json

        sys.stdout.writelines(
            as_json.dump_with_rows(
                {"block_size": backing.block_size or None},
                "entries",
                rows(core),
                {"findings": [finding_record(finding) for finding in findings]},
            )
        )
    elif output is ListFormat.CSV:
        from vmemmap.report import as_csv

        columns = (*COLUMNS, "rescued") if backing.rescued.any() else COLUMNS
        sys.stdout.writelines(as_csv.lines(columns, rows(core)))
    else:
        from vmemmap.report import text as as_text

        lines = (
            # crash would not have what was rescued
            as_text.crash_lines(row for row in rows(core) if "rescued" not in row)
            if output is ListFormat.CRASH
            else as_text.list_lines(rows(core), _summary(core))
        )
        sys.stdout.writelines(lines)
    show_warnings(core)
    if output is not ListFormat.JSON:
        show_findings(core)
    return findings_code(findings)


def rows(core: Vmcore) -> Iterator[dict[str, Any]]:
    """Yield the entries in the JSON form, head first; what was rescued comes last, marked."""
    from vmemmap.backing.table import RESCUED

    backing = core.backing
    starts, ends = backing.pfn_start, backing.pfn_end
    for first in range(0, len(backing), _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        count = len(backing.node[part])
        yield from (
            {
                "node": f"{node:#x}",
                "phys": f"{phys:#x}",
                "virt": f"{virt:#x}",
                "pfn_start": start if there else None,
                "pfn_end": end if there else None,
            }
            | ({"rescued": RESCUED[how]} if how else {})
            for node, phys, virt, start, end, there, how in zip(
                backing.node[part].tolist(),
                backing.phys[part].tolist(),
                backing.virt[part].tolist(),
                [None] * count if starts is None else starts[part].tolist(),
                [None] * count if ends is None else ends[part].tolist(),
                backing.in_region[part].tolist(),
                backing.how[part].tolist(),
                strict=True,
            )
        )


def _summary(core: Vmcore) -> str:
    from vmemmap.report.text import count_text, size_text

    backing = core.backing
    if len(backing):
        return (
            f"{count_text(len(backing), 'entry')}, blocks of {size_text(backing.block_size)}, "
            f"{size_text(backing.size_bytes)} of struct pages; "
            f"{count_text(backing.node_pages, 'node page')}, "
            f"{count_text(backing.unused_slots, 'slot')} unused"
        )
    if core.findings:
        return "no entries"
    return "the list is empty: this kernel ran on the radix MMU, where kernels since 6.6 keep none"
