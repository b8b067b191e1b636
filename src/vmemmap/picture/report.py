"""The page as a whole: each section made by itself, so that what fails in one is told there."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vmemmap.errors import FactError, VmemmapError
from vmemmap.facts.mmu import RADIX
from vmemmap.intervals import Intervals, join
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.picture.cells import CellGatherer
from vmemmap.picture.colours import LOOKS, style_sheet
from vmemmap.picture.list_picture import (
    NodePageView,
    coverage_rows,
    draw_order,
    node_pages,
    order_words,
)
from vmemmap.picture.log import LogView, view_log
from vmemmap.picture.memory_map import MapRecord, absence_words, make_map
from vmemmap.picture.space_picture import draw_space, draw_tables
from vmemmap.picture.strips import range_strips
from vmemmap.picture.summary import explained, identity, verdicts
from vmemmap.picture.usage_picture import (
    class_titles,
    free_blocks,
    kind_rows,
    level_rows,
    zone_rows,
)
from vmemmap.units import count_text, size_text
from vmemmap.write.new_file import new_file

if TYPE_CHECKING:
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.dump import Dump
    from vmemmap.findings import Finding
    from vmemmap.pages.count.usage import Usage

T = TypeVar("T")

PAGE_BYTES = 1_000_000
"""How large a page may be."""
_MAP_BYTES = 380_000
_LOG_BYTES = 220_000
_FACT_CHARACTERS = 2000
_SCRIPTS = ("unpack.js", "memory.js", "map.js", "page.js")
_INK = {
    "light": {
        "ink": "#1b2530",
        "faint": "#57636f",
        "ground": "#ffffff",
        "mark": "#d6006c",
        "hatch": "#5b6670",
        "stored": "#0072b2",
        "excluded": "#e8ddc4",
    },
    "dark": {
        "ink": "#e7edf3",
        "faint": "#a4b1bd",
        "ground": "#10161c",
        "mark": "#ff6bb5",
        "hatch": "#b4c0ca",
        "stored": "#56b4e9",
        "excluded": "#4a4233",
    },
}
"""Colours of the map beside those of the kinds."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page.

    Attributes:
        name: Its anchor.
        title: Its heading.
        body: What is in it.
        reason: Why there is nothing in it; empty where there is.
    """

    name: str
    title: str
    body: Markup
    reason: str = ""


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


def make_report(dump: Dump) -> Report:
    """Make the page of a dump.

    Nothing that a section needs stops the others: what could not be had is told in its place.
    """
    return _Page(dump).made()


def write_report(dump: Dump, path: str) -> Report:
    """Make the page of a dump, and write it: all of it or nothing.

    Raises:
        UnwritableFile: The file cannot be written.
    """
    made = make_report(dump)
    with new_file(path) as file:
        file.write(made.html.encode())
    return made


@dataclass(slots=True)
class _Page:
    """A page that is being made.

    Attributes:
        dump: The dump.
        faults: What went wrong by our own fault.
        reasons: Why something is not there, by its name.
    """

    dump: Dump
    faults: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def made(self) -> Report:
        """Make it, smaller where it would be too large."""
        log = self._try("log", self._read_log)
        check = self._try("check", lambda: self.dump.check_report)
        seen, counted = self._try("usage", self._count) or (None, None)
        for share in (1.0, 0.5, 0.2):
            report = self._render(log, check, seen, counted, share)
            if len(report.html.encode()) < PAGE_BYTES:
                return report
        return report

    def _try(self, name: str, ask: Callable[[], T]) -> T | None:
        """Ask for something; None where it cannot be had, and then the reason is kept."""
        self.reasons.pop(name, None)
        try:
            return ask()
        except VmemmapError as error:
            self.reasons[name] = str(error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            self.reasons[name] = f"a fault of vmemmap itself: {type(error).__name__}: {error}"
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
        return None

    def _read_log(self) -> LogView:
        return view_log(self.dump.log(), _LOG_BYTES)

    def _count(self) -> tuple[CellGatherer, Usage]:
        model = self.dump.pages
        seen = CellGatherer(model.array)
        return seen, model.usage(onlooker=seen)

    def _render(
        self,
        log: LogView | None,
        check: CheckReport | None,
        seen: CellGatherer | None,
        counted: Usage | None,
        share: float,
    ) -> Report:
        record = None
        if seen is not None:
            record = self._try("map", lambda: make_map(self.dump, seen, int(_MAP_BYTES * share)))
        else:
            self.reasons["map"] = self.reasons["usage"]
        sections = (
            Section("summary", "Summary", Markup("")),
            self._section("map", "Memory map", lambda: self._map(record, seen, counted)),
            self._section("list", "The list", lambda: self._list(check)),
            self._section("usage", "Where the memory is", lambda: self._usage(seen, counted)),
            self._section("space", "Address space", self._space),
            self._section("log", "Kernel log", lambda: _body("log.html.j2", view=log)),
            self._section("facts", "Facts", self._facts),
        )
        findings = self._findings(check, counted, log)
        shown, more = explained(findings)
        data = []
        if record is not None:
            data = [("map-data", _data(record)), ("map-looks", _data(_looks()))]
        html = _render_page(
            title=self._title(),
            sections=sections,
            identity=identity(self.dump, log),
            verdicts=verdicts(self.dump, check, self.reasons.get("check", ""), counted),
            warnings=self.dump.source.warnings,
            findings=shown,
            findings_more=more,
            data=data,
        )
        return Report(html, sections, tuple(findings), tuple(self.faults))

    def _section(self, name: str, title: str, make: Callable[[], Markup]) -> Section:
        reason = self.reasons.get(name)
        if not reason:
            body = self._try(name, make)
            if body is not None:
                return Section(name, title, body)
        return Section(name, title, Markup(""), self.reasons[name])

    def _title(self) -> str:
        name = Path(self.dump.source.path).name
        try:
            return f"{name}: Linux {self.dump.kernel.release.value}"
        except VmemmapError:
            return name

    def _findings(
        self, check: CheckReport | None, counted: Usage | None, log: LogView | None
    ) -> list[Finding]:
        found: list[Finding] = []
        if check is not None:
            found += check.findings
        else:
            found += self._try("findings", lambda: self.dump.findings) or ()
        if counted is not None:
            found += counted.findings
        if log is not None:
            found += log.findings
        return list(dict.fromkeys(found))

    def _map(
        self, record: MapRecord | None, seen: CellGatherer | None, counted: Usage | None
    ) -> Markup:
        assert record is not None
        assert seen is not None
        assert counted is not None
        size, cell = record["page_size"], 1 << record["shift"]
        detail = "Zoom in down to single pages."
        if cell > 1:
            detail = (
                f"The machine has more pages than this page has room for: its smallest cells are "
                f"{cell} pages, {size_text(cell * size)}, each with what is in it; a cell of one "
                "kind tells of each of its pages."
            )
        strips, more = range_strips(seen.cells_of_ranges(), size)
        pages = f"{counted.pages:,} pages of {size_text(size)}: {size_text(counted.pages * size)}"
        return _body(
            "map.html.j2",
            pages_words=f"{pages} in {count_text(counted.sections, 'section')}.",
            detail_words=detail,
            kinds=kind_rows(counted, size),
            strips=[(name, words, Markup(picture)) for name, words, picture in strips],
            more_strips=more,
        )

    def _list(self, check: CheckReport | None) -> Markup:
        backing = self._try("backing", lambda: self.dump.backing)
        order, words, more = None, self.reasons.get("backing", ""), 0
        legend: list[tuple[str, str]] = []
        pages: list[NodePageView] = []
        if backing is not None:
            unread = self._try("unread", lambda: self.dump.list_unread)
            words = (
                f"No entry of the list can be read: {unread}" if unread else "The list is empty."
            )
            if len(backing):
                base = self._try("base", lambda: self.dump.evidence.vmemmap_base.value) or 0
                order, legend = draw_order(backing, base)
                order, words = Markup(order), order_words(backing)
                node_size = self.dump.list_facts.node_layout.size
                pages, more = node_pages(backing, self.dump.kernel.page_size.value, node_size)
        coverage = check.coverage if check is not None else None
        reason = "" if coverage is not None else self.reasons.get("check", "")
        return _body(
            "list.html.j2",
            order=order,
            words=words,
            order_legend=legend,
            node_pages=[_drawn(each) for each in pages],
            more_node_pages=more,
            coverage=[_drawn(row) for row in coverage_rows(coverage)] if coverage else [],
            coverage_reason=""
            if coverage
            else reason or "neither mem_section nor the list can be used",
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

    def _usage(self, seen: CellGatherer | None, counted: Usage | None) -> Markup:
        assert seen is not None
        assert counted is not None
        size = self.dump.pages.array.page_size
        names = {
            f"{zone.node}/{zone.zone}": zone.name for zone in counted.zones if zone.name is not None
        }
        blocks = None
        if counted.free_blocks is not None:
            blocks = _drawn(free_blocks(seen.free_blocks, names, counted.free_blocks, size))
        return _body(
            "usage.html.j2",
            zones=[_drawn(row) for row in zone_rows(counted, size)],
            blocks=blocks,
            original=counted.original_pages,
            levels=[_drawn(row) for row in level_rows(counted, size)],
            class_titles=class_titles(),
            all_levels=[
                (level, None, "unknown")
                if classes is None
                else (level, sum(classes.values()), size_text(sum(classes.values()) * size))
                for level, classes in enumerate(counted.makedumpfile)
            ],
        )

    def _space(self) -> Markup:
        space = self._try("regions", self._draw_space)
        found = self._try("tables", lambda: self.dump.page_table_format)
        tables, fact = found or (None, None)
        return _body(
            "space.html.j2",
            space=space,
            space_reason=self.reasons.get("regions", ""),
            tables=_drawn(draw_tables(tables)) if tables is not None else None,
            tables_reason=self.reasons.get("tables", ""),
            table_name=fact.value if fact is not None else "",
            table_origin=fact.origin if fact is not None else "",
            table_detail=fact.detail if fact is not None else "",
        )

    def _draw_space(self) -> dict[str, Any]:
        dump = self.dump
        layout, base = dump.evidence.layout, dump.evidence.vmemmap_base.value
        memory = self._try("sections", self._memory)
        if memory is None:
            memory = dump.source.ranges().astype(np.int64)
        backed = np.empty((0, 2), dtype=np.int64)
        if (backing := self._try("backing", lambda: dump.backing)) is not None:
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

    def _facts(self) -> Markup:
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
        return _body("facts.html.j2", facts=rows, missing_facts=missing)


def _drawn(view: Any) -> dict[str, Any]:
    """Give a view's members by name, its picture as the markup that it is."""
    names = type(view).__slots__
    members = {name: getattr(view, name) for name in names}
    if "picture" in members:
        members["picture"] = Markup(members["picture"])
    return members


def _looks() -> dict[str, Any]:
    """Give what the map's script needs to colour and name things."""
    everything = range(max(Kind) + 1)
    return {
        **{
            ground: {
                "colours": [getattr(LOOKS[Kind(kind)], ground) for kind in everything],
                **_INK[ground],
            }
            for ground in ("light", "dark")
        },
        "patterns": [LOOKS[Kind(kind)].pattern for kind in everything],
        "words": [Kind(kind).word for kind in everything],
        "titles": [TITLES.get(Kind(kind), "no struct page") for kind in everything],
        "absences": absence_words(),
    }


def _data(record: Mapping[str, Any]) -> Markup:
    """Write data for the script; nothing in it can end the element that it stands in."""
    text = json.dumps(record, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vmemmap.picture", "page"),
        autoescape=True,
        undefined=StrictUndefined,
    )


def _body(template: str, **values: Any) -> Markup:
    return Markup(_environment().get_template(template).render(**values))


@cache
def _own(name: str) -> str:
    return files("vmemmap.picture.page").joinpath(name).read_text(encoding="utf-8")


def _render_page(**values: Any) -> str:
    """Put the page together, with a policy under which it can run its own script and nothing else.

    Source: W3C Content Security Policy Level 3.
    """
    from vmemmap import __version__

    style = _own("style.css") + style_sheet()
    script = "".join(_own(name) for name in _SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            **values,
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            version=__version__,
        )
    )


def _hash(text: str) -> str:
    """Give the hash by which a policy allows a script or a style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
