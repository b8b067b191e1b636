"""``vmemmap pages``: all struct pages to a Parquet or Arrow file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmemmap.cli.options import (
    EXIT_FINDINGS,
    AssumeOption,
    DebugOption,
    Dumps,
    Opening,
    VmcoreinfoOption,
    VmlinuxOption,
    findings_code,
    refuse_to_replace,
    show_findings,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vmemmap.vmcore import Vmcore


def pages(
    dumps: Dumps,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Parquet, or Arrow if it ends in .arrow or .feather.",
        ),
    ],
    fields: Annotated[
        str | None,
        typer.Option("--fields", metavar="NAME,...", help="Only these columns (default: all)."),
    ] = None,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Write every struct page to a table for polars, pandas or DuckDB, a row a page.

    Needs pyarrow, the extra named parquet. Pages that cannot be read have nulls, the kind
    unknown, and the reason (exit code 1).
    """
    from vmemmap.errors import OutputError
    from vmemmap.pages.records import SCAN_FIELDS
    from vmemmap.report.as_arrow import require_pyarrow

    refuse_to_replace(output, *dumps, vmcoreinfo, vmlinux)
    if Path(output).suffix not in (".parquet", ".arrow"):
        raise typer.BadParameter(f"{output}: name it .parquet or .arrow, for what is to be in it")
    chosen = tuple(fields.split(",")) if fields is not None else SCAN_FIELDS
    wrong = [name for name in chosen if name not in SCAN_FIELDS]
    if wrong:
        raise typer.BadParameter(
            f"there is no column {wrong[0]!r}: expected some of {', '.join(SCAN_FIELDS)}"
        )
    try:
        require_pyarrow()  # before a long scan
    except OutputError as error:
        raise typer.BadParameter(str(error)) from None
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume),
        lambda core: _pages(core, output, chosen),
    )


def _pages(core: Vmcore, output: str, chosen: tuple[str, ...]) -> int:
    from vmemmap.pages.kinds import Kind
    from vmemmap.pages.records import SCAN_FIELDS
    from vmemmap.report.as_arrow import write_pages
    from vmemmap.write.new_file import new_file

    fields = tuple(name for name in SCAN_FIELDS if name in chosen)
    bad = 0

    def counted() -> Iterator[NDArray[np.void]]:
        nonlocal bad
        for chunk in core.pages.scan(fields):
            if "kind" in fields:
                bad += int((chunk["kind"] >= Kind.DAMAGED).sum())
            yield chunk

    metadata = {name: fact.shown for name, fact in core.facts.items() if name != "vmcoreinfo"}
    arrow = output.endswith((".arrow", ".feather"))
    with new_file(output) as file:
        rows = write_pages(file, counted(), metadata, arrow=arrow)
    sys.stderr.write(f"{output}: {rows} pages\n")
    show_warnings(core)
    show_findings(core)
    return EXIT_FINDINGS if bad else findings_code(core.findings)
