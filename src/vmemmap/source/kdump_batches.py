"""Many pages of a kdump-compressed file at once, decoded by several threads to their places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.errors import ReadError
from vmemmap.source.base import Located
from vmemmap.source.kdump_descriptors import Descriptors
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.kdump_pages import PageDecoder

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_TASK_BYTES = 2 << 20
"""How much one thread decodes before it asks for more."""
_FETCHED_BYTES = 8 << 20
"""Of a far file, how much is fetched at a time, to be decoded then."""

_Part = tuple[int, int]
"""Some rows of a batch: the first, and the one after the last."""


@dataclass(frozen=True, slots=True)
class Batch:
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


class BatchDecoder:
    """Decodes batches of pages on all processors.

    Args:
        file: The file.
        descriptors: Those of its pages.
        pages: What decodes a page by itself.
    """

    def __init__(self, file: KdumpFile, descriptors: Descriptors, pages: PageDecoder) -> None:
        self._view, self._page_bytes = file.view, file.main.block_size
        self._descriptors, self._pages = descriptors, pages

    def fill(self, address: int, out: memoryview) -> Batch:
        """Fill *out* from physical *address* on, up to the first page that is not plainly there.

        Returns:
            What was decoded; its pages need not reach to the end of *out*.

        Raises:
            ReadError: A page that is there cannot be had: the one at the lowest address.
        """
        first = address // self._page_bytes
        count = (address + len(out) - 1) // self._page_bytes - first + 1
        found = self._descriptors.in_a_row(first, count)
        skip = address % self._page_bytes
        batch = self._batch(out, np.arange(first, first + len(found)), skip, found)
        for _, _, error in self._decode_all(batch):
            if error is not None:  # in the order of addresses, so the first is the first byte's
                raise error
        return batch

    def locate(self, runs: NDArray[np.int64]) -> Located:
        """Decode many stretches of memory; see `PhysicalSource.locate`, here of at least one."""
        from vmemmap.source.overlaps import cut_at

        size = self._page_bytes
        first, last = runs[:, 1] // size, (runs[:, 1] + runs[:, 2] - 1) // size
        ranges = zip(first.tolist(), last.tolist(), strict=True)
        borders = distinct(np.concatenate([np.arange(low, high + 1) for low, high in ranges]))
        pieces = cut_at(runs, borders * size)  # one for each page of the file
        pfns = pieces[:, 1] // size
        found, there = self._descriptors.of_many(pfns)
        pieces, pfns, found = pieces[there], pfns[there], found[there]
        out = np.empty(len(pfns) * size, dtype=np.uint8)
        batch = self._batch(out.data, pfns, 0, found)
        good = np.ones(len(pfns), dtype=np.bool_)
        for start, end, error in self._decode_all(batch):
            for row in range(start, end) if error is not None else ():
                try:
                    self._decode(batch, row, row + 1)
                except ReadError:
                    good[row] = False
        offset = np.arange(len(pfns)) * size + pieces[:, 1] % size
        return Located(out.data, np.column_stack([pieces[:, 0], pieces[:, 2], offset])[good])

    def close(self) -> None:
        """End the threads."""
        if "_threads" in self.__dict__:
            self._threads.shutdown()

    def _batch(
        self, out: memoryview, pfns: NDArray[np.int64], skip: int, found: NDArray[np.void]
    ) -> Batch:
        if self._view.contiguous:
            plain = self._descriptors.point_at_data(found) & self._pages.knows(found["flags"])
        else:  # What lies between the records of a flattened dump may be missing.
            plain = np.zeros(len(found), dtype=np.bool_)
        return Batch(out, self._page_bytes, pfns, skip, found, plain)

    def _decode_all(self, batch: Batch) -> list[tuple[int, int, Exception | None]]:
        """Decode the pages of a batch; say of each part how that went."""
        step, count = max(1, _TASK_BYTES // self._page_bytes), len(batch.found)
        parts = [(start, min(start + step, count)) for start in range(0, count, step)]
        if self._view.far:
            return [
                done
                for few in self._fetched(parts, batch)
                for done in self._decode_parts(few, batch)
            ]
        return self._decode_parts(parts, batch)

    def _fetched(self, parts: list[_Part], batch: Batch) -> Iterator[list[_Part]]:
        """Yield parts of a batch a few at a time, when what their pages are made of was fetched."""
        size = np.minimum(batch.found["size"].astype(np.int64), self._page_bytes)
        few: list[_Part] = []
        for part in parts:
            few.append(part)
            some = slice(few[0][0], part[1])
            if part is parts[-1] or int(size[some].sum()) >= _FETCHED_BYTES:
                self._descriptors.prefetch(batch.found[some])
                yield few
                few = []

    def _decode_parts(
        self, parts: list[_Part], batch: Batch
    ) -> list[tuple[int, int, Exception | None]]:
        if len(parts) <= 1:
            return [(*part, self._failure(batch, *part)) for part in parts]
        jobs = [self._threads.submit(self._failure, batch, *part) for part in parts]
        return [(*part, job.result()) for part, job in zip(parts, jobs, strict=True)]

    def _failure(self, batch: Batch, start: int, end: int) -> Exception | None:
        """Decode some pages of a batch, and give what went wrong."""
        try:
            self._decode(batch, start, end)
        except Exception as error:
            return error
        return None

    def _decode(self, batch: Batch, start: int, end: int) -> None:
        """Decode some pages of a batch; runs in a thread of its own."""
        size, codecs, view, out = self._page_bytes, self._pages.into, self._view.view, batch.out
        left = start + np.flatnonzero(~self._decode_together(batch, start, end))
        rows = batch.found[left]
        columns = [rows[name].tolist() for name in ("offset", "size", "flags")]
        plain = batch.plain[left].tolist()
        for i, offset, length, flag, sound in zip(left.tolist(), *columns, plain, strict=True):
            at = i * size - batch.skip
            if sound and at >= 0 and at + size <= len(out):
                try:
                    codecs[flag](view(offset, length), out[at : at + size])
                    continue
                except ValueError:
                    pass  # the careful way says what is wrong
            phys = int(batch.pfns[i]) * size + max(-at, 0)
            batch.put(i, self._pages.decode(phys, offset, length, flag))

    def _decode_together(self, batch: Batch, start: int, end: int) -> NDArray[np.bool_]:
        """Decode those pages of a batch that a codec takes in one call; tell which these are."""
        done = np.zeros(end - start, dtype=np.bool_)
        if self._view.far:
            return done  # the call takes the file as one buffer
        rows, size = batch.found[start:end], self._page_bytes
        at = np.arange(start, end, dtype=np.int64) * size - batch.skip
        whole = batch.plain[start:end] & (at >= 0) & (at + size <= len(batch.out))
        for flag in distinct(rows["flags"][whole]).tolist():
            decode = self._pages.many(flag)
            if decode is None:
                continue
            mine = np.flatnonzero(whole & (rows["flags"] == flag))
            places = np.empty((len(mine), 3), dtype=np.int64)
            places[:, 0], places[:, 1] = rows["offset"][mine], rows["size"][mine]
            places[:, 2] = at[mine]
            file = self._view.view(0, self._view.size)
            done[mine] = np.frombuffer(decode(file, places, size, batch.out), dtype=np.bool_)
        return done

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        workers = min(os.cpu_count() or 1, 16)
        return ThreadPoolExecutor(workers, thread_name_prefix="vmemmap-decode")
