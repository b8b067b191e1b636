"""The vmcore that comes of a crash, in the container asked for, and the symbols that go with it.

The notes are those that a capture kernel finds: registers for each processor, and VMCOREINFO.
A kdump-compressed file has all pages of memory, those of zeros as one copy, as makedumpfile writes
it at level 0 and QEMU always.

Source: Linux fs/proc/vmcore.c, arch/powerpc/kexec/.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vmemmap.intervals import touched
from vmemmap.simulate.crash.kernel_types import DescribedKernel, debug_sections, kernel_types
from vmemmap.simulate.crash.registers import registers_note
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.crash.spool import Spool
from vmemmap.simulate.crash.symbols import kernel_symbols
from vmemmap.simulate.crash.vmcoreinfo import build_id
from vmemmap.simulate.memory.image import uts_names
from vmemmap.simulate.memory.physical import virt_of
from vmemmap.write.elf_core import Progress, Segment, check_room, write_elf_core
from vmemmap.write.elf_symbols import pack_elf_symbols
from vmemmap.write.flattened import FlattenedOutput
from vmemmap.write.kdump import write_kdump
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.new_file import new_file
from vmemmap.write.notes import Note, pack_note, pack_notes
from vmemmap.write.output import FileOutput
from vmemmap.write.page_bits import PageBits

NT_GNU_BUILD_ID = 3
EF_PPC64_ABI = {"little": 2, "big": 1}
"""e_flags of fadump's headers, which says by them what ABI the kernel has; kexec's have 0."""


CONTAINERS = ("elf", "kdump", "flattened")


def write_vmcore(
    snapshot: Snapshot,
    path: str | Path,
    progress: Progress,
    container: str = "elf",
    codec: str = "zlib",
) -> None:
    """Write a snapshot as a vmcore, with notes as kexec's capture kernel has them.

    Args:
        snapshot: The memory.
        path: The file; it appears under its name only when it is whole.
        progress: Told how far it has come.
        container: One of `CONTAINERS`; the flattened form is that of the kdump-compressed file.
        codec: How pages are compressed where they are: zlib, lzo, snappy, zstd or none.

    Raises:
        ValueError: There is no such container.
        UnwritableFile: The file cannot be written.
        CodecUnavailable: The codec's library is not installed.
    """
    if container not in CONTAINERS:
        raise ValueError(f"there is no container {container!r}: expected {', '.join(CONTAINERS)}")
    notes = dump_notes(snapshot)
    if container != "elf":
        _write_kdump(snapshot, path, notes, progress, codec, flattened=container == "flattened")
        return
    order = snapshot.machine.kernel.byte_order
    segments = [Segment(start, virt_of(start), end - start) for start, end in snapshot.segments]
    abi = EF_PPC64_ABI[order] if snapshot.machine.spec.form == "fadump" else 0
    packed = pack_notes(order, notes)
    write_elf_core(
        path, order, packed, segments, snapshot.contents, progress, room=snapshot.room, flags=abi
    )


def dump_notes(snapshot: Snapshot) -> list[Note]:
    """Give the notes of a snapshot's vmcore."""
    machine = snapshot.machine
    registers = [registers_note(machine, cpu) for cpu in range(machine.spec.cpus)]
    return [*registers, Note("VMCOREINFO", 0, snapshot.vmcoreinfo)]


def _write_kdump(
    snapshot: Snapshot,
    path: str | Path,
    notes: list[Note],
    progress: Progress,
    codec: str,
    *,
    flattened: bool,
) -> None:
    """Write a snapshot as a kdump-compressed file."""
    kernel = snapshot.machine.kernel
    size = kernel.page_size
    ram = touched(np.array(snapshot.ranges, dtype=np.int64), size)
    header = KdumpHeader(
        *(kernel.byte_order, size, int(ram[-1, 1]), notes, 0, codec),
        utsname=uts_names(snapshot.machine.memory, kernel),
        time=snapshot.machine.spec.crash_time,
    )
    with new_file(path) as file, Spool(path, size) as spool, PageBits(header.max_mapnr) as kept:
        kept.add(ram)
        check_room(file, snapshot.room + header.data_at(kept.finish().count()), path)
        for start, end in snapshot.ranges:
            for phys, data in snapshot.contents(start, end):
                spool.put(phys, data)
        flat = FlattenedOutput(file, path=str(path)) if flattened else None
        write_kdump(
            *(flat or FileOutput(file, str(path)), header, ram, kept),
            *(spool.load, spool.find_zero),
            threads=os.cpu_count() or 1,
            progress=progress,
        )
        if flat is not None:
            flat.end()


def write_symbols(machine: DescribedKernel, path: str | Path, *, debug_info: bool = False) -> None:
    """Write the symbols of a kernel as a vmlinux without code, and its types if it has BTF.

    For kernels before 3.13, which do not say in VMCOREINFO where the list is, for dumps whose
    VMCOREINFO is lost, and with *debug_info*, the types and variables as DWARF, for debuggers.
    """
    with new_file(path) as file:
        file.write(pack_symbols(machine, debug_info=debug_info))


def pack_symbols(machine: DescribedKernel, *, debug_info: bool = False) -> bytes:
    """Give what `write_symbols` writes."""
    types, kernel = kernel_types(machine), machine.kernel
    symbols = kernel_symbols(kernel, len(types))
    sections = {".BTF": types}
    if debug_info:
        desc = bytes.fromhex(build_id(kernel))
        note = pack_note(kernel.byte_order, "GNU", NT_GNU_BUILD_ID, desc)
        sections |= {".note.gnu.build-id": note, **debug_sections(machine)}
    return pack_elf_symbols(kernel.byte_order, symbols, sections)
