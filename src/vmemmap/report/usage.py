"""The record of ``vmemmap usage``: where the memory is, and what makedumpfile would leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypedDict

from vmemmap.absence import Absence
from vmemmap.pages.kinds import COUNTED, TITLES
from vmemmap.report.members import (
    FactRecord,
    FindingRecord,
    fact_record,
    finding_records,
)
from vmemmap.report.text import count_text, fitted, size_text

if TYPE_CHECKING:
    from vmemmap.pages.count.usage import Usage, ZoneUsage
    from vmemmap.vmcore import Vmcore

COLUMNS = ("node", "zone", "name", "kind", "pages", "bytes")
LEVEL = 31
"""The dump level whose classes are shown; zero pages apart it is the same as 30."""
_WORDS = {kind.word: title for kind, title in TITLES.items()}
_ALWAYS = ("free", "cache", "anon", "slab", "reserved", "other")


class ClassesRecord(TypedDict):
    """Pages that makedumpfile would leave out, by its classes; null where that cannot be known.

    It looks at pages that the dump's memory ranges cover and at no others, so that the kinds, which
    count every page with a struct page, may be more.

    Attributes:
        cache: Page cache.
        cache_private: Page cache with private data of a filesystem.
        user: Memory of processes, huge pages among it where makedumpfile can tell them.
        free: Free pages.
        hwpoison: Pages whose memory has failed.
        offline: Pages that are logically offline.
    """

    cache: int | None
    cache_private: int | None
    user: int | None
    free: int | None
    hwpoison: int | None
    offline: int | None


class MakedumpfileRecord(ClassesRecord):
    """What makedumpfile would leave out at dump level 31.

    Attributes:
        zero: Pages full of zeros; null unless they were asked for, with --zero, and can be counted.
    """

    zero: int | None


class LevelRecord(ClassesRecord):
    """What makedumpfile would leave out at one dump level; zero pages are not counted.

    Attributes:
        level: The dump level, 0 to 31.
    """

    level: int


class CrashRecord(TypedDict):
    """The figures of crash's kmem -i, in pages.

    Attributes:
        total: Pages that the page allocator has; null if a struct page could not be read.
        free: Free pages, by the kernel's own counter where it can be read.
        cached: Page cache.
        slab: Pages that carry the slab mark.
    """

    total: int | None
    free: int | None
    cached: int | None
    slab: int | None


class ZoneKernelRecord(TypedDict):
    """What the kernel says of one zone, in pages.

    Attributes:
        spanned: From its start to its end, holes counted.
        present: Without the holes.
        managed: What the page allocator was given.
        free: The kernel's own count of free pages, which may lag a little.
    """

    spanned: int
    present: int | None
    managed: int | None
    free: int | None


class ZoneRecord(TypedDict):
    """The pages whose flags name one zone.

    Attributes:
        zone: Index of the zone; null where the flags' layout cannot be known.
        name: Its name.
        pages: How many pages name it.
        kinds: Pages by kind; kinds without any are left out, and those that undecided pages may be
            are null.
        kernel: What the kernel says of the zone; null if that cannot be read.
    """

    zone: int | None
    name: str | None
    pages: int
    kinds: dict[str, int | None]
    kernel: ZoneKernelRecord | None


class NodeRecord(TypedDict):
    """The pages whose flags name one NUMA node.

    Attributes:
        node: Its number; null where the flags' layout cannot be known.
        pages: How many pages name it.
        zones: The same by zone.
    """

    node: int | None
    pages: int
    zones: list[ZoneRecord]


class PlaceRecord(TypedDict):
    """Where the place of node and zone in the flags is known from.

    Attributes:
        origin: The origin, as for facts; null if it is not known.
        detail: The evidence in words.
    """

    origin: str | None
    detail: str


class SectionsRecord(TypedDict):
    """The sections of memory.

    Attributes:
        present: How many have struct pages.
        offline: How many of them are not online; null where the kernel has no such mark.
        removed: How many are marked present without having any struct pages.
    """

    present: int
    offline: int | None
    removed: int


class DamageRecord(TypedDict):
    """A struct page that cannot be what it says.

    Attributes:
        pfn: Its page.
        code: A stable word for programs.
        reason: What is wrong with it, in words.
    """

    pfn: int
    code: str
    reason: str


class UsageRecord(TypedDict):
    """A census of all pages that have a struct page.

    Attributes:
        pages: How many there are.
        page_size: Bytes in a page.
        kinds: Pages by kind; null for kinds that this kernel's struct pages do not tell.
        kinds_at_least: Pages that are certainly of a kind whose count is null, since undecided
            pages may be of it, too.
        managed: Pages that are online, and neither reserved nor a device's; null if a struct page
            cannot be read, or may be reserved.
        free_blocks: Free blocks by order, from order 0 on; null where that is not told.
        compound_heads: How many compounds there are; null likewise.
        compound_tails: How many pages are tails, whatever their kind; null likewise.
        makedumpfile: What makedumpfile would leave out at level 31.
        makedumpfile_levels: The same for every level, in order.
        original_pages: Pages in the dump's memory ranges, which is what makedumpfile starts from.
        crash: The figures of crash.
        nodes: Pages by node and zone; unknown ones name none.
        node_and_zone: How node and zone are known.
        sections: The sections.
        unknown: Pages whose struct page cannot be read, by the reason.
        damaged: How many struct pages are damaged.
        damage: The first of them.
        findings: What is wrong with mem_section and with nodes and zones.
        facts: What the count stands on that VMCOREINFO does not say itself.
    """

    pages: int
    page_size: int
    kinds: dict[str, int | None]
    kinds_at_least: dict[str, int]
    managed: int | None
    free_blocks: list[int] | None
    compound_heads: int | None
    compound_tails: int | None
    makedumpfile: MakedumpfileRecord
    makedumpfile_levels: list[LevelRecord]
    original_pages: int
    crash: CrashRecord
    nodes: list[NodeRecord]
    node_and_zone: PlaceRecord
    sections: SectionsRecord
    unknown: dict[str, int]
    damaged: int
    damage: list[DamageRecord]
    findings: list[FindingRecord]
    facts: list[FactRecord]


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
