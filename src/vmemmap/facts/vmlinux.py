"""Symbols from a vmlinux that the user names: only its symbol table, no debug information.

For kernels that do not export the list in VMCOREINFO (before 3.13), or not their symbols (before
6.0).

Source: the ELF-64 object file format.
"""

from __future__ import annotations

import os
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import CorruptDump, DumpError, UnsupportedDump
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.linear_map import LINEAR_SPAN, PAGE_OFFSET
from vmemmap.facts.symbols import Symbol, SymbolTable
from vmemmap.formats import elf64
from vmemmap.source.file_view import ByteView
from vmemmap.source.opening import open_bytes

_SHT_SYMTAB = 2
_SHN_UNDEF = 0
_STT_SECTION, _STT_FILE = 3, 4
_SYMTAB_MAX_BYTES = 1 << 30


class SymbolFile:
    """The symbol table of a vmlinux.

    Args:
        path: The file; it is closed again when this returns.

    Raises:
        DumpError: It cannot be read, is no PowerPC64 ELF file, or has no symbol table.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        view = open_bytes(path, "the vmlinux")
        try:
            self._names, self._symbols = _read_symbols(view)
        except DumpError as error:
            error.path = self.path
            raise
        finally:
            view.close()

    def find(self, name: str) -> Symbol | None:
        """Give a symbol by its name, or None."""
        wanted = name.encode() + b"\0"
        at = self._names.find(wanted)
        while at >= 0:
            # Another symbol's name may end like this one, so a place in the text can be no name.
            rows = np.flatnonzero(self._symbols["st_name"] == at)
            if len(rows):
                row = self._symbols[int(rows[0])]
                return Symbol(name, int(row["st_value"]), int(row["st_size"]))
            at = self._names.find(wanted, at + 1)
        return None

    @cached_property
    def table(self) -> SymbolTable:
        """Every symbol of the kernel's image; among those at one address, one with a size first."""
        found = self._symbols
        value = found["st_value"].astype(np.uint64)
        kept = (value >= PAGE_OFFSET) & (value < PAGE_OFFSET + LINEAR_SPAN)
        kept &= (found["st_shndx"] != _SHN_UNDEF) & (found["st_name"] < len(self._names))
        kept &= ~np.isin(found["st_info"] & 15, (_STT_SECTION, _STT_FILE))
        found, value = found[kept], value[kept]
        order = np.lexsort((found["st_size"] == 0, value))
        found = found[order]
        return SymbolTable(
            self._names + b"\0",
            found["st_name"].astype(np.intp),
            value[order],
            found["st_size"].astype(np.uint64),
            b"",
            Fact("symbols", len(found), Origin.USER, f"symbol table of {self.path}"),
        )


def _read_symbols(view: ByteView) -> tuple[bytes, NDArray[np.void]]:
    order = _order_of(view)
    header = elf64.decode_header(view.view(0, elf64.HEADER_BYTES), order)
    word = numpy_prefix(order)
    sections = _table(
        view, header.e_shoff, header.e_shnum, elf64.section_header_dtype(order), "section headers"
    )
    symtabs = sections[sections["sh_type"] == _SHT_SYMTAB]
    if not len(symtabs) or int(symtabs[0]["sh_link"]) >= len(sections):
        raise UnsupportedDump(
            "this vmlinux has no symbol table (it was stripped); use the one from the kernel's "
            "debug package"
        )
    symtab, strtab = symtabs[0], sections[int(symtabs[0]["sh_link"])]
    layout = np.dtype(
        [
            ("st_name", word + "u4"),
            ("st_info", "u1"),
            ("st_other", "u1"),
            ("st_shndx", word + "u2"),
            ("st_value", word + "u8"),
            ("st_size", word + "u8"),
        ]
    )
    count = int(symtab["sh_size"]) // layout.itemsize
    symbols = _table(view, int(symtab["sh_offset"]), count, layout, "symbols")
    offset, size = int(strtab["sh_offset"]), int(strtab["sh_size"])
    if not view.holds(offset, size) or size > _SYMTAB_MAX_BYTES:
        raise _outside(view, "the symbols' names", offset, size)
    return bytes(view.view(offset, size)), symbols.copy()


def _table(
    view: ByteView, offset: int, count: int, layout: np.dtype[np.void], what: str
) -> NDArray[np.void]:
    size = count * layout.itemsize
    if not view.holds(offset, size) or size > _SYMTAB_MAX_BYTES:
        raise _outside(view, f"the table of {count} {what}", offset, size)
    return np.frombuffer(view.view(offset, size), dtype=layout)


def _outside(view: ByteView, what: str, offset: int, size: int) -> CorruptDump:
    return CorruptDump(
        what,
        file_offset=offset,
        expected=f"it to end before the file's end at {view.size:#x}",
        found=f"{size} bytes",
    )


def _order_of(view: ByteView) -> ByteOrder:
    head = bytes(view.view(0, elf64.HEADER_BYTES))
    if len(head) < elf64.HEADER_BYTES or not head.startswith(elf64.MAGIC):
        raise UnsupportedDump(
            f"this is no vmlinux: expected an ELF file, found {head[:4].hex(' ') or 'nothing'} at "
            "its start (a vmlinuz or zImage has no symbols: use the kernel's debug package)"
        )
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    for order in orders:
        header = elf64.decode_header(head, order)
        if head[elf64.EI_CLASS] == elf64.CLASS_64 and header.e_machine == elf64.EM_PPC64:
            return order
    raise UnsupportedDump("this is no vmlinux of a PowerPC64 kernel (e_machine is not 21)")
