"""What ``vmemmap usage --format json`` prints: where the memory is, by kind, node and zone."""

from __future__ import annotations

from typing import TypedDict

from vmemmap.report.members import FactRecord, FindingRecord


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
