"""What a census gives: every page counted once, by kind, node and zone.

Beside the count stands what the kernel says of itself, and what makedumpfile would leave out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmemmap.findings import Finding
from vmemmap.frames import Tabular
from vmemmap.pages.count.zone_usage import ZoneUsage as ZoneUsage
from vmemmap.pages.heads import DamagedPage
from vmemmap.pages.kinds import ByKind
from vmemmap.shown import ShortTable
from vmemmap.units import count_text

Counts = dict[str, int]


@dataclass(frozen=True, slots=True, repr=False)
class Usage(Tabular):
    """A census of all pages that have a struct page.

    Attributes:
        pages: How many there are: the sum of `kinds` and `at_least`.
        kinds: Pages by kind, its word or a `Kind`, all kinds that this kernel's struct pages tell;
            ``undecided`` are those that they leave open.
        untold: The kinds that they do not tell, so that there is no count: hugetlb, where its pages
            are among those of other kinds, and whatever undecided pages may be.
        at_least: Pages that are certainly of an untold kind; ``undecided`` ones may be more.
        free_blocks: Free blocks by order, from order 0 on; None where that is not told.
        compound_heads: How many compounds there are; None likewise.
        compound_tails: How many pages are tails, whatever their kind; None likewise.
        slab_tails: Slab pages among them: crash counts slabs by the pages that carry the mark, and
            where only heads do (since 4.18 with SLUB) these are missing from its figure; None
            where that is not told.
        managed: Pages that are online, and neither reserved nor a device's: what crash and
            /proc/zoneinfo call total or managed; None if a struct page could not be read, or may
            be reserved.
        unknown: Pages of kind unknown by the reason why they cannot be read.
        zones: Pages by node and zone; unknown ones name none.
        fields_origin: Where the place of node and zone in the flags is known from; None if nowhere.
        fields_detail: The evidence for that, in words.
        damaged: How many struct pages are damaged.
        damage: The first of them, each with its pfn and reason.
        findings: What is wrong with mem_section and with nodes and zones.
        makedumpfile: For each dump level 0 to 31, pages that makedumpfile would leave out by class;
            pages filled with zeros, which are decided by content, are not among them. None where
            it would have to follow free lists that cannot be followed.
        original_pages: Pages in the dump's memory ranges, which is what it starts from.
        sections: How many sections have struct pages.
        sections_removed: How many are marked present without having any.
        sections_offline: How many are not online; None where the kernel has no such mark.
    """

    pages: int
    kinds: ByKind[int]
    untold: tuple[str, ...]
    at_least: ByKind[int]
    free_blocks: tuple[int, ...] | None
    compound_heads: int | None
    compound_tails: int | None
    slab_tails: int | None
    managed: int | None
    unknown: Counts
    zones: tuple[ZoneUsage, ...]
    fields_origin: str | None
    fields_detail: str
    damaged: int
    damage: tuple[DamagedPage, ...]
    findings: tuple[Finding, ...]
    makedumpfile: tuple[Counts | None, ...]
    original_pages: int
    sections: int
    sections_removed: int
    sections_offline: int | None

    def __repr__(self) -> str:
        return self._short.as_text()

    def _repr_html_(self) -> str:
        """Give the kinds as a table for a notebook, and the zones as bars."""
        from html import escape

        from vmemmap.pages.count.zone_bars import zone_rows  # which no other question needs

        bars = (f"<p>{escape(row.name)}</p>{row.picture}" for row in zone_rows(self.zones))
        return self._short.as_html() + "".join(bars)

    @property
    def _short(self) -> ShortTable:
        rows = [(kind, str(count)) for kind, count in self.kinds.items() if count]
        for kind in self.untold:
            least = self.at_least.get(kind)
            rows.append((kind, f"at least {least}" if least else "unknown"))
        title = f"Usage: {count_text(self.pages, 'page')} in {count_text(self.sections, 'section')}"
        return ShortTable(title, ("kind", "pages"), len(rows), rows.__getitem__, all_rows=True)

    def columns(self) -> dict[str, list[Any]]:
        """Give the columns of a table by node, zone and kind; none where a count is not known."""
        rows = [
            (zone.node, zone.zone, zone.name, kind, pages)
            for zone in self.zones
            for kind, pages in zone.kinds.items()
        ]
        names = ("node", "zone", "name", "kind", "pages")
        return {name: [row[at] for row in rows] for at, name in enumerate(names)}

    @property
    def free(self) -> int | None:
        """Free pages, those whose own struct page cannot be read included; None if not told."""
        if self.free_blocks is None:
            return None
        return sum(count << order for order, count in enumerate(self.free_blocks))

    @property
    def as_crash(self) -> dict[str, int | None]:
        """The figures of crash's ``kmem -i``, in pages: total, free, cached, slab.

        crash takes free and cached from counters of the kernel, which lag behind by what each CPU
        has not added yet; free is that counter here too, where it can be read. Its slab is that of
        the pages which carry the mark, until version 8; later it is a counter again, in which
        tails and large kmallocs are.
        """
        kinds, slab = self.kinds, self.kinds.get("slab")
        cached = [kinds.get("cache"), kinds.get("cache_private")]
        counted = [zone.info.free for zone in self.zones if zone.info is not None]
        known = [count for count in counted if count is not None]
        return {
            "total": self.managed,
            "free": sum(known) if known and len(known) == len(self.zones) else self.free,
            "cached": None if None in cached else sum(count or 0 for count in cached),
            "slab": None if slab is None or self.slab_tails is None else slab - self.slab_tails,
        }
