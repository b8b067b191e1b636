"""Builds ELF vmcores, ordinary and hostile, from explicitly given segments.

Nothing is sorted, merged or checked: a segment comes out as it was asked for. File plan:

    kernel style                          QEMU style (``sections="qemu"``, ``align=1``)
    0       ELF header                    0      ELF header
    64      program headers               0x40   section headers 0 and 1
            (section 0, only PN_XNUM)     0xc0   program headers
    align   notes                                notes, directly after
    align   data of the segments                 data, directly after, unaligned
                                                 string table, 11 bytes

Reference: dump-formats.md 3.1, 3.3, 3.5.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .byte_order import Order, prefix
from .notes import Notes

PT_NULL, PT_LOAD, PT_NOTE = 0, 1, 4
ET_CORE = 4
EM_PPC, EM_PPC64, EM_X86_64 = 20, 21, 62
ELFCLASS32, ELFCLASS64 = 1, 2
ELFDATA2LSB, ELFDATA2MSB = 1, 2
PN_XNUM = 0xFFFF
PAGE_OFFSET = 0xC000000000000000
NO_ADDRESS = 0xFFFFFFFFFFFFFFFF

_SHSTRTAB = b"\0.shstrtab\0"
_EHDR_NAMES = (
    *("e_type", "e_machine", "e_version", "e_entry", "e_phoff", "e_shoff", "e_flags"),
    *("e_ehsize", "e_phentsize", "e_phnum", "e_shentsize", "e_shnum", "e_shstrndx"),
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header and the bytes behind it.

    Attributes:
        paddr: p_paddr, physical byte address.
        data: Bytes put into the file (may be empty).
        memsz: p_memsz in bytes; default ``len(data)``.
        filesz: p_filesz in bytes as *stated*; default ``len(data)``.
        offset: p_offset as *stated*; default is where *data* was put, 0 without data.
        vaddr: p_vaddr; default ``PAGE_OFFSET + paddr`` (the kernel's way).
        p_type: PT_LOAD unless told otherwise; PT_NULL gives an all-zero header.
        flags: p_flags.
        align: p_align.
        misalign: Bytes to skip before *data*, after the builder's own alignment.
    """

    paddr: int
    data: bytes | bytearray = b""
    memsz: int | None = None
    filesz: int | None = None
    offset: int | None = None
    vaddr: int | None = None
    p_type: int = PT_LOAD
    flags: int = 7
    align: int = 0
    misalign: int = 0


def build_elf(
    segments: Sequence[Segment],
    notes: Notes | bytes = b"",
    *,
    order: Order = "little",
    ei_data: int | None = None,
    ei_class: int = ELFCLASS64,
    machine: int = EM_PPC64,
    e_flags: int = 0,
    align: int = 0x10000,
    xnum: bool = False,
    sections: Literal["none", "qemu"] = "none",
    note_last: bool = False,
    header: Mapping[str, int] | None = None,
    note_header: Mapping[str, int] | None = None,
) -> bytes:
    """Return an ELF core file.

    Args:
        segments: In file order; one program header each, data in the same order.
        notes: Goes into one PT_NOTE. ``b""`` leaves the PT_NOTE out.
        order: Byte order of all header fields, independent of the memory in *segments*.
        ei_data: EI_DATA byte; default agrees with *order*.
        ei_class: ``ELFCLASS32`` writes real 32-bit headers.
        machine: e_machine.
        e_flags: e_flags.
        align: File alignment of notes and data in bytes; 1 packs them (QEMU).
        xnum: Use the PN_XNUM escape; implied from 65535 program headers on.
        sections: ``"qemu"`` puts two section headers before the program headers, the second one
            in little-endian host order, and sets e_ehsize to 8.
        note_last: Put the PT_NOTE after the other program headers.
        header: ELF header fields by name (``e_phoff`` and so on), to overwrite in the result.
        note_header: Fields of the PT_NOTE program header (``p_offset`` and so on), likewise.
    """
    mark, wide = prefix(order), ei_class == ELFCLASS64
    note_data = notes.data if isinstance(notes, Notes) else notes
    ehdr_size, phentsize, shentsize = (64, 56, 64) if wide else (52, 32, 40)
    count = len(segments) + (1 if note_data else 0)
    escape = xnum or count >= PN_XNUM
    qemu = sections == "qemu"
    phoff = ehdr_size + (2 * shentsize if qemu else 0)
    shoff = ehdr_size if qemu else 0
    end_of_headers = phoff + count * phentsize
    if escape and not qemu:
        shoff = end_of_headers
        end_of_headers += shentsize

    body: list[bytes] = []
    position = end_of_headers

    def place(data: bytes | bytearray, skip: int) -> int:
        nonlocal position
        gap = -position % align + skip
        body.extend((bytes(gap), bytes(data)))
        position += gap + len(data)
        return position - len(data)

    program_headers = []
    note_phdr = b""
    if note_data:
        fields = {
            "p_type": PT_NOTE,
            "p_flags": 0,
            "p_offset": place(note_data, 0),
            "p_vaddr": 0,
            "p_paddr": 0,
            "p_filesz": len(note_data),
            "p_memsz": len(note_data),
            "p_align": 0,
        }
        note_phdr = _program_header(mark, wide, _replace(fields, note_header))
        if not note_last:
            program_headers.append(note_phdr)
    for segment in segments:
        at = place(segment.data, segment.misalign) if segment.data else 0
        if segment.p_type == PT_NULL:
            # makedumpfile leaves the headers of segments it never reached all zero.
            program_headers.append(bytes(phentsize))
            continue
        vaddr = (segment.paddr + PAGE_OFFSET) % 2**64 if segment.vaddr is None else segment.vaddr
        size = len(segment.data)
        fields = {
            "p_type": segment.p_type,
            "p_flags": segment.flags,
            "p_offset": at if segment.offset is None else segment.offset,
            "p_vaddr": vaddr if wide else vaddr % 2**32,
            "p_paddr": segment.paddr,
            "p_filesz": size if segment.filesz is None else segment.filesz,
            "p_memsz": size if segment.memsz is None else segment.memsz,
            "p_align": segment.align,
        }
        program_headers.append(_program_header(mark, wide, fields))
    if note_data and note_last:
        program_headers.append(note_phdr)

    values = dict.fromkeys(_EHDR_NAMES, 0)
    values |= {"e_type": ET_CORE, "e_machine": machine, "e_version": 1, "e_phoff": phoff}
    values |= {"e_shoff": shoff, "e_flags": e_flags, "e_ehsize": 8 if qemu else ehdr_size}
    values |= {"e_phentsize": phentsize, "e_phnum": PN_XNUM if escape else count}
    if qemu:
        values |= {"e_shentsize": shentsize, "e_shnum": 2, "e_shstrndx": 1}
    elif escape:
        values |= {"e_shentsize": shentsize, "e_shnum": 1}
    if ei_data is None:
        ei_data = ELFDATA2LSB if order == "little" else ELFDATA2MSB
    ident = b"\x7fELF" + bytes((ei_class, ei_data, 1)) + bytes(9)
    word = "Q" if wide else "I"
    ehdr = struct.pack(f"{mark}HHI{word}{word}{word}IHHHHHH", *_replace(values, header).values())

    real_count = count if escape else 0
    if qemu:
        names = _section_header("<", wide, sh_name=1, sh_type=3, at=position, size=len(_SHSTRTAB))
        tables = _section_header(mark, wide, info=real_count) + names
        body.append(_SHSTRTAB)
        parts = [ident, ehdr, tables, *program_headers, *body]
    else:
        tables = _section_header(mark, wide, size=1, info=real_count) if escape else b""
        parts = [ident, ehdr, *program_headers, tables, *body]
    return b"".join(parts)


def _replace(fields: dict[str, int], changes: Mapping[str, int] | None) -> dict[str, int]:
    unknown = set(changes or {}) - set(fields)
    if unknown:
        raise ValueError(f"no such header field: {sorted(unknown)}")
    return fields | dict(changes or {})


def _program_header(mark: str, wide: bool, fields: Mapping[str, int]) -> bytes:
    names = ("p_type", "p_flags", "p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz")
    if wide:
        return struct.pack(mark + "IIQQQQQQ", *(fields[name] for name in (*names, "p_align")))
    # The 32-bit header has p_flags behind the sizes.
    names = ("p_type", "p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz", "p_flags")
    return struct.pack(mark + "8I", *(fields[name] for name in (*names, "p_align")))


def _section_header(
    mark: str,
    wide: bool,
    *,
    sh_name: int = 0,
    sh_type: int = 0,
    at: int = 0,
    size: int = 0,
    info: int = 0,
) -> bytes:
    layout = "IIQQQQIIQQ" if wide else "10I"
    return struct.pack(mark + layout, sh_name, sh_type, 0, 0, at, size, 0, info, 0, 0)
