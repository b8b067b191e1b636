"""Builds a vmlinux: an ELF64 executable of which only the symbol table has anything in it.

Written from the ELF-64 object file format; file plan: header, .strtab, .symtab, .shstrtab, then the
section headers, in a link order with .symtab before .strtab as in a real vmlinux.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from builders.byte_order import Order, prefix

EM_PPC64 = 21
ET_EXEC, ET_DYN = 2, 3
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS = 1, 2, 3, 8
SHT_NOTE = 7
_EHDR = "HHIQQQIHHHHHH"
_EHDR_NAMES = (
    *("e_type", "e_machine", "e_version", "e_entry", "e_phoff", "e_shoff", "e_flags"),
    *("e_ehsize", "e_phentsize", "e_phnum", "e_shentsize", "e_shnum", "e_shstrndx"),
)
_SHDR = "IIQQQQIIQQ"
_SHDR_NAMES = (
    *("sh_name", "sh_type", "sh_flags", "sh_addr", "sh_offset", "sh_size"),
    *("sh_link", "sh_info", "sh_addralign", "sh_entsize"),
)
Symbol = tuple[str, int, int]
"""Name, address, size in bytes."""


def build_vmlinux(
    symbols: Sequence[Symbol],
    *,
    order: Order = "little",
    symtab: bool = True,
    merge_tails: bool = False,
    elf_class: int = 2,
    header: Mapping[str, int] | None = None,
    sections: Mapping[str, Mapping[str, int]] | None = None,
    extra: Mapping[str, tuple[int, bytes]] | None = None,
) -> bytes:
    """Return the file.

    Args:
        symbols: In the order of the table, after the empty first one.
        order: Byte order of everything.
        symtab: False leaves .symtab and .strtab out, as ``strip`` does.
        merge_tails: Let a name that ends another share its bytes, as linkers do.
        elf_class: EI_CLASS.
        header: ELF header fields to overwrite (``e_machine`` and so on).
        sections: Section -> fields of its header to overwrite; ``""`` is section 0.
        extra: More sections -> their type and content.
    """
    mark = prefix(order)
    names, at_name = _string_table([name for name, _, _ in symbols], merge_tails)
    table = struct.pack(mark + "IBBHQQ", 0, 0, 0, 0, 0, 0) + b"".join(
        struct.pack(mark + "IBBHQQ", at_name[name], 0x11, 0, 1, address, size)
        for name, address, size in symbols
    )
    titles, at_title = _string_table(
        ["", ".text", ".symtab", ".strtab", ".shstrtab", *(extra or {})], False
    )
    body, parts = 64, []
    rows: dict[str, dict[str, int]] = {"": {}, ".text": {"sh_type": SHT_NOBITS, "sh_size": 99}}
    kept = {".symtab": table, ".strtab": names} if symtab else {}
    for title, (kind, content) in (extra or {}).items():
        rows[title] = {"sh_type": kind, "sh_offset": body, "sh_size": len(content)}
        body += len(content)
        parts.append(content)
    for title, content in {**kept, ".shstrtab": titles}.items():
        rows[title] = {"sh_type": SHT_STRTAB, "sh_offset": body, "sh_size": len(content)}
        body += len(content)
        parts.append(content)
    if symtab:
        link = [*rows].index(".strtab")
        rows[".symtab"] |= {"sh_type": SHT_SYMTAB, "sh_link": link, "sh_entsize": 24, "sh_info": 1}
    section_headers = b""
    for title, row in rows.items():
        fields = dict.fromkeys(_SHDR_NAMES, 0) | {"sh_name": at_title[title]} | row
        fields |= dict((sections or {}).get(title, {}))
        section_headers += struct.pack(mark + _SHDR, *fields.values())
    values = dict.fromkeys(_EHDR_NAMES, 0)
    values |= {"e_type": ET_EXEC, "e_machine": EM_PPC64, "e_version": 1, "e_shoff": body}
    values |= {"e_ehsize": 64, "e_phentsize": 56, "e_shentsize": 64}
    values |= {"e_shnum": len(rows), "e_shstrndx": len(rows) - 1}
    values |= dict(header or {})
    ident = b"\x7fELF" + bytes((elf_class, 1 if order == "little" else 2, 1)) + bytes(9)
    return b"".join([ident, struct.pack(mark + _EHDR, *values.values()), *parts, section_headers])


def build_id_note(build_id: bytes, order: Order) -> bytes:
    """Return the content of a .notes section with a GNU build ID, behind a note of another kind."""
    mark = prefix(order)
    other = struct.pack(mark + "3I", 6, 4, 0x100) + b"Linux\0\0\0" + bytes(4)
    return other + struct.pack(mark + "3I", 4, len(build_id), 3) + b"GNU\0" + build_id


def _string_table(names: Sequence[str], merge_tails: bool) -> tuple[bytes, dict[str, int]]:
    """Return the table and where each name lies in it."""
    table, at = b"\0", {"": 0}
    for name in sorted(names, key=len, reverse=True) if merge_tails else names:
        if name in at:
            continue
        known = table.find(name.encode() + b"\0") if merge_tails else -1
        if known < 0:
            known = len(table)
            table += name.encode() + b"\0"
        at[name] = known
    return table, at
