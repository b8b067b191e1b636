"""What a survey found, as one page of HTML: kernels, findings, the worst dumps, memory by kind.

It is made of the rows alone, and leads nowhere; whatever they hold is text in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

from markupsafe import Markup

from vmemmap.drawing.charts import GREY, Part, bar
from vmemmap.explanations import explanations
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.picture.colours import LOOKS, part_of, style_of
from vmemmap.picture.rendering import fill, render_page
from vmemmap.picture.sections import Section
from vmemmap.picture.summary import BAD, DOUBT, FINE, Verdict
from vmemmap.report.text import count_text, size_text
from vmemmap.survey.answers import shown_line
from vmemmap.survey.fleet import Fleet, Group

ROWS = 200
"""So many rows a table has at most; the parts have all of them."""
_CHARACTERS = 400
_SOUND, _DAMAGED, _FAILED = "#009e73", "#d55e00", GREY
_GROUPS = {
    "release": ("Kernels", "kernel"),
    "mmu": ("MMUs", "MMU"),
    "page_size": ("Page sizes", "size"),
    "format": ("Containers", "container"),
}
_KINDS = {kind.word: kind for kind in Kind}


def make_page(fleet: Fleet, folder: str) -> str:
    """Make the page.

    Args:
        fleet: The rows.
        folder: Where they are, for the title.
    """
    sections = [
        Section("summary", "Summary", _summary(fleet)),
        Section("kernels", "Kernels, MMUs, containers", _groups(fleet)),
        Section("findings", "Findings", _findings(fleet)),
        Section("worst", "Dumps with most errors", _worst(fleet)),
        Section("failed", "Not asked, or not everything", _failed(fleet)),
        Section("memory", "Memory by kind", _memory(fleet)),
    ]
    title = f"{count_text(fleet.dumps, 'dump')}: {_told(folder)}"
    return render_page(title, sections, {}, above="vmemmap survey", scripts=("page.js",))


def _summary(fleet: Fleet) -> Markup:
    damaged = sum(bool(row["errors"]) for row in fleet.worst)
    doubtful = len(fleet.worst) - damaged
    kernels = sum(group.value is not None for group in fleet.groups["release"])
    verdicts = [
        Verdict("Dumps", FINE, f"{fleet.dumps:,}", count_text(kernels, "kernel")),
        Verdict(
            "With errors",
            BAD if damaged else FINE,
            f"{damaged:,} of {fleet.dumps:,}",
            f"and {doubtful:,} with warnings only" if doubtful else "",
        ),
        Verdict(
            "Not asked, or not everything",
            DOUBT if fleet.failed else FINE,
            f"{len(fleet.failed):,} of {fleet.dumps:,}",
            ", ".join(_most(row["error_code"] for row in fleet.failed)),
        ),
    ]
    first, last = (f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for when in fleet.asked_at)
    return fill("fleet_summary.html.j2", verdicts=verdicts, first=first, last=last)


def _groups(fleet: Fleet) -> Markup:
    tables = []
    for column, (title, head) in _GROUPS.items():
        groups = fleet.groups[column]
        most = max((group.dumps for group in groups), default=1)
        rows = [(_shown(group, column), Markup(_group_bar(group, most))) for group in groups[:ROWS]]
        tables.append((title, head, rows, max(len(groups) - ROWS, 0)))
    legend = (
        ("without errors", "", _SOUND),
        ("with errors", "", _DAMAGED),
        ("not asked, or not everything", "", _FAILED),
    )
    return fill("fleet_groups.html.j2", tables=tables, legend=legend)


def _shown(group: Group, column: str) -> Group:
    value = None if group.value is None else _told(group.value)
    if value is not None and column == "page_size":
        value = size_text(int(value))
    return Group(value, group.dumps, group.damaged, group.failed)


def _group_bar(group: Group, most: int) -> str:
    # A dump may have errors, and not have told everything; it counts with those that have errors.
    failed = min(group.failed, group.dumps - group.damaged)
    parts = (
        Part("without errors", group.dumps - group.damaged - failed, _SOUND),
        Part("with errors", group.damaged, _DAMAGED),
        Part("not asked, or not everything", failed, _FAILED),
    )
    return bar(_told(group.value or "unknown"), parts, most)


def _findings(fleet: Fleet) -> Markup:
    colours = {"error": _DAMAGED, "warning": "#e69f00"}
    rows = []
    for found in fleet.findings[:ROWS]:
        known, code = explanations().get(found.code), _told(found.code)
        part = Part(code, found.dumps, colours.get(found.severity, "#56b4e9"))
        row = {name: getattr(found, name) for name in ("severity", "dumps", "times")}
        picture = Markup(bar(code, (part,), fleet.dumps))
        means = known.means if known else ""
        rows.append((row | {"code": code}, picture, means, _told(found.example)))
    return fill("fleet_findings.html.j2", findings=rows)


def _worst(fleet: Fleet) -> Markup:
    rows = [
        {
            "address": _told(row["address"]),
            "release": _told(row["release"] or "unknown"),
            "errors": row["errors"] or 0,
            "warnings": row["cautions"] or 0,
            "codes": _most(finding["code"] for finding in row["findings"] or ()),
        }
        for row in fleet.worst[:ROWS]
    ]
    return fill("fleet_worst.html.j2", worst=rows, more=max(len(fleet.worst) - ROWS, 0))


def _failed(fleet: Fleet) -> Markup:
    rows = [
        {
            "address": _told(row["address"]),
            "code": _told(row["error_code"] or "unknown"),
            "error": _told(row["error"]),
        }
        for row in fleet.failed[:ROWS]
    ]
    return fill("fleet_failed.html.j2", failed=rows, more=max(len(fleet.failed) - ROWS, 0))


def _memory(fleet: Fleet) -> Markup:
    sizes = {name: size for name, size in fleet.kind_bytes.items() if size}
    total = sum(sizes.values())
    parts, rows = [], []
    for name, size in sizes.items():
        kind = _KINDS.get(name)
        title, words = _told(name), size_text(size)
        if kind is not None:
            title = TITLES.get(kind, name)
        parts.append(Part(title, size, GREY) if kind is None else part_of(kind, size, words))
        style = "" if kind is None else style_of(kind)
        colour = GREY if kind is None else LOOKS[kind].light
        row: dict[str, Any] = {"title": title, "style": style, "colour": colour}
        rows.append(row | {"size": words, "share": size / total})
    picture = Markup(bar("Memory of all dumps", parts, total))
    return fill("fleet_memory.html.j2", kinds=rows, picture=picture, told=size_text(total))


def _most(codes: Iterable[str | None]) -> Sequence[str]:
    """Give codes with their numbers, most first; a few of them."""
    counts = Counter(code or "unknown" for code in codes).most_common(6)
    return [f"{_told(code)} ({count})" if count > 1 else _told(code) for code, count in counts]


def _told(text: str) -> str:
    """Give a text of whatever origin as one line that is not too long."""
    line = shown_line(text)
    return line if len(line) <= _CHARACTERS else line[: _CHARACTERS - 3] + "..."
