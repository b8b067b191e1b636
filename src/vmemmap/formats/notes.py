"""ELF notes, as both ELF vmcores and kdump-compressed files carry them. No I/O.

::

    u32 namesz | u32 descsz | u32 type | name, padded to 4 | desc, padded to 4 | next note ...

Padding is to 4 bytes even in 64-bit files. The byte order is the container's.

Source: the generic ABI's note section; Linux fs/proc/vmcore.c, kernel/vmcore_info.c,
include/linux/elfcore.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.address import ByteOrder, numpy_prefix

NOTE_HEADER_BYTES = 12
NOTES_MAX_BYTES = 64 << 20
NOTES_MAX_COUNT = 1 << 17
"""Five notes for each of far more processors than a machine has."""
VMCOREINFO_MAX_BYTES = 1 << 20
"""The kernel's own limit is its page size (64 KiB); anything near this bound is hostile."""

PRSTATUS = 1
"""The note of a processor's registers; its name is CORE."""
PRSTATUS_BYTES = 504
PRSTATUS_PID_AT = 32
_REGISTERS_AT, _REGISTERS = 112, 48


@dataclass(frozen=True, slots=True)
class Note:
    """One ELF note: *name* without its NUL, *kind* as the writer gave it, *desc* as bytes."""

    name: str
    kind: int
    desc: bytes


def walk_notes(data: bytes | memoryview, order: ByteOrder) -> Iterator[Note]:
    """Yield the notes in *data*, and stop without a word at the first one that does not fit.

    Args:
        data: The content of a note segment.
        order: Byte order of the container.

    Yields:
        Notes in file order. Every step advances by at least 12 bytes, so this always ends.
    """
    header = struct.Struct(numpy_prefix(order) + "3I")
    view = memoryview(data)
    offset = 0
    while offset + NOTE_HEADER_BYTES <= len(view):
        namesz, descsz, kind = header.unpack_from(view, offset)
        if namesz == descsz == kind == 0:
            return
        name_at = offset + NOTE_HEADER_BYTES
        desc_at = name_at + _pad4(namesz)
        if desc_at + descsz > len(view):
            return
        name = bytes(view[name_at : name_at + namesz]).split(b"\0")[0].decode("latin-1")
        yield Note(name, kind, bytes(view[desc_at : desc_at + descsz]))
        offset = desc_at + _pad4(descsz)


def find_vmcoreinfo(notes: list[Note]) -> bytes | None:
    """Give the text of the VMCOREINFO note, without the NULs after it, or None."""
    for note in notes:
        if note.name == "VMCOREINFO" and note.kind == 0:
            return note.desc[:VMCOREINFO_MAX_BYTES].rstrip(b"\0")
    return None


def is_prstatus(note: Note) -> bool:
    """Tell whether a note has a processor's registers in the form of ppc64."""
    return (note.name, note.kind, len(note.desc)) == ("CORE", PRSTATUS, PRSTATUS_BYTES)


def count_processors(notes: list[Note]) -> int:
    """Count the notes with a processor's registers, of whatever length a writer gave them."""
    return sum((note.name, note.kind) == ("CORE", PRSTATUS) for note in notes)


def prstatus_in_order(desc: bytes, given: ByteOrder, wanted: ByteOrder) -> bytearray:
    """Turn what readers look at in an NT_PRSTATUS into another byte order: pid and registers."""
    result = bytearray(desc)
    for form, at in (("I", PRSTATUS_PID_AT), (f"{_REGISTERS}Q", _REGISTERS_AT)):
        values = struct.unpack_from(numpy_prefix(given) + form, desc, at)
        struct.pack_into(numpy_prefix(wanted) + form, result, at, *values)
    return result


def _pad4(size: int) -> int:
    return (size + 3) & ~3
