"""``vmemmap check``: does the list hold together, and what does it cost where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import EXIT_FINDINGS, emit_record
from vmemmap.report import check as report

if TYPE_CHECKING:
    from vmemmap.report.check import CheckRecord


@click.command("check", cls=Command)
@format_option("sarif", "junit", help_text="sarif and junit: for a CI job to show.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too, not only for errors.")
@reads_dump(rescue=True)
def command(dump: Opening, form: str, strict: bool) -> int:
    """Check whether vmemmap_list holds together, and how much of the memory it covers.

    Every finding has a code, which `vmemmap explain CODE` explains. Findings of severity error make
    the exit code 1.
    """
    failing = ("error", "warning") if strict else ("error",)
    with dump.open() as core:
        found = core.check()
        record, path = report.record(found), core.source.path
        more = {"sarif": _sarif(path, record), "junit": _junit(path, record, failing)}
        emit_record(form, report, record, **more)
        return EXIT_FINDINGS if any(f.severity in failing for f in found.findings) else 0


def _sarif(path: str, record: CheckRecord) -> Iterator[str]:
    from vmemmap import __version__
    from vmemmap.report import as_json
    from vmemmap.report.as_sarif import sarif

    more = {"coverage": record["coverage"]}
    yield as_json.dump(sarif(path, record["findings"], more, __version__))


def _junit(path: str, record: CheckRecord, failing: Sequence[str]) -> Iterator[str]:
    from vmemmap.report.as_junit import junit

    yield junit(path, record["findings"], failing)
