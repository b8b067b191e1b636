"""Pages of kdump-compressed files: found by their rank in the bitmap, decoded, many at once.

Opening reads the headers only; bitmaps and descriptors stay in the mapped file.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.errors import (
    CorruptPage,
    NotInDump,
    PageExcluded,
    PageLost,
    ReadError,
    Truncated,
)
from vmemmap.formats import kdump as layout
from vmemmap.source.base import PageHeads, PhysicalSource
from vmemmap.source.codecs import decoder, zlib_head
from vmemmap.source.file_view import ByteView
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.page_cache import PageCache

RANGES_LIMIT = 65536
TAIL_DESCRIPTORS = 16384
BULK_BYTES_MIN = 256 << 10
"""From this size on a read is decoded by several threads."""
BATCH_BYTES = 16 << 20


class KdumpSource(PhysicalSource):
    """A kdump-compressed dump, header versions 0 to 6, any codec.

    Args:
        view: The file's bytes; closed with this source.

    Raises:
        CorruptDump: Headers that contradict themselves or the file.
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
        self.dump_level = file.sub.dump_level
        self.notes = file.notes
        self.vmcoreinfo = file.vmcoreinfo
        self._shift = self.block_size.bit_length() - 1
        self._first_pfn, self._end_pfn = file.pfn_range
        self._descriptor = layout.descriptor_struct(file.main.order)
        self._cache = PageCache()

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*; see `PhysicalSource.read`."""
        into = address & (self.block_size - 1)
        if size <= self.block_size - into:
            return self._page(address >> self._shift, address)[into : into + size]
        out: list[bytes | memoryview] = []
        while size > 0:
            into = address & (self.block_size - 1)
            if size >= BULK_BYTES_MIN:
                length = min(size, BATCH_BYTES - into)
                part: bytes | memoryview = self._read_batch(address, length)
            else:
                part = self._page(address >> self._shift, address)[into : into + size]
            out.append(part)
            address += len(part)
            size -= len(part)
        return b"".join(out)

    def is_ram(self, address: int) -> bool:
        """Tell whether the first bitmap has the page of physical *address*."""
        return self.file.ram.test(address >> self._shift)

    def is_present(self, address: int) -> bool:
        """Tell whether the file has the page of physical *address*."""
        pfn = address >> self._shift
        return self._first_pfn <= pfn < self._end_pfn and self.file.stored.test(pfn)

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes are stored; see `PhysicalSource.present_many`."""
        pfns = addresses >> np.uint64(self._shift)
        here = (pfns >= np.uint64(self._first_pfn)) & (pfns < np.uint64(self._end_pfn))
        return self.file.stored.test_many(pfns) & here

    def heads(self, unit_bytes: int, head_bytes: int) -> Iterator[PageHeads]:
        """Look at the beginning of every stored page; see `PhysicalSource.heads`.

        With units as large as the file's pages only the first bytes of each are decoded.
        """
        seen: set[int] = set()
        block = self.block_size
        whole = unit_bytes < block
        limit = max(self._end_pfn, 1)
        for start, pfns in self.file.stored.set_bits(self._first_pfn, self._end_pfn):
            addresses: list[int] = []
            parts: list[bytes] = []
            for pfn in pfns.tolist():
                at = self.file.descriptor_at(pfn)
                raw = self._view.view(at, layout.DESCRIPTOR_BYTES)
                if len(raw) < layout.DESCRIPTOR_BYTES:
                    break
                offset, size, flags, _ = self._descriptor.unpack(raw)
                if offset in seen:
                    continue
                seen.add(offset)
                phys = pfn << self._shift
                if phys % unit_bytes and not whole:
                    continue
                try:
                    page = self._head(phys, offset, size, flags, block if whole else head_bytes)
                except ReadError:
                    continue
                for into in range(0, block if whole else 1, unit_bytes):
                    addresses.append(phys + into)
                    parts.append(page[into : into + head_bytes])
            if parts:
                data = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, head_bytes)
                yield PageHeads(np.array(addresses, dtype=np.uint64), data, start / limit)

    def ranges(self) -> NDArray[np.uint64]:
        """Give the ranges of the first bitmap; see `PhysicalSource.ranges`."""
        runs, cut = self.file.ram.runs(RANGES_LIMIT)
        if cut:
            self.warnings.append(f"only the first {RANGES_LIMIT} memory ranges are shown")
        return runs << np.uint64(self._shift)

    def is_incomplete(self) -> bool:
        """Tell whether the header says so, or the data is cut off.

        Looks at the last descriptors only: writers append page data in the order of pfns.
        """
        if self.file.marked_incomplete:
            return True
        count = self.file.stored.rank(self._end_pfn) - self.file.rank_before
        end = self.file.descriptors_at + count * layout.DESCRIPTOR_BYTES
        tail = min(count, TAIL_DESCRIPTORS) * layout.DESCRIPTOR_BYTES
        if not self._view.holds(end - tail, tail):
            return True
        last = self._descriptor.iter_unpack(self._view.view(end - tail, tail))
        return any(offset + size > self._view.size for offset, size, _, _ in last)

    def close(self) -> None:
        """Release the file."""
        if "_threads" in self.__dict__:
            self._threads.shutdown()
        del self.file, self._view
        self._cache = PageCache(0)

    def _page(self, pfn: int, phys: int) -> bytes:
        """Give the decoded page *pfn*; *phys* is the address to blame."""
        if not self._first_pfn <= pfn < self._end_pfn or not self.file.stored.test(pfn):
            raise self._absent(pfn, phys)
        at = self.file.descriptor_at(pfn)
        if not self._view.holds(at, layout.DESCRIPTOR_BYTES):
            raise self._cut_off(phys, f"the page's descriptor should be at {at:#x}")
        offset, size, flags, _ = self._descriptor.unpack(
            self._view.view(at, layout.DESCRIPTOR_BYTES)
        )
        page = self._cache.get(offset)
        if page is None:
            page = self._decode(phys, offset, size, flags)
            self._cache.put(offset, page)
        return page

    def _read_batch(self, address: int, size: int) -> bytes | memoryview:
        """Read many pages at once, decoded by several threads; the odd case goes page by page."""
        first = address >> self._shift
        count = ((address + size - 1) >> self._shift) - first + 1
        found = self._descriptors_of(first, count)
        if found is None:
            return self._page(first, address)[address & (self.block_size - 1) :][:size]
        out = bytearray(count * self.block_size)
        workers = self._workers
        borders = [count * i // workers for i in range(workers + 1)]
        jobs = [
            self._threads.submit(self._decode_into, out, first, found, start, end)
            for start, end in itertools.pairwise(borders)
            if start < end
        ]
        errors = [job.exception() for job in jobs]
        for error in errors:  # in the order of addresses, so the first is the first byte's
            if error is not None:
                raise error
        into = address & (self.block_size - 1)
        return memoryview(out)[into : into + size]

    def _descriptors_of(self, first: int, count: int) -> NDArray[np.void] | None:
        """Give the descriptors of pages in a row, or None if one of them is not plainly there."""
        pfns = np.arange(first, first + count, dtype=np.uint64)
        inside = self._first_pfn <= first and first + count <= self._end_pfn
        if not inside or not self.file.stored.test_many(pfns).all():
            return None
        at = self.file.descriptor_at(first)
        if not self._view.holds(at, count * layout.DESCRIPTOR_BYTES):
            return None
        return np.frombuffer(
            self._view.view(at, count * layout.DESCRIPTOR_BYTES), dtype=self._descriptor_dtype
        )

    def _decode_into(
        self, out: bytearray, first: int, found: NDArray[np.void], start: int, end: int
    ) -> None:
        """Decode the pages from *start* to *end* of a batch; runs in a thread of its own."""
        block = self.block_size
        rows = zip(
            found["offset"][start:end].tolist(),
            found["size"][start:end].tolist(),
            found["flags"][start:end].tolist(),
            strict=True,
        )
        before, page = -1, b""
        for i, (offset, size, flags) in enumerate(rows, start):
            if offset != before:
                page = self._decode((first + i) << self._shift, offset, size, flags)
                before = offset
            out[i * block : (i + 1) * block] = page

    def _decode(self, phys: int, offset: int, size: int, flags: int) -> bytes:
        if offset == 0:
            raise PageLost(
                f"physical address {phys:#x} is lost: the dump's writer had no space left for it",
                phys=phys,
            )
        where = f"cannot decode the page of physical address {phys:#x} (file offset {offset:#x}): "
        if offset < self.file.descriptors_at:
            raise CorruptPage(where + "its offset lies inside the headers", phys=phys)
        if not 1 <= size <= self.block_size:
            raise CorruptPage(
                where + f"expected 1 to {self.block_size} bytes, the descriptor says {size}",
                phys=phys,
            )
        if not self._view.holds(offset, size):
            raise self._cut_off(phys, f"the page should be at {offset:#x}")
        data = self._view.view(offset, size)
        if flags == 0:
            if size != self.block_size:
                raise CorruptPage(
                    where + f"a raw page has {self.block_size} bytes, this one {size}", phys=phys
                )
            return bytes(data)
        codec = layout.CODEC_OF_FLAG.get(flags)
        if codec is None:
            raise CorruptPage(
                where + f"expected the flag of one codec (1, 2, 4 or 32), found {flags:#x}",
                phys=phys,
            )
        try:
            return decoder(codec)(data, self.block_size)
        except ValueError as error:
            raise CorruptPage(where + str(error), phys=phys) from error

    def _head(self, phys: int, offset: int, size: int, flags: int, length: int) -> bytes:
        """Decode the first *length* bytes of a page."""
        if (
            flags == layout.FLAG_ZLIB
            and length < self.block_size
            and self._view.holds(offset, size)
        ):
            try:
                return zlib_head(self._view.view(offset, size), length)
            except ValueError as error:
                raise CorruptPage(str(error), phys=phys) from error
        return self._decode(phys, offset, size, flags)[:length]

    def _absent(self, pfn: int, phys: int) -> ReadError:
        if self.file.stored.test(pfn):
            return PageLost(
                f"physical address {phys:#x} is in another member of this split dump", phys=phys
            )
        if self.file.ram.test(pfn):
            return PageExcluded(
                f"physical address {phys:#x} was excluded from this dump when it was written "
                f"(dump level {self.dump_level})",
                phys=phys,
            )
        return NotInDump(
            f"physical address {phys:#x} is not in the dump: no memory there", phys=phys
        )

    def _cut_off(self, phys: int, what: str) -> Truncated:
        return Truncated(
            f"physical address {phys:#x} cannot be read: {what}, but the file ends at "
            f"{self._view.size:#x}: the dump is cut off, copy it again",
            phys=phys,
        )

    @cached_property
    def _descriptor_dtype(self) -> np.dtype[np.void]:
        word = numpy_prefix(self.container_byte_order)
        return np.dtype(
            [("offset", word + "u8"), ("size", word + "u4"), ("flags", word + "u4"), ("", "u8")]
        )

    @cached_property
    def _workers(self) -> int:
        return min(os.cpu_count() or 1, 16)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="vmemmap-decode")
