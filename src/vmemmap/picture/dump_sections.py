"""The sections of the page of one dump, filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from vmemmap.backing.order_picture import draw_order
from vmemmap.errors import FactError
from vmemmap.facts.mmu import RADIX
from vmemmap.intervals import Intervals, join
from vmemmap.pages.count.zone_bars import zone_rows
from vmemmap.picture.list_picture import NodePageView, coverage_rows, node_pages
from vmemmap.picture.rendering import drawn, fill
from vmemmap.picture.sections import Attempts
from vmemmap.picture.space_picture import draw_space, draw_tables
from vmemmap.picture.strips import range_strips
from vmemmap.picture.summary import NO_COVERAGE
from vmemmap.picture.usage_picture import (
    class_titles,
    free_blocks,
    kind_rows,
    level_rows,
)
from vmemmap.units import count_text, size_text

if TYPE_CHECKING:
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.dump import Dump
    from vmemmap.pages.count.kind_runs import KindRuns
    from vmemmap.pages.count.map_gatherer import MapGatherer
    from vmemmap.pages.count.usage import Usage
    from vmemmap.picture.memory_map import MapRecord
    from vmemmap.picture.packed_runs import RunsRecord

_FACT_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class DumpSections:
    """Fills in the sections of one dump.

    Attributes:
        dump: The dump.
        attempts: Where it is kept what could not be had.
    """

    dump: Dump
    attempts: Attempts

    def map(
        self,
        record: MapRecord | None,
        seen: MapGatherer | None,
        runs: KindRuns | None,
        counted: Usage | None,
    ) -> Markup:
        """Fill in the memory map: legend, board, and the ranges as strips."""
        assert record is not None
        assert seen is not None
        assert runs is not None
        assert counted is not None
        size = record["page_size"]
        strips, more = range_strips(runs, seen.pages, size)
        pages = f"{counted.pages:,} pages of {size_text(size)}: {size_text(counted.pages * size)}"
        return fill(
            "map.html.j2",
            pages_words=f"{pages} in {count_text(counted.sections, 'section', ',')}.",
            detail_words=_detail_words(record["runs"], size),
            kinds=kind_rows(counted, size),
            strips=[(name, words, Markup(picture)) for name, words, picture in strips],
            more_strips=more,
        )

    def list(self, check: CheckReport | None) -> Markup:
        """Fill in the list, the pages of its nodes, and what is backed."""
        backing = self.attempts.ask("backing", lambda: self.dump.backing)
        order, words, more = None, self.attempts.reasons.get("backing", ""), 0
        legend: list[tuple[str, str]] = []
        pages: list[NodePageView] = []
        if backing is not None:
            unread = self.attempts.ask("unread", lambda: self.dump.list_unread)
            words = (
                f"No entry of the list can be read: {unread}" if unread else "The list is empty."
            )
            if len(backing):
                base = self.attempts.ask("base", lambda: self.dump.evidence.vmemmap_base.value) or 0
                drawing, legend, words = draw_order(backing, base)
                order = Markup(drawing)
                node_size = self.dump.list_facts.node_layout.size
                pages, more = node_pages(backing, self.dump.kernel.page_size.value, node_size)
        coverage = check.coverage if check is not None else None
        reason = "" if coverage is not None else self.attempts.reasons.get("check", "")
        return fill(
            "list.html.j2",
            order=order,
            words=words,
            order_legend=legend,
            node_pages=[drawn(each) for each in pages],
            more_node_pages=more,
            coverage=[drawn(row) for row in coverage_rows(coverage)] if coverage else [],
            coverage_reason="" if coverage else reason or NO_COVERAGE,
            backed_by=self._backed_by(),
        )

    def _backed_by(self) -> str:
        """Say what the struct pages are found by."""
        try:
            if self.dump.backing.usable.any():
                return "The struct pages are found through vmemmap_list."
            if self.dump.evidence.mmu.value == RADIX:
                return "The struct pages are found through the kernel's page tables."
            return "On the hash MMU nothing but the list says where struct pages are."
        except FactError:
            return ""

    def usage(self, seen: MapGatherer | None, counted: Usage | None) -> Markup:
        """Fill in zones, free blocks, and what each dump level would drop."""
        assert seen is not None
        assert counted is not None
        size = self.dump.pages.array.page_size
        names = {
            f"{zone.node}/{zone.zone}": zone.name for zone in counted.zones if zone.name is not None
        }
        blocks = None
        if counted.free_blocks is not None:
            blocks = drawn(free_blocks(seen.free_blocks, names, counted.free_blocks, size))
        return fill(
            "usage.html.j2",
            zones=[drawn(row) for row in zone_rows(counted.zones, size)],
            blocks=blocks,
            original=counted.original_pages,
            levels=[drawn(row) for row in level_rows(counted, size)],
            class_titles=class_titles(),
            all_levels=[
                (level, None, "unknown")
                if classes is None
                else (level, sum(classes.values()), size_text(sum(classes.values()) * size))
                for level, classes in enumerate(counted.makedumpfile)
            ],
        )

    def space(self) -> Markup:
        """Fill in the address space and the page tables."""
        space = self.attempts.ask("regions", self._draw_space)
        found = self.attempts.ask("tables", lambda: self.dump.tables.format)
        tables, fact = found or (None, None)
        return fill(
            "space.html.j2",
            space=space,
            space_reason=self.attempts.reasons.get("regions", ""),
            tables=drawn(draw_tables(tables)) if tables is not None else None,
            tables_reason=self.attempts.reasons.get("tables", ""),
            table_name=fact.value if fact is not None else "",
            table_origin=fact.origin if fact is not None else "",
            table_detail=fact.detail if fact is not None else "",
        )

    def _draw_space(self) -> dict[str, Any]:
        dump = self.dump
        layout, base = dump.evidence.layout, dump.evidence.vmemmap_base.value
        memory = self.attempts.ask("sections", self._memory)
        if memory is None:
            memory = dump.source.ranges().astype(np.int64)
        backed = np.empty((0, 2), dtype=np.int64)
        if (backing := self.attempts.ask("backing", lambda: dump.backing)) is not None:
            starts = (backing.virt[backing.usable] - np.uint64(base)).astype(np.int64)
            backed = join(starts, starts + backing.block_size)
        space = draw_space(layout, memory, backed)
        return {
            "whole": [(name, Markup(picture)) for name, picture in space.whole],
            "used": [(name, Markup(picture)) for name, picture in space.used],
            "regions": space.regions,
        }

    def _memory(self) -> Intervals:
        """The memory that has struct pages (physical, bytes)."""
        sections, size = self.dump.pages.sections, self.dump.kernel.page_size.value
        return join(sections.first_pfn, sections.end_pfn) * size

    def facts(self) -> Markup:
        """Fill in every fact with its origin, and what is missing."""
        facts = self.dump.facts
        rows = [
            {
                "name": fact.name,
                "shown": fact.shown[:_FACT_CHARACTERS],
                "origin": fact.origin,
                "detail": fact.detail[:_FACT_CHARACTERS],
            }
            for fact in facts.values()
        ]
        missing = [(name, str(error)) for name, error in facts.missing.items()]
        return fill("facts.html.j2", facts=rows, missing_facts=missing)


def _detail_words(runs: RunsRecord, page_size: int) -> str:
    """Say how far the map goes."""
    if not runs["mixed_blocks"]:
        return "Zoom in down to single pages."
    pages = 1 << runs["shift"]
    return (
        "Zoom in down to single pages, but where too many kinds are mixed for what this page has "
        f"room for: of {count_text(runs['mixed_blocks'], 'block', ',')} of {pages:,} pages "
        f"({size_text(pages * page_size)} each) it tells only how many pages of each kind are in "
        "them."
    )
