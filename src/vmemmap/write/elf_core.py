"""Writes an ELF vmcore, as kexec's capture kernel shows one in /proc/vmcore.

::

    ELF header | program headers | notes | PT_LOAD bytes of range 0 | of range 1 | ...

Whole blocks of zeros are left out of the file as holes, so a dump of a terabyte takes the room of
what is in it. It writes no sections but the one that PN_XNUM needs, and filters nothing.

Source: the ELF-64 object file format; Linux fs/proc/vmcore.c, kernel/kexec_file.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import UnwritableFile
from vmemmap.formats import elf64
from vmemmap.write.new_file import new_file

DATA_ALIGNMENT = 1 << 16
RUN_MAX_BYTES = 16 << 20
"""How much is handed to the file system in one write."""
PARTS_MAX = 512
"""Pieces in one write; Linux takes 1024."""
RIGHTS_ALL = 7

Contents = Callable[[int, int], Iterable[tuple[int, bytes | memoryview]]]
"""Gives what lies in ``[start, end)`` of physical memory as (phys, bytes), ascending, without
overlap; what it does not name is zero."""
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD: *size* bytes of physical memory from *phys*, mapped at *virt* (bytes)."""

    phys: int
    virt: int
    size: int


def write_elf_core(
    path: str | Path,
    order: ByteOrder,
    notes: bytes,
    segments: list[Segment],
    contents: Contents,
    progress: Progress = lambda _what, _done, _total: None,
    *,
    room: int = 0,
) -> None:
    """Write an ELF vmcore; the file appears under its name only when it is whole.

    Args:
        path: The file to make.
        order: Byte order of the header fields, and what EI_DATA says.
        notes: The content of the PT_NOTE segment; see `pack_note`.
        segments: The memory ranges, in the order in which their program headers stand.
        contents: Where the bytes come from; asked once for each segment.
        progress: Told "writing", the bytes done and the bytes in all.
        room: Bytes that *contents* will give, as far as it is known: what the disk must have free.

    Raises:
        UnwritableFile: No room, no permission, or a size that the file system cannot hold.
    """
    with new_file(path) as file:
        offset = _write_headers(file, order, notes, segments)
        total = sum(segment.size for segment in segments)
        _check_room(file, room, path)
        _reserve(file, offset + sum(_aligned(segment.size) for segment in segments), path)
        file.flush()  # from here on it is written past its buffer
        done = 0
        for segment in segments:
            for phys, parts in _gathered(contents(segment.phys, segment.phys + segment.size)):
                _write_at(file.fileno(), parts, offset + phys - segment.phys)
                progress("writing", done + phys - segment.phys, total)
            offset += _aligned(segment.size)
            done += segment.size
        progress("writing", total, total)


def _check_room(file: BinaryIO, room: int, path: str | Path) -> None:
    """Refuse at once what the disk has no room for, rather than when it is full."""
    there = os.fstatvfs(file.fileno())
    free = there.f_bavail * there.f_frsize
    if room > free:
        raise UnwritableFile(
            f"needs {room >> 20} MiB on disk, and there are {free >> 20} MiB free", path=str(path)
        )


def _reserve(file: BinaryIO, size: int, path: str | Path) -> None:
    """Give the file its size, all of it a hole, before any work is done for it."""
    try:
        file.truncate(size)
    except OSError as error:
        raise UnwritableFile(
            f"cannot be made {size >> 30} GiB large, which the dump is, holes included: "
            f"{error.strerror} (ext4 holds files of 16 TiB, xfs larger ones)",
            path=str(path),
        ) from error


def pack_note(order: ByteOrder, name: str, kind: int, desc: bytes) -> bytes:
    """Pack one ELF note; name and descriptor are padded to 4 bytes, as in every vmcore."""
    label = name.encode() + b"\0"
    header = struct.pack(numpy_prefix(order) + "3I", len(label), len(desc), kind)
    return header + _padded(label) + _padded(desc)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _aligned(size: int) -> int:
    return (size + DATA_ALIGNMENT - 1) // DATA_ALIGNMENT * DATA_ALIGNMENT


def _write_headers(file: BinaryIO, order: ByteOrder, notes: bytes, segments: list[Segment]) -> int:
    """Write all before the memory; give the file offset of the first segment's bytes."""
    count = 1 + len(segments)
    extended = count >= elf64.PN_XNUM
    headers_end = elf64.HEADER_BYTES + count * elf64.PROGRAM_HEADER_BYTES
    section_at = headers_end if extended else 0
    notes_at = headers_end + (elf64.SECTION_HEADER_BYTES if extended else 0)
    data_at = _aligned(notes_at + len(notes))

    header = struct.pack(
        numpy_prefix(order) + "4s5B7xHHIQQQIHHHHHH",
        elf64.MAGIC,
        elf64.CLASS_64,
        1 if order == "little" else 2,
        elf64.EV_CURRENT,
        0,
        0,
        elf64.ET_CORE,
        elf64.EM_PPC64,
        elf64.EV_CURRENT,
        0,
        elf64.HEADER_BYTES,
        section_at,
        0,
        elf64.HEADER_BYTES,
        elf64.PROGRAM_HEADER_BYTES,
        elf64.PN_XNUM if extended else count,
        elf64.SECTION_HEADER_BYTES if extended else 0,
        int(extended),
        0,
    )
    table = np.zeros(count, elf64.program_header_dtype(order))
    table[0]["p_type"] = elf64.PT_NOTE
    table[0]["p_offset"] = notes_at
    table[0]["p_filesz"] = table[0]["p_memsz"] = len(notes)
    loads = table[1:]
    sizes = np.array([segment.size for segment in segments], "u8")
    room = (sizes + np.uint64(DATA_ALIGNMENT - 1)) & ~np.uint64(DATA_ALIGNMENT - 1)
    loads["p_type"] = elf64.PT_LOAD
    loads["p_flags"] = RIGHTS_ALL
    loads["p_offset"] = data_at + np.cumsum(room) - room
    loads["p_vaddr"] = [segment.virt for segment in segments]
    loads["p_paddr"] = [segment.phys for segment in segments]
    loads["p_filesz"] = loads["p_memsz"] = sizes

    file.write(header + table.tobytes())
    if extended:
        section = np.zeros(1, elf64.section_header_dtype(order))
        section["sh_info"] = count
        file.write(section.tobytes())
    file.write(notes)
    return data_at


def _gathered(
    pieces: Iterable[tuple[int, bytes | memoryview]],
) -> Iterator[tuple[int, list[bytes | memoryview]]]:
    """Gather pieces that lie side by side, up to 16 MiB, so that small ones make few writes.

    Yields:
        Where the first begins, and the pieces.
    """
    parts: list[bytes | memoryview] = []
    start = end = 0
    for phys, data in pieces:
        size = len(data)
        apart = phys != end or end - start + size > RUN_MAX_BYTES or len(parts) == PARTS_MAX
        if apart:
            if parts:
                yield start, parts
                parts = []
            start = end = phys
        parts.append(data)
        end += size
    if parts:
        yield start, parts


def _write_at(fd: int, parts: list[bytes | memoryview], at: int) -> None:
    """Write pieces one behind the other from file offset *at* on."""
    # Several thousand pages are written alone; seeking first would double the time for each.
    done = os.pwrite(fd, parts[0], at) if len(parts) == 1 else os.pwritev(fd, parts, at)
    size = sum(map(len, parts))
    if done < size:  # a signal came, or one write cannot be as large
        rest = memoryview(b"".join(parts))
        while done < size:
            done += os.pwrite(fd, rest[done:], at + done)
