"""Filters a dump: decides, and hands the pages that stay to the writer of the form asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from vmemmap.address import ByteOrder
from vmemmap.errors import FactError, UnsupportedDump, UnwritableFile
from vmemmap.filter.contents import Contents
from vmemmap.filter.decision import Decider, Decision, PageRun, page_runs
from vmemmap.filter.estimate import CLASS_BYTES, Estimate, Estimator
from vmemmap.filter.filtered import FilteredDump
from vmemmap.filter.result import FilterResult, Made, OutputFile
from vmemmap.filter.sample import Sample
from vmemmap.filter.to_elf import ElfDump
from vmemmap.filter.verify import verify
from vmemmap.filter.wanted import Wanted, is_for_want_of_room, opened
from vmemmap.formats import kdump
from vmemmap.formats.notes import Note, is_prstatus, prstatus_in_order
from vmemmap.intervals import total
from vmemmap.pages.exclusion_rules import LEVELS, DumpLevel
from vmemmap.pages.exclusions import page_ranges
from vmemmap.progress import Progress, no_progress
from vmemmap.write.elf_core import write_elf
from vmemmap.write.kdump import Written, write_kdump
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.notes import pack_notes

_PAGES_MAX = 1 << 36
"""256 TiB of 4 KiB pages."""
_PFN_MAX = 1 << 40
"""The same for where memory lies, holes included: 4 PiB of 4 KiB pages."""
_BITMAP_BYTES_MAX = 2 << 30
"""What a bitmap may take on the disk: as much as that of 64 TiB of memory in pages of 4 KiB. Holes
between memory ranges are holes of the file, too."""


class DumpFilter:
    """Filters one dump.

    Args:
        dump: The dump.
        progress: Told how far it has come.

    Raises:
        UnsupportedDump: Its memory ranges are more than any machine has.
        FactError: It is ELF, and nothing tells its page size.
    """

    def __init__(self, dump: FilteredDump, progress: Progress = no_progress) -> None:
        self._dump, self._source, self._progress = dump, dump.source, progress
        self.page_size = self._find_page_size()
        self._ram = page_ranges(self._source.ranges(), self.page_size)
        self._check_size()
        self._decider = Decider(dump, self._ram, self.page_size)

    def _check_size(self) -> None:
        """Refuse memory that no machine has, before a bit of it takes room on the disk."""
        pages, end = total(self._ram), int(self._ram[-1, 1]) if len(self._ram) else 0
        if pages > _PAGES_MAX or end > _PFN_MAX:
            raise UnsupportedDump(
                f"its memory ranges have {pages} pages, up to pfn {end}: more than any machine, "
                "so that they are damaged",
                path=self._source.path,
            )

    def _check_bitmaps(self, form: str, path: str) -> None:
        """Refuse to write a bit for every page of memory that only damaged headers can claim."""
        needed = total(self._ram) // 8
        if form != "elf" and needed > _BITMAP_BYTES_MAX:
            raise UnwritableFile(
                f"the dump's headers have {total(self._ram) * self.page_size:#x} bytes of memory, "
                f"which take a bitmap of {needed:#x} bytes; expected at most "
                f"{_BITMAP_BYTES_MAX:#x}: they are damaged (-E, which is ELF, has no bitmaps)",
                path=path,
            )

    def _find_page_size(self) -> int:
        try:
            return self._dump.kernel.page_size.value
        except FactError:
            if self._source.block_size is None:
                raise
            return self._source.block_size

    def runs(self, level: int) -> Iterator[PageRun]:
        """Give the decision at a level as runs of pages; see `Decider.stretches`.

        Raises:
            ValueError: There is no such level.
        """
        if level not in LEVELS:
            raise ValueError(f"there is no dump level {level}: expected 0 to 31")
        return page_runs(self._decider.stretches(level))

    def run(self, wanted: Wanted) -> FilterResult:
        """Write what is wanted.

        Raises:
            ValueError: It does not go together.
            OutputTooLarge: At no level does the output fit.
            UnwritableFile: The output cannot be made; nothing of it is left.
        """
        wanted.check()
        self._check_bitmaps(wanted.form, str(wanted.paths[0]) if wanted.paths else "-")
        before = self._source.dump_level or 0
        levels = list(
            dict.fromkeys(None if level is None else level | before for level in wanted.levels)
        )
        for level in levels[:-1]:
            try:
                return self._at_level(level, wanted)
            except UnwritableFile as error:
                if not is_for_want_of_room(error):
                    raise
        return self._at_level(levels[-1], wanted)

    def _at_level(self, level: int | None, wanted: Wanted) -> FilterResult:
        with self._decider.decide(level, drop_struct_pages=wanted.drop_struct_pages) as decision:
            is_elf = wanted.form == "elf"
            made = self._as_elf(decision, wanted) if is_elf else self._as_kdump(decision, wanted)
            if wanted.verify:
                paths = [file.path for file in made.files]
                spans = [(file.pfn_start, file.pfn_end) for file in made.files]
                verify(
                    *(self._source, paths, decision.kept, spans, self.page_size, self._progress),
                    zero_left_out=is_elf and bool(decision.level & DumpLevel.ZERO),
                )
            return FilterResult(
                level=decision.level,
                form=wanted.form,
                codec="none" if is_elf else wanted.codec,
                page_size=self.page_size,
                pages=decision.pages,
                kept=made.kept,
                gone=_words(decision),
                zero=made.zero,
                absent=decision.absent,
                unclassified=dict(decision.unclassified),
                partial=made.partial,
                lost=made.lost,
                lost_pfns=made.lost_pfns,
                copied=made.copied,
                files=made.files,
                warnings=tuple(decision.warnings),
            )

    def estimate(
        self, level: int, codec: str, *, form: str = "kdump", drop_struct_pages: bool = False
    ) -> Estimate:
        """Tell what `run` would write; see `Estimator`.

        Raises:
            ValueError: There is no such level, codec or form.
        """
        codec = "none" if form == "elf" else codec
        Wanted(("-",), levels=(level,), codec=codec, form=form).check()
        self._check_bitmaps(form, "-")
        samples: dict[str, Sample] = {}
        with self._decider.decide(
            level | (self._source.dump_level or 0),
            drop_struct_pages=drop_struct_pages,
            samples=samples,
            sample_pages=CLASS_BYTES // self.page_size,
        ) as decision:
            contents = Contents(self._source, self.page_size, codec)
            estimator = Estimator(decision, contents, self._header(decision, codec), samples)
            self._source.expect_scattered(True)
            try:
                if form == "elf":
                    return estimator.as_elf(
                        _words(decision), ElfDump(self._source, contents, decision).segments()
                    )
                return estimator.as_kdump(_words(decision))
            finally:
                self._source.expect_scattered(False)

    def _as_kdump(self, decision: Decision, wanted: Wanted) -> Made:
        contents = Contents(self._source, self.page_size, wanted.codec)
        header = self._header(decision, wanted.codec)
        with opened(wanted, self._source.path) as outputs:
            parts: list[tuple[str, tuple[int, int], Written]] = []
            for (path, out), member in zip(outputs, _members(decision, wanted), strict=True):
                written = write_kdump(
                    *(out, header, decision.ram, decision.kept),
                    *(contents.load, contents.find_zero),
                    threads=wanted.threads,
                    member=member,
                    progress=self._progress,
                )
                parts.append((path, member or (0, header.max_mapnr), written))
        each = [part for _, _, part in parts]
        return Made(
            kept=decision.kept.count(),
            zero=sum(part.zero for part in each),
            partial=contents.partial,
            lost=sum(part.lost for part in each),
            lost_pfns=tuple(pfn for part in each for pfn in part.lost_pfns),
            copied=sum(part.copied for part in each),
            files=tuple(
                OutputFile(path, part.file_bytes, part.pages, start, end)
                for path, (start, end), part in parts
            ),
        )

    def _as_elf(self, decision: Decision, wanted: Wanted) -> Made:
        contents = Contents(self._source, self.page_size, "none")
        header = self._header(decision, "none")
        notes = pack_notes(header.order, header.notes)
        with ElfDump(self._source, contents, decision, self._progress) as elf:
            with opened(wanted, self._source.path) as outputs:
                path, out = outputs[0]
                segments, page_size = elf.segments(), self.page_size
                size = write_elf(
                    out, header.order, notes, segments, elf.contents, page_size=page_size
                )
            return Made(
                kept=decision.kept.count() - elf.zero,
                zero=elf.zero,
                partial=0,
                lost=elf.lost,
                lost_pfns=tuple(elf.lost_pfns),
                copied=0,
                files=(OutputFile(path, size, elf.pages, 0, decision.kept.pages),),
            )

    def _header(self, decision: Decision, codec: str) -> KdumpHeader:
        order, utsname, time = self._source.container_byte_order, self._source.utsname, 0
        with suppress(FactError, ValueError):  # without what the dump does not say
            kernel = self._dump.kernel
            # Readers take headers to be in their machine's order, which is the memory's.
            order = kernel.order
            utsname = (kernel.utsname.raw if kernel.utsname else b"") or utsname
            time = int(kernel.vmcoreinfo.text("CRASHTIME"))
        return KdumpHeader(
            order,
            self.page_size,
            decision.kept.pages,
            self._notes(order),
            decision.level,
            codec,
            utsname or bytes(kdump.UTSNAME[1]),
            time,
        )

    def _notes(self, order: ByteOrder) -> list[Note]:
        """Give the notes, in another byte order if need be, and with VMCOREINFO in any case."""
        given = self._source.container_byte_order
        notes = [
            replace(note, desc=bytes(prstatus_in_order(note.desc, given, order)))
            if given != order and is_prstatus(note)
            else note
            for note in self._source.notes
        ]
        if not any(note.name == "VMCOREINFO" for note in notes):
            with suppress(FactError):  # there is none
                notes.append(Note("VMCOREINFO", 0, self._dump.vmcoreinfo.text))
        return notes


def _words(decision: Decision) -> dict[str, int]:
    words = {why.word: count for why, count in sorted(decision.gone.items())}
    return words | ({"struct_pages": decision.struct_pages} if decision.struct_pages else {})


def _members(decision: Decision, wanted: Wanted) -> list[tuple[int, int] | None]:
    """Give the pfns of each output: members have about as many pages each; None without split."""
    if wanted.member is None and len(wanted.paths) < 2:
        return [None]
    kept, total = decision.kept, decision.kept.count()
    number, count = wanted.member or (0, len(wanted.paths))
    last = count if wanted.member is None else number + 1

    def cut(i: int) -> int:
        return kept.select(total * i // count) if 0 < i < count else kept.pages if i else 0

    return list(pairwise(map(cut, range(number, last + 1))))
