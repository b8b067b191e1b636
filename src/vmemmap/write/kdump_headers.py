"""The headers of a kdump-compressed file, packed, and where its parts come to lie.

``vmemmap.formats.kdump`` has the picture. What is written is header version 6, as makedumpfile and
QEMU do; fields that neither fills are zero, the microseconds of the time among them: readers that
try the 32-bit form of the header first go by that.

Source: makedumpfile.c, write_kdump_header(); diskdump_mod.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.formats import kdump
from vmemmap.formats.notes import Note
from vmemmap.write.compress import FLAG_OF_CODEC
from vmemmap.write.notes import find_desc, pack_notes

VERSION = 6
_U32_MAX = (1 << 32) - 1
_MAIN = "8si390s6xqqIiiIIIIIIi"
_SUB = "QiiQQqQqQqQQQQ"


@dataclass(frozen=True, slots=True)
class KdumpHeader:
    """What a kdump-compressed file says of itself.

    Attributes:
        order: Byte order of headers and descriptors; crash and makedumpfile read their own
            machine's only.
        page_size: Size of a page, and of a block of the file (bytes).
        max_mapnr: The pfn after the last page of memory.
        notes: The ELF notes; NT_PRSTATUS there is one of for each processor.
        dump_level: The level by which pages were left out.
        codec: The codec that was asked for.
        utsname: Six texts of 65 bytes each, as the kernel has them.
        time: When the kernel crashed, in seconds of the Unix epoch.
        incomplete: Pages are missing that should be there.
    """

    order: ByteOrder
    page_size: int
    max_mapnr: int
    notes: Sequence[Note]
    dump_level: int
    codec: str
    utsname: bytes = bytes(kdump.UTSNAME[1])
    time: int = 0
    incomplete: bool = False

    @property
    def sub_blocks(self) -> int:
        """Blocks of the sub-header and the notes."""
        size = kdump.SUB_HEADER_BYTES + len(pack_notes(self.order, self.notes))
        return -(-size // self.page_size)

    @property
    def map_bytes(self) -> int:
        """Room for one bitmap: whole blocks, in bytes."""
        return -(-self.max_mapnr // (8 * self.page_size)) * self.page_size

    @property
    def first_map_at(self) -> int:
        """File offset of the first bitmap; the second lies behind it."""
        return (1 + self.sub_blocks) * self.page_size

    @property
    def descriptors_at(self) -> int:
        """File offset of the page descriptors."""
        return self.first_map_at + 2 * self.map_bytes

    def data_at(self, pages: int) -> int:
        """Give the file offset of the first page's data, if the file has so many pages."""
        return self.descriptors_at + pages * kdump.DESCRIPTOR_BYTES

    def pack_main(self) -> bytes:
        """Pack the main header."""
        cpus = sum((note.name, note.kind) == ("CORE", 1) for note in self.notes)
        status = FLAG_OF_CODEC[self.codec] | (kdump.STATUS_INCOMPLETE if self.incomplete else 0)
        return struct.pack(
            numpy_prefix(self.order) + _MAIN,
            *(kdump.SIGNATURE, VERSION, self.utsname),
            *(self.time, 0, status, self.page_size, self.sub_blocks),
            *(2 * self.map_bytes // self.page_size, min(self.max_mapnr, _U32_MAX)),
            *(0, 0, 0, 0, cpus),
        )

    def pack_sub(self, member: tuple[int, int] | None) -> bytes:
        """Pack the sub-header and the notes, of one member of a split dump if *member* is given.

        Args:
            member: The pfns of the member, half-open.
        """
        start, end = member or (0, 0)
        notes = pack_notes(self.order, self.notes)
        notes_at = self.page_size + kdump.SUB_HEADER_BYTES if notes else 0
        text_at, text_bytes = find_desc(self.notes, "VMCOREINFO", 0)
        sub = struct.pack(
            numpy_prefix(self.order) + _SUB,
            *(0, self.dump_level, int(member is not None)),
            *(min(start, _U32_MAX), min(end, _U32_MAX)),
            *(notes_at + text_at if text_bytes else 0, text_bytes),
            *(notes_at, len(notes), 0, 0),
            *(start, end, self.max_mapnr),
        )
        return sub + notes
