"""``vmemmap report A B``: its record made and shown; members: ``comparison_record.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmemmap.report.comparison_record import (
    CommonRecord,
    ComparisonRecord,
    EntryChangeRecord,
    EntryChangesRecord,
    KindChangeRecord,
    PageChangesRecord,
)
from vmemmap.report.members import finding_records, hex_address
from vmemmap.report.text import count_text, duration_text, fitted, named, plain, size_text, wrapped

if TYPE_CHECKING:
    from vmemmap.compare.comparison import Comparison
    from vmemmap.compare.entries import EntryChanges
    from vmemmap.compare.kinship import Common
    from vmemmap.compare.page_changes import PageChanges
    from vmemmap.compare.usage_changes import KindChange

COLUMNS = ("part", "name", "before", "after")
_ENTRIES_MAX = 10_000
_ENTRIES_SHOWN = 8
_FACTS_SHOWN = 40


def record(found: Comparison) -> ComparisonRecord:
    """Make the record of a comparison."""
    kinship = found.kinship
    return {
        "before": found.before.path,
        "after": found.after.path,
        "machine": _common(kinship.machine),
        "kernel": _common(kinship.kernel),
        "boot": _common(kinship.boot),
        "page_size": found.page_size,
        "seconds": kinship.seconds,
        "facts": [{"name": f.name, "before": f.before, "after": f.after} for f in found.facts],
        "facts_alike": found.facts_alike,
        "entries": None if found.entries is None else _entries(found.entries),
        "pages": None if found.pages is None else _pages(found, found.pages),
        "findings_new": finding_records(found.findings_new),
        "findings_gone": finding_records(found.findings_gone),
        "missing": [{"part": part, "reason": why} for part, why in found.reasons.items()],
    }


def _common(common: Common) -> CommonRecord:
    return {"answer": str(common.answer), "evidence": common.evidence}


def _entries(entries: EntryChanges) -> EntryChangesRecord:
    from vmemmap.compare.fate import Fate  # with numpy, which no help needs

    rows = entries.changed
    return {
        "block_size": entries.block_size,
        "same": entries.count(Fate.SAME),
        "moved": entries.count(Fate.MOVED),
        "new": entries.count(Fate.NEW),
        "gone": entries.count(Fate.GONE),
        "order_kept": entries.order_kept,
        "changed": [_entry(entries, row) for row in rows[:_ENTRIES_MAX].tolist()],
        "changed_more": max(len(rows) - _ENTRIES_MAX, 0),
    }


def _entry(entries: EntryChanges, row: int) -> EntryChangeRecord:
    from vmemmap.compare.fate import Fate

    fate = Fate(int(entries.fate[row]))
    before, after = (
        hex_address(int(column[row])) for column in (entries.phys_before, entries.phys_after)
    )
    return {
        "virt": hex_address(int(entries.virt[row])),
        "fate": fate.word,
        "phys_before": None if fate is Fate.NEW else before,
        "phys_after": None if fate is Fate.GONE else after,
    }


def _pages(found: Comparison, pages: PageChanges) -> PageChangesRecord:
    from vmemmap.compare.usage_changes import free_block_changes, kind_changes, node_changes

    before, after = found.before.usage, found.after.usage
    assert before is not None
    assert after is not None
    blocks = free_block_changes(before, after)
    return {
        "changed": pages.changed,
        "not_compared": pages.untold,
        "transitions": [
            {"before": one.word, "after": other.word, "pages": count}
            for one, other, count in pages.transitions()
        ],
        "kinds": [_kind(change) for change in kind_changes(before, after)],
        "nodes": [
            {"node": change.node, "kinds": [_kind(each) for each in change.kinds]}
            for change in node_changes(before, after)
        ],
        "free_blocks": None
        if blocks is None
        else [
            {"order": order, "before": one, "after": other}
            for order, (one, other) in enumerate(blocks)
        ],
    }


def _kind(change: KindChange) -> KindChangeRecord:
    return {"kind": change.kind.word, "before": change.before, "after": change.after}


def rows(record: ComparisonRecord) -> Iterator[dict[str, object]]:
    """Yield the rows of the CSV form: pages by kind, entries and facts that differ."""
    pages, entries = record["pages"], record["entries"]
    for kind in pages["kinds"] if pages is not None else ():
        yield _row("pages", kind["kind"], kind["before"], kind["after"])
    for entry in entries["changed"] if entries is not None else ():
        yield _row("entry", entry["virt"], entry["phys_before"], entry["phys_after"])
    for fact in record["facts"]:
        yield _row("fact", fact["name"], fact["before"], fact["after"])


def _row(part: str, name: str, before: object, after: object) -> dict[str, object]:
    return dict(zip(COLUMNS, (part, name, before, after), strict=True))


def lines(record: ComparisonRecord) -> Iterator[str]:
    """Say what is different, in as many lines as that takes."""
    yield from named("before", plain(record["before"]))
    yield from named("after", plain(record["after"]))
    for what in ("machine", "kernel", "boot"):
        common = record[what]
        words = {"yes": "one", "no": "NOT ONE", "unknown": "unknown whether one"}[common["answer"]]
        yield from named(what, f"{words}: {plain(common['evidence'])}")
    seconds = record["seconds"]
    if seconds is not None:
        order = "" if seconds >= 0 else ": the second was taken BEFORE the first"
        yield from named("apart", duration_text(abs(seconds)) + order)
    yield from _page_lines(record["pages"], record["page_size"])
    yield from _entry_lines(record["entries"])
    yield from _fact_lines(record)
    for title, findings in (
        ("findings that are new", record["findings_new"]),
        ("findings that are gone", record["findings_gone"]),
    ):
        yield from fitted(f"{title}: {len(findings)}", dict.fromkeys(f["code"] for f in findings))
    for missing in record["missing"]:
        yield from wrapped(
            f"not compared: {missing['part']}: {plain(missing['reason'])}", indent="  "
        )


def _page_lines(pages: PageChangesRecord | None, page_size: int) -> Iterator[str]:
    if pages is None:
        return
    changed = f"{pages['changed']}, {size_text(pages['changed'] * page_size)}"
    yield f"pages of another kind than before: {changed}\n"
    if pages["not_compared"]:
        yield from wrapped(
            f"  {count_text(pages['not_compared'], 'page')} could not be compared one by one: "
            "kinds change too often there",
            indent="  ",
        )
    yield f"  {'kind':16}{'before':>14}{'after':>14}{'':>3}difference\n"
    for kind in pages["kinds"]:
        one, other = kind["before"], kind["after"]
        more = "unknown" if one is None or other is None else f"{other - one:+d}"
        shown = ("unknown" if each is None else str(each) for each in (one, other))
        yield f"  {kind['kind']:16}" + "".join(f"{each:>14}" for each in shown) + f"{more:>13}\n"
    became = [f"{t['before']} to {t['after']}: {t['pages']};" for t in pages["transitions"][:12]]
    if became:
        yield from fitted("  what became what:", became)


def _entry_lines(entries: EntryChangesRecord | None) -> Iterator[str]:
    if entries is None:
        return
    counts = [
        f"{entries['same']} same",
        f"{entries['moved']} moved",
        f"{entries['new']} new",
        f"{entries['gone']} gone",
    ]
    order = "in one order" if entries["order_kept"] else "NOT in one order"
    yield from fitted("list entries, by what they back:", [", ".join(counts), f"({order})"])
    for entry in entries["changed"][:_ENTRIES_SHOWN]:
        where = " to ".join(
            phys for phys in (entry["phys_before"], entry["phys_after"]) if phys is not None
        )
        yield f"  {entry['fate']:6} {entry['virt']}  physical {where}\n"
    more = len(entries["changed"]) - _ENTRIES_SHOWN + entries["changed_more"]
    if more > 0:
        yield f"  and {more} more\n"


def _fact_lines(record: ComparisonRecord) -> Iterator[str]:
    yield f"facts that differ: {len(record['facts'])}, and {record['facts_alike']} are alike\n"
    for fact in record["facts"][:_FACTS_SHOWN]:
        one, other = (
            "unknown" if value is None else plain(value)[:200]
            for value in (fact["before"], fact["after"])
        )
        yield from wrapped(f"{one}, then {other}", f"  {plain(fact['name'])}: ", "      ")
    more = len(record["facts"]) - _FACTS_SHOWN
    if more > 0:
        yield f"  and {more} more\n"
