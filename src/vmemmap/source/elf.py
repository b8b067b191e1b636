"""ELF vmcores: which file bytes hold which physical address.

Segments may come in any order, overlap, be unaligned, be cut short by the end of the file, or be
longer in memory than in the file. All of that is settled once, at opening, into one sorted table of
pieces that do not overlap; a read is then a bisection and a slice of the mapped file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import U64_MAX
from vmemmap.errors import NotInDump, PageExcluded, ReadError, Truncated
from vmemmap.formats import elf64
from vmemmap.formats.notes import (
    NOTES_MAX_BYTES,
    NOTES_MAX_COUNT,
    Note,
    find_vmcoreinfo,
    walk_notes,
)
from vmemmap.intervals import Intervals, intersect
from vmemmap.source.base import PHYS_END, Located, PageHeads, PhysicalSource
from vmemmap.source.elf_headers import read_program_headers
from vmemmap.source.elf_pieces import EXCLUDED, IN_FILE, TRUNCATED, Pieces, pieces_of
from vmemmap.source.elf_refusals import check_elf_machine, read_elf_header
from vmemmap.source.file_view import ByteView, FileView
from vmemmap.source.losses import Loss, tell_of
from vmemmap.source.overlaps import cut_at
from vmemmap.source.traffic import Traffic

_HEADS_AT_A_TIME = 16384
_HEADS_BYTES_COPIED = 8 << 20
_SMALL_HOLE_BYTES = 1 << 20
"""To look at so much of zeros costs less than another batch."""
_FEW_PIECES = 1 << 12


class ElfSource(PhysicalSource):
    """A vmcore in ELF form: from kexec, fadump, makedumpfile -E or QEMU.

    Args:
        file: The mapped file; closed with this source.

    Raises:
        UnsupportedDump: An ELF file, but not a PowerPC64 core.
        CorruptDump: Headers that contradict themselves or the file.
    """

    format = "elf"

    def __init__(self, file: ByteView) -> None:
        self._file = file
        self.path = file.path
        self.warnings = file.warnings
        self.moves = file.moves
        self._unfinished: list[Loss] = []
        self._losses: tuple[Loss, ...] | None = None
        header = read_elf_header(file)
        self.container_byte_order = header.order
        segments = read_program_headers(file, header, self.warnings)
        unused = int(np.count_nonzero(segments["p_type"] == elf64.PT_NULL))
        if unused:
            self._unfinished.append(
                Loss(
                    f"{unused} of {len(segments)} program headers are empty: the dump's writer did "
                    "not come to those segments"
                )
            )
        self.notes = self._read_notes(segments)
        self.vmcoreinfo = find_vmcoreinfo(self.notes)
        warning = check_elf_machine(header, self.notes, self.vmcoreinfo)
        if warning is not None:
            self.warnings.append(warning)
        self._index(pieces_of(segments[segments["p_type"] == elf64.PT_LOAD], file.size))
        self.losses()

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*; see `PhysicalSource.read`."""
        return b"".join(self._pieces(address, size))

    def view(self, address: int, size: int) -> memoryview:
        """Give the bytes without a copy where one segment holds them; see `PhysicalSource.view`."""
        pieces = list(self._pieces(address, size))
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def read_into(self, address: int, out: NDArray[np.uint8]) -> None:
        """Fill *out* from physical *address* on; see `PhysicalSource.read_into`."""
        done = 0
        for piece in self._pieces(address, len(out)):
            out[done : done + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
            done += len(piece)

    def _pieces(self, address: int, size: int) -> Iterator[memoryview]:
        """Yield views of the file that together are the bytes at *address*."""
        while size > 0:
            piece = self._find(address)
            if piece < 0:
                raise NotInDump(
                    f"physical address {address:#x} is not in the dump: no PT_LOAD covers it",
                    phys=address,
                )
            if self._kinds[piece] != IN_FILE:
                raise self._not_stored(address, self._kinds[piece])
            length = min(size, self._ends[piece] - address)
            offset = self._offsets[piece] + address - self._starts[piece]
            data = self._file.view(offset, length)
            if len(data) != length or not self._file.holds(offset, length):
                raise self._not_stored(address, TRUNCATED)
            yield data
            address += length
            size -= length

    def is_ram(self, address: int) -> bool:
        """Tell whether a PT_LOAD covers physical *address*."""
        return self._find(address) >= 0

    def is_present(self, address: int) -> bool:
        """Tell whether the byte at physical *address* is stored in the file."""
        piece = self._find(address)
        return piece >= 0 and self._kinds[piece] == IN_FILE

    def is_stored(self, address: int) -> bool:
        """Tell whether the file has the byte; only a cut-off flattened one may lack more."""
        piece = self._find(address)
        if piece < 0 or self._kinds[piece] != IN_FILE:
            return False
        if not self._file.truncated:
            return True
        return self._file.holds(self._offsets[piece] + address - self._starts[piece], 1)

    def why_absent(self, address: int) -> Absence:
        """Say why a byte cannot be read; see `PhysicalSource.why_absent`."""
        piece = self._find(address)
        if piece < 0:
            return Absence.NOT_IN_DUMP
        kind = self._kinds[piece]
        if kind == IN_FILE:
            return super().why_absent(address)
        return Absence.EXCLUDED if kind == EXCLUDED else Absence.TRUNCATED

    def stored_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes the file has; see `PhysicalSource.stored_many`."""
        there = self.present_many(addresses)
        if self._file.truncated:
            there[there] = [self.is_stored(address) for address in addresses[there].tolist()]
        return there

    def present_runs(self, start: int, end: int) -> Intervals:
        """Give what of a stretch of memory is stored; see `PhysicalSource.present_runs`."""
        return self._runs_of(IN_FILE, start, end)

    def cut_off_runs(self, start: int, end: int) -> Intervals:
        """Give what lies behind the file's end; see `PhysicalSource.cut_off_runs`."""
        return self._runs_of(TRUNCATED, start, end)

    def _runs_of(self, kind: int, start: int, end: int) -> Intervals:
        runs = np.stack([self._start, self._end], axis=1)[self._kind == kind]
        return intersect(runs.astype(np.int64), np.array([[start, end]], dtype=np.int64))

    def file_offset(self, address: int) -> int | None:
        """Give where the file has a byte; see `PhysicalSource.file_offset`."""
        piece = self._find(address)
        if piece < 0 or self._kinds[piece] != IN_FILE or not self._file.contiguous:
            return None
        return int(self._offsets[piece] + address - self._starts[piece])

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes are stored; see `PhysicalSource.present_many`."""
        if not len(self._start):
            return np.zeros(addresses.shape, dtype=np.bool_)
        at = np.searchsorted(self._start, addresses, side="right").astype(np.int64) - 1
        clipped = np.maximum(at, 0)
        inside = (at >= 0) & (addresses < self._end[clipped])
        return np.asarray(inside & (self._kind[clipped] == IN_FILE))

    def locate(self, runs: NDArray[np.int64]) -> Located:
        """Find many stretches of memory in the file; see `PhysicalSource.locate`."""
        if not isinstance(self._file, FileView) or not len(self._start):
            return super().locate(runs)
        data, spans = self._file.view(0, self._file.size), self._spans(runs)
        return Located(data, spans, self._file.open_file)

    def prefetch(self, runs: NDArray[np.int64]) -> None:
        """Fetch what will be read of a far file; see `PhysicalSource.prefetch`."""
        if self._file.far and len(self._start):
            spans = self._spans(runs)
            spans = spans[np.argsort(spans[:, 2], kind="stable")]
            self._file.prefetch(spans[:, 2], spans[:, 1])

    def _spans(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give where the file has stretches of memory: position, size and file offset."""
        runs = cut_at(runs, self._start.astype(np.int64))
        phys, size = runs[:, 1], runs[:, 2]
        piece = np.maximum(np.searchsorted(self._start, phys.astype(np.uint64), "right") - 1, 0)
        start, end = self._start[piece].astype(np.int64), self._end[piece].astype(np.int64)
        there = (phys >= start) & (phys + size <= end) & (self._kind[piece] == IN_FILE)
        offset = self._offset[piece].astype(np.int64) + phys - start
        return np.asarray(np.column_stack([runs[:, 0], size, offset])[there])

    def heads(self, unit_bytes: int, head_bytes: int, until: int = PHYS_END) -> Iterator[PageHeads]:
        """Look at the beginning of every stored page; see `PhysicalSource.heads`."""
        stored = self._kind == IN_FILE
        total = int((self._end[stored] - self._start[stored]).sum()) or 1
        done = 0
        for piece in np.flatnonzero(stored).tolist():
            start, end = self._starts[piece], min(self._ends[piece], until)
            first = -(-start // unit_bytes) * unit_bytes
            # What has to be copied, from a flattened or live file, comes in smaller batches.
            mapped = isinstance(self._file, FileView)
            step = _HEADS_AT_A_TIME * unit_bytes if mapped else _HEADS_BYTES_COPIED
            to_file = int(self._offset[piece]) - start
            at = first
            while at + head_bytes <= end:
                data_at = self._file.next_data(at + to_file) - to_file
                if data_at >= at + unit_bytes:  # a hole of a flattened or sparse file
                    at = data_at // unit_bytes * unit_bytes
                    continue
                stop = min(at + step, end)
                data_end = self._data_end(max(at, data_at) + to_file, stop + to_file) - to_file
                stop = min(stop, -(-data_end // unit_bytes) * unit_bytes)
                if stop - at < head_bytes:
                    break
                count = (stop - at - head_bytes) // unit_bytes + 1
                length = (count - 1) * unit_bytes + head_bytes
                raw = np.frombuffer(self._file.view(at + to_file, length), dtype=np.uint8)
                if len(raw) < length:
                    break  # a live or cut-off file gives less than it says
                data = as_strided(raw, (count, head_bytes), (unit_bytes, 1), writeable=False)
                phys = np.arange(count, dtype=np.uint64) * np.uint64(unit_bytes) + np.uint64(at)
                yield PageHeads(phys, data, (done + stop - start) / total)
                at += count * unit_bytes
            done += max(end - start, 0)

    def _data_end(self, offset: int, limit: int) -> int:
        """Give where the data from *offset* on ends; a mapped file's small holes count as data."""
        end = self._file.data_end(offset)
        if isinstance(self._file, FileView):
            # In large steps: there may be a hole behind each block of a file.
            while end < limit and (data := self._file.next_data(end)) - end <= _SMALL_HOLE_BYTES:
                end = max(self._file.data_end(data), data + _SMALL_HOLE_BYTES)
        return end

    def ranges(self) -> NDArray[np.uint64]:
        """Give the ranges that PT_LOADs cover; see `PhysicalSource.ranges`."""
        if not len(self._start):
            return np.empty((0, 2), dtype=np.uint64)
        first = np.flatnonzero(np.r_[True, self._start[1:] != self._end[:-1]])
        last = np.r_[first[1:] - 1, len(self._start) - 1]
        return np.stack([self._start[first], self._end[last]], axis=1)

    def stored_bytes(self) -> int:
        """Tell how much of the segments is meant to be in the file."""
        meant = (self._kind == IN_FILE) | (self._kind == TRUNCATED)
        return int((self._end - self._start)[meant].sum())

    def losses(self, *, everywhere: bool = False) -> tuple[Loss, ...]:
        """Tell what the file lacks of its segments; see `PhysicalSource.losses`."""
        if self._losses is None:
            cut = [loss] if (loss := self._cut_off()) is not None else []
            self._losses = (*cut, *self._unfinished)
            tell_of(self._losses, self.warnings)
        return self._losses

    def _cut_off(self) -> Loss | None:
        """Count what lies behind the end of the file, or in no record of a flattened one."""
        kept, lost = self._kind == IN_FILE, self._kind == TRUNCATED
        total = int((self._end - self._start)[kept | lost].sum())
        runs = [np.stack([self._start[lost], self._end[lost]], axis=1)]
        if self._file.truncated:
            for piece in np.flatnonzero(kept).tolist():
                start, size = self._starts[piece], self._ends[piece] - self._starts[piece]
                holes = self._file.holes(int(self._offset[piece]), size)
                runs.append((holes - int(self._offset[piece]) + start).astype(np.uint64))
        gone = np.concatenate(runs)
        if not len(gone):
            ends_early = self._ends_early or self._file.truncated
            return Loss(self._file.cut_text) if ends_early else None
        first, count = int(gone[:, 0].min()), int((gone[:, 1] - gone[:, 0]).sum())
        last_kept = int(self._end[kept].max(initial=0)) if not self._file.truncated else U64_MAX
        where = f"from {first:#x} on" if last_kept <= first else f"the lowest at {first:#x}"
        return Loss(
            self._file.cut_text,
            f"{count} of {total} bytes of memory are lost, {where} (physical)",
            first,
        )

    @property
    def traffic(self) -> Traffic | None:
        """What reading cost; see `PhysicalSource.traffic`."""
        return self._file.traffic

    def trim(self) -> None:
        """Unmap what was read; see `PhysicalSource.trim`."""
        self._file.trim()

    def expect_scattered(self, scattered: bool) -> None:
        """Say how it will be read; see `PhysicalSource.expect_scattered`."""
        self._file.expect_scattered(scattered)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _read_notes(self, segments: NDArray[np.void]) -> list[Note]:
        notes: list[Note] = []
        room = min(NOTES_MAX_BYTES, self._file.size)
        for segment in segments[segments["p_type"] == elf64.PT_NOTE]:
            offset, size = int(segment["p_offset"]), int(segment["p_filesz"])
            if not self._file.holds(offset, size):
                self._unfinished.append(
                    Loss(
                        f"the notes at {offset:#x} ({size} bytes) are not wholly in the file: "
                        f"{self._file.end_text}"
                    )
                )
            # Many segments may name the same bytes; what they give together is bounded.
            data = self._file.view(offset, min(size, room))
            room -= len(data)
            notes += islice(
                walk_notes(data, self.container_byte_order), NOTES_MAX_COUNT - len(notes)
            )
            if room <= 0 or len(notes) >= NOTES_MAX_COUNT:
                break
        return notes

    def _index(self, pieces: Pieces) -> None:
        """Keep the table of pieces: start, end, file offset, kind."""
        if pieces.overlapped:
            self.warnings.append("PT_LOADs overlap; the first in the file is used for each address")
        self._ends_early = pieces.ends_early
        self._start, self._end, self._offset, self._kind = pieces[:4]
        # For one address at a time: numpy would make an object of its own of each number, and so
        # does a view, if faster; of few pieces a list has them made.
        few = len(self._start) <= _FEW_PIECES
        self._starts, self._ends, self._offsets, self._kinds = (
            column.tolist() if few else column.data for column in pieces[:4]
        )

    def _find(self, address: int) -> int:
        """Give the index of the piece that covers *address*, or -1."""
        # bisect over a view of the column is several times faster than searchsorted for one value.
        at = bisect_right(self._starts, address) - 1
        return at if at >= 0 and address < self._ends[at] else -1

    def _not_stored(self, address: int, kind: int) -> ReadError:
        if kind == EXCLUDED:
            return PageExcluded(
                f"physical address {address:#x} was excluded from this dump when it was written",
                phys=address,
            )
        return Truncated(
            f"physical address {address:#x} cannot be read: it should be in the file, but "
            f"{self._file.end_text}: the dump is cut off, copy it again",
            phys=address,
        )
