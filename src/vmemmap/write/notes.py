"""Packs ELF notes, as ELF vmcores and kdump-compressed files alike carry them.

``vmemmap.formats.notes`` has the picture.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.formats.notes import NOTE_HEADER_BYTES
from vmemmap.formats.notes import Note as Note


def pack_note(order: ByteOrder, name: str, kind: int, desc: bytes) -> bytes:
    """Pack one ELF note; name and descriptor are padded to 4 bytes, as in every vmcore."""
    label = _label(name)
    header = struct.pack(numpy_prefix(order) + "3I", len(label), len(desc), kind)
    return header + _padded(label) + _padded(desc)


def pack_notes(order: ByteOrder, notes: Sequence[Note]) -> bytes:
    """Pack notes one behind the other."""
    return b"".join(pack_note(order, note.name, note.kind, note.desc) for note in notes)


def find_desc(notes: Sequence[Note], name: str, kind: int) -> tuple[int, int]:
    """Give where the descriptor of a note lies among packed notes: offset and size (bytes).

    Both are 0 if there is no such note.
    """
    at = 0
    for note in notes:
        desc_at = at + NOTE_HEADER_BYTES + len(_padded(_label(note.name)))
        if (note.name, note.kind) == (name, kind):
            return desc_at, len(note.desc)
        at = desc_at + len(_padded(note.desc))
    return 0, 0


def _label(name: str) -> bytes:
    return name.encode("latin-1", "replace") + b"\0"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
