"""What memory holds at the crash: the bytes of any range of it, as the dump will have them.

A `Snapshot` freezes the allocators' state, from which the struct pages follow, and writes what the
kernel only keeps for its own crash: the node structures' counts, the log, VMCOREINFO.

Source: Linux fs/proc/vmcore.c, kernel/vmcore_info.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vmemmap.intervals import holds, join
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.dmesg import dmesg
from vmemmap.simulate.crash.ownership import owners_of
from vmemmap.simulate.crash.paint import paint, without_frames
from vmemmap.simulate.crash.printk import write_log
from vmemmap.simulate.crash.registers import write_crash
from vmemmap.simulate.crash.symbols import write_own_description
from vmemmap.simulate.crash.vmcoreinfo import vmcoreinfo_text
from vmemmap.simulate.memory.extents import Extents
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import FRAME_BYTES, virt_of
from vmemmap.simulate.mm.struct_pages import Objects, StructPagePainter
from vmemmap.simulate.mm.usage import PageRun, Use
from vmemmap.write.notes import pack_note

PAINT_BYTES = 2 << 20
MAPPING_AT, ANON_VMA_AT, BUFFERS_AT = 128, 384, 640
STAMP_BYTES = 64
BACKUP_BYTES = 64 << 10
"""What kdump's purgatory copies away, since a ppc64 kernel has its vectors there."""
_DISK_BLOCK_BYTES = 4096
"""What a file system gives at least for a few bytes in a hole."""
UNMARKED = (Use.OFFLINE, Use.HWPOISON, Use.VMALLOC, Use.DEVICE)
"""Uses whose pages hold nothing that a dump would have."""


class Snapshot:
    """A machine's memory at one moment.

    Attributes:
        machine: Whose memory; it must not run on while the snapshot is in use.
        vmcoreinfo: The VMCOREINFO text.
        missing: Memory that the dump will not cover though it should, as (start, end) in bytes.
        struct_pages: Paints struct pages as they are at this moment.
        painted: Pages of processes, caches, slabs and free memory are filled with words that say
            where they lie; else most of them are zero. See ``paint``.
    """

    def __init__(self, machine: CrashedMachine) -> None:
        self.machine = machine
        self.painted = False
        kernel, image = machine.kernel, image_of(machine.kernel)
        objects = virt_of(machine.objects_phys)
        self.owners = owners_of(machine)
        self.struct_pages = StructPagePainter(
            kernel,
            self.owners,
            Objects(
                objects + MAPPING_AT,
                objects + ANON_VMA_AT,
                objects + BUFFERS_AT,
                image.free_huge_page,
            ),
            machine.nodes,
            debug_vm=machine.spec.debug_vm,
        )
        lru = self.struct_pages.lru_of(0)
        blocks = self.owners.blocks, self.owners.cma_blocks
        devices = [(part.node, part.start, part.end) for part in self.owners.idle if part.device]
        machine.nodes.write(machine.memory, machine.pages, *blocks, lru, devices)
        self.vmcoreinfo = vmcoreinfo_text(machine, write_own_description(machine))
        write_crash(machine)
        write_log(machine.memory, kernel, dmesg(machine))
        note = pack_note(kernel.byte_order, "VMCOREINFO", 0, self.vmcoreinfo)
        machine.memory.write(image.vmcoreinfo_note, note)
        self.missing: list[tuple[int, int]] = []
        virt, phys = machine.vmemmap.map.columns()
        # What several places of the vmemmap share is in memory once, and all of them say the same.
        backing, once = np.unique(phys, return_index=True)
        starts = backing.astype(np.int64)
        self._blocks = np.column_stack([starts, starts + machine.vmemmap.map.unit])
        once.sort()
        self._virt, self._phys = virt[once], phys[once]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The memory that the dump covers, as (start, end) in bytes, ascending."""
        spec = self.machine.spec
        if not self.missing and spec.reservation is None:
            return self._covered
        covered = Extents(self._covered)
        if spec.reservation is not None:
            covered.remove(spec.reservation.start, spec.reservation.end)
            for part in spec.firmware:
                covered.add(part.start, part.end)
        for start, end in self.missing:
            covered.remove(start, end)
        return list(covered)

    @property
    def segments(self) -> list[tuple[int, int]]:
        """The same as kdump's or fadump's headers cut it, in their order.

        kdump copies the first 64 KiB away before its capture kernel runs, so that they stand apart;
        firmware inside the capture kernel's memory is added when all else is there.
        """
        spec, ranges = self.machine.spec, Extents(self.ranges)
        if spec.form == "plain":
            return self.ranges
        room, last = spec.reservation, []
        for part in spec.firmware:
            if room is not None and room.start <= part.start and part.end <= room.end:
                last.append((part.start, part.end))
                ranges.remove(part.start, part.end)
        first = []
        if spec.form == "kdump" and ranges.covers(0, BACKUP_BYTES):
            first.append((0, BACKUP_BYTES))
            ranges.remove(0, BACKUP_BYTES)
        return [*first, *ranges, *last]

    @property
    def _covered(self) -> list[tuple[int, int]]:
        machine = self.machine
        if machine.spec.headers_from == "boot":
            return sorted((part.start, part.end) for part in machine.spec.memory)
        shift = machine.kernel.page_shift
        homes = [tuple(row) for home in self.owners.homes.values() for row in home.tolist()]
        homes += [(part.start >> shift, part.end >> shift) for part in machine.offline]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(homes):
            if merged and merged[-1][1] == start << shift:
                merged[-1] = (merged[-1][0], end << shift)
            else:
                merged.append((start << shift, end << shift))
        return merged

    @property
    def room(self) -> int:
        """About how many bytes a disk needs for what `contents` gives of `ranges`.

        The blocks of struct pages, the frames that were written, and for the mark in each user page
        a block of the file system.
        """
        unit, shift = self.machine.vmemmap.map.unit, self.machine.kernel.page_shift
        size = 0
        for start, end in self.ranges:
            size += unit * int(np.count_nonzero((self._phys >= start) & (self._phys < end)))
            size += sum(len(frame) for _, frame, backs in self._frames(start, end) if not backs)
            if self.painted:
                size += int(np.diff(self._idle_memory(start, end)).sum())
                continue
            for run in self._marked_runs:
                pages = min(run.end, end >> shift) - max(run.start, start >> shift)
                size += max(pages, 0) * _DISK_BLOCK_BYTES
        return size

    def contents(self, start: int, end: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield what lies in ``[start, end)`` as (phys, bytes); the rest is zero.

        Struct pages first, then all other memory, each piece once.
        """
        yield from self._struct_page_blocks(start, end)
        taken = set()
        for phys, frame, backs in self._frames(start, end):
            taken.add(phys)
            if not backs:
                yield phys, memoryview(frame)
        if self.painted:
            yield from self._filled(start, end, taken)
        else:
            yield from self._user_pages(start, end, taken)

    def read(self, phys: int, size: int) -> bytes:
        """Give *size* bytes at *phys* as the dump will have them."""
        first = phys // FRAME_BYTES * FRAME_BYTES
        last = -(-(phys + size) // FRAME_BYTES) * FRAME_BYTES
        data = bytearray(last - first)
        for at, piece in self.contents(first, last):
            low, high = max(at, first), min(at + len(piece), last)
            if low < high:
                data[low - first : high - first] = piece[low - at : high - at]
        return bytes(data[phys - first : phys - first + size])

    def _frames(self, start: int, end: int) -> Iterator[tuple[int, bytearray, bool]]:
        """Yield the frames in ``[start, end)`` that were written: phys, bytes, backs struct pages.

        What was written to a block that the vmemmap maps is not there any more: it is painted.
        """
        frames = list(self.machine.memory.frames(start, end))
        phys = np.array([at for at, _ in frames], np.int64)
        for (at, frame), backs in zip(frames, holds(self._blocks, phys, 1).tolist(), strict=True):
            yield at, frame, backs

    def _struct_page_blocks(self, start: int, end: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield the blocks that back the vmemmap, painted; neighbours in memory as one piece."""
        unit = self.machine.vmemmap.map.unit
        window = max(1, PAINT_BYTES // unit)
        inside = (self._phys + np.uint64(unit) > start) & (self._phys < end)
        virt, phys = self._virt[inside], self._phys[inside]
        # Runs of neighbours in the vmemmap are painted together.
        breaks = np.flatnonzero(np.diff(virt) != unit) + 1
        for run in np.split(np.arange(len(virt)), breaks):
            for first in range(0, len(run), window):
                part = run[first : first + window]
                if len(part):
                    yield from self._painted(virt[part], phys[part], unit)

    def _painted(
        self, virt: npt.NDArray[np.uint64], phys: npt.NDArray[np.uint64], unit: int
    ) -> Iterator[tuple[int, bytes | memoryview]]:
        data = memoryview(self.struct_pages.paint(int(virt[0]), len(virt) * unit))  # type: ignore[arg-type]
        order = np.argsort(phys)
        at = phys[order]
        # Together they stay what is together in both, so that nothing has to be copied.
        first = np.flatnonzero(np.r_[True, (np.diff(at) != unit) | (np.diff(order) != 1)])
        places, starts = at[first].tolist(), (order[first] * unit).tolist()
        sizes = (np.diff(np.r_[first, len(at)]) * unit).tolist()
        for place, start, size in zip(places, starts, sizes, strict=True):
            yield place, data[start : start + size]

    @property
    def _marked_runs(self) -> list[PageRun]:
        """The pages that are given a mark, as far as nothing else was written there.

        Of a gigantic page that is the first, for a file has no room for so many marks.
        """
        most = self.machine.kernel.free_area_orders
        return [
            replace(run, end=run.start + 1) if run.order >= most else run for run in self._used_runs
        ]

    @property
    def _used_runs(self) -> list[PageRun]:
        return [run for run in self.owners.runs if run.use not in UNMARKED]

    def _idle_memory(self, start: int, end: int) -> npt.NDArray[np.int64]:
        """Give the parts of ``[start, end)`` that hold no structure of the kernel's: (n, 2)."""
        used = np.array([(run.start, run.end) for run in self._used_runs], np.int64)
        pages = np.concatenate([used.reshape(-1, 2), self.owners.free])
        bounds = np.clip(pages << self.machine.kernel.page_shift, start, end)
        return join(bounds[:, 0], bounds[:, 1])

    def _filled(self, start: int, end: int, taken: set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield paint for all memory that holds no structure of the kernel's."""
        idle = self._idle_memory(start, end)
        for low, high in without_frames(idle, sorted(taken), FRAME_BYTES):
            for at in range(low, high, PAINT_BYTES):
                yield at, paint(at, min(PAINT_BYTES, high - at))

    def _user_pages(
        self, start: int, end: int, taken: set[int]
    ) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield a mark at the beginning of each user page that holds nothing else."""
        shift, release = self.machine.kernel.page_shift, self.machine.kernel.release.encode()
        # A file has room for all of a small page anyway, and neighbours are written together then.
        size = FRAME_BYTES if 1 << shift == FRAME_BYTES else 0
        names = {use: use.name.lower().encode() for use in Use if use not in UNMARKED}
        for run in self._marked_runs:
            name = names[run.use]
            for pfn in range(max(run.start, start >> shift), min(run.end, end >> shift)):
                if pfn << shift not in taken:
                    mark = b"%b page %#x of %b" % (name, pfn, release)
                    yield pfn << shift, mark[:STAMP_BYTES].ljust(size, b"\0")
