"""Writes the extract of a dump: all that is shown of it, in a file that the readers of dumps open.

The file is kdump-compressed (zstd). Its first bitmap has all the memory of the original, its second
the pages with something to show, so that what is not shared is left out and not empty. Its header
has the kernel's release and machine; the node's name, the time of the crash and the registers of
the CPUs do not go over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vmemmap.dump import Dump
from vmemmap.errors import FactError, ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.header import shared_vmcoreinfo
from vmemmap.extract.image import Image
from vmemmap.extract.kernel_data import KernelPieces
from vmemmap.extract.manifest import VERSION, Manifest, RunRecord, manifest_path, run_record
from vmemmap.extract.page_runs import PageRuns
from vmemmap.extract.reduced_pages import PageReducer
from vmemmap.extract.tables import show_tables
from vmemmap.facts.uts import FIELD_BYTES, FIELDS
from vmemmap.formats.notes import Note
from vmemmap.intervals import Intervals, join, subtract
from vmemmap.pages.exclusions import page_ranges
from vmemmap.pages.one_pass import zero_pages_at
from vmemmap.progress import Progress, no_progress
from vmemmap.write.kdump import CONTENT, PageBatch, write_kdump
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.new_file import new_file
from vmemmap.write.output import FileOutput
from vmemmap.write.page_bits import PageBits

_LOAD_BYTES = 4 << 20


@dataclass(slots=True)
class Extracted:
    """What went into an extract.

    Attributes:
        pages: Pages in the file.
        bytes_shown: Bytes of memory that are shown, by class; all else in those pages is zero.
        file_bytes: Size of the file.
        missing: What the answers given on the extract may lack, in words.
    """

    pages: int = 0
    bytes_shown: dict[Shown, int] = field(default_factory=dict)
    file_bytes: int = 0
    missing: list[str] = field(default_factory=list)


def write_extract(
    dump: Dump,
    out: str | Path,
    *,
    codec: str = "zstd",
    threads: int = 1,
    progress: Progress = no_progress,
) -> Extracted:
    """Write the extract of a dump, and its manifest beside it.

    Args:
        dump: The dump.
        out: Where it goes.
        codec: How pages are compressed; see `write_kdump`.
        threads: How many threads compress.
        progress: Told "writing", the bytes of memory done and those in all.

    Raises:
        FactError: Where the struct pages are cannot be told.
        UnwritableFile: The file cannot be written.
    """
    maker = _Maker(dump)
    result = maker.gather()
    page_size, stored = maker.page_size, maker.pages()
    whole = page_ranges(dump.source.ranges(), page_size)
    # Of pages that only a part of is in the dump's memory ranges, that part can be shown.
    ranges = join(*np.concatenate([whole, stored]).T)
    text, gone = shared_vmcoreinfo(dump.vmcoreinfo[0])
    end_pfn = int(ranges[-1, 1]) if len(ranges) else 0
    header = KdumpHeader(
        order=dump.kernel.order,
        page_size=page_size,
        max_mapnr=end_pfn,
        notes=[Note("VMCOREINFO", 0, text)],
        dump_level=dump.source.dump_level or 31,
        codec=codec,
        utsname=maker.utsname(),
    )
    path = Path(out)
    with (
        PageBits(end_pfn) as kept,
        new_file(path) as file,
        new_file(manifest_path(path)) as beside,
    ):
        kept.add(stored)
        written = write_kdump(
            FileOutput(file, str(path)),
            header,
            ranges,
            kept.finish(),
            maker.load,
            lambda data, offsets: zero_pages_at(data, offsets, page_size),
            threads=threads,
            progress=progress,
        )
        runs = sorted(maker.runs, key=lambda run: run["phys"])
        manifest = Manifest(
            version=VERSION,
            page_size=page_size,
            vmcoreinfo_sha256=hashlib.sha256(text).hexdigest(),
            runs=runs,
        )
        beside.write(json.dumps(manifest, indent=0).encode() + b"\n")
    result.pages, result.file_bytes = written.pages, written.file_bytes
    for run in runs:
        shown = Shown(run["shown"])
        result.bytes_shown[shown] = result.bytes_shown.get(shown, 0) + run["size"]
    if gone:
        result.missing.append(f"lines of VMCOREINFO that are not shared: {', '.join(gone)}")
    return result


class _Maker:
    """Puts the parts of an extract together.

    Attributes:
        runs: What was loaded so far, for the manifest.
    """

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self.page_size = dump.kernel.page_size.value
        self._image = Image()
        self.runs: list[RunRecord] = []
        pages = dump.pages
        struct_pages = pages.struct_pages
        end_pfn = int(struct_pages.sections.end_pfn.max(initial=0))
        lru = None
        if not pages.exclusions.knowledge.reads_free_marks:
            lru = dump.kernel.vmcoreinfo.offset("page.lru")
        reducer = PageReducer(pages.layout, pages.fields[0], struct_pages.base, end_pfn, lru=lru)
        self._page_runs = PageRuns(struct_pages, dump.vmemmap_runs, reducer, self.page_size)

    def gather(self) -> Extracted:
        """Find all that is shown, but for struct pages."""
        dump, result = self._dump, Extracted()
        kernel = dump.kernel
        show = KernelPieces(self._image, kernel.memory, dump.source)
        with suppress(ReadError):
            show.show_utsname(kernel)
        show.show_list_facts(dump.list_facts, kernel)
        hidden = show.show_nodes_of_list(
            dump.backing, dump.list_facts.node_layout.size, self.page_size
        )
        if hidden:
            result.missing.append(f"{hidden} nodes of the list lie where no other node is")
        show.show_sections(dump.mem_section, dump.evidence.vmemmap_base.value)
        pages = dump.pages
        with suppress(FactError):
            show.show_numa_nodes(kernel, pages.pgdat_layout, pages.nodes, pages.layout.orders)
        show.show_areas(kernel.vmcoreinfo, dump.evidence.layout)
        form = dump.page_table_format[0]
        lost = show_tables(self._image, dump.source, kernel.root_table_phys, form, kernel.order)
        if lost:
            result.missing.append(
                f"{lost} page tables, which the dump lacks in part, or which are none"
            )
        of_types = [fact.name for fact in dump.typed_facts]
        if of_types:
            result.missing.append(
                f"the kernel's types, from which it is known: {', '.join(of_types)}"
            )
        return result

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
        for low, high in subtract(_intervals(places), _intervals(others)).tolist():
            shown = memoryview(out)[low - phys : high - phys]
            self.runs.append(run_record(low, shown, Shown.STRUCT_PAGES))
        count = end - first
        return PageBatch(
            memoryview(out),
            np.arange(count, dtype=np.int64) * size,
            np.full(count, size, dtype=np.int64),
            np.full(count, CONTENT, dtype=np.int64),
        )


def _intervals(bounds: list[tuple[int, int]]) -> Intervals:
    return np.array(bounds, dtype=np.int64).reshape(-1, 2)
