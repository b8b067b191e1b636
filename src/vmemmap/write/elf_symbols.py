"""Writes an ELF file that holds a symbol table, types and notes at most, in place of a vmlinux.

Source: the ELF-64 object file format.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.formats import elf64

ET_EXEC = 2
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE, SHT_NOBITS = 1, 2, 3, 7, 8
GLOBAL_OBJECT, GLOBAL_FUNC = 0x11, 0x12
SHF_WRITE_ALLOC, SHF_ALLOC_EXEC = 3, 6
PF_RWX = 7
LINEAR_MASK = (1 << 60) - 1
"""Of a kernel's virtual address what is the physical one."""


@dataclass(frozen=True, slots=True)
class ElfSymbol:
    """One symbol: its kernel virtual address and the bytes it names; a function or a variable."""

    name: str
    address: int
    size: int
    is_function: bool = False


def pack_elf_symbols(
    order: ByteOrder, symbols: list[ElfSymbol], sections: Mapping[str, bytes] | None = None
) -> bytes:
    """Give *symbols* as an ELF executable of PowerPC64 without code.

    Args:
        order: Its byte order.
        symbols: What it names.
        sections: What else is in it, by the section's name: types, and notes.
    """
    further = {name: data for name, data in (sections or {}).items() if data}
    word = numpy_prefix(order)
    names = b"\0"
    table = bytearray(24)
    for symbol in symbols:
        kind, section = (GLOBAL_FUNC, 1) if symbol.is_function else (GLOBAL_OBJECT, 2)
        table += struct.pack(
            word + "IBBHQQ", len(names), kind, 0, section, symbol.address, symbol.size
        )
        names += symbol.name.encode() + b"\0"
    labels = b"\0.text\0.data\0.symtab\0.strtab\0"
    labels += b"".join(name.encode() + b"\0" for name in further)
    first = min((symbol.address for symbol in symbols), default=0)
    size = max((symbol.address + symbol.size for symbol in symbols), default=0) - first

    symtab_at = elf64.HEADER_BYTES + elf64.PROGRAM_HEADER_BYTES
    strtab_at = symtab_at + len(table)
    shstrtab_at = strtab_at + len(names)
    further_at = -(-(shstrtab_at + len(labels)) // 8) * 8
    places, body = {}, b""
    for label, data in further.items():
        places[label] = further_at + len(body)
        body += data.ljust(-(-len(data) // 8) * 8, b"\0")
    headers_at = further_at + len(body)
    rows: list[tuple[bytes, int, int, int, int, int, int, int]] = [
        # name, type, flags, address, offset, size, link, info
        (b"", 0, 0, 0, 0, 0, 0, 0),
        (b".text", SHT_NOBITS, SHF_ALLOC_EXEC, first, symtab_at, size, 0, 0),
        (b".data", SHT_NOBITS, SHF_WRITE_ALLOC, first, symtab_at, size, 0, 0),
        (b".symtab", SHT_SYMTAB, 0, 0, symtab_at, len(table), 4, 1),
        (b".strtab", SHT_STRTAB, 0, 0, strtab_at, len(names), 0, 0),
    ]
    for label, data in further.items():
        kind = SHT_NOTE if label.startswith(".note") else SHT_PROGBITS
        rows.append((label.encode(), kind, 0, 0, places[label], len(data), 0, 0))
    rows.append((b".strtab", SHT_STRTAB, 0, 0, shstrtab_at, len(labels), 0, 0))
    headers = np.zeros(len(rows), elf64.section_header_dtype(order))
    for header, row in zip(headers, rows, strict=True):
        name, kind, flags, address, offset, length, link, info = row
        header["sh_name"] = labels.find(b"\0" + name + b"\0") + 1 if name else 0
        header["sh_type"], header["sh_flags"], header["sh_addr"] = kind, flags, address
        header["sh_offset"], header["sh_size"] = offset, length
        header["sh_link"], header["sh_info"] = link, info
        header["sh_entsize"] = 24 if kind == SHT_SYMTAB else 0
        header["sh_addralign"] = 1
    start = struct.pack(
        word + "HHIQQQIHHHHHH",
        ET_EXEC,
        elf64.EM_PPC64,
        elf64.EV_CURRENT,
        first,
        elf64.HEADER_BYTES,
        headers_at,
        2 if order == "little" else 1,
        elf64.HEADER_BYTES,
        elf64.PROGRAM_HEADER_BYTES,
        1,
        elf64.SECTION_HEADER_BYTES,
        len(rows),
        len(rows) - 1,
    )
    ident = elf64.MAGIC + bytes([elf64.CLASS_64, 1 if order == "little" else 2, 1])
    # Nothing of the kernel is in the file; debuggers tell by this where it is.
    segment = (elf64.PT_LOAD, PF_RWX, 0, first, first & LINEAR_MASK, 0, size, 1 << 16)
    start += struct.pack(word + "2I6Q", *segment)
    content = ident.ljust(16, b"\0") + start + bytes(table) + names + labels
    return content.ljust(further_at, b"\0") + body + headers.tobytes()
