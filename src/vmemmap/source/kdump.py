"""Pages of kdump-compressed files: found by their rank in the bitmap, decoded, many at once.

Opening reads the headers only; bitmaps and descriptors stay in the mapped file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.errors import (
    CodecUnavailable,
    CorruptPage,
    NotInDump,
    PageExcluded,
    PageLost,
    ReadError,
    Truncated,
)
from vmemmap.formats import kdump as layout
from vmemmap.formats.machines import machine_of_uname
from vmemmap.intervals import Intervals, intersect
from vmemmap.source.base import PHYS_END, Located, PageHeads, PhysicalSource, StoredForms
from vmemmap.source.codecs import (
    IntoDecoder,
    PagesDecoder,
    decoder,
    decoder_into,
    pages_decoder,
    zlib_head,
)
from vmemmap.source.file_view import ByteView, FileView
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.kdump_losses import find_losses
from vmemmap.source.losses import Loss, tell_of
from vmemmap.source.other_machines import check_machine
from vmemmap.source.overlaps import cut_at
from vmemmap.source.page_cache import PageCache, PageKey
from vmemmap.source.stored_pages import gather
from vmemmap.source.traffic import Traffic

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

RANGES_LIMIT = 65536
BULK_BYTES_MIN = 256 << 10
"""From this size on a read is decoded by several threads."""
BATCH_BYTES = 64 << 20
HEADS_AT_A_TIME = 512
SHARED_MAX = 1024
TASK_BYTES = 2 << 20
"""How much one thread decodes before it asks for more."""
FETCHED_BYTES = 8 << 20
"""Of a far file, how much is fetched at a time, to be decoded then."""

Part = tuple[int, int]
"""Some rows of a batch: the first, and the one after the last."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Pages that are decoded together, to places one behind the other.

    Attributes:
        out: Where their bytes go.
        page_bytes: Size of a page.
        pfns: Their pfns.
        skip: How far into the first page *out* begins.
        found: Their descriptors.
        plain: Which descriptors are known to be sound.
    """

    out: memoryview
    page_bytes: int
    pfns: NDArray[np.int64]
    skip: int
    found: NDArray[np.void]
    plain: NDArray[np.bool_]

    def put(self, row: int, page: bytes) -> None:
        """Copy a page to its place in *out*, or the part of it that is wanted there."""
        at = row * self.page_bytes - self.skip
        part = page[max(-at, 0) : len(self.out) - at]
        self.out[max(at, 0) : max(at, 0) + len(part)] = part


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
        self.dump_level = file.sub.dump_level
        self.notes = file.notes
        self.vmcoreinfo = file.vmcoreinfo
        machine = machine_of_uname(file.main.machine)
        found_in = f"the header's machine, {file.main.machine!r},"
        if (warning := check_machine(machine, found_in, self.vmcoreinfo)) is not None:
            self.warnings.append(warning)
        self._shift = self.block_size.bit_length() - 1
        self._first_pfn, self._end_pfn = file.pfn_range
        self._descriptor = layout.descriptor_struct(file.main.order)
        self._descriptors = layout.descriptor_dtype(file.main.order)
        self._cache = PageCache()
        self._codecs: dict[int, IntoDecoder] = {}  # by flag, of the pages met so far
        self._losses: tuple[Loss, ...] | None = None
        self._closed = False

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
        size = self.block_size
        if not len(runs):
            return super().locate(runs)
        first, last = runs[:, 1] // size, (runs[:, 1] + runs[:, 2] - 1) // size
        ranges = zip(first.tolist(), last.tolist(), strict=True)
        borders = np.sort(np.concatenate([np.arange(low, high + 1) for low, high in ranges]))
        borders = borders[np.r_[True, borders[1:] != borders[:-1]]]
        pieces = cut_at(runs, borders * size)  # one for each page of the file
        pfns = pieces[:, 1] // size
        found, there = self._descriptors_of_many(pfns)
        pieces, pfns, found = pieces[there], pfns[there], found[there]
        out = np.empty(len(pfns) * size, dtype=np.uint8)
        batch = _Batch(out.data, size, pfns, 0, found, self._are_plain(found))
        good = np.ones(len(pfns), dtype=np.bool_)
        for start, end, error in self._decode_all(batch):
            for row in range(start, end) if error is not None else ():
                try:
                    self._decode_into(batch, row, row + 1)
                except ReadError:
                    good[row] = False
        offset = np.arange(len(pfns)) * size + pieces[:, 1] % size
        return Located(out.data, np.column_stack([pieces[:, 0], pieces[:, 2], offset])[good])

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
            offset, size, _ = self._descriptor_of(address >> self._shift, address)
        except Truncated:
            return False
        return offset != 0 and self._view.holds(offset, size)

    def file_offset(self, address: int) -> int | None:
        """Give where the file has the compressed page; see `PhysicalSource.file_offset`."""
        if not self.is_stored(address) or not self._view.contiguous:
            return None
        return self._descriptor_of(address >> self._shift, address)[0]

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
        found, there = self._descriptors_of_many(pfns)
        offset, size, flags = (found[name].astype(np.int64) for name in ("offset", "size", "flags"))
        sound = there & self._look_sound(found) & ((flags != 0) | (size == self.block_size))
        status = self.file.main.status
        if isinstance(self._view, FileView):
            data, file = self._view.view(0, self._view.size), self._view.open_file
            return StoredForms(data, offset, size, flags, sound, status, file)
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
        found = self._descriptors_of(first, count)
        if len(found) < count or self._view.truncated:  # cut off in the middle, or with holes
            pages = range(first, first + count)
            return np.array([self.is_stored(pfn << self._shift) for pfn in pages], dtype=np.bool_)
        offset, size = found["offset"], found["size"].astype(np.uint64)
        room = np.uint64(self._view.size)
        return np.asarray(
            (offset != 0) & (size <= room) & (offset <= room - np.minimum(size, room))
        )

    def heads(self, unit_bytes: int, head_bytes: int, until: int = PHYS_END) -> Iterator[PageHeads]:
        """Look at the beginning of every stored page; see `PhysicalSource.heads`.

        With units as large as the file's pages only the first bytes of each are decoded.
        """
        shared: set[int] = set()  # pages in the file that several have: the zero page, mostly
        end_pfn = min(self._end_pfn, until >> self._shift)
        limit = max(end_pfn, 1)
        for start, batch in self.file.stored.set_bits(self._first_pfn, end_pfn):
            for first in range(0, len(batch), HEADS_AT_A_TIME):
                pfns = batch[first : first + HEADS_AT_A_TIME]
                at = self.file.descriptor_at(int(pfns[0]))
                table = self._view.view(at, len(pfns) * layout.DESCRIPTOR_BYTES)
                table = table[: len(table) // layout.DESCRIPTOR_BYTES * layout.DESCRIPTOR_BYTES]
                found = np.frombuffer(table, dtype=self._descriptors)
                # Offset, size and flags in one word: a damaged one must not hide a sound one.
                size, flags = (found[name].astype(np.uint64) for name in ("size", "flags"))
                key = found["offset"] ^ size << np.uint64(44) ^ flags << np.uint64(61)
                _, once, times = np.unique(key, return_index=True, return_counts=True)
                new = [i for i in once.tolist() if int(key[i]) not in shared]
                shared.update(key[once[times > 1]].tolist()[:SHARED_MAX])
                if self._view.far:
                    self._prefetch(found[new])
                rows = zip(pfns[new].tolist(), found[new].tolist(), strict=True)
                yield self._heads_of(rows, unit_bytes, head_bytes, start / limit)
                if len(found) < len(pfns):
                    return  # the file ends inside the descriptors

    def _heads_of(
        self,
        rows: Iterable[tuple[int, tuple[int, int, int, int]]],
        unit_bytes: int,
        head_bytes: int,
        done: float,
    ) -> PageHeads:
        """Decode the beginnings of some pages, given as pfn and descriptor."""
        whole = unit_bytes < self.block_size
        addresses: list[int] = []
        parts: list[bytes] = []
        for pfn, (offset, size, flags, _) in rows:
            phys = pfn << self._shift
            if phys % unit_bytes and not whole:
                continue
            try:
                length = self.block_size if whole else head_bytes
                page = self._head(phys, offset, size, flags, length)
            except ReadError:
                continue
            for into in range(0, len(page), unit_bytes):
                addresses.append(phys + into)
                parts.append(page[into : into + head_bytes])
        data = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, head_bytes)
        return PageHeads(np.array(addresses, dtype=np.uint64), data, done)

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
        if "_threads" in self.__dict__:
            self._threads.shutdown()
        self._cache = PageCache(0)
        self.file.close()

    def _page(self, pfn: int, phys: int) -> bytes:
        """Give the decoded page *pfn*; *phys* is the address to blame."""
        if self._closed:
            raise ValueError("the dump is closed")
        if not self.is_present(pfn << self._shift):
            raise self._absent(pfn, phys)
        # Damaged descriptors may share an offset with a sound one, but not size and flags as well.
        key = self._descriptor_of(pfn, phys)
        page = self._cache.get(key)
        if page is None:
            page = self._decode(phys, *key)
            self._cache.put(key, page)
        return page

    def _descriptor_of(self, pfn: int, phys: int) -> PageKey:
        """Give file offset, size and flags of a page that the bitmap has; *phys* is to blame."""
        at = self.file.descriptor_at(pfn)
        if not self._view.holds(at, layout.DESCRIPTOR_BYTES):
            raise self._cut_off(phys, f"the page's descriptor should be at {at:#x}")
        raw = self._view.view(at, layout.DESCRIPTOR_BYTES)
        offset, size, flags, _ = self._descriptor.unpack(raw)
        return offset, size, flags

    def _read_batch(self, address: int, out: memoryview) -> None:
        """Decode the pages behind *out*, several threads at a time, straight to their places."""
        first = address >> self._shift
        count = ((address + len(out) - 1) >> self._shift) - first + 1
        found = self._descriptors_of(first, count)
        skip = address & (self.block_size - 1)
        pfns = np.arange(first, first + len(found))
        batch = _Batch(out, self.block_size, pfns, skip, found, self._are_plain(found))
        for _, _, error in self._decode_all(batch):
            if error is not None:  # in the order of addresses, so the first is the first byte's
                raise error
        for pfn in range(first + len(found), first + count):
            # Not plainly there: page by page, which gives it or says why not.
            batch.put(pfn - first, self._page(pfn, max(address, pfn << self._shift)))

    def _decode_all(self, batch: _Batch) -> list[tuple[int, int, Exception | None]]:
        """Decode the pages of a batch on all processors; say of each part how that went."""
        step, count = max(1, TASK_BYTES >> self._shift), len(batch.found)
        parts = [(start, min(start + step, count)) for start in range(0, count, step)]
        if self._view.far:
            return [
                done
                for few in self._fetched(parts, batch)
                for done in self._decode_parts(few, batch)
            ]
        return self._decode_parts(parts, batch)

    def _fetched(self, parts: list[Part], batch: _Batch) -> Iterator[list[Part]]:
        """Yield parts of a batch a few at a time, when what their pages are made of was fetched."""
        size = np.minimum(batch.found["size"].astype(np.int64), self.block_size)
        few: list[Part] = []
        for part in parts:
            few.append(part)
            some = slice(few[0][0], part[1])
            if part is parts[-1] or int(size[some].sum()) >= FETCHED_BYTES:
                self._prefetch(batch.found[some])
                yield few
                few = []

    def _prefetch(self, found: NDArray[np.void]) -> None:
        """Have what some pages are made of fetched together."""
        offset, size = (found[name].astype(np.int64) for name in ("offset", "size"))
        order = np.argsort(offset, kind="stable")
        self._view.prefetch(offset[order], np.minimum(size, self.block_size)[order])

    def _decode_parts(
        self, parts: list[Part], batch: _Batch
    ) -> list[tuple[int, int, Exception | None]]:
        if len(parts) <= 1:
            return [(*part, self._failure(batch, *part)) for part in parts]
        jobs = [self._threads.submit(self._failure, batch, *part) for part in parts]
        return [(*part, job.result()) for part, job in zip(parts, jobs, strict=True)]

    def _failure(self, batch: _Batch, start: int, end: int) -> Exception | None:
        """Decode some pages of a batch, and give what went wrong."""
        try:
            self._decode_into(batch, start, end)
        except Exception as error:
            return error
        return None

    def _are_plain(self, found: NDArray[np.void]) -> NDArray[np.bool_]:
        """Tell which descriptors are sound, so that their pages need no further check."""
        if not self._view.contiguous:
            # What lies between the records of a flattened dump may be missing.
            return np.zeros(len(found), dtype=np.bool_)
        return self._look_sound(found)

    def _look_sound(self, found: NDArray[np.void]) -> NDArray[np.bool_]:
        """Tell which descriptors are of pages that the file has, in a codec that is here."""
        offset, size, flags = (found[name] for name in ("offset", "size", "flags"))
        end = offset + size
        plain = (offset >= self.file.descriptors_end) & (end <= self._view.size) & (end > offset)
        plain &= size <= self.block_size
        known = np.zeros(len(found), dtype=np.bool_)
        for flag in {0, *layout.CODEC_OF_FLAG}:
            of_it = flags == flag
            if of_it.any() and self._decodes(flag):
                known |= of_it
        plain &= known
        if plain.any() and not self._view.contiguous:
            rows = np.flatnonzero(plain)
            place, length = (found[name][rows].astype(np.int64) for name in ("offset", "size"))
            plain[rows] = self._view.holds_many(place, length)
        return np.asarray(plain)

    def _descriptors_of(self, first: int, count: int) -> NDArray[np.void]:
        """Give the descriptors of pages in a row, up to the first that is not stored."""
        count = max(min(count, self._end_pfn - first), 0) if first >= self._first_pfn else 0
        if count:
            pfns = np.arange(first, first + count, dtype=np.uint64)
            absent = ~self.file.stored.test_many(pfns)
            count = int(np.argmax(absent)) if absent.any() else count
        at = self.file.descriptor_at(first) if count else 0
        have = self._view.view(at, count * layout.DESCRIPTOR_BYTES)
        if not self._view.holds(at, count * layout.DESCRIPTOR_BYTES):
            have = have[:0]
        return np.frombuffer(have, dtype=self._descriptors)

    def _descriptors_of_many(
        self, pfns: NDArray[np.int64]
    ) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Give the descriptors of some pages, and which of them there are."""
        found = np.zeros(len(pfns), dtype=self._descriptors)
        there = np.zeros(len(pfns), dtype=np.bool_)
        if self._view.contiguous and self._take_descriptors(pfns, found, there):
            return found, there
        edges = np.r_[0, np.flatnonzero(np.diff(pfns) != 1) + 1, len(pfns)]
        if self._view.far and len(pfns):
            at = [self.file.descriptor_at(pfn) for pfn in pfns[edges[:-1]].tolist()]
            sizes = np.diff(edges) * layout.DESCRIPTOR_BYTES
            self._view.prefetch(np.array(at, dtype=np.int64), sizes.astype(np.int64))
        for start, end in pairwise(edges.tolist()):
            while start < end:
                here = self._descriptors_of(int(pfns[start]), end - start)
                found[start : start + len(here)] = here
                there[start : start + len(here)] = True
                start += len(here) + 1  # past the one that is not stored
        return found, there

    def _take_descriptors(
        self, pfns: NDArray[np.int64], found: NDArray[np.void], there: NDArray[np.bool_]
    ) -> bool:
        """Take the descriptors out of a table that is in one piece, if the file has all of it."""
        if self._view.far or not len(pfns):
            return False
        inside = (pfns >= self._first_pfn) & (pfns < self._end_pfn)
        stored = inside & self.file.stored.test_many(pfns.astype(np.uint64))
        wanted = pfns[stored]
        order = np.argsort(wanted, kind="stable")
        numbers = np.empty(len(wanted), dtype=np.int64)
        numbers[order] = self.file.stored.rank_many(wanted[order])
        if len(numbers):
            first, last = int(numbers.min()), int(numbers.max())
            count = last + 1 - first
            at = self.file.descriptors_at + first * layout.DESCRIPTOR_BYTES
            if first < 0 or not self._view.holds(at, count * layout.DESCRIPTOR_BYTES):
                return False  # the file is cut off, and some of them may be there
            table = self._view.view(at, count * layout.DESCRIPTOR_BYTES)
            found[stored] = np.frombuffer(table, dtype=self._descriptors)[numbers - first]
        there[stored] = True
        return True

    def _decode_into(self, batch: _Batch, start: int, end: int) -> None:
        """Decode some pages of a batch; runs in a thread of its own."""
        block, codecs, view, out = self.block_size, self._codecs, self._view.view, batch.out
        left = start + np.flatnonzero(~self._decode_together(batch, start, end))
        rows = batch.found[left]
        columns = [rows[name].tolist() for name in ("offset", "size", "flags")]
        plain = batch.plain[left].tolist()
        for i, offset, size, flag, sound in zip(left.tolist(), *columns, plain, strict=True):
            at = i * block - batch.skip
            if sound and at >= 0 and at + block <= len(out):
                try:
                    codecs[flag](view(offset, size), out[at : at + block])
                    continue
                except ValueError:
                    pass  # the careful way says what is wrong
            phys = (int(batch.pfns[i]) << self._shift) + max(-at, 0)
            batch.put(i, self._decode(phys, offset, size, flag))

    def _decode_together(self, batch: _Batch, start: int, end: int) -> NDArray[np.bool_]:
        """Decode those pages of a batch that a codec takes in one call; tell which these are."""
        done = np.zeros(end - start, dtype=np.bool_)
        if self._view.far:
            return done  # the call takes the file as one buffer
        rows, block = batch.found[start:end], self.block_size
        at = np.arange(start, end, dtype=np.int64) * block - batch.skip
        whole = batch.plain[start:end] & (at >= 0) & (at + block <= len(batch.out))
        for flag, decode in self._pages_decoders.items():
            mine = np.flatnonzero(whole & (rows["flags"] == flag))
            if not len(mine):
                continue
            places = np.empty((len(mine), 3), dtype=np.int64)
            places[:, 0], places[:, 1] = rows["offset"][mine], rows["size"][mine]
            places[:, 2] = at[mine]
            file = self._view.view(0, self._view.size)
            done[mine] = np.frombuffer(decode(file, places, block, batch.out), dtype=np.bool_)
        return done

    @cached_property
    def _pages_decoders(self) -> dict[int, PagesDecoder]:
        """Decoders of many pages in one call, by flag; made before threads use them."""
        made = {flag: pages_decoder(codec) for flag, codec in layout.CODEC_OF_FLAG.items()}
        return {flag: decode for flag, decode in made.items() if decode is not None}

    def _decodes(self, flag: int) -> bool:
        """Tell whether the codec of a flag is installed, and have its decoder for the threads."""
        if flag not in self._codecs:
            with suppress(CodecUnavailable):
                self._codecs[flag] = decoder_into(layout.CODEC_OF_FLAG.get(flag, "raw"))
        return flag in self._codecs

    def _decode(self, phys: int, offset: int, size: int, flags: int) -> bytes:
        if offset == 0:
            raise PageLost(
                f"physical address {phys:#x} is lost: {self._why_unwritten}",
                phys=phys,
            )
        try:
            if offset < self.file.descriptors_end:
                raise ValueError("its offset lies inside the headers or the descriptors")
            if not 1 <= size <= self.block_size:
                raise ValueError(
                    f"expected 1 to {self.block_size} bytes, the descriptor says {size}"
                )
            if not self._view.holds(offset, size):
                raise self._cut_off(phys, f"the page should be at {offset:#x}")
            data = self._view.view(offset, size)
            if flags == 0:
                if size != self.block_size:
                    raise ValueError(f"a raw page has {self.block_size} bytes, this one {size}")
                return bytes(data)
            codec = layout.CODEC_OF_FLAG.get(flags)
            if codec is None:
                raise ValueError(
                    f"expected the flag of one codec (1, 2, 4 or 32), found {flags:#x}"
                )
            return decoder(codec)(data, self.block_size)
        except ValueError as error:
            raise CorruptPage(
                f"cannot decode the page of physical address {phys:#x} (file offset "
                f"{offset:#x}): {error}",
                phys=phys,
            ) from error

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
            f"physical address {phys:#x} cannot be read: {what}, but {self._view.end_text}: the "
            "dump is cut off, copy it again",
            phys=phys,
        )

    @property
    def _why_unwritten(self) -> str:
        if self.file.marked_incomplete:
            return layout.MARKED_INCOMPLETE
        return "the dump's writer never wrote its page (the page's descriptor is empty)"

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        workers = min(os.cpu_count() or 1, 16)
        return ThreadPoolExecutor(workers, thread_name_prefix="vmemmap-decode")
