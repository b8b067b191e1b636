"""The page of two dumps of one machine: what is different."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmemmap.errors import VmemmapError
from vmemmap.picture.comparison_sections import ComparisonSections
from vmemmap.picture.looks import looks
from vmemmap.picture.memory_map import make_comparison_map
from vmemmap.picture.rendering import render_page
from vmemmap.picture.report import Report, smaller
from vmemmap.picture.sections import Attempts

if TYPE_CHECKING:
    from vmemmap.compare.comparison import Comparison
    from vmemmap.dump import Dump

_MAP_BYTES = 450_000


def make_comparison(before: Dump, after: Dump, found: Comparison) -> Report:
    """Make the page of two dumps.

    Args:
        before: The first.
        after: The second.
        found: What is different.
    """
    return smaller(
        lambda share: _Page(before, after, found, Attempts()).made(int(_MAP_BYTES * share))
    )


@dataclass(slots=True)
class _Page:
    """A page that is being made."""

    before: Dump
    after: Dump
    found: Comparison
    attempts: Attempts

    def made(self, map_bytes: int) -> Report:
        attempts, found = self.attempts, self.found
        fills = ComparisonSections(found)
        for part in ("entries", "pages"):
            if part in found.reasons:
                attempts.reasons[{"entries": "list"}.get(part, part)] = found.reasons[part]
        record = None
        if found.pages is None:
            attempts.reasons["map"] = found.reasons["pages"]
        else:
            pairs = found.pages.pairs
            record = attempts.ask(
                "map", lambda: make_comparison_map(self.before, self.after, pairs, map_bytes)
            )
        sections = (
            attempts.section("summary", "Summary", fills.summary),
            attempts.section("map", "Memory map", lambda: fills.map(record)),
            attempts.section("pages", "Where the memory is", fills.pages),
            attempts.section("list", "The list", lambda: fills.list(self._base())),
            attempts.section("facts", "Facts", fills.facts),
        )
        data = {} if record is None else {"map-data": record, "map-looks": looks()}
        title = f"{Path(found.before.path).name} and {Path(found.after.path).name}"
        html = render_page(title, sections, data, above="vmemmap report: two dumps compared")
        findings = dict.fromkeys((*found.before.findings, *found.after.findings))
        return Report(html, sections, tuple(findings), tuple(attempts.faults))

    def _base(self) -> int | None:
        """Give where the vmemmap of both begins, if that is one place."""
        try:
            bases = {dump.evidence.vmemmap_base.value for dump in (self.before, self.after)}
        except VmemmapError:
            return None
        return bases.pop() if len(bases) == 1 else None
