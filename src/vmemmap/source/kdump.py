"""Pages of kdump-compressed files: found by their rank in the bitmap, decoded, many at once.

Opening reads the headers only; bitmaps and descriptors stay in the mapped file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.errors import NotInDump, PageExcluded, PageLost, ReadError, Truncated
from vmemmap.formats import kdump as layout
from vmemmap.formats.machines import machine_of_uname
from vmemmap.intervals import Intervals, intersect
from vmemmap.source.base import PHYS_END, Located, PageHeads, PhysicalSource, StoredForms
from vmemmap.source.file_view import ByteView, FileView
from vmemmap.source.kdump_descriptors import Descriptors
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.kdump_losses import find_losses
from vmemmap.source.kdump_pages import PageDecoder
from vmemmap.source.losses import Loss, tell_of
from vmemmap.source.other_machines import check_machine
from vmemmap.source.page_cache import PageCache
from vmemmap.source.traffic import Traffic

if TYPE_CHECKING:
    from vmemmap.source.kdump_batches import BatchDecoder

RANGES_LIMIT = 65536
BULK_BYTES_MIN = 256 << 10
"""From this size on a read is decoded by several threads."""
BATCH_BYTES = 64 << 20


class KdumpSource(PhysicalSource):
    """A kdump-compressed dump, header versions 0 to 6, any codec.

    Args:
        view: The file's bytes; closed with this source.

    Raises:
        CorruptDump: Headers that contradict themselves or the file.
        UnsupportedDump: It is of another machine.
    """

    format = "kdump"
    block_size: int

    def __init__(self, view: ByteView) -> None:
        self.file = file = KdumpFile(view)
        self._view = view
        self.path = view.path
        self.warnings = file.warnings
        self.container_byte_order = file.main.order
        self.block_size = file.main.block_size
        self.machine = file.main.machine
        self.release = file.main.release
        self.codec = next(
            (name for flag, name in layout.CODEC_OF_FLAG.items() if file.main.status & flag), None
        )
        self.header_version = file.main.header_version
        self.utsname = bytes(view.view(*layout.UTSNAME))
        self.dump_level = self._checked_level(file.sub.dump_level)
        self.notes = file.notes
        self.vmcoreinfo = file.vmcoreinfo
        machine = machine_of_uname(file.main.machine)
        found_in = f"the header's machine, {file.main.machine!r},"
        if (warning := check_machine(machine, found_in, self.vmcoreinfo)) is not None:
            self.warnings.append(warning)
        self._shift = self.block_size.bit_length() - 1
        self._first_pfn, self._end_pfn = file.pfn_range
        self._descriptors = Descriptors(file)
        self._pages = PageDecoder(file)
        self._cache = PageCache()
        self._losses: tuple[Loss, ...] | None = None
        self._closed = False

    def _checked_level(self, level: int | None) -> int | None:
        """Give the header's dump level, or None for one that there is not."""
        if level is None or 0 <= level <= layout.DUMP_LEVEL_MAX:
            return level
        self.warnings.append(
            f"the header says dump level {level}; expected 0 to {layout.DUMP_LEVEL_MAX}: which "
            "kinds of pages were left out is unknown"
        )
        return None

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*; see `PhysicalSource.read`."""
        if size <= 0:
            return b""
        into = address & (self.block_size - 1)
        if size <= self.block_size - into:
            return self._page(address >> self._shift, address)[into : into + size]
        if size >= BULK_BYTES_MIN:
            # In batches, so that memory is taken only for what turns out to be there.
            batches: list[memoryview] = []
            while size > 0:
                out = np.empty(min(size, BATCH_BYTES), dtype=np.uint8)
                self.read_into(address, out)
                batches.append(out.data)
                address += len(out)
                size -= len(out)
            return b"".join(batches)
        parts: list[bytes] = []
        while size > 0:
            into = address & (self.block_size - 1)
            parts.append(self._page(address >> self._shift, address)[into : into + size])
            address += len(parts[-1])
            size -= len(parts[-1])
        return b"".join(parts)

    def read_into(self, address: int, out: NDArray[np.uint8]) -> None:
        """Fill *out* from physical *address* on, decoding on all processors."""
        if self._closed:
            raise ValueError("the dump is closed")
        view = out.data
        done = 0
        while done < len(view):
            into = (address + done) & (self.block_size - 1)
            part = view[done : done + BATCH_BYTES - into]
            self._read_batch(address + done, part)
            done += len(part)

    def locate(self, runs: NDArray[np.int64]) -> Located:
        """Decode many stretches of memory, on all processors; see `PhysicalSource.locate`."""
        if self._closed:
            raise ValueError("the dump is closed")
        if not len(runs):
            return super().locate(runs)
        return self._batches.locate(runs)

    def is_ram(self, address: int) -> bool:
        """Tell whether the first bitmap has the page of physical *address*."""
        return self.file.ram.test(address >> self._shift)

    def is_present(self, address: int) -> bool:
        """Tell whether the second bitmap has the page of physical *address*."""
        pfn = address >> self._shift
        return self._first_pfn <= pfn < self._end_pfn and self.file.stored.test(pfn)

    def is_stored(self, address: int) -> bool:
        """Tell whether the file has the page's descriptor and data too."""
        if not self.is_present(address):
            return False
        try:
            offset, size, _ = self._descriptors.of(address >> self._shift, address)
        except Truncated:
            return False
        return offset != 0 and self._view.holds(offset, size)

    def file_offset(self, address: int) -> int | None:
        """Give where the file has the compressed page; see `PhysicalSource.file_offset`."""
        if not self.is_stored(address) or not self._view.contiguous:
            return None
        return self._descriptors.of(address >> self._shift, address)[0]

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes are stored; see `PhysicalSource.present_many`."""
        pfns = addresses >> np.uint64(self._shift)
        here = (pfns >= np.uint64(self._first_pfn)) & (pfns < np.uint64(self._end_pfn))
        here[here] = self.file.stored.test_many(pfns[here])
        return here

    def present_runs(self, start: int, end: int) -> Intervals:
        """Give what the second bitmap has of memory; see `PhysicalSource.present_runs`."""
        first, last = start >> self._shift, -(-end >> self._shift)
        pages = self.file.stored.within(max(first, self._first_pfn), min(last, self._end_pfn))
        return intersect(pages << self._shift, np.array([[start, end]], dtype=np.int64))

    def stored_forms(self, pfns: NDArray[np.int64]) -> StoredForms | None:
        """Give pages as the file has them; see `PhysicalSource.stored_forms`."""
        found, there = self._descriptors.of_many(pfns)
        offset, size, flags = (found[name].astype(np.int64) for name in ("offset", "size", "flags"))
        sound = there & self._descriptors.point_at_data(found) & self._pages.knows(found["flags"])
        sound &= (flags != 0) | (size == self.block_size)
        status = self.file.main.status
        if isinstance(self._view, FileView):
            data, file = self._view.view(0, self._view.size), self._view.open_file
            return StoredForms(data, offset, size, flags, sound, status, file)
        from vmemmap.source.stored_pages import gather

        data, offset, sound = gather(self._view, offset, size, sound)
        return StoredForms(data, offset, size, flags, sound, status)

    def stored_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes the file has; see `PhysicalSource.stored_many`.

        A whole file has what its bitmap says; of one that is cut off the descriptors are asked.
        """
        there = self.present_many(addresses)
        if not there.any() or not self.is_incomplete():
            return there
        wanted = addresses[there] >> np.uint64(self._shift)
        pfns = distinct(wanted)
        at = np.searchsorted(pfns, wanted)
        runs = np.split(pfns, np.flatnonzero(np.diff(pfns) != 1) + 1)
        there[there] = np.concatenate([self._kept(int(run[0]), len(run)) for run in runs])[at]
        return there

    def _kept(self, first: int, count: int) -> NDArray[np.bool_]:
        """Tell of pages in a row, all in the bitmap, which the file has."""
        kept = self._descriptors.kept(first, count)
        if kept is not None:
            return kept
        pages = range(first, first + count)
        return np.array([self.is_stored(pfn << self._shift) for pfn in pages], dtype=np.bool_)

    def heads(self, unit_bytes: int, head_bytes: int, until: int = PHYS_END) -> Iterator[PageHeads]:
        """Look at the beginning of every stored page; see `PhysicalSource.heads`."""
        from vmemmap.source.kdump_heads import walk_heads

        return walk_heads(self.file, self._descriptors, self._pages, unit_bytes, head_bytes, until)

    def ranges(self) -> NDArray[np.uint64]:
        """Give the ranges of the first bitmap; see `PhysicalSource.ranges`."""
        runs, cut = self.file.ram_as_told.runs(RANGES_LIMIT)
        if cut:
            self._warn(f"only the first {RANGES_LIMIT} memory ranges are shown")
        return runs << np.uint64(self._shift)

    def ranges_cost(self) -> int:
        """Tell what fetching the first bitmap takes; see `PhysicalSource.ranges_cost`."""
        return self.file.ram_as_told.runs_cost(RANGES_LIMIT)

    def memory_end(self) -> int:
        """Give the end of the last page of RAM; see `PhysicalSource.memory_end`."""
        return self.file.ram_as_told.last_end() << self._shift

    def stored_bytes(self) -> int:
        """Tell how much memory has a descriptor; see `PhysicalSource.stored_bytes`."""
        return self.file.descriptors << self._shift

    def losses(self, *, everywhere: bool = False) -> tuple[Loss, ...]:
        """Tell what the file lacks of its pages; see `PhysicalSource.losses`."""
        if self._losses is None or everywhere:
            self._losses = find_losses(self.file, everywhere=everywhere)
            tell_of(self._losses, self.warnings)
        return self._losses

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    @property
    def traffic(self) -> Traffic | None:
        """What reading cost; see `PhysicalSource.traffic`."""
        return self._view.traffic

    def trim(self) -> None:
        """Unmap what was read; see `PhysicalSource.trim`."""
        self._view.trim()

    def expect_scattered(self, scattered: bool) -> None:
        """Say how it will be read; see `PhysicalSource.expect_scattered`."""
        self._view.expect_scattered(scattered)

    def close(self) -> None:
        """Release the file."""
        if self._closed:
            return
        self._closed = True
        if "_batches" in self.__dict__:
            self._batches.close()
        self._cache = PageCache(0)
        self.file.close()

    def _page(self, pfn: int, phys: int) -> bytes:
        """Give the decoded page *pfn*; *phys* is the address to blame."""
        if self._closed:
            raise ValueError("the dump is closed")
        if not self.is_present(pfn << self._shift):
            raise self._absent(pfn, phys)
        # Damaged descriptors may share an offset with a sound one, but not size and flags as well.
        key = self._descriptors.of(pfn, phys)
        page = self._cache.get(key)
        if page is None:
            page = self._pages.decode(phys, *key)
            self._cache.put(key, page)
        return page

    def _read_batch(self, address: int, out: memoryview) -> None:
        """Decode the pages behind *out*, several threads at a time, straight to their places."""
        batch = self._batches.fill(address, out)
        first = address >> self._shift
        count = ((address + len(out) - 1) >> self._shift) - first + 1
        for row in range(len(batch.pfns), count):
            # Not plainly there: page by page, which gives it or says why not.
            pfn = first + row
            batch.put(row, self._page(pfn, max(address, pfn << self._shift)))

    @cached_property
    def _batches(self) -> BatchDecoder:
        from vmemmap.source.kdump_batches import BatchDecoder

        return BatchDecoder(self.file, self._descriptors, self._pages)

    def _absent(self, pfn: int, phys: int) -> ReadError:
        if self.file.stored.test(pfn):
            return PageLost(
                f"physical address {phys:#x} is in another member of this split dump", phys=phys
            )
        if self.file.ram.test(pfn):
            return PageExcluded(
                f"physical address {phys:#x} was excluded from this dump when it was written "
                f"(dump level {'unknown' if self.dump_level is None else self.dump_level})",
                phys=phys,
            )
        return NotInDump(
            f"physical address {phys:#x} is not in the dump: no memory there", phys=phys
        )
