"""What an opened dump can be asked, as users meet it; answered by the layers that `Dump` joins."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import U64_MAX
from vmemmap.backing.table import BackingTable
from vmemmap.dump import Dump
from vmemmap.errors import DumpError, VmemmapError
from vmemmap.facts.assumptions import Assumptions, check_assumptions
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.fact import AnyFact, Fact, Facts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.obtain import read_vmcoreinfo_file
from vmemmap.facts.symbols.table import (
    Symbol,
    SymbolHit,
    SymbolTable,
    may_be_in_image,
)
from vmemmap.findings import Finding
from vmemmap.given import address_of, addresses_of, files_of, outputs_of, symbol_and_offset
from vmemmap.linear_map import linear_phys
from vmemmap.memory import Dumpable
from vmemmap.progress import Progress, no_progress
from vmemmap.shown import ShortTable
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source
from vmemmap.source.in_memory import MemorySource
from vmemmap.source.opening import Opened
from vmemmap.translate.address_space import BulkTranslation
from vmemmap.translate.assumable import ASSUMABLE
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.translate.regions import AddressLayout
from vmemmap.translate.result import Translation
from vmemmap.units import size_text

if TYPE_CHECKING:
    # These are loaded when they are first asked for: info, list and vtop do without the pages.
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.compare.comparison import Comparison
    from vmemmap.extract.extract import Extracted
    from vmemmap.facts.vmlinux import SymbolFile
    from vmemmap.filter.decision import PageRun
    from vmemmap.filter.estimate import Estimate
    from vmemmap.filter.result import FilterResult
    from vmemmap.filter.wanted import Target
    from vmemmap.formats.extract_note import ExtractNote
    from vmemmap.kernel_log.record import KernelLog
    from vmemmap.pages.array import PageArray
    from vmemmap.pages.count.usage import Usage
    from vmemmap.pages.model import PageModel
    from vmemmap.pages.page import PageInfo
    from vmemmap.picture.report import Report


def open_vmcore(
    *paths: Opened | Dumpable | Sequence[Opened | Dumpable],
    vmcoreinfo: Opened | None = None,
    vmlinux: Opened | None = None,
    progress: Progress = no_progress,
    assume: Mapping[str, str] | None = None,
    rescue: bool = False,
    effort: int = 1,
    storage: Mapping[str, Any] | None = None,
) -> Vmcore:
    """Open a dump of a PowerPC64 Linux kernel.

    Args:
        paths: An ELF vmcore (kexec, fadump, makedumpfile -E) or a kdump-compressed file (zlib, lzo,
            snappy, zstd or raw pages), flattened or not; or all members of a split dump, one by one
            or as a list. A pipe, or ``-`` for the standard input, is copied to an unnamed temporary
            file first. A URL (``s3://``, ``gs://``, ``az://``, ``https://``) is read by ranges, as
            far as needed: it takes ``vmemmap[remote]``; and so is an object with ``read`` and
            ``seek``, such as fsspec's files, which stays open. In place of them a simulated
            machine: its memory as it is now, without a file.
        vmcoreinfo: A file with the VMCOREINFO text, used instead of the dump's own.
        vmlinux: The kernel: its symbols, for kernels that do not export the list (before 3.13) or
            their symbols (before 6.0), and dumps without VMCOREINFO; and its types (BTF or debug
            information), for whatever VMCOREINFO lacks.
        progress: Told how far long work has come: what it is, how much is done, how much there is.
        assume: Facts that the caller knows better than the dump, by name: memory_byte_order, mmu,
            layout, page_table; and kernel, 2 for the second of several that left a VMCOREINFO in
            memory, as a capture kernel and the one that crashed. They go before whatever the dump
            says.
        rescue: Where the list is damaged, look for what it lost in the rest of the dump, and use
            what is found; ``core.backing.rescued`` tells which entries those are.
        effort: How far to look, as a multiple of what is usual. The same effort finds the same on
            every machine; the finding ``rescue_limited`` says if it was not enough.
        storage: Options for URLs by obstore's names, such as ``region``, ``endpoint``,
            ``skip_signature``, ``timeout``; they go before what the environment says.

    Returns:
        The opened dump, a context manager. Only headers have been read.

    Raises:
        TypeError: A path is none, or there is none; or *assume* is no mapping.
        ValueError: *assume* has a name or value that cannot be; the message lists those that can.
            Or *effort* is below 1.
        DumpError: It cannot be opened, is no dump, is damaged, or is of a kind not handled.
    """
    assumptions = check_assumptions(assume or {}, ASSUMABLE)
    if effort < 1:
        raise ValueError(f"effort: expected 1 or more, found {effort}")
    text = symbols = None
    if vmcoreinfo is not None:
        with _noting("the VMCOREINFO text", vmcoreinfo):
            text = read_vmcoreinfo_file(vmcoreinfo, storage)
    if vmlinux is not None:
        from vmemmap.facts.vmlinux import SymbolFile

        with _noting("the vmlinux", vmlinux):
            symbols = SymbolFile(vmlinux, storage)
    files = files_of(paths)
    with _noting("the dump", *files):
        source = open_source(*files, progress=progress, storage=storage)
    if symbols is None and isinstance(source, MemorySource) and source.symbols is not None:
        from vmemmap.facts.vmlinux import SymbolFile

        symbols = SymbolFile(source.symbols)
    return Vmcore(source, text, symbols, progress, assumptions, rescue=rescue, effort=effort)


@contextmanager
def _noting(what: str, *files: object) -> Iterator[None]:
    """Add to an error which file it is of, for tracebacks."""
    try:
        yield
    except DumpError as error:
        error.add_note(f"{what}: {error.path or ', '.join(map(str, files))}")
        raise


class Vmcore:
    """An opened dump.

    Everything is established when it is first asked for, and once. Not safe for use by several
    threads at the same time. It is a context manager: leaving it closes the dump.

    Args:
        source: The dump's physical memory; closed with this object.
        vmcoreinfo: VMCOREINFO given by the user, instead of the dump's own.
        vmlinux: Symbols and types given by the user.
        progress: Told how far long work has come.
        assume: What the caller knows better than the dump.
        rescue: Use what can be found of a damaged list.
        effort: How far to look for it.
    """

    def __init__(
        self,
        source: PhysicalSource,
        vmcoreinfo: bytes | None = None,
        vmlinux: SymbolFile | None = None,
        progress: Progress = no_progress,
        assume: Assumptions | None = None,
        *,
        rescue: bool = False,
        effort: int = 1,
    ) -> None:
        self._progress = progress
        self._layers = Dump(
            source, vmcoreinfo, vmlinux, progress, assume, rescue=rescue, effort=effort
        )
        self._closed = False

    def __repr__(self) -> str:
        """Give the file, and the kernel where no search is needed for it."""
        source = self.source
        state = ", closed" if self._closed else ""
        release = source.release or "release not read yet"
        if not self._closed and (source.vmcoreinfo or "kernel" in vars(self._layers)):
            with suppress(VmemmapError):
                release = str(self.kernel.release.value)
        ranges = None if self._closed else source.cheap_ranges(0)
        size = sum(int(end) - int(start) for start, end in ranges) if ranges is not None else 0
        memory = f", {size_text(size)} of memory" if size else ""
        return f"<Vmcore {source.path!r}: {source.format}, kernel {release}{memory}{state}>"

    def _repr_html_(self) -> str:
        """Give what crashed as a table for a notebook: the rows at the top of the report."""
        source, rows = self.source, [("file", self.source.path), ("format", self.source.format)]
        if not self._closed and (source.vmcoreinfo or "kernel" in vars(self._layers)):
            from vmemmap.picture.summary import identity  # which no other question needs

            rows = identity(self._dump, None)
        table = ShortTable("dump", ("", ""), len(rows), rows.__getitem__, all_rows=True)
        return table.as_html()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the dump.

        Reads and translations afterwards raise ValueError; arrays already handed out stay valid.
        """
        self._closed = True
        self._layers.close()

    @property
    def _dump(self) -> Dump:
        """The layers, as long as the dump is open."""
        if self._closed:
            raise ValueError("the dump is closed")
        return self._layers

    @property
    def source(self) -> PhysicalSource:
        """The dump as physical memory: its format, its ranges, what is odd in the container."""
        return self._layers.source

    # Facts.

    @property
    def extract_note(self) -> ExtractNote | None:
        """What the dump says of itself if it is an extract, else None.

        In the pages of an extract, what is of none of its classes reads as zero, whatever it was.
        """
        return self._layers.extract_note

    @property
    def facts(self) -> Facts:
        """Every fact that can be established, by name; what cannot be is in ``facts.missing``.

        Raises:
            UnsupportedDump: It is of an embedded (Book3E) kernel.
        """
        return self._layers.facts

    @property
    def system(self) -> Facts:
        """What was running and how it ended, as crash's ``sys`` tells it, each with its origin.

        node_name, version, banner, build_id, cpus, crash_time (seconds since 1970), uptime
        (seconds), panic; what nothing tells is in its ``missing``, with the reason.
        """
        return self._dump.system

    @property
    def kernel(self) -> KernelFacts:
        """Facts about the kernel, one property each, every one with its origin.

        Raises:
            FactMissing: The dump carries no VMCOREINFO.
            FactConflict: The user's vmlinux is of another kernel.
        """
        return self._layers.kernel

    @property
    def list_facts(self) -> BackingFacts:
        """Facts about the list and its blocks; errors as for `kernel`."""
        return self._layers.list_facts

    @property
    def typed_facts(self) -> tuple[AnyFact, ...]:
        """What the kernel's types gave so far, and the vmlinux of the user's that may give it."""
        return self._layers.typed_facts

    @property
    def vmcoreinfo_text(self) -> bytes:
        """The kernel's VMCOREINFO as it stands: the user's, the dump's, or found in its memory.

        Raises:
            FactMissing: There is none.
        """
        return self._layers.vmcoreinfo.text

    @property
    def mmu(self) -> Fact[str]:
        """``hash`` or ``radix``, with the evidence.

        Raises:
            FactError: Nothing in the dump decides.
        """
        return self._layers.evidence.mmu

    @property
    def layout(self) -> AddressLayout:
        """How this kernel divides its address space.

        Raises:
            FactError: Nothing in the dump decides, or two things in it disagree.
            UnsupportedDump: It is the layout of an embedded (Book3E) kernel.
        """
        return self._layers.evidence.layout

    @property
    def vmemmap_base(self) -> Fact[int]:
        """Virtual address of the struct page of pfn 0, whether or not it is backed."""
        return self._layers.evidence.vmemmap_base

    @property
    def page_table(self) -> Fact[str]:
        """Name of the format of the kernel's page tables, and how it was chosen."""
        return self._layers.tables.format[1]

    # The list.

    @property
    def backing(self) -> BackingTable:
        """vmemmap_list, head (newest) first, as numpy columns; damage is in its ``findings``.

        Raises:
            FactError: VMCOREINFO lacks what the walk needs, or the head cannot be read.
        """
        return self._layers.backing

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the list, by itself and against what else the dump says."""
        return self._layers.findings

    def check(self) -> CheckReport:
        """Check whether the list holds together, and what of the memory it reaches.

        Raises:
            FactError: The dump does not say so much as where the list is.
        """
        return self._dump.check_report

    # Addresses and bytes.

    def vtop(self, virt: int | str) -> Translation:
        """Translate one kernel virtual address. O(log n) in list entries.

        Args:
            virt: Kernel virtual address (bytes), 0 to 2**64 - 1; or a symbol of the kernel, as
                ``"vmemmap_list"`` or ``"schedule+0x10"``.

        Returns:
            Its physical address, how that was found, and whether the byte is in the dump.

        Raises:
            NotBacked: Inside the vmemmap, but no list entry covers it; names the neighbours.
            NotPresent: A page table entry maps nothing there.
            NoSuchRegion: In no region of this kernel's address space.
            UnsupportedMmu: A page table entry leads to a hugepd, which maps user memory only.
            FactError: VMCOREINFO lacks what the translation needs.
            ReadError: A page table is not in the dump.
        """
        if type(virt) is not int or not 0 <= virt <= U64_MAX:
            virt = self._at(virt)
        return self._dump.addresses.translate(virt)

    def ptov(self, phys: int) -> tuple[Translation, ...]:
        """Give the kernel virtual addresses of a physical one.

        Args:
            phys: Physical address (bytes), 0 to 2**64 - 1.

        Returns:
            One in the linear map, unless the kernel had no memory there; one for each entry of the
            list in whose block it lies; and one for each place where page tables map it (vmalloc,
            modules, I/O, a vmemmap without a list), as far as the dump has the tables.

        Raises:
            FactError: As for `backing`.
        """
        return self._dump.addresses.virtual(address_of(phys))

    def _at(self, virt: int | str) -> int:
        """Take an address, or the name of one: a symbol, with a hex offset or without.

        Raises:
            UnknownSymbol, FactError: As for `symbol`.
            TypeError, ValueError: It is neither.
        """
        if not isinstance(virt, str):
            return address_of(virt)
        name, offset = symbol_and_offset(virt)
        return address_of(self.symbol(name).address + offset)

    def vtop_many(self, addresses: NDArray[np.uint64]) -> BulkTranslation:
        """Translate kernel virtual addresses in bulk.

        Args:
            addresses: Kernel virtual addresses (bytes), uint64, one dimension, any order.

        Returns:
            ``(phys, mask)``: uint64 physical addresses, and which of them are valid. What needs
            page tables (vmalloc, I/O, a vmemmap without a list) costs a walk of them for each page
            and not for each address.

        Raises:
            ValueError: *addresses* is not one-dimensional uint64.
            FactError: VMCOREINFO lacks what the translation needs.
        """
        dump, virt = self._dump, addresses_of(addresses)
        return dump.addresses.space.translate_many(virt)

    def read(self, virt: int | str, size: int) -> bytes:
        """Read *size* bytes at a kernel virtual address or symbol, across blocks where it must.

        Raises:
            TranslateError: As for `vtop`, at the first address that has no translation.
            ReadError: The bytes are not in the dump; says which and why.
        """
        dump, size = self._dump, index(size)
        if size < 0:
            raise ValueError(f"cannot read {size} bytes")
        return dump.addresses.read(self._at(virt), size)

    def read_phys(self, phys: int, size: int) -> bytes:
        """Read *size* bytes at a physical address; nothing is ever filled in.

        Raises:
            NotInDump, HotAdded, PageExcluded, PageLost, Truncated, CorruptPage: The first byte that
                cannot be had, and why.
        """
        dump, phys, size = self._dump, index(phys), index(size)
        if size < 0 or not 0 <= phys <= U64_MAX:
            raise ValueError(f"cannot read {size} bytes at {phys:#x}")
        return dump.memory.read(phys, size)

    def why_absent(self, phys: int) -> Absence | None:
        """Say why the byte at a physical address is not in the dump; None where it is."""
        return self._dump.why_absent(phys)

    def page_table_at(self, pgd: int) -> PageTable:
        """Give the page tables of a process, which translate its user addresses.

        Args:
            pgd: Where the root table is, as ``mm->pgd`` has it: a linear-map address (bytes).

        Raises:
            ValueError: *pgd* is no linear-map address.
            FactError: Nothing in the dump tells the format of the tables.
        """
        dump, root = self._dump, linear_phys(index(pgd))
        if root is None:
            raise ValueError(f"expected a root table in the linear map, found {pgd:#x}")
        return dump.tables.at(root)

    # Pages.

    @property
    def pages(self) -> PageArray:
        """The struct pages: ``core.pages[pfn]``, ``core.pages.scan()``.

        Raises:
            FactError: VMCOREINFO lacks what is needed to find or to understand them.
        """
        return self._dump.pages.array

    def page_of(self, address: int) -> PageInfo:
        """Decode the struct page of the page that holds an address.

        Args:
            address: A physical address (below 2**60), a kernel virtual address that `vtop` can
                translate, or an address inside the vmemmap: that of a struct page itself.

        Raises:
            TranslateError: A virtual address without translation.
            FactError: As for `pages`.
        """
        return self._dump.addresses.page_of(index(address))

    def usage(self, threads: int = 1) -> Usage:
        """Count all pages by kind, node and zone, and as makedumpfile would for each dump level.

        Args:
            threads: How many to use; see `PageArray.scan`.

        Raises:
            FactError: As for `pages`.
        """
        return self._dump.pages.usage(threads)

    def zero_pages(self, level: int = 31) -> int | None:
        """Count the pages full of zeros among those that a dump level leaves otherwise.

        That reads nearly all of the dump.

        Args:
            level: A dump level, 0 to 31.

        Returns:
            How many; None if some that stay are not in the dump, so that it cannot be known.

        Raises:
            ValueError: There is no such level.
            FactError: As for `pages`.
        """
        return self._dump.pages.zero_pages(level)

    def extract(
        self,
        out: str | os.PathLike[str],
        *,
        classes: str | Collection[str] = (),
        hide_addresses: bool = False,
        form: str = "kdump",
        codec: str = "zstd",
        threads: int = 1,
    ) -> Extracted:
        """Write a small dump that can be shared, with a manifest of all that is in it.

        It answers as this one does about facts, list, translation, pages and use, and has no byte
        of what is in memory beside that; see ``vmemmap.extract``.

        Args:
            out: The file to write; the manifest goes beside it, with ``.manifest.json`` added.
            classes: What more goes into it: dmesg (the kernel's log, scrubbed), symbols, types,
                crash (what crash needs to begin a session); one of these, or several.
            hide_addresses: Leave out addresses that none of these answers needs.
            form: kdump, or elf, which is not compressed.
            codec: How pages are compressed: zstd, zlib, lzo, snappy or none.
            threads: How many threads compress.

        Raises:
            ValueError: There is no such class or form, or they do not go together.
            FactError: Where the struct pages are cannot be told.
            UnwritableFile: The file cannot be written.
            CodecUnavailable: The library is not installed.
        """
        from vmemmap.extract.extract import write_extract  # which no other question needs

        return write_extract(
            *(self._dump, os.fspath(out)),
            classes=(classes,) if isinstance(classes, str) else classes,
            hide_addresses=hide_addresses,
            form=form,
            codec=codec,
            threads=threads,
            progress=self._progress,
        )

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        beside: Vmcore | None = None,
        found: Comparison | None = None,
    ) -> Report:
        """Write one self-contained page that shows the dump: ``vmemmap report``.

        It can be opened in any browser without a network, and is below 1 MB for any dump. Whatever
        of it cannot be had is told in its place.

        Args:
            path: The HTML file to write.
            beside: A later dump of the same machine: then the page shows what is different there,
                as `compare` finds it.
            found: What `compare` did find in it, so that it need not be asked again.

        Returns:
            The page, with what it lacks and what is wrong with the dump, or with both.

        Raises:
            UnwritableFile: The file cannot be written.
            FactError: As for `compare`.
        """
        if beside is not None:
            from vmemmap.picture.comparison_page import make_comparison

            found = found or self.compare(beside)
            return make_comparison(self._dump, beside._dump, found).write(os.fspath(path))
        from vmemmap.picture.report import make_report  # which no other question needs

        return make_report(self._dump).write(os.fspath(path))

    def compare(self, later: Vmcore) -> Comparison:
        """Find what is different in a later dump of the same machine: ``vmemmap report A B``.

        Args:
            later: The other dump. Nothing is refused because it may be of another machine, kernel
                or boot: the result says so.

        Returns:
            Facts that differ; the lists, paired by virtual address; the pages, paired by pfn; the
            censuses of both; findings that are new or gone. What cannot be compared is missing,
            with the reason.

        Raises:
            TypeError: *later* is no opened dump.
            FactConflict: Their pages have different sizes, or both are the same file.
            FactError: The page size of one is unknown.
        """
        from vmemmap.compare.comparison import compare  # which no other question needs

        if not isinstance(later, Vmcore):
            raise TypeError(f"expected an opened dump, found {later!r}: vmemmap.open() gives one")
        return compare(self._dump, later._dump)

    @property
    def page_model(self) -> PageModel:
        """What `pages` and `usage` stand on: sections, nodes and zones, the struct page's layout.

        Raises:
            FactError: Where the vmemmap is cannot be told.
        """
        return self._layers.pages

    # A smaller dump.

    def filter(
        self,
        out: Target | Sequence[Target] | BinaryIO,
        level: int | Sequence[int] | None = 31,
        codec: str | None = "zstd",
        *,
        form: str = "kdump",
        flattened: bool = False,
        member: tuple[int, int] | None = None,
        max_bytes: int | None = None,
        threads: int | None = None,
        drop_struct_pages: bool = False,
        verify: bool = False,
    ) -> FilterResult:
        """Write the dump anew without the pages that a dump level leaves out.

        What cannot be classified is kept, and counted. Level 0 leaves out only what makedumpfile
        always does (memory that has failed, pages that are offline): so it converts a dump. Files
        appear under their names only when they are whole.

        Args:
            out: The file; several are the members of a split dump. A binary stream, a pipe for
                instance, takes the dump in flattened form, and stays open.
            level: A dump level, 0 to 31, as makedumpfile has them; several are tried one after the
                other until the output fits. What the input was filtered by is added. None keeps all
                that the dump has, and its level.
            codec: zstd, zlib, lzo, snappy or none; None for the dump's own. Pages that are stored
                so are copied as they are.
            form: ``kdump``, or ``elf``, in which nothing is compressed.
            flattened: Write the file in makedumpfile's flattened form.
            member: Write only one member of a split dump: its number, from 0 on, and how many
                there are. It is the same wherever it is written.
            max_bytes: How large an output may be.
            threads: How many compress; None for one on each processor. The output is the same.
            drop_struct_pages: Leave out the pages of the vmemmap, too, that describe only pages
                which are left out: nothing tells any more what those were.
            verify: Read the output back, and compare every page that was kept.

        Returns:
            What stayed, what went, and why.

        Raises:
            TypeError: *out* can take no bytes, or *level* is a text.
            ValueError: The arguments do not go together.
            OutputTooLarge: At no level does the output fit.
            UnwritableFile: An output cannot be made; nothing of it is left.
            CodecUnavailable: A library is not installed.
            FactError: The dump is ELF, and nothing tells its page size.
        """
        from vmemmap.filter.wanted import Wanted

        if isinstance(level, str):
            raise TypeError(f"expected a dump level as an integer, or several; found {level!r}")
        paths, stream = outputs_of(out)
        wanted = Wanted(
            paths,
            stream,
            tuple(level) if isinstance(level, Sequence) else (level,),
            codec or self.source.codec or "none",
            form,
            flattened,
            member,
            max_bytes,
            threads or os.cpu_count() or 1,
            drop_struct_pages,
            verify,
        )
        return self._dump.filter.run(wanted)

    def filter_estimate(
        self,
        level: int = 31,
        codec: str = "zstd",
        *,
        form: str = "kdump",
        drop_struct_pages: bool = False,
    ) -> Estimate:
        """Tell how large `filter` would make the dump, by compressing a sample of its pages.

        Args:
            level: A dump level, 0 to 31.
            codec: zstd, zlib, lzo, snappy or none; without meaning for ELF.
            form: ``kdump``, or ``elf``.
            drop_struct_pages: As for `filter`.

        Raises:
            ValueError: There is no such level, codec or form.
            CodecUnavailable: A library is not installed.
            FactError: The dump is ELF, and nothing tells its page size.
        """
        return self._dump.filter.estimate(
            level, codec, form=form, drop_struct_pages=drop_struct_pages
        )

    def kept(self, level: int = 31) -> Iterator[PageRun]:
        """Tell what a dump level leaves of the dump's memory, by rising pfns.

        Pages full of zeros, which odd levels leave out by their content, are not looked for.

        Args:
            level: A dump level, 0 to 31.

        Yields:
            Runs of pages with one fate; together they are all of the dump's memory.

        Raises:
            ValueError: There is no such level.
            FactError: The dump is ELF, and nothing tells its page size.
        """
        return self._dump.filter.runs(level)

    # Symbols and the log.

    @property
    def symbols(self) -> SymbolTable:
        """The kernel's symbols, without those of modules.

        From the vmlinux that the user named, else from the kernel's own tables in the dump.

        Raises:
            FactMissing: VMCOREINFO does not say where the tables are, or they are not in the dump.
            FactInvalid: The tables are damaged.
            FactConflict: The vmlinux is of another kernel.
        """
        return self._dump.symbols.table

    def symbol(self, name: str) -> Symbol:
        """Give the kernel's symbol of this name.

        Raises:
            UnknownSymbol: There is none; carries similar names.
            FactConflict: There are several; ``symbols.find_all`` has them.
            FactError: There is no symbol table, as for `symbols`.
        """
        return self._layers.symbols.find(name)

    def symbolize(self, virt: int) -> SymbolHit | None:
        """Name a kernel virtual address: its symbol and the offset in it.

        Returns:
            None for an address outside the kernel's image: modules and data have no names here.

        Raises:
            FactError: There is no symbol table, as for `symbols`.
        """
        virt = index(virt)
        inside = may_be_in_image(virt, self.kernel.vmcoreinfo)
        return self._layers.symbols.at(virt) if inside else None

    def dmesg(self) -> KernelLog:
        """Give the kernel's log, oldest record first; it is read when it is iterated.

        What is damaged in it is in its ``findings`` afterwards.

        Raises:
            FactMissing: VMCOREINFO does not say where the log is.
        """
        return self._dump.log()
