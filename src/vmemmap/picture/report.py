"""The page of a dump: what it needs is asked for once, and each section made by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmemmap.errors import VmemmapError
from vmemmap.picture.dump_sections import DumpSections
from vmemmap.picture.log import LogView, view_log
from vmemmap.picture.looks import looks
from vmemmap.picture.memory_map import look_on, make_map
from vmemmap.picture.rendering import fill, render_page
from vmemmap.picture.sections import Attempts, Section
from vmemmap.picture.summary import explained, identity, verdicts
from vmemmap.units import count_text, size_text
from vmemmap.write.new_file import new_file

if TYPE_CHECKING:
    from markupsafe import Markup

    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.dump import Dump
    from vmemmap.findings import Finding
    from vmemmap.pages.count.kind_runs import KindRuns
    from vmemmap.pages.count.map_gatherer import MapGatherer
    from vmemmap.pages.count.usage import Usage

PAGE_BYTES = 1_000_000
"""How large a page may be."""
_MAP_BYTES = 380_000
_LOG_BYTES = 220_000
_SHARES = (1.0, 0.5, 0.2)


@dataclass(frozen=True, slots=True)
class Report:
    """A page, made.

    Attributes:
        html: The page.
        sections: Its sections.
        findings: What is wrong with the dump, as `check` and `usage` tell it.
        faults: Errors of the package itself that cost a section.
    """

    html: str
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]
    faults: tuple[str, ...]

    def __repr__(self) -> str:
        """Give its size, and the sections that say only why they are missing."""
        missing = [section.name for section in self.sections if section.reason]
        without = f" without {', '.join(missing)}" if missing else ""
        size, findings = size_text(len(self.html.encode())), len(self.findings)
        return f"<Report: {size} of HTML{without}, {count_text(findings, 'finding')}>"

    def write(self, path: str) -> Report:
        """Write the page, all of it or nothing; give it back.

        Raises:
            UnwritableFile: The file cannot be written.
        """
        with new_file(path) as file:
            file.write(self.html.encode())
        return self


def make_report(dump: Dump) -> Report:
    """Make the page of a dump.

    Nothing that a section needs stops the others: what could not be had is told in its place.
    """
    return _Page(dump, Attempts()).made()


def smaller(make: Callable[[float], Report]) -> Report:
    """Make a page that is no larger than it may be.

    Args:
        make: Makes it, with this share of what its map may take.
    """
    for share in _SHARES:
        report = make(share)
        if len(report.html.encode()) < PAGE_BYTES:
            break
    return report


@dataclass(slots=True)
class _Page:
    """A page that is being made."""

    dump: Dump
    attempts: Attempts

    def made(self) -> Report:
        """Make it, smaller where it would be too large."""
        ask = self.attempts.ask
        log = ask("log", self._read_log)
        check = ask("check", lambda: self.dump.check_report)
        seen, runs, counted = ask("usage", self._count) or (None, None, None)
        return smaller(
            lambda share: self._render(log, check, seen, runs, counted, int(_MAP_BYTES * share))
        )

    def _read_log(self) -> LogView:
        return view_log(self.dump.log(), _LOG_BYTES)

    def _count(self) -> tuple[MapGatherer, KindRuns, Usage]:
        seen = look_on(self.dump)
        counted = self.dump.pages.usage(onlooker=seen)
        return seen, seen.runs(), counted

    def _render(
        self,
        log: LogView | None,
        check: CheckReport | None,
        seen: MapGatherer | None,
        runs: KindRuns | None,
        counted: Usage | None,
        map_bytes: int,
    ) -> Report:
        attempts, fills = self.attempts, DumpSections(self.dump, self.attempts)
        record = None
        if seen is not None and runs is not None:
            record = attempts.ask("map", lambda: make_map(self.dump, seen, runs, map_bytes))
        else:
            attempts.reasons["map"] = attempts.reasons["usage"]
        findings = self._findings(check, counted, log)
        sections = (
            attempts.section(
                "summary", "Summary", lambda: self._summary(check, counted, log, findings)
            ),
            attempts.section("map", "Memory map", lambda: fills.map(record, seen, runs, counted)),
            attempts.section("list", "The list", lambda: fills.list(check)),
            attempts.section("usage", "Where the memory is", lambda: fills.usage(seen, counted)),
            attempts.section("space", "Address space", fills.space),
            attempts.section("log", "Kernel log", lambda: fill("log.html.j2", view=log)),
            attempts.section("facts", "Facts", fills.facts),
        )
        data = {} if record is None else {"map-data": record, "map-looks": looks()}
        html = render_page(title_of(self.dump), sections, data)
        return Report(html, sections, tuple(findings), tuple(attempts.faults))

    def _summary(
        self,
        check: CheckReport | None,
        counted: Usage | None,
        log: LogView | None,
        findings: list[Finding],
    ) -> Markup:
        shown, more = explained(findings)
        return fill(
            "summary.html.j2",
            identity=identity(self.dump, log),
            verdicts=verdicts(self.dump, check, counted, self.attempts.reasons),
            warnings=self.dump.source.warnings,
            findings=shown,
            findings_more=more,
        )

    def _findings(
        self, check: CheckReport | None, counted: Usage | None, log: LogView | None
    ) -> list[Finding]:
        found: list[Finding] = []
        if check is not None:
            found += check.findings
        else:
            found += self.attempts.ask("findings", lambda: self.dump.findings) or ()
        if counted is not None:
            found += counted.findings
        if log is not None:
            found += log.findings
        return list(dict.fromkeys(found))


def title_of(dump: Dump) -> str:
    """Give the title of a dump's page: its file and its kernel."""
    name = Path(dump.source.path).name
    try:
        return f"{name}: Linux {dump.kernel.release.value}"
    except VmemmapError:
        return name
