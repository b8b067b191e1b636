"""QEMU's dump of a running machine in a form that the peers read: the same memory, other headers.

QEMU writes big-endian headers whatever the guest's byte order, and no VMCOREINFO; crash,
makedumpfile and vmcore-dmesg refuse that. The copy has little-endian headers and the kernel's own
note, found in its memory. Nothing of it is taken from vmemmap.

Sources: elf(5); Linux kernel/vmcore_info.c (update_vmcoreinfo_note); QEMU dump/dump.c.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

PT_LOAD, PT_NOTE = 1, 4
_EHDR, _PHDR = "HHIQQQIHHHHHH", "IIQQQQQQ"
_IDENT_BYTES, _PHDR_BYTES, _EHDR_BYTES = 16, 56, 64
_NAME = b"VMCOREINFO\0"
_MOST_TEXT = 1 << 16
PAGE_OFFSET = 0xC << 60
ALIGN = 1 << 16
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """Memory in the file: where in it, at which physical address, and how much."""

    offset: int
    phys: int
    size: int


def segments(head: bytes) -> list[Segment]:
    """Read the memory segments of a big-endian ELF64 file, of which *head* is the beginning.

    Raises:
        ValueError: It is no such file.
    """
    if head[:6] != b"\x7fELF\x02\x02":
        raise ValueError("no big-endian ELF64 file")
    header = struct.unpack_from(">" + _EHDR, head, _IDENT_BYTES)
    at, count = header[4], header[9]
    rows = [struct.unpack_from(">" + _PHDR, head, at + _PHDR_BYTES * row) for row in range(count)]
    return [Segment(row[2], row[4], row[5]) for row in rows if row[0] == PT_LOAD]


def find_note(memory: bytes | mmap.mmap) -> bytes | None:
    """Find VMCOREINFO's ELF note as a little-endian kernel keeps it; give its text."""
    at = memory.find(_NAME)
    while at >= 0:
        if at >= 12:
            name, size, kind = struct.unpack_from("<III", memory, at - 12)
            text = memory[at + 12 : at + 12 + min(size, _MOST_TEXT)]
            if (name, kind) == (len(_NAME), 0) and text.startswith(b"OSRELEASE="):
                return bytes(text)
        at = memory.find(_NAME, at + 1)
    return None


def headers(found: list[Segment], text: bytes) -> tuple[bytes, list[Segment]]:
    """Write little-endian headers with VMCOREINFO, and say where each segment goes behind them."""
    note = struct.pack("<III", len(_NAME), len(text), 0) + _NAME.ljust(12, b"\0")
    note += text.ljust(-(-len(text) // 4) * 4, b"\0")
    count = len(found) + 1
    at = _EHDR_BYTES + _PHDR_BYTES * count
    rows = [(PT_NOTE, 0, at, 0, 0, len(note), len(note), 4)]
    at = -(-(at + len(note)) // ALIGN) * ALIGN
    placed = []
    for segment in found:
        virt = PAGE_OFFSET + segment.phys
        rows.append((PT_LOAD, 7, at, virt, segment.phys, segment.size, segment.size, ALIGN))
        placed.append(Segment(at, segment.phys, segment.size))
        at += -(-segment.size // ALIGN) * ALIGN
    ident = b"\x7fELF\x02\x01\x01".ljust(_IDENT_BYTES, b"\0")
    header = struct.pack(
        "<" + _EHDR, 4, 21, 1, 0, _EHDR_BYTES, 0, 0, _EHDR_BYTES, _PHDR_BYTES, count, 0, 0, 0
    )
    return ident + header + b"".join(struct.pack("<" + _PHDR, *row) for row in rows) + note, placed


def rewrite(source: Path, target: Path) -> None:
    """Copy a dump of QEMU's, with such headers; pages of zeros become holes.

    Raises:
        ValueError: It is no such dump, or its memory has no VMCOREINFO.
    """
    fresh = target.with_name(target.name + ".new")
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = segments(data[:ALIGN])
        text = find_note(data)
        if text is None:
            raise ValueError("the kernel's VMCOREINFO is nowhere in its memory")
        head, placed = headers(found, text)
        with fresh.open("wb") as out:
            out.write(head)
            for old, new in zip(found, placed, strict=True):
                for done in range(0, old.size, PIECE):
                    piece = data[old.offset + done : old.offset + min(done + PIECE, old.size)]
                    if piece.count(0) != len(piece):
                        out.seek(new.offset + done)
                        out.write(piece)
            out.truncate(max((new.offset + new.size for new in placed), default=len(head)))
    fresh.rename(target)
