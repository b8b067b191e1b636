"""A vmlinux that the user names: its symbols, its types, and whether it is the dump's kernel.

It may have only some of that: a stripped one has types (BTF) and no symbols, one from before 5.2
without debug information has symbols and no types. What it lacks is said when that is needed.

Source: the ELF-64 object file format; Linux include/asm-generic/vmlinux.lds.h (the sections).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.errors import DumpError, FactConflict, FactMissing, UnsupportedDump
from vmemmap.established import established
from vmemmap.facts.elf_file import ElfFile
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.symbols.descriptors import DESCRIPTOR_BYTES, DESCRIPTOR_SUFFIX, find_code
from vmemmap.facts.symbols.table import Symbol, SymbolTable
from vmemmap.facts.types.types import Types
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.formats.notes import walk_notes
from vmemmap.linear_map import linear_phys_many
from vmemmap.source.file_view import ByteView
from vmemmap.source.opening import Opened, open_bytes

_SHT_SYMTAB = 2
_SHT_NOTE = 7
_SHN_UNDEF = 0
_STT_SECTION, _STT_FILE = 3, 4
_NT_GNU_BUILD_ID = 3
_NOTES_MAX_BYTES = 1 << 20
_MOVED_TOGETHER = ("_stext", "swapper_pg_dir", "init_uts_ns")
LOAD_ALIGN = 64 << 10
"""A relocatable kernel is loaded at a multiple of this."""
_BANNER = re.compile(rb"Linux version ([0-9]+\.[0-9][!-~]{0,63}) \(")
_BANNER_SPAN = 64 << 20
"""The banner stands in the kernel's constants, which come early in the file."""


class SymbolFile:
    """A vmlinux; of its contents, what is asked for is read.

    Args:
        file: The file: its path or URL, or what is open already; closed by `close`.
        storage: Options for URLs.

    Attributes:
        build_id: What the linker gave it, in hex; empty if it has none.
        has_symbols: It has a symbol table.
        relocation: How many bytes higher than in the file everything is in memory; see `follow`.

    Raises:
        DumpError: It cannot be read, is no PowerPC64 ELF file, or has neither symbols nor types.
    """

    def __init__(self, file: Opened | ByteView, storage: Mapping[str, Any] | None = None) -> None:
        if isinstance(file, ByteView):
            self._view = file
        else:
            self._view = open_bytes(file, "the vmlinux", storage=storage)
        self.path = self._view.path
        self.relocation = 0
        try:
            self._file = ElfFile(self._view)
            symbols = _find_symbols(self._file)
            self.has_symbols = symbols is not None
            if symbols is None and self._types_in() is None:
                raise UnsupportedDump(
                    "this vmlinux has no symbol table (it was stripped) and no types; use the one "
                    "from the kernel's debug package"
                )
            self._names, self._symbols = symbols or (b"", np.zeros(0, _symbol_dtype("<")))
            self.build_id = find_build_id(self._file)
        except DumpError as error:
            error.path = self.path
            self._view.close()
            raise

    def close(self) -> None:
        """Release the file; symbols stay, types that were not asked for are gone."""
        self._view.close()

    def find(self, name: str) -> Symbol | None:
        """Give a symbol by its name, or None."""
        wanted = name.encode() + b"\0"
        at = self._names.find(wanted)
        while at >= 0:
            # Another symbol's name may end like this one, so a place in the text can be no name.
            rows = np.flatnonzero(self._symbols["st_name"] == at)
            if len(rows):
                row = self._symbols[int(rows[0])]
                return Symbol(name, int(row["st_value"]) + self.relocation, int(row["st_size"]))
            at = self._names.find(wanted, at + 1)
        return None

    @cached_property
    def table(self) -> SymbolTable:
        """Every symbol of the kernel's image; among those at one address, one with a size first.

        A function's name means its code; see ``symbols.descriptors``.
        """
        found = self._symbols
        value = found["st_value"].astype(np.uint64)
        _, kept = linear_phys_many(value)
        kept &= (found["st_shndx"] != _SHN_UNDEF) & (found["st_name"] < len(self._names))
        kept &= ~np.isin(found["st_info"] & 15, (_STT_SECTION, _STT_FILE))
        found, value = found[kept], value[kept]
        name_at = found["st_name"].astype(np.intp)
        size = found["st_size"].astype(np.uint64)
        count = len(found)
        code = find_code(self._file, value)
        rows = np.flatnonzero(code)
        names, added = _with_suffix(self._names + b"\0", name_at[rows])
        name_at = np.append(name_at, added)
        size = np.append(size, np.full(len(rows), DESCRIPTOR_BYTES, dtype=np.uint64))
        value = np.append(np.where(code, code, value), value[rows])
        value = value + np.uint64(self.relocation)
        order = np.lexsort((size == 0, value))
        return SymbolTable(
            names,
            name_at[order],
            value[order],
            size[order],
            b"",
            Fact("symbols", count, Origin.USER, f"symbol table of {self.path}"),
        )

    @property
    def lacks_descriptors(self) -> bool:
        """Its functions have descriptors, and what these lead to is not in the file."""
        return self._file.has_descriptors and self._file.find(".opd") is None

    @property
    def fact(self) -> Fact[str]:
        """The fact that the user named this file, and what it has."""
        has = ["symbols"] if self.has_symbols else []
        has += {".BTF": ["BTF"], None: []}.get(self._types_in(), ["debug information"])
        lacks = [] if self.has_symbols else ["symbols"]
        lacks += [] if self._types_in() else ["types"]
        detail = f"has {' and '.join(has)}" + (f", no {lacks[0]}" if lacks else "")
        detail += f"; build ID {self.build_id}" if self.build_id else ""
        if self.relocation:
            detail += f"; this kernel runs {self.relocation:#x} bytes above where it was linked"
        return Fact("vmlinux", self.path, Origin.USER, detail)

    def release(self) -> str:
        """Give the kernel's release by its banner, or an empty text."""
        found = _BANNER.search(self._view.view(0, min(self._view.size, _BANNER_SPAN)))
        return found[1].decode("latin-1") if found else ""

    def check_kernel(self, info: Vmcoreinfo) -> None:
        """Check that this is the kernel of a dump, by its build ID or else its release.

        Raises:
            FactConflict: It is another one.
        """
        key, ours = "BUILD-ID", self.build_id
        if not ours or key not in info:
            if "OSRELEASE" not in info:
                return
            key, ours = "OSRELEASE", self.release()
        theirs = info.text(key)
        if ours and ours != theirs:
            raise FactConflict(
                f"{self.path} is not the vmlinux of this dump's kernel: its "
                f"{'build ID' if key == 'BUILD-ID' else 'release'} is {ours}, and VMCOREINFO has "
                f"{key}={theirs}",
                name="vmlinux",
            )

    def follow(self, info: Vmcoreinfo) -> None:
        """Let symbols be where the kernel of a dump has them, if it was relocated.

        A relocatable kernel that is told to stay where it was loaded, as a capture kernel is, moves
        as a whole: the symbols that VMCOREINFO has, from the text to the data, are all as far from
        where the file has them. KERNELOFFSET does not tell, which is 0 on Book3S.
        """
        moved = set()
        for name in _MOVED_TOGETHER:
            found = self.find(name)
            if found is None or f"SYMBOL({name})" not in info:
                return
            moved.add(info.symbol(name) - found.address + self.relocation)
        by = moved.pop()
        self.relocation = by if by > 0 and not moved and by % LOAD_ALIGN == 0 else 0

    @established
    def types(self) -> Types:
        """The kernel's types, by BTF or else by debug information.

        Raises:
            FactMissing: It has neither.
            FactInvalid: They are damaged.
        """
        name = self._types_in()
        detail = f"{'BTF' if name == '.BTF' else 'debug information'} of {self.path}"
        if name == ".BTF":
            from vmemmap.facts.types.btf import Btf

            section = self._file.find(name)
            assert section is not None
            try:
                data = bytes(self._file.content(section.offset, section.size, detail))
            except DumpError as error:
                raise FactMissing(f"{detail}: {error}", name="types") from error
            return Btf(data, detail)
        if name is None:
            raise FactMissing(
                f"{self.path} has no types (neither BTF nor debug information)", name="types"
            )
        from vmemmap.facts.types.dwarf import Dwarf

        return Dwarf(self._file, detail)

    def _types_in(self) -> str | None:
        """Give the section that has types: BTF is the quicker to read."""
        if self._file.find(".BTF"):
            return ".BTF"
        found = self._file.find_debug("info")
        return None if found is None else found.name


def find_build_id(file: ElfFile) -> str:
    """Give the build ID in hex, or an empty text."""
    for section in file.sections:
        if section.kind == _SHT_NOTE and section.size <= _NOTES_MAX_BYTES:
            data = file.content(section.offset, section.size, f"the section {section.name}")
            for note in walk_notes(data, file.order):
                if note.name == "GNU" and note.kind == _NT_GNU_BUILD_ID:
                    return note.desc.hex()
    return ""


def _with_suffix(names: bytes, name_at: NDArray[np.intp]) -> tuple[bytes, NDArray[np.intp]]:
    """Give *names* with those at some places once more, as descriptors, and where these start."""
    added, at = [], []
    suffix = DESCRIPTOR_SUFFIX.encode() + b"\0"
    end = len(names)
    for start in name_at.tolist():
        at.append(end)
        added.append(names[start : names.index(b"\0", start)] + suffix)
        end += len(added[-1])
    return b"".join((names, *added)), np.array(at, dtype=np.intp)


def _symbol_dtype(prefix: str) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("st_name", prefix + "u4"),
            ("st_info", "u1"),
            ("st_other", "u1"),
            ("st_shndx", prefix + "u2"),
            ("st_value", prefix + "u8"),
            ("st_size", prefix + "u8"),
        ]
    )


def _find_symbols(file: ElfFile) -> tuple[bytes, NDArray[np.void]] | None:
    """Give names and symbols; None if there is no symbol table."""
    symtab = next((s for s in file.sections if s.kind == _SHT_SYMTAB), None)
    if symtab is None or symtab.link >= len(file.sections):
        return None
    strtab = file.sections[symtab.link]
    layout = _symbol_dtype(numpy_prefix(file.order))
    symbols = file.table(symtab.offset, symtab.size // layout.itemsize, layout, "symbols")
    names = file.content(strtab.offset, strtab.size, "the symbols' names")
    return bytes(names), symbols.copy()
