"""``vmemmap usage``: its record made, and shown as CSV and text; members: ``usage_record.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vmemmap.absence import Absence
from vmemmap.pages.kinds import COUNTED, TITLES
from vmemmap.report.members import fact_record, finding_records
from vmemmap.report.text import count_text, fitted, size_text
from vmemmap.report.usage_record import (
    ClassesRecord,
    NodeRecord,
    UsageRecord,
    ZoneKernelRecord,
    ZoneRecord,
)

if TYPE_CHECKING:
    from vmemmap.pages.count.usage import Usage, ZoneUsage
    from vmemmap.vmcore import Vmcore

COLUMNS = ("node", "zone", "name", "kind", "pages", "bytes")
LEVEL = 31
"""The dump level whose classes are shown; zero pages apart it is the same as 30."""
_WORDS = {kind.word: title for kind, title in TITLES.items()}
_ALWAYS = ("free", "cache", "anon", "slab", "reserved", "other")


def record(core: Vmcore, counted: Usage, zero_pages: int | None) -> UsageRecord:
    """Make the record of a census.

    Args:
        core: The dump.
        counted: Its census.
        zero_pages: Pages full of zeros, if they were counted.
    """
    crash = counted.as_crash
    facts = {fact.name: fact for fact in (*core.typed_facts, *core.pages.layout.facts)}
    return {
        "pages": counted.pages,
        "page_size": core.pages.page_size,
        "kinds": _all_kinds(counted),
        "kinds_at_least": counted.at_least,
        "managed": counted.managed,
        "free_blocks": None if counted.free_blocks is None else list(counted.free_blocks),
        "compound_heads": counted.compound_heads,
        "compound_tails": counted.compound_tails,
        "makedumpfile": {"zero": zero_pages, **_classes(counted.makedumpfile[LEVEL])},
        "makedumpfile_levels": [
            {"level": level, **_classes(classes)}
            for level, classes in enumerate(counted.makedumpfile)
        ],
        "original_pages": counted.original_pages,
        "crash": {
            "total": crash["total"],
            "free": crash["free"],
            "cached": crash["cached"],
            "slab": crash["slab"],
        },
        "nodes": _nodes(counted),
        "node_and_zone": {"origin": counted.fields_origin, "detail": counted.fields_detail},
        "sections": {
            "present": counted.sections,
            "offline": counted.sections_offline,
            "removed": counted.sections_removed,
        },
        "unknown": counted.unknown,
        "damaged": counted.damaged,
        "damage": [
            {"pfn": each.pfn, "code": each.code, "reason": each.reason} for each in counted.damage
        ],
        "findings": finding_records(counted.findings),
        "facts": [fact_record(fact) for fact in facts.values()],
    }


def _all_kinds(counted: Usage) -> dict[str, int | None]:
    """Give the counts of all kinds; None for those that the kernel does not tell."""
    return {kind.word: counted.kinds.get(kind.word) for kind in COUNTED}


def _classes(counts: Mapping[str, int] | None) -> ClassesRecord:
    known: Mapping[str, int] = counts or {}
    return {
        "cache": known.get("cache"),
        "cache_private": known.get("cache_private"),
        "user": known.get("user"),
        "free": known.get("free"),
        "hwpoison": known.get("hwpoison"),
        "offline": known.get("offline"),
    }


def _nodes(counted: Usage) -> list[NodeRecord]:
    nodes: dict[int | None, list[ZoneUsage]] = {}
    for zone in counted.zones:
        nodes.setdefault(zone.node, []).append(zone)
    return [
        {
            "node": node,
            "pages": sum(zone.pages for zone in zones),
            "zones": [_zone(zone) for zone in zones],
        }
        for node, zones in nodes.items()
    ]


def _zone(zone: ZoneUsage) -> ZoneRecord:
    said = zone.info
    kernel: ZoneKernelRecord | None = None
    if said is not None:
        kernel = {
            "spanned": said.spanned,
            "present": said.present,
            "managed": said.managed,
            "free": said.free,
        }
    return {
        "zone": zone.zone,
        "name": zone.name,
        "pages": zone.pages,
        "kinds": zone.kinds,
        "kernel": kernel,
    }


def rows(record: UsageRecord) -> Iterator[dict[str, object]]:
    """Yield the rows of the CSV form: all pages first, then by node and zone."""
    size = record["page_size"]
    for kind, count in record["kinds"].items():
        yield {"kind": kind, "pages": count, "bytes": None if count is None else count * size}
    for node in record["nodes"]:
        for zone in node["zones"]:
            for kind, pages in zone["kinds"].items():
                yield {
                    "node": node["node"],
                    "zone": zone["zone"],
                    "name": zone["name"],
                    "kind": kind,
                    "pages": pages,
                    "bytes": None if pages is None else pages * size,
                }


def lines(record: UsageRecord) -> Iterator[str]:
    """Give the census as tables."""
    size, pages, sections = record["page_size"], record["pages"], record["sections"]
    yield (
        f"{pages} pages of {size_text(size)}: {size_text(pages * size)} in "
        f"{count_text(sections['present'], 'section')}"
    )
    yield f", {sections['offline']} of them not online\n" if sections["offline"] else "\n"
    yield "\n"
    yield from _kind_lines(record)
    if record["free_blocks"] is not None:
        yield "\nFree blocks by order\n"
        yield from fitted("", (f"{order}: {n}" for order, n in enumerate(record["free_blocks"])))
    yield from _node_lines(record)
    yield "\nmakedumpfile would leave out, at dump level 31\n"
    classes = record["makedumpfile"]
    if record["original_pages"] < pages and (classes["free"] or 0) <= record["original_pages"]:
        yield f"(of the {record['original_pages']} pages that the dump's memory ranges cover)\n"
    if record["node_and_zone"]["origin"] and any(n["node"] is None for n in record["nodes"]):
        yield "(it goes by the struct pages of memory that is not online, too)\n"
    for name, count in classes.items():
        missing = "not counted (--zero)" if name == "zero" else "cannot be known"
        yield f"  {name:22} {missing if count is None else count:>14}\n"


def _kind_lines(record: UsageRecord) -> Iterator[str]:
    size, pages = record["page_size"], record["pages"]
    yield f"  {'kind':22} {'pages':>14}\n"
    for kind, word in _WORDS.items():
        count = record["kinds"][kind]
        if count is None:
            least = record["kinds_at_least"].get(kind)
            yield f"  {word:22} {'unknown':>14}{f'  at least {least}' if least else ''}\n"
        elif count or kind in _ALWAYS:
            share = 100 * count / pages if pages else 0.0
            text = size_text(count * size) if count else "0"
            yield f"  {word:22} {count:14} {text:>11} {share:6.1f}%\n"
        if kind == "unknown" and record["unknown"].get(Absence.ON_DEVICE.word):
            on_device = record["unknown"][Absence.ON_DEVICE.word]
            yield f"    struct page on device{on_device:14}\n"
    if record["managed"] is not None:
        text = size_text(record["managed"] * size)
        yield f"  {'managed (not reserved)':22} {record['managed']:14} {text:>11}\n"


def _node_lines(record: UsageRecord) -> Iterator[str]:
    origin = record["node_and_zone"]["origin"]
    yield f"\nNodes and zones ({origin or 'cannot be known'})\n"
    for node in record["nodes"]:
        for zone in node["zones"]:
            # Where nodes are known, only memory that is not online names none.
            nameless = "not online" if origin else "all"
            name = nameless if node["node"] is None else f"node {node['node']}, zone {zone['zone']}"
            name += f" {zone['name']}" if zone["name"] else ""
            counts = (
                f"{kind} {'unknown' if count is None else count}"
                for kind, count in zone["kinds"].items()
            )
            yield from fitted(f"  {name:22} {zone['pages']:14}", counts)
