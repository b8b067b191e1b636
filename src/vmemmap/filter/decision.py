"""Which pages a dump level leaves: the decision of ``pages``, for any dump, however damaged.

What cannot be told is kept. `stretches` gives the decision as it is made, `decide` all of it at
once, as a set of pages with the counts that belong to it. Pages full of zeros (level 1) are
decided when they are read: see ``to_kdump.py`` and ``to_elf.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from vmemmap.absence import Absence
from vmemmap.distinct import distinct
from vmemmap.errors import FactError
from vmemmap.filter.filtered import FilteredDump
from vmemmap.filter.sample import Sample
from vmemmap.filter.spare import without_spare
from vmemmap.intervals import Intervals, groups, intersect, join, subtract, total, touched
from vmemmap.pages.exclusion_rules import Class, DumpLevel
from vmemmap.pages.kept import Decided, decided
from vmemmap.write.page_bits import CHUNK_PAGES, PageBits

_NONE: Intervals = np.empty((0, 2), dtype=np.int64)
_NO_ROWS = np.empty((0, 3), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of memory, every page of it decided on; all are intervals of pfns.

    Attributes:
        kept: Pages that stay.
        gone: Pages that go, by their class.
        absent: Pages that would stay, but that the dump does not have.
        unclassified: Pages that stay because nothing tells what they are, by the reason.
    """

    kept: Intervals
    gone: dict[Class, Intervals]
    absent: Intervals
    unclassified: dict[Absence, Intervals]


@dataclass(frozen=True, slots=True)
class PageRun:
    """Pages in a row with one fate.

    Attributes:
        pfn_start: The first pfn.
        pfn_end: The one after the last.
        fate: ``kept``; the class by which they go, such as ``free``; or ``absent``, if they would
            stay, but the dump does not have them.
    """

    pfn_start: int
    pfn_end: int
    fate: str


@dataclass(slots=True)
class Decision:
    """What stays of a dump at one level; a context manager, which lets go of the set of pages.

    Attributes:
        level: The dump level.
        ram: All memory that the dump's ranges have, as intervals of pfns.
        kept: The pages that stay.
        gone: How many go, by class.
        absent: How many would stay, but the dump does not have them.
        unclassified: How many stay because nothing tells what they are, by the reason.
        struct_pages: How many pages of struct pages go with the pages that they describe.
        warnings: What kept the decision from being made as it should, a line each.
    """

    level: int
    ram: Intervals
    kept: PageBits
    gone: Counter[Class] = field(default_factory=Counter)
    absent: int = 0
    unclassified: Counter[str] = field(default_factory=Counter)
    struct_pages: int = 0
    warnings: list[str] = field(default_factory=list)

    def __enter__(self) -> Decision:
        return self

    def __exit__(self, *_: object) -> None:
        self.kept.close()

    @property
    def pages(self) -> int:
        """Pages of memory in all."""
        return total(self.ram)


class Decider:
    """Decides on the pages of one dump.

    Args:
        dump: The dump.
        ram: The memory ranges of the dump, as intervals of pfns.
        page_size: The kernel's page size in bytes.

    Attributes:
        warnings: Why pages were kept that might have gone, a line each.
    """

    def __init__(self, dump: FilteredDump, ram: Intervals, page_size: int) -> None:
        self._dump, self._source = dump, dump.source
        self._ram, self._page_size = ram, page_size
        self.warnings: list[str] = []

    def decide(
        self,
        level: int | None,
        *,
        drop_struct_pages: bool = False,
        samples: dict[str, Sample] | None = None,
        sample_pages: int = 0,
    ) -> Decision:
        """Decide on every page.

        Args:
            level: A dump level, 0 to 31; None to keep all that there is, and the level of the dump.
            drop_struct_pages: Leave out struct pages, too, of which all pages are left out.
            samples: Takes a sample of the pages that go, for each class; None for none.
            sample_pages: About how many pages each is to have.
        """
        self.warnings = []
        end = int(self._ram[-1, 1]) if len(self._ram) else 0
        was = self._source.dump_level or 0
        out = Decision(
            was if level is None else level, self._ram, PageBits(end), warnings=self.warnings
        )
        try:
            for stretch in self.stretches(level):
                out.kept.add(stretch.kept)
                out.gone.update({why: total(pages) for why, pages in stretch.gone.items()})
                if samples is not None:
                    for why, pages in stretch.gone.items():
                        samples.setdefault(why.word, Sample(sample_pages)).add(pages)
                out.absent += total(stretch.absent)
                for reason, pages in stretch.unclassified.items():
                    out.unclassified[reason.word] += total(pages)
            out.kept.finish()
            if drop_struct_pages:
                spare = self._drop_struct_pages(out)
                if samples is not None and out.struct_pages:
                    samples["struct_pages"] = Sample(sample_pages)
                    samples["struct_pages"].add(spare)
        except BaseException:
            out.kept.close()
            raise
        return out

    def stretches(self, level: int | None) -> Iterator[Stretch]:
        """Decide on every page, stretch by stretch, by rising pfns; as for `decide`."""
        found, free, sections = self._decided(level)
        doubtful = _NONE if sections is None else self._doubtful()
        until = 0
        for part in found:
            gone = self._by_class(part, free, until)
            until = max(until, *(int(pages[-1, 1]) for pages in gone.values()), 0)
            unread = {
                Absence(why): intersect(_of_rows(part.unread, why), part.kept)
                for why in distinct(part.unread[:, 2]).tolist()
            }
            staying = part.kept
            if len(doubtful):
                spared = [intersect(pages, doubtful) for pages in gone.values()]
                gone = {why: subtract(pages, doubtful) for why, pages in gone.items()}
                gone = {why: pages for why, pages in gone.items() if len(pages)}
                staying = _together([staying, *spared])
                unread[Absence.NO_ENTRY] = intersect(staying, doubtful)
            if sections is not None:
                unread[Absence.NO_ENTRY] = _together(
                    [unread.get(Absence.NO_ENTRY, _NONE), subtract(staying, sections)]
                )
            # A stretch is without all that goes already, but for what only the free lists tell.
            listed = gone.get(Class.FREE, _NONE) if len(free) else _NONE
            kept, absent = self._in_dump(subtract(staying, listed) if len(listed) else staying)
            yield Stretch(kept, gone, absent, {w: p for w, p in unread.items() if len(p)})

    def _doubtful(self) -> Intervals:
        """Give pages whose struct pages the list may have mixed up with others."""
        pages = self._dump.doubtful_pfns
        if len(pages):
            self.warnings.append(
                f"{total(pages)} pages from pfn {int(pages[0, 0])} on are kept: the list gives "
                "them struct pages that are not theirs, or may not be (vmemmap check tells more)"
            )
        return pages

    def _drop_struct_pages(self, out: Decision) -> Intervals:
        """Take the struct pages out that describe nothing which stays, if it is sure which.

        Returns:
            Which they are, as intervals of pfns; some of them may have been out already.
        """
        try:
            if not self._dump.is_sound:
                self.warnings.append("struct pages are kept: the list is damaged")
                return _NONE
            struct_pages = self._dump.pages.struct_pages
        except FactError as error:
            self.warnings.append(f"struct pages are kept: where they are is not known: {error}")
            return _NONE
        before, all_kept = out.kept.count(), out.kept
        out.kept, spare = without_spare(struct_pages, all_kept, self._page_size)
        all_kept.close()
        out.struct_pages = before - out.kept.count()
        return spare

    def _decided(self, level: int | None) -> tuple[Iterator[Decided], Intervals, Intervals | None]:
        """Give the decision by struct pages, the free pages by the free lists, and the sections.

        Free lists are what older kernels are asked by; there are sections only where it takes
        struct pages.
        """
        whole = iter([Decided(self._ram, _NO_ROWS, _NO_ROWS)])
        if level is None:
            return whole, _NONE, None
        try:
            model = self._dump.pages
            pages, exclusions = model.array, model.exclusions
        except FactError as error:
            if level & ~DumpLevel.ZERO:
                self.warnings.append(f"no page can be classified, so all are kept: {error}")
            return whole, _NONE, None
        free = _NONE
        knowledge = exclusions.knowledge
        if level & DumpLevel.FREE and not knowledge.reads_free_marks:
            if (listed := model.free_listed) is not None:
                free = listed
            else:
                self.warnings.append("free pages are kept: some free lists cannot be followed")
        if not knowledge.scans_at(level):
            return whole, free, None
        sections = np.column_stack([pages.sections.first_pfn, pages.sections.end_pfn])
        return decided(pages, exclusions, level), free, sections

    def _by_class(self, part: Decided, free: Intervals, until: int) -> dict[Class, Intervals]:
        """Give what goes of a stretch by class; each page once, also where they overlap."""
        out: dict[Class, Intervals] = {}
        if len(free) and len(part.kept):
            span = np.array([[part.kept[0, 0], part.kept[-1, 1]]], dtype=np.int64)
            out[Class.FREE] = intersect(intersect(free, span), self._ram)
        if len(part.gone):
            first = max(int(part.gone[0, 0]), until)
            ram = intersect(self._ram, np.array([[first, 1 << 62]], dtype=np.int64))
            left = subtract(ram, free) if len(free) else ram
            overlap = bool((part.gone[1:, 0] < part.gone[:-1, 1]).any())
            for why in distinct(part.gone[:, 2]).tolist():
                mine = intersect(_of_rows(part.gone, why), left)
                left = subtract(left, mine) if overlap else left
                kind = Class(why)
                out[kind] = _together([out[kind], mine]) if kind in out else mine
        return {why: pages for why, pages in out.items() if len(pages)}

    def _in_dump(self, kept: Intervals) -> tuple[Intervals, Intervals]:
        """Part pages that the dump has, if only a piece of them, from those that it lacks.

        What was cut off it should have, and that is lost: it is for the writer to tell.
        """
        size = self._page_size
        there: list[Intervals] = [_NONE]
        for group in groups(kept, CHUNK_PAGES):
            span = int(group[0, 0]) * size, int(group[-1, 1]) * size
            claimed = [self._source.present_runs(*span), self._source.cut_off_runs(*span)]
            there.append(intersect(group, touched(_together(claimed), size)))
        have = _together(there)
        return have, _NONE if total(have) == total(kept) else subtract(kept, have)


def page_runs(stretches: Iterator[Stretch]) -> Iterator[PageRun]:
    """Give stretches as runs of pages, by rising pfns."""
    for part in stretches:
        fates = {why.word: pages for why, pages in part.gone.items()}
        fates |= {"kept": part.kept, "absent": part.absent}
        rows = sorted(
            (start, end, fate) for fate, pages in fates.items() for start, end in pages.tolist()
        )
        yield from (PageRun(*row) for row in rows)


def _of_rows(rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]], why: int) -> Intervals:
    mine = rows[rows[:, 2] == why]
    return join(mine[:, 0], mine[:, 1])


def _together(parts: list[Intervals]) -> Intervals:
    rows = np.concatenate([_NONE, *parts])
    return join(rows[:, 0], rows[:, 1])
