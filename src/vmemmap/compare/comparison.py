"""Two dumps compared: each part by itself, so that what cannot be had costs no other part."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vmemmap.compare.entries import EntryChanges, compare_entries
from vmemmap.compare.kinship import Kinship, kinship
from vmemmap.compare.page_changes import PageChanges, pair
from vmemmap.errors import FactConflict, FactError, VmemmapError
from vmemmap.findings import Finding
from vmemmap.intervals import join
from vmemmap.pages.count.kind_runs import Grid
from vmemmap.pages.count.map_gatherer import MapGatherer, pages_of
from vmemmap.units import count_text

if TYPE_CHECKING:
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.dump import Dump
    from vmemmap.pages.count.usage import Usage

T = TypeVar("T")
_RUNS_KEPT = 1 << 22


@dataclass(frozen=True, slots=True)
class FactChange:
    """A fact that two dumps do not have alike.

    Attributes:
        name: Its name.
        before: Its value in the first, as people read it; None where it is unknown there.
        after: The same of the second.
    """

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What is known of one of two dumps.

    Attributes:
        path: The file.
        usage: Its census; None where there is none to be had.
        check: What a check of it found, likewise.
        findings: What is wrong with it.
    """

    path: str
    usage: Usage | None
    check: CheckReport | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What is different between two dumps.

    Attributes:
        before: The first.
        after: The second.
        kinship: Whether they are of one machine, kernel and boot.
        facts: The facts that they do not have alike.
        facts_alike: How many they have alike.
        entries: Their lists, paired; None where that cannot be.
        pages: Their pages, paired; likewise.
        page_size: Bytes in a page of theirs.
        findings_new: What is wrong with the second only.
        findings_gone: What is wrong with the first only.
        reasons: Why a part is missing: entries, pages.
    """

    before: Side
    after: Side
    kinship: Kinship
    facts: tuple[FactChange, ...]
    facts_alike: int
    entries: EntryChanges | None
    pages: PageChanges | None
    page_size: int
    findings_new: tuple[Finding, ...]
    findings_gone: tuple[Finding, ...]
    reasons: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Give the two files, and how much of each kind is different."""
        differ = [count_text(len(self.facts), "fact")]
        if self.entries is not None:
            differ.append(count_text(len(self.entries.changed), "entry"))
        if self.pages is not None:
            differ.append(count_text(self.pages.changed, "page"))
        paths = f"{self.before.path!r} and {self.after.path!r}"
        return f"<Comparison of {paths}: {', '.join(differ)} not alike>"


def compare(before: Dump, after: Dump) -> Comparison:
    """Compare two dumps.

    Raises:
        FactConflict: They have pages of different sizes, or are one file: nothing can be compared.
        FactError: The page size of one is unknown.
    """
    page_size = _same_page_size(before, after)
    reasons: dict[str, str] = {}
    entries = _asked(reasons, "entries", lambda: compare_entries(before.backing, after.backing))
    if isinstance(entries, str):
        reasons["entries"] = entries
    counted = _asked(reasons, "pages", lambda: _count(before, after))
    pages = None if counted is None else counted[2]
    usages = (None, None) if counted is None else counted[:2]
    first, second = _side(before, usages[0]), _side(after, usages[1])
    facts, alike = _facts(before, after)
    return Comparison(
        before=first,
        after=second,
        kinship=kinship(before, after),
        facts=facts,
        facts_alike=alike,
        entries=None if isinstance(entries, str) else entries,
        pages=pages,
        page_size=page_size,
        findings_new=_without(second.findings, first.findings),
        findings_gone=_without(first.findings, second.findings),
        reasons=reasons,
    )


def _without(found: tuple[Finding, ...], known: tuple[Finding, ...]) -> tuple[Finding, ...]:
    others = set(known)
    return tuple(each for each in found if each not in others)


def _same_page_size(before: Dump, after: Dump) -> int:
    one, other = Path(before.source.path), Path(after.source.path)
    try:
        same = one.samefile(other)
    except OSError:
        same = False
    if same:
        raise FactConflict(f"both are the file {one}: name two dumps", name="dump")
    sizes = [dump.kernel.page_size.value for dump in (before, after)]
    if sizes[0] != sizes[1]:
        raise FactConflict(
            f"these two cannot be compared: pages have {sizes[0]} bytes in {one}, and {sizes[1]} "
            f"in {other}",
            name="page_size",
        )
    return sizes[0]


def _asked(reasons: dict[str, str], name: str, ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except VmemmapError as error:
        reasons[name] = str(error)
        return None


def _count(before: Dump, after: Dump) -> tuple[Usage, Usage, PageChanges]:
    """Count the pages of both in the same blocks."""
    parts = [pages_of(dump.pages.array) for dump in (before, after)]
    pages = np.concatenate(parts)
    grid = Grid.over(join(pages[:, 0], pages[:, 1]))
    usages, runs = [], []
    for dump in (before, after):
        seen = MapGatherer(dump.pages.array, grid, most=_RUNS_KEPT)
        usages.append(dump.pages.usage(onlooker=seen))
        runs.append(seen.runs())
    return usages[0], usages[1], pair(*runs)


def _side(dump: Dump, usage: Usage | None) -> Side:
    check = _asked({}, "check", lambda: dump.check_report)
    found = list(
        check.findings if check is not None else _asked({}, "", lambda: dump.findings) or ()
    )
    found += usage.findings if usage is not None else ()
    return Side(dump.source.path, usage, check, tuple(dict.fromkeys(found)))


def _facts(before: Dump, after: Dump) -> tuple[tuple[FactChange, ...], int]:
    """Give the facts that differ, in the order in which they are established."""
    sides = [_known(dump) for dump in (before, after)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    changes = [
        FactChange(name, one, other)
        for name in names
        if (one := sides[0].get(name)) != (other := sides[1].get(name))
    ]
    return tuple(changes), len(names) - len(changes)


def _known(dump: Dump) -> dict[str, str]:
    """Give all facts of a dump, as people read them."""
    known: dict[str, str] = {}
    with suppress(FactError):
        known |= {fact.name: fact.shown for fact in dump.system.values()}
    with suppress(FactError):
        known |= {fact.name: fact.shown for fact in dump.facts.values()}
    return known
