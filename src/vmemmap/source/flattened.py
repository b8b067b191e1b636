"""A flattened dump as the file that it stands for: a view under the readers, not a format.

The chain of records is indexed once, into arrays; a read is then a bisection. A read that touches
several records, or a hole, is put together; one inside a record is a view of the file. Of a file
that is far away the chain takes reading all of it, so the index is kept; see ``index_cache.py``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CorruptDump
from vmemmap.formats import flattened as layout
from vmemmap.progress import Progress, no_progress
from vmemmap.source.file_view import ByteView
from vmemmap.source.overlaps import settle_overlaps
from vmemmap.source.traffic import Traffic

Chain: TypeAlias = "tuple[array[int], array[int], array[int]]"
"""Target offsets, file offsets and sizes of the records."""
RECORDS_LIMIT = 50_000_000
CHAIN_BYTES = 8 << 20
"""How much of a far file is fetched at a time to follow the chain; larger records are passed by."""
_KIND = "flattened"
_INDEXING = "reading the flattened dump once, for an index"
CRUMBS = 256
CRUMB_BYTES = 64
CRUMBS_AT_A_TIME = 16384
CRUMBS_MAX = 1_000_000
CRUMBS_MAX_BYTES = 256
"""A chain of more records than that, with fewer bytes each on average, is no tool's."""
HOLES_MAX_BYTES = 16 << 20
"""How much of one read may lie in no record. Writers leave small gaps; a header that points into a
large one would have us make up gigabytes of zeros."""


class FlattenedView(ByteView):
    """The dump inside a flattened file.

    Args:
        file: The flattened file; closed with this view.
        progress: Told how far following the chain of a far file has come.

    Attributes:
        path: Of the flattened file.
        size: Bytes in the dump inside.
        warnings: What is odd, one line each.
        truncated: The chain of records has no end, so what no record covers is lost, not a hole.

    Raises:
        CorruptDump: The header or the chain of records is impossible.
    """

    def __init__(self, file: ByteView, progress: Progress = no_progress) -> None:
        self._file = file
        self.path, self.far, self.identity = file.path, file.far, file.identity
        self.warnings: list[str] = []
        self.truncated = False
        self._cut_at: int | None = None
        self._cut_text = ""
        fault = layout.header_fault(file.view(0, 32))
        if fault is not None:
            file_offset, expected, found = fault
            raise CorruptDump(
                "the flattened header", file_offset=file_offset, expected=expected, found=found
            )
        targets, sources, sizes = self._far_chain(progress) if file.far else self._read_chain()
        if not len(targets):
            raise CorruptDump(
                "the first record of the flattened dump",
                file_offset=layout.HEADER_BYTES,
                expected="a record",
                found="the end of the file; the dump is cut off: copy it again",
            )
        self._index(targets, sources, sizes)

    def view(self, offset: int, size: int) -> memoryview:
        """Give the bytes ``[offset, offset + size)`` of the dump, cut at its end."""
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return memoryview(b"")
        at = bisect_right(self._starts, offset) - 1
        if at >= 0 and offset + size <= self._ends[at]:
            return self._file.view(self._sources[at] + offset - self._starts[at], size)
        return self._assemble(offset, size).data

    def _assemble(self, offset: int, size: int) -> NDArray[np.uint8]:
        """Put ``[offset, offset + size)`` together from the records that have parts of it."""
        at = max(bisect_right(self._starts, offset) - 1, 0)
        until = bisect_left(self._starts, offset + size)
        start = np.maximum(np.asarray(self._starts[at:until]), offset)
        end = np.minimum(np.asarray(self._ends[at:until]), offset + size)
        source = np.asarray(self._sources[at:until]) + start - np.asarray(self._starts[at:until])
        length = end - start
        some = length > 0
        start, source, length = start[some] - offset, source[some], length[some]
        backed = int(length.sum())
        if size - backed > HOLES_MAX_BYTES:
            raise CorruptDump(
                f"the range of {size} bytes",
                file_offset=offset,
                expected="a part of the dump with data in it",
                found=f"a hole in the flattened dump ({size - backed} bytes are in no record)",
                path=self.path,
            )
        out = np.zeros(size, dtype=np.uint8)
        if len(length) > CRUMBS and backed < CRUMB_BYTES * len(length):
            # Very many very small records, as no tool writes them: many at once, byte by byte.
            for part in range(0, len(length), CRUMBS_AT_A_TIME):
                some = slice(part, part + CRUMBS_AT_A_TIME)
                self._copy_crumbs(out, start[some], source[some], length[some])
            return out
        self._file.prefetch(source, length)
        for to, where, count in zip(start.tolist(), source.tolist(), length.tolist(), strict=True):
            out[to : to + count] = self._file.view(where, count)
        return out

    def _copy_crumbs(
        self,
        out: NDArray[np.uint8],
        start: NDArray[np.int64],
        source: NDArray[np.int64],
        length: NDArray[np.int64],
    ) -> None:
        """Copy pieces of the file to their places in *out* with one indexed assignment."""
        first, last = int(source.min()), int((source + length).max())
        data = np.frombuffer(self._file.view(first, last - first), dtype=np.uint8)
        step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        out[np.repeat(start, length) + step] = data[np.repeat(source - first, length) + step]

    def holds(self, offset: int, size: int) -> bool:
        """Tell whether the dump has all of ``[offset, offset + size)``."""
        if not (offset >= 0 and size >= 0 and offset + size <= self.size):
            return False
        if not self.truncated:
            return True
        end = offset + size
        at = bisect_right(self._starts, offset) - 1
        while offset < end:
            if not (0 <= at < len(self._starts) and self._starts[at] <= offset < self._ends[at]):
                return False
            offset = self._ends[at]
            at += 1
        return True

    def holds_many(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each stretch whether records cover all of it; see `ByteView.holds_many`."""
        if not self.truncated:  # what no record covers is zeros
            return super().holds_many(offsets, sizes)
        starts, ends = self._covered
        at = np.searchsorted(starts, offsets, side="right") - 1
        return np.asarray((at >= 0) & (offsets <= ends[np.maximum(at, 0)] - sizes))

    def holes(self, offset: int, size: int) -> NDArray[np.int64]:
        """Give the parts of a stretch that no record covers; see `ByteView.holes`."""
        starts, ends = self._covered
        first = max(int(np.searchsorted(starts, offset, side="right")) - 1, 0)
        near = slice(first, int(np.searchsorted(starts, offset + size)))
        edges = np.r_[0, ends[near]], np.r_[starts[near], offset + size]
        rows = np.stack([np.maximum(edges[0], offset), np.minimum(edges[1], offset + size)], axis=1)
        return np.asarray(rows[rows[:, 0] < rows[:, 1]])

    @cached_property
    def _covered(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts and ends of what the records cover, those that touch joined."""
        starts, ends = np.asarray(self._starts), np.asarray(self._ends)
        first = np.flatnonzero(np.r_[True, starts[1:] != ends[:-1]])
        return starts[first], ends[np.r_[first[1:] - 1, len(ends) - 1]]

    @property
    def end_text(self) -> str:
        """Where the flattened file is cut off, or where what is in it ends."""
        if self._cut_at is not None:
            return f"the flattened file ends at {self._cut_at:#x}"
        return f"the dump in the flattened file ends at {self.size:#x}"

    @property
    def cut_text(self) -> str:
        """The same of a file that ought to go on."""
        return self._cut_text or f"the dump in the flattened file is cut off at {self.size:#x}"

    def next_data(self, offset: int) -> int:
        """Give the first offset from *offset* on that a record covers."""
        at = bisect_right(self._starts, offset) - 1
        if at >= 0 and offset < self._ends[at]:
            return offset
        return self._starts[at + 1] if at + 1 < len(self._starts) else self.size

    def data_end(self, offset: int) -> int:
        """Give where the record that covers *offset* ends."""
        at = bisect_right(self._starts, offset) - 1
        return max(self._ends[at] if at >= 0 else 0, offset + 1)

    @property
    def traffic(self) -> Traffic | None:
        """What reading the flattened file cost."""
        return self._file.traffic

    def prefetch(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Fetch what will be asked for next, as far as the record has it where it begins."""
        if not self.far:
            return
        starts, ends = np.asarray(self._starts), np.asarray(self._ends)
        at = np.maximum(np.searchsorted(starts, offsets, side="right") - 1, 0)
        into = np.maximum(offsets - starts[at], 0)
        length = np.minimum(sizes, ends[at] - starts[at] - into)
        where = np.asarray(self._sources)[at] + into
        order = np.argsort(where, kind="stable")
        self._file.prefetch(where[order], length[order])

    def trim(self) -> None:
        """Let go of what was read."""
        self._file.trim()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _far_chain(self, progress: Progress) -> Chain:
        """Take the chain of a far file as it was kept; else read all of the file, once."""
        identity = self._file.identity
        kept = _kept_chain(identity, self._file.size) if identity else None
        if kept is not None:
            chain, cut_at = kept
            return chain if cut_at is None else self._cut_off(cut_at, *chain)
        chain = self._read_chain(progress)
        progress(_INDEXING, self._file.size, self._file.size)
        if identity:
            _keep_chain(identity, chain, self._cut_at)
        return chain

    def _read_chain(self, progress: Progress = no_progress) -> Chain:
        """Follow the records: their target offsets, file offsets and sizes."""
        fetched = 0
        targets, sources, sizes = array("q"), array("q"), array("q")
        at = layout.HEADER_BYTES
        record_bytes = layout.RECORD.size
        unpack, view = layout.RECORD.unpack, self._file.view
        while True:
            if self.far and at + record_bytes > fetched:
                # Most records are smaller than a request is worth: all of the file goes by.
                self._file.prefetch(np.array([at]), np.array([CHAIN_BYTES]))
                fetched = at + CHAIN_BYTES
                progress(_INDEXING, min(at, self._file.size - 1), self._file.size)
            head = view(at, record_bytes)
            if len(head) < record_bytes:
                return self._cut_off(at, targets, sources, sizes)
            target, size = unpack(head)
            if target == layout.END_OFFSET:
                return targets, sources, sizes
            if not 0 <= target <= layout.TARGET_LIMIT or not 0 < size <= layout.TARGET_LIMIT:
                raise CorruptDump(
                    f"record {len(targets)} of the flattened dump",
                    file_offset=at,
                    expected="a target offset from 0 to 2**50 and a size above 0",
                    found=f"{target:#x} and {size:#x}",
                )
            at += record_bytes
            have = min(size, self._file.size - at)
            if have > 0:
                targets.append(target)
                sources.append(at)
                sizes.append(have)
            if have < size:
                return self._cut_off(at, targets, sources, sizes)
            at += size
            many = len(targets) > RECORDS_LIMIT
            if many or (len(targets) > CRUMBS_MAX and at < len(targets) * CRUMBS_MAX_BYTES):
                raise CorruptDump(
                    "the chain of records",
                    file_offset=at,
                    expected="records of some kilobytes, as makedumpfile and QEMU write them",
                    found=f"{len(targets)} records in {at} bytes",
                )

    def _cut_off(
        self, at: int, targets: array[int], sources: array[int], sizes: array[int]
    ) -> Chain:
        self.truncated = True
        self._cut_at = at
        self._cut_text = (
            f"the flattened dump has no end mark: it is cut off at {at:#x}, after "
            f"{len(targets)} records"
        )
        self.warnings.append(self._cut_text)
        return targets, sources, sizes

    def _index(self, targets: array[int], sources: array[int], sizes: array[int]) -> None:
        """Sort the records by target; where two overlap, the later in the chain wins."""
        start = np.frombuffer(targets, dtype=np.int64)
        source = np.frombuffer(sources, dtype=np.int64)
        end = start + np.frombuffer(sizes, dtype=np.int64)
        self.size = int(end.max())
        order = np.argsort(start, kind="stable")
        sorted_start, sorted_end, sorted_source = start[order], end[order], source[order]
        if bool((sorted_start[1:] < sorted_end[:-1]).any()):
            # The later record has the higher priority, which settle_overlaps wants first.
            rows = np.stack([start, end, source])[:, ::-1]
            sorted_start, sorted_end, sorted_source = settle_overlaps(rows)
        self._starts = np.ascontiguousarray(sorted_start).data
        self._ends = np.ascontiguousarray(sorted_end).data
        self._sources = np.ascontiguousarray(sorted_source).data


def _kept_chain(identity: str, file_bytes: int) -> tuple[Chain, int | None] | None:
    """Give the chain that was kept for a file, and where the file is cut off, if it is.

    Args:
        identity: What tells this version of the file from any other.
        file_bytes: Its size; a chain that points beyond it is not believed.
    """
    from vmemmap.source.index_cache import read_arrays  # for far files only

    kept = read_arrays(_KIND, identity)
    rows, cut_at = kept.get("chain"), kept.get("cut_at")
    if rows is None or cut_at is None or cut_at.shape or rows.ndim != 2 or len(rows) != 3:
        return None
    targets, sources, sizes = rows
    inside = (targets >= 0) & (sources >= 0) & (sizes > 0) & (sources <= file_bytes - sizes)
    if not rows.shape[1] or not inside.all():
        return None
    chain = (
        array("q", targets.tobytes()),
        array("q", sources.tobytes()),
        array("q", sizes.tobytes()),
    )
    return chain, None if cut_at < 0 else int(cut_at)


def _keep_chain(identity: str, chain: Chain, cut_at: int | None) -> None:
    """Keep a file's chain."""
    rows = np.stack([np.frombuffer(column, dtype=np.int64) for column in chain])
    from vmemmap.source.index_cache import keep_arrays

    keep_arrays(
        _KIND, identity, {"chain": rows, "cut_at": np.array(-1 if cut_at is None else cut_at)}
    )
