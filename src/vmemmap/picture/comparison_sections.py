"""The sections of the page of two dumps, filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from vmemmap.compare.fate import Fate
from vmemmap.compare.kinship import Answer, Common
from vmemmap.compare.usage_changes import (
    KindChange,
    free_block_changes,
    kind_changes,
    node_changes,
)
from vmemmap.drawing.charts import Axis, Part, Points, bar, plot
from vmemmap.drawing.marks import Scale
from vmemmap.findings import Severity
from vmemmap.pages.kinds import TITLES
from vmemmap.picture.colours import part_of, style_of
from vmemmap.picture.rendering import fill
from vmemmap.picture.summary import BAD, DOUBT, FINE, UNTOLD, Verdict, explained
from vmemmap.units import size_text

if TYPE_CHECKING:
    from vmemmap.compare.comparison import Comparison
    from vmemmap.compare.entries import EntryChanges
    from vmemmap.picture.memory_map import ComparisonMapRecord

_ROWS_MAX = 400
_POINTS_MAX = 3000
_TRANSITIONS_MAX = 40
_FATES = {
    Fate.SAME: ("backed by the same memory", "#94a3b0", "s-outdated"),
    Fate.MOVED: ("backed by other memory", "#e69f00", "s-moved"),
    Fate.NEW: ("new", "#2b83c6", "s-new"),
    Fate.GONE: ("gone", "#d55e00", "s-gone"),
}


@dataclass(frozen=True, slots=True)
class ComparisonSections:
    """Fills in the sections.

    Attributes:
        found: What is different.
    """

    found: Comparison

    def summary(self) -> Markup:
        """Fill in what the dumps have in common, and the findings that came and went."""
        found, kinship = self.found, self.found.kinship
        new, new_more = explained(found.findings_new)
        gone, gone_more = explained(found.findings_gone)
        both = [each for each in found.after.findings if each not in found.findings_new]
        return fill(
            "comparison_summary.html.j2",
            verdicts=[
                _common("Machine", kinship.machine),
                _common("Kernel", kinship.kernel),
                _common("Boot", kinship.boot),
                *self._changes(),
            ],
            identity=[
                ("first", found.before.path),
                ("second", found.after.path),
                ("taken", kinship.between),
            ],
            new=new,
            new_more=new_more,
            gone=gone,
            gone_more=gone_more,
            both=len(both),
        )

    def _changes(self) -> list[Verdict]:
        """Say how much changed, in words."""
        found, entries, pages = self.found, self.found.entries, self.found.pages
        out = []
        if entries is None:
            out.append(Verdict("List", UNTOLD, "Not compared", found.reasons["entries"]))
        else:
            counts = [f"{entries.count(fate)} {fate.word}" for fate in list(Fate)[1:]]
            same = not len(entries.changed)
            words = "No entry changed" if same else "Entries: " + ", ".join(counts)
            order = "" if entries.order_kept else "those of both are not in one order"
            out.append(Verdict("List", FINE if entries.order_kept else DOUBT, words, order))
        if pages is None:
            out.append(Verdict("Pages", UNTOLD, "Not compared", found.reasons["pages"]))
        else:
            size = size_text(pages.changed * found.page_size)
            words = f"{pages.changed:,} are of another kind ({size})"
            lost = f"{pages.untold:,} not compared one by one" if pages.untold else ""
            out.append(Verdict("Pages", FINE, words, lost))
        errors = [f for f in found.findings_new if f.severity is not Severity.INFO]
        words = f"{len(found.findings_new)} new, {len(found.findings_gone)} gone"
        out.append(Verdict("Findings", BAD if errors else FINE, words))
        return out

    def map(self, record: ComparisonMapRecord | None) -> Markup:
        """Fill in the map of what changed, and what became what."""
        found, pages = self.found, self.found.pages
        assert record is not None
        assert pages is not None
        assert found.before.usage is not None
        assert found.after.usage is not None
        rows = [
            {
                "before": TITLES.get(one, "no memory"),
                "before_style": style_of(one),
                "after": TITLES.get(other, "no memory"),
                "after_style": style_of(other),
                "pages": count,
                "size": size_text(count * found.page_size),
            }
            for one, other, count in pages.transitions()
        ]
        kinds = kind_changes(found.before.usage, found.after.usage)
        return fill(
            "comparison_map.html.j2",
            changed=pages.changed,
            size=size_text(pages.changed * found.page_size),
            untold=pages.untold,
            mixed=record["runs"]["mixed_blocks"],
            block=size_text(found.page_size << record["runs"]["shift"]),
            kinds=[(int(each.kind), TITLES[each.kind], style_of(each.kind)) for each in kinds],
            transitions=rows[:_TRANSITIONS_MAX],
            more=len(rows) - _TRANSITIONS_MAX,
        )

    def pages(self) -> Markup:
        """Fill in kinds, nodes and free blocks, before and after."""
        before, after = self.found.before.usage, self.found.after.usage
        assert before is not None
        assert after is not None
        nodes = node_changes(before, after)
        most = max((_total(node.kinds, side) for node in nodes for side in (0, 1)), default=0)
        blocks = free_block_changes(before, after)
        return fill(
            "comparison_pages.html.j2",
            kinds=[self._kind(each) for each in kind_changes(before, after)],
            nodes=[
                {
                    "name": "pages that do not tell their node"
                    if node.node is None
                    else f"node {node.node}",
                    "before": self._bar("before", node.kinds, 0, most),
                    "after": self._bar("after", node.kinds, 1, most),
                    "kinds": [self._kind(each) for each in node.kinds],
                }
                for node in nodes
            ],
            blocks=None if blocks is None else self._blocks(blocks),
        )

    def _kind(self, change: KindChange) -> dict[str, Any]:
        size = self.found.page_size
        more = change.more
        return {
            "title": TITLES[change.kind],
            "style": style_of(change.kind),
            "before": change.before,
            "after": change.after,
            "more": more,
            "size": "" if not more else ("+" if more > 0 else "-") + size_text(abs(more) * size),
        }

    def _bar(self, name: str, kinds: tuple[KindChange, ...], side: int, most: int) -> Markup:
        size = self.found.page_size
        parts = [
            part_of(each.kind, pages, f"{pages} pages, {size_text(pages * size)}")
            for each in kinds
            if (pages := (each.before, each.after)[side])
        ]
        return Markup(bar(name, parts, most))

    def _blocks(self, blocks: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
        size = self.found.page_size
        most = max(
            (count << order for order, both in enumerate(blocks) for count in both), default=0
        )
        return [
            {
                "order": order,
                "size": size_text(size << order),
                "before": one,
                "after": other,
                "more": other - one,
                "bars": [
                    Markup(
                        bar(
                            f"{name}, order {order}",
                            [Part("free", count << order, colour, style, f"{count} blocks")],
                            most,
                            9,
                        )
                    )
                    for name, count, colour, style in (
                        ("before", one, "#94a3b0", "s-outdated"),
                        ("after", other, "#2b83c6", "s-listed"),
                    )
                ],
            }
            for order, (one, other) in enumerate(blocks)
        ]

    def list(self, base: int | None) -> Markup:
        """Fill in the entries that came and went."""
        entries = self.found.entries
        assert entries is not None
        rows = entries.changed
        changed = [
            {
                "fate": _FATES[Fate(int(entries.fate[row]))][0],
                "style": _FATES[Fate(int(entries.fate[row]))][2],
                "colour": _FATES[Fate(int(entries.fate[row]))][1],
                "virt": int(entries.virt[row]),
                "before": int(entries.phys_before[row]),
                "after": int(entries.phys_after[row]),
                "was": entries.fate[row] != Fate.NEW,
                "is": entries.fate[row] != Fate.GONE,
            }
            for row in rows[:_ROWS_MAX].tolist()
        ]
        return fill(
            "comparison_list.html.j2",
            counts=[
                (words, colour, style, entries.count(fate))
                for fate, (words, colour, style) in _FATES.items()
            ],
            order_kept=entries.order_kept,
            block=size_text(entries.block_size),
            picture=Markup(_draw(entries, base)) if len(entries.virt) and base is not None else "",
            rows=changed,
            more=max(len(rows) - _ROWS_MAX, 0),
        )

    def facts(self) -> Markup:
        """Fill in the facts that differ."""
        rows = [
            (each.name, (each.before or "")[:2000], (each.after or "")[:2000], each)
            for each in self.found.facts
        ]
        return fill("comparison_facts.html.j2", facts=rows, alike=self.found.facts_alike)


def _total(kinds: tuple[KindChange, ...], side: int) -> int:
    return sum((each.before, each.after)[side] or 0 for each in kinds)


def _common(title: str, common: Common) -> Verdict:
    state = {Answer.YES: FINE, Answer.NO: BAD, Answer.UNKNOWN: DOUBT}[common.answer]
    noun = common.what
    words = {
        Answer.YES: f"One {noun}",
        Answer.NO: f"Not one {noun}",
        Answer.UNKNOWN: f"Unknown whether one {noun}",
    }[common.answer]
    return Verdict(title, state, words, common.evidence)


def _draw(entries: EntryChanges, base: int) -> str:
    """Draw which memory backs each block, before and after."""
    rows = np.arange(len(entries.virt))
    if len(rows) > _POINTS_MAX:  # what changed goes before
        same = np.flatnonzero(entries.fate == Fate.SAME)
        changed = entries.changed[:: max(len(entries.changed) // (_POINTS_MAX // 2), 1)]
        rows = np.union1d(changed, same[:: max(len(same) // (_POINTS_MAX // 2), 1)])
    virt = (entries.virt[rows] - np.uint64(base)).astype(np.float64)
    series, high = [], 1.0
    for fate, (words, colour, style) in _FATES.items():
        own = entries.fate[rows] == fate
        column = entries.phys_before if fate is Fate.GONE else entries.phys_after
        phys = column[rows][own].astype(np.float64)
        if own.any():
            high = max(high, float(phys.max()))
            places = list(zip(virt[own].tolist(), phys.tolist(), strict=True))
            series.append(Points(words, places, colour, style))
    wide = max(float(virt.max()) + entries.block_size, 1.0)
    return plot(
        "The memory that backs each block of the vmemmap, by the fate of the block",
        series,
        Axis(
            0,
            wide,
            Scale(0, wide, 0, 1).binary_ticks(5),
            lambda n: f"{base + int(n):#x}",
            "vmemmap address",
        ),
        Axis(
            0,
            high,
            Scale(0, high, 0, 1).binary_ticks(5),
            lambda n: f"{int(n):#x}",
            "physical address of the block",
        ),
        radius=3 if len(rows) < 300 else 1.5,
        size=(960, 320),
        margins=(28, 60, 44, 130),
    )
