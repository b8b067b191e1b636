"""Writes the extract of a dump: all that is shown of it, in a file that the readers of dumps open.

The file is kdump-compressed (zstd), with all the memory of the original in its first bitmap and the
pages with something to show in its second, so that what is not shared is left out and not empty; or
ELF, where a segment has as much in the file as there is to show. A note says that it is an extract.
Its header has the kernel's release and machine; the node's name, the time of the crash and the
registers of the CPUs do not go over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vmemmap import __version__
from vmemmap.dump import Dump
from vmemmap.errors import FactError, UnwritableFile
from vmemmap.extract.checker import BITMAP_MAX
from vmemmap.extract.classes import OPTIONAL, Shown
from vmemmap.extract.header import shared_vmcoreinfo
from vmemmap.extract.manifest import (
    VERSION,
    Manifest,
    RunRecord,
    ScrubRecord,
    manifest_path,
    run_record,
)
from vmemmap.extract.page_runs import PageRuns
from vmemmap.extract.pieces import gather
from vmemmap.extract.reduced_pages import PageReducer
from vmemmap.extract.unlike import unlike
from vmemmap.facts.uts import FIELD_BYTES, FIELDS
from vmemmap.formats.extract_note import ExtractNote, encode_extract_note
from vmemmap.formats.notes import Note
from vmemmap.intervals import Intervals, intersect, join, subtract
from vmemmap.linear_map import PAGE_OFFSET
from vmemmap.pages.exclusions import page_ranges
from vmemmap.pages.zero_filled import zero_pages_at
from vmemmap.progress import Progress, no_progress
from vmemmap.units import count_text
from vmemmap.write.compress import CODECS
from vmemmap.write.elf_core import Segment, write_elf
from vmemmap.write.kdump import write_kdump
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.new_file import new_files
from vmemmap.write.notes import pack_notes
from vmemmap.write.output import FileOutput
from vmemmap.write.packing import CONTENT, PageBatch
from vmemmap.write.page_bits import PageBits

FORMS = ("kdump", "elf")
_LOAD_BYTES = 4 << 20


@dataclass(slots=True)
class Extracted:
    """What went into an extract.

    Attributes:
        pages: Pages in the file.
        bytes_shown: Bytes of memory that are shown, by class; all else in those pages is zero.
        file_bytes: Size of the file.
        missing: What the answers given on the extract may lack, in words.
        scrubbed: How many places of the kernel's log were changed, by kind.
        rescued: Blocks in it that were found without the list.
        hidden_addresses: Addresses that no answer needs were left out.
    """

    pages: int = 0
    bytes_shown: dict[Shown, int] = field(default_factory=dict)
    file_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    scrubbed: dict[str, int] = field(default_factory=dict)
    rescued: int = 0
    hidden_addresses: bool = False


def write_extract(
    dump: Dump,
    out: str | Path,
    *,
    classes: Collection[str] = (),
    hide_addresses: bool = False,
    form: str = "kdump",
    codec: str = "zstd",
    threads: int = 1,
    progress: Progress = no_progress,
) -> Extracted:
    """Write the extract of a dump, and its manifest beside it.

    Args:
        dump: The dump.
        out: Where it goes.
        classes: Those of `OPTIONAL`, by name, that go into it too.
        hide_addresses: Leave out addresses that no answer needs.
        form: kdump or elf.
        codec: How pages are compressed; see `write_kdump`.
        threads: How many threads compress.
        progress: Told "writing", the bytes of memory done and those in all.

    Raises:
        ValueError: There is no such class or form, or they do not go together.
        FactError: Where the struct pages are cannot be told.
        UnwritableFile: The file cannot be written.
    """
    wanted = _wanted(classes, form, codec, hide_addresses=hide_addresses)
    maker = _Maker(dump, wanted, hide_addresses=hide_addresses)
    page_size, stored = maker.page_size, maker.pages()
    whole = page_ranges(dump.source.ranges(), page_size)
    # Of pages that only a part of is in the dump's memory ranges, that part can be shown.
    ranges = join(*np.concatenate([whole, stored]).T)
    text, gone = shared_vmcoreinfo(dump.vmcoreinfo[0], wanted if hide_addresses else None)
    notes = [Note("VMCOREINFO", 0, text), encode_extract_note(maker.note())]
    path = Path(out)
    result = Extracted(
        pages=int((stored[:, 1] - stored[:, 0]).sum()),
        missing=maker.found.missing,
        scrubbed=maker.found.scrubbed,
        rescued=maker.note().rescued,
        hidden_addresses=hide_addresses,
    )
    with new_files(path, manifest_path(path)) as (file, beside):
        output = FileOutput(file, str(path))
        if form == "elf":
            segments = list(_segments(ranges * page_size, stored * page_size))
            order, packed = dump.kernel.order, pack_notes(dump.kernel.order, notes)
            result.file_bytes = write_elf(
                output, order, packed, segments, maker.contents, progress, page_size=page_size
            )
        else:
            end_pfn = int(ranges[-1, 1]) if len(ranges) else 0
            if end_pfn > 8 * BITMAP_MAX:
                raise UnwritableFile(
                    f"the dump's headers have memory up to {end_pfn * page_size:#x}, which takes "
                    f"bitmaps of {end_pfn // 8:#x} bytes; expected at most {BITMAP_MAX:#x} "
                    "(--elf has no bitmaps)",
                    path=str(path),
                )
            header = KdumpHeader(
                order=dump.kernel.order,
                page_size=page_size,
                max_mapnr=end_pfn,
                notes=notes,
                dump_level=dump.source.dump_level or 31,
                codec=codec,
                utsname=maker.utsname(),
            )
            with PageBits(end_pfn) as kept:
                kept.add(stored)
                result.file_bytes = write_kdump(
                    *(output, header, ranges, kept.finish(), maker.load),
                    lambda data, offsets: zero_pages_at(data, offsets, page_size),
                    threads=threads,
                    progress=progress,
                ).file_bytes
        runs = sorted(maker.runs, key=lambda run: run["phys"])
        _write_manifest(beside, maker, notes, runs)
    for run in runs:
        shown = Shown(run["shown"])
        result.bytes_shown[shown] = result.bytes_shown.get(shown, 0) + run["size"]
    if gone:
        result.missing.append(f"lines of VMCOREINFO that are not shared: {', '.join(gone)}")
    if maker.reducer.astray:
        tails = count_text(maker.reducer.astray, "damaged tail")
        result.missing.append(f"{tails}, in whose place it has pages that are none")
    result.missing += unlike(dump, path)
    return result


def _wanted(
    classes: Collection[str], form: str, codec: str, *, hide_addresses: bool
) -> frozenset[Shown]:
    """Check what is asked for; give the classes."""
    if codec not in CODECS:
        raise ValueError(f"there is no codec {codec!r}: expected {', '.join(CODECS)}")
    if form not in FORMS:
        raise ValueError(f"there is no form {form!r}: expected kdump or elf")
    names = {shown.value for shown in OPTIONAL}
    for name in classes:
        if name not in names:
            raise ValueError(f"there is no class {name!r} to add: expected {', '.join(names)}")
    wanted = {Shown(name) for name in classes}
    if Shown.TYPES in wanted:
        wanted.add(Shown.SYMBOLS)  # by which they are found
    for shown in (Shown.SYMBOLS, Shown.CRASH):
        if hide_addresses and shown in wanted:
            raise ValueError(f"{shown.value} has addresses, which cannot go with hidden ones")
    return frozenset(wanted)


def _segments(ranges: Intervals, stored: Intervals) -> Iterator[Segment]:
    """Give the segments of an ELF file: each begins with what it has, and ends with what it lacks.

    No gap is closed, however short: zeros in its place would look like memory.
    """
    for start, end in ranges.tolist():
        inside = intersect(stored, np.array([[start, end]], dtype=np.int64))
        edges = [*inside[:, 0].tolist(), end]
        if edges[0] > start:
            yield Segment(start, PAGE_OFFSET + start, edges[0] - start, 0)
        for (at, stop), following in zip(inside.tolist(), edges[1:], strict=True):
            yield Segment(at, PAGE_OFFSET + at, following - at, stop - at)


def _write_manifest(
    file: BinaryIO, maker: _Maker, notes: list[Note], runs: list[RunRecord]
) -> None:
    text, note = (hashlib.sha256(note.desc).hexdigest() for note in notes)
    said = maker.note()
    manifest = Manifest(
        version=VERSION,
        page_size=maker.page_size,
        vmcoreinfo_sha256=text,
        note_sha256=note,
        utsname_sha256=hashlib.sha256(maker.utsname()).hexdigest(),
        made_by=f"vmemmap {said.version}",
        classes=list(said.classes),
        hidden_addresses=said.hidden_addresses,
        scrubbed=[
            ScrubRecord(kind=kind, places=count) for kind, count in maker.found.scrubbed.items()
        ],
        runs=runs,
    )
    file.write(json.dumps(manifest, indent=0).encode() + b"\n")


class _Maker:
    """Puts the parts of an extract together.

    Attributes:
        found: All that is shown, but for struct pages.
        runs: What was loaded so far, for the manifest.
        reducer: What reduces struct pages.
    """

    def __init__(self, dump: Dump, wanted: frozenset[Shown], *, hide_addresses: bool) -> None:
        self._dump, self._hide = dump, hide_addresses
        self.page_size = dump.kernel.page_size.value
        self.runs: list[RunRecord] = []
        self.found = gather(dump, wanted, hide_addresses=hide_addresses)
        self._image = self.found.image
        pages = dump.pages
        struct_pages = pages.struct_pages
        end_pfn = int(struct_pages.sections.end_pfn.max(initial=0))
        lru = None
        if Shown.CRASH in wanted or not pages.exclusions.knowledge.reads_free_marks:
            lru = dump.kernel.vmcoreinfo.offset("page.lru")
        self.reducer = PageReducer(
            pages.layout, pages.fields[0], struct_pages.base, end_pfn, lru=lru
        )
        self._page_runs = PageRuns(struct_pages, dump.vmemmap_runs, self.reducer, self.page_size)
        table = dump.backing
        found = table.phys[table.rescued & table.usable].astype(np.int64)
        self._rescued = join(found, found + table.block_size)
        self._rescued_count = len(found)

    def note(self) -> ExtractNote:
        """Give what the file says of itself."""
        classes = {piece.shown for piece in self._image.pieces} | {Shown.STRUCT_PAGES}
        classes |= {Shown.RESCUED} if self._rescued_count else set()
        return ExtractNote(
            version=__version__,
            classes=tuple(shown.value for shown in Shown if shown in classes),
            hidden_addresses=self._hide,
            rescued=self._rescued_count,
            scrubbed=tuple(self.found.scrubbed),
        )

    def pages(self) -> Intervals:
        """Give the numbers of all pages with something to show."""
        both = np.concatenate(
            [self._image.pages(self.page_size), self._page_runs.stored(self._dump.source)]
        )
        return join(both[:, 0], both[:, 1])

    def utsname(self) -> bytes:
        """Give the header's utsname: what is shown of it in memory, or what the container has."""
        uts = self._dump.kernel.utsname
        texts = {"sysname": "Linux", "machine": self._dump.kernel.machine.value}
        with suppress(FactError):
            texts["release"] = self._dump.kernel.release.value
        if uts is not None:
            texts["sysname"] = uts.sysname
        fields = (texts.get(name, "").encode("latin-1", "replace") for name in FIELDS)
        return b"".join(text[: FIELD_BYTES - 1].ljust(FIELD_BYTES, b"\0") for text in fields)

    def contents(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """Give bytes of a segment as they are shown; see `write_elf`."""
        size = self.page_size
        at = start
        for batch in self.load(np.array([[start // size, end // size]], dtype=np.int64)):
            yield at, batch.data
            at += len(batch.data)

    def load(self, intervals: Intervals) -> Iterator[PageBatch]:
        """Give pages as they are shown; see `write_kdump`."""
        at_once = _LOAD_BYTES // self.page_size
        for first, end in intervals.tolist():
            for start in range(first, end, at_once):
                yield self._batch(start, min(start + at_once, end))

    def _batch(self, first: int, end: int) -> PageBatch:
        size, phys = self.page_size, first * self.page_size
        out = bytearray((end - first) * size)
        pieces = list(self._image.within(phys, end * size))
        places = []
        for at, data in self._page_runs.pieces(phys, end * size):
            out[at - phys : at - phys + len(data)] = data
            places.append((at, at + len(data)))
        for piece in pieces:
            out[piece.phys - phys : piece.end - phys] = piece.data
            self.runs.append(run_record(piece.phys, piece.data, piece.shown))
        others = [(piece.phys, piece.end) for piece in pieces]
        struct_pages = subtract(_intervals(places), _intervals(others))
        for shown, some in (
            (Shown.STRUCT_PAGES, subtract(struct_pages, self._rescued)),
            (Shown.RESCUED, intersect(struct_pages, self._rescued)),
        ):
            for low, high in some.tolist():
                view = memoryview(out)[low - phys : high - phys]
                self.runs.append(run_record(low, view, shown))
        count = end - first
        return PageBatch(
            memoryview(out),
            np.arange(count, dtype=np.int64) * size,
            np.full(count, size, dtype=np.int64),
            np.full(count, CONTENT, dtype=np.int64),
        )


def _intervals(bounds: list[tuple[int, int]]) -> Intervals:
    return np.array(bounds, dtype=np.int64).reshape(-1, 2)
