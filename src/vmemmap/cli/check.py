"""``vmemmap check``: does the list hold together, and what does it cost where it does not."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.options import (
    EXIT_FINDINGS,
    AssumeOption,
    DebugOption,
    Dumps,
    Opening,
    RescueOption,
    VmcoreinfoOption,
    VmlinuxOption,
    finding_record,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.vmcore import Vmcore

COLUMNS = ("severity", "code", "node", "virt", "phys", "message")


class CheckFormat(StrEnum):
    """How `vmemmap check` prints what it found."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    SARIF = "sarif"
    JUNIT = "junit"


def check(
    dumps: Dumps,
    output: Annotated[
        CheckFormat,
        typer.Option("--format", "-f", help="sarif and junit: for a CI job to show."),
    ] = CheckFormat.TEXT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for warnings, too, not only for errors.")
    ] = False,
    rescue: RescueOption = False,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Check whether vmemmap_list holds together, and how much of the memory it covers.

    Every finding has a code, which `vmemmap explain CODE` explains. Findings of severity error make
    the exit code 1.
    """
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume, rescue),
        lambda core: _check(core, output, strict),
    )


def _check(core: Vmcore, output: CheckFormat, strict: bool) -> int:
    report = core.check()
    record = collect(report)
    failing = ("error", "warning") if strict else ("error",)
    if output is CheckFormat.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(record))
    elif output is CheckFormat.CSV:
        from vmemmap.report import as_csv

        sys.stdout.writelines(as_csv.lines(COLUMNS, record["findings"]))
    elif output is CheckFormat.SARIF:
        from vmemmap import __version__
        from vmemmap.report import as_json
        from vmemmap.report.as_sarif import sarif

        more = {"coverage": record["coverage"]}
        log = sarif(core.source.path, record["findings"], more, __version__)
        sys.stdout.write(as_json.dump(log))
    elif output is CheckFormat.JUNIT:
        from vmemmap.report.as_junit import junit

        sys.stdout.write(junit(core.source.path, record["findings"], failing))
    else:
        from vmemmap.report.check import check_lines

        sys.stdout.writelines(check_lines(record))
    show_warnings(core)
    return EXIT_FINDINGS if any(f.severity in failing for f in report.findings) else 0


def collect(report: CheckReport) -> dict[str, Any]:
    """Gather the record of `check`."""
    coverage = report.coverage
    counts: dict[str, Any] = {"sections": 0, "covered": 0, "origin": None}
    if coverage is not None:
        counts = asdict(coverage.counts) | {
            "origin": coverage.origin,
            "nodes": [{"node": node} | asdict(each) for node, each in coverage.nodes.items()],
            "listed": None if report.listed is None else asdict(report.listed.counts),
        }
    return {
        "findings": [finding_record(finding) for finding in report.findings],
        "coverage": counts | {"entries": report.entries, "rescued": report.rescued},
    }
