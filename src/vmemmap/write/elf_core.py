"""Writes an ELF vmcore, as kexec's capture kernel shows one in /proc/vmcore.

::

    ELF header | program headers | notes | PT_LOAD bytes of range 0 | of range 1 | ...

Whole blocks of zeros are left out of the file as holes, so a dump of a terabyte takes the room of
what is in it. It writes no sections but the one that PN_XNUM needs. Memory that is left out is the
end of a segment, which the file does not have: p_filesz below p_memsz, as makedumpfile does it.
The bytes of such a file begin half a page off, as they mostly do in makedumpfile's. Where they
begin at whole pages, makedumpfile (1.7.9 was tried) maps the file as far as the segment's memory
would reach, and reads what lies there, the next segments, as if it were that memory: wrong pages,
and no error.

Source: the ELF-64 object file format; Linux fs/proc/vmcore.c, kernel/kexec_file.c; makedumpfile
readmem(), mappage_elf(), offset_to_pt_load_end().
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import UnwritableFile
from vmemmap.formats import elf64
from vmemmap.write.new_file import new_file
from vmemmap.write.output import FileOutput, Output

DATA_ALIGNMENT = 1 << 16
RUN_MAX_BYTES = 1 << 20
"""Up to this size small pieces go together in one write; a larger piece is one of its own."""
_PARTS_MAX = 1024
"""The system takes no more at once."""
RIGHTS_ALL = 7

Contents = Callable[[int, int], Iterable[tuple[int, bytes | memoryview]]]
"""Gives what lies in ``[start, end)`` of physical memory as (phys, bytes), ascending, without
overlap; what it does not name is zero."""
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD: *size* bytes of physical memory from *phys*, mapped at *virt* (bytes).

    Of these the file has the first *stored*; None for all of them.
    """

    phys: int
    virt: int
    size: int
    stored: int | None = None

    @property
    def file_bytes(self) -> int:
        """How many bytes the file has of it."""
        return self.size if self.stored is None else self.stored


def write_elf_core(
    path: str | Path,
    order: ByteOrder,
    notes: bytes,
    segments: list[Segment],
    contents: Contents,
    progress: Progress = lambda _what, _done, _total: None,
    *,
    room: int = 0,
    flags: int = 0,
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
        flags: The header's e_flags.

    Raises:
        UnwritableFile: No room, no permission, or a size that the file system cannot hold.
    """
    with new_file(path) as file:
        check_room(file, room, path)
        size = sum(_aligned(segment.file_bytes) for segment in segments)
        _reserve(file, data_at(notes, segments) + size, path)
        out = FileOutput(file, str(path))
        write_elf(out, order, notes, segments, contents, progress, flags=flags)


def write_elf(
    out: Output,
    order: ByteOrder,
    notes: bytes,
    segments: Sequence[Segment],
    contents: Contents,
    progress: Progress = lambda _what, _done, _total: None,
    *,
    flags: int = 0,
    page_size: int = 0,
) -> int:
    """Write an ELF vmcore to any output; arguments as for `write_elf_core`.

    The kernel's *page_size*, in bytes, is needed where memory is left out.

    Returns:
        The size of the file in bytes.

    Raises:
        OutputTooLarge, UnwritableFile, OSError: What *out* raises.
    """
    offset = data_at(notes, segments, page_size)
    headers = _headers(order, notes, segments, flags, offset)
    out.put(0, headers)
    end = len(headers)
    total = sum(segment.file_bytes for segment in segments)
    done = 0
    for segment in segments:
        start, size = segment.phys, segment.file_bytes
        for phys, parts in _side_by_side(contents(start, start + size)) if size else ():
            out.put_parts(offset + phys - start, parts)
            end = offset + phys - start + sum(map(len, parts))
            progress("writing", done + phys - start, total)
        offset += _aligned(size)
        done += size
    if end < offset:
        out.put(offset - 1, b"\0")  # a hole at the end is part of the file
    progress("writing", total, total)
    return offset


def check_room(file: BinaryIO, room: int, path: str | Path) -> None:
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


def _aligned(size: int) -> int:
    return (size + DATA_ALIGNMENT - 1) // DATA_ALIGNMENT * DATA_ALIGNMENT


def data_at(notes: bytes, segments: Sequence[Segment], page_size: int = 0) -> int:
    """Give the file offset of the first segment's bytes: half a page off if memory is left out."""
    in_part = any(segment.file_bytes < segment.size for segment in segments)
    return _aligned(_notes_at(segments) + len(notes)) + (page_size // 2 if in_part else 0)


def _notes_at(segments: Sequence[Segment]) -> int:
    count = 1 + len(segments)
    headers_end = elf64.HEADER_BYTES + count * elf64.PROGRAM_HEADER_BYTES
    return headers_end + (elf64.SECTION_HEADER_BYTES if count >= elf64.PN_XNUM else 0)


def _headers(
    order: ByteOrder, notes: bytes, segments: Sequence[Segment], flags: int, first_at: int
) -> bytes:
    """Give all that stands before the memory, which begins at *first_at*."""
    count = 1 + len(segments)
    extended = count >= elf64.PN_XNUM
    headers_end = elf64.HEADER_BYTES + count * elf64.PROGRAM_HEADER_BYTES
    section_at = headers_end if extended else 0
    notes_at = _notes_at(segments)

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
        flags,
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
    sizes = np.array([segment.file_bytes for segment in segments], "u8")
    room = (sizes + np.uint64(DATA_ALIGNMENT - 1)) & ~np.uint64(DATA_ALIGNMENT - 1)
    loads["p_type"] = elf64.PT_LOAD
    loads["p_flags"] = RIGHTS_ALL
    loads["p_offset"] = first_at + np.cumsum(room) - room
    loads["p_vaddr"] = [segment.virt for segment in segments]
    loads["p_paddr"] = [segment.phys for segment in segments]
    loads["p_filesz"] = sizes
    loads["p_memsz"] = [segment.size for segment in segments]

    section = np.zeros(int(extended), elf64.section_header_dtype(order))
    section["sh_info"] = count
    return header + table.tobytes() + section.tobytes() + notes


def _side_by_side(
    pieces: Iterable[tuple[int, bytes | memoryview]],
) -> Iterator[tuple[int, list[bytes | memoryview]]]:
    """Put together pieces that touch, up to 1 MiB, so that small ones make few writes."""
    start, parts, size = 0, [], 0  # type: tuple[int, list[bytes | memoryview], int]
    for phys, data in pieces:
        if parts and (
            phys != start + size or size + len(data) > RUN_MAX_BYTES or len(parts) == _PARTS_MAX
        ):
            yield start, parts
            parts, size = [], 0
        if not parts:
            start = phys
        parts.append(data)
        size += len(data)
    if parts:
        yield start, parts
