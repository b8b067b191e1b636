"""The sections of an ELF file of a PowerPC64 kernel: where they are, and what is in them.

Source: the ELF-64 object file format; the gABI's chapter on compressed sections; for the form that
was before it, ``.zdebug_*``, binutils' objcopy(1), ``--compress-debug-sections=zlib-gnu``.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import CorruptDump, UnsupportedDump
from vmemmap.formats import elf64
from vmemmap.source.file_view import ByteView

TABLE_MAX_BYTES = 1 << 30
_NAMES_MAX_BYTES = 1 << 20
_NAME_MAX_BYTES = 64
_SHT_NOBITS = 8
_SHF_COMPRESSED = 0x800
_ZLIB = 1
_COMPRESSION_HEADER_BYTES = 24
_OLD_MAGIC = b"ZLIB"
_OLD_HEADER = struct.Struct(">4sQ")
"""What compressed sections began with before the gABI knew them, in files of either byte order: the
magic, and how large the content is. Their names tell: ``.zdebug_info`` for ``.debug_info``."""
_ABI_MASK, _ABI_V2 = 3, 2
"""Of e_flags: 2 is the second ABI, of little-endian kernels and big-endian ones that chose it."""


@dataclass(frozen=True, slots=True)
class ElfSection:
    """A section: where its content is in the file (bytes) and in memory, what it refers to."""

    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    address: int


class ElfFile:
    """The section table of a vmlinux.

    Args:
        view: The file; not closed here.

    Attributes:
        order: Byte order of everything in it.
        has_descriptors: It is of the first ELF ABI, where functions have descriptors.
        sections: In the order of the table.

    Raises:
        DumpError: It is no PowerPC64 ELF file, or its section table is not in it.
    """

    def __init__(self, view: ByteView) -> None:
        self._view = view
        self.order = _order_of(view)
        header = elf64.decode_header(view.view(0, elf64.HEADER_BYTES), self.order)
        self.has_descriptors = self.order == "big" and header.e_flags & _ABI_MASK != _ABI_V2
        layout = elf64.section_header_dtype(self.order)
        rows = self.table(header.e_shoff, header.e_shnum, layout, "section headers")
        names = b""
        if header.e_shstrndx < len(rows):
            at, size = (int(rows[header.e_shstrndx][field]) for field in ("sh_offset", "sh_size"))
            if size <= _NAMES_MAX_BYTES and view.holds(at, size):
                names = bytes(view.view(at, size))
        self.sections = tuple(
            ElfSection(
                _name(names, int(row["sh_name"])),
                *(int(row[field]) for field in _FIELDS),
            )
            for row in rows
        )

    def find(self, name: str) -> ElfSection | None:
        """Give the section of this name that has content, or None."""
        found = (s for s in self.sections if s.name == name and s.kind != _SHT_NOBITS)
        return next(found, None)

    def find_debug(self, name: str) -> ElfSection | None:
        """Give a section of debug information, such as ``info``, compressed or not, or None."""
        return self.find(f".debug_{name}") or self.find(f".zdebug_{name}")

    def table(
        self, offset: int, count: int, layout: np.dtype[np.void], what: str
    ) -> NDArray[np.void]:
        """Give a table of the file as an array.

        Raises:
            CorruptDump: It is not wholly in the file.
        """
        data = self.content(offset, count * layout.itemsize, f"the table of {count} {what}")
        return np.frombuffer(data, dtype=layout)

    def content(self, offset: int, size: int, what: str) -> memoryview:
        """Give bytes of the file.

        Raises:
            CorruptDump: They are not all in it.
        """
        if not self._view.holds(offset, size) or size > TABLE_MAX_BYTES:
            raise CorruptDump(
                what,
                file_offset=offset,
                expected=f"it to end before the file's end at {self._view.size:#x}",
                found=f"{size} bytes",
            )
        return self._view.view(offset, size)

    def unpacked(self, section: ElfSection) -> memoryview:
        """Give what is in a section, decompressed if need be.

        Raises:
            CorruptDump: It is not in the file, or cannot be decompressed.
            UnsupportedDump: It is compressed in another way than with zlib.
        """
        data = self.content(section.offset, section.size, f"the section {section.name}")
        if section.name.startswith(".zdebug_"):
            head = bytes(data[: _OLD_HEADER.size])
            if len(head) < _OLD_HEADER.size or not head.startswith(_OLD_MAGIC):
                raise CorruptDump(
                    f"the section {section.name}",
                    file_offset=section.offset,
                    expected="ZLIB and a size at its start",
                    found=head.hex(" ") or "nothing",
                )
            size = _OLD_HEADER.unpack(head)[1]
            return self._decompress(section, data[_OLD_HEADER.size :], size)
        if not section.flags & _SHF_COMPRESSED:
            return data
        # CONFIG_DEBUG_INFO_COMPRESSED_ZLIB
        if len(data) < _COMPRESSION_HEADER_BYTES:
            data = memoryview(bytes(_COMPRESSION_HEADER_BYTES))
        kind, _, size, _ = struct.unpack_from(numpy_prefix(self.order) + "2I2Q", data)
        if kind != _ZLIB:
            raise UnsupportedDump(
                f"its section {section.name} is compressed in a way not handled ({kind}): "
                "decompress it with objcopy --decompress-debug-sections"
            )
        return self._decompress(section, data[_COMPRESSION_HEADER_BYTES:], size)

    @staticmethod
    def _decompress(section: ElfSection, data: memoryview, size: int) -> memoryview:
        engine = zlib.decompressobj()
        try:
            out = engine.decompress(data, max(min(size, TABLE_MAX_BYTES), 1))
        except zlib.error as error:
            raise CorruptDump(
                f"the section {section.name}",
                file_offset=section.offset,
                expected="zlib's format",
                found=str(error),
            ) from error
        if len(out) < min(size, TABLE_MAX_BYTES):
            raise CorruptDump(
                f"the section {section.name}",
                file_offset=section.offset,
                expected=f"{size} bytes",
                found=f"{len(out)} when decompressed",
            )
        return memoryview(out)


def _name(names: bytes, at: int) -> str:
    return names[at : at + _NAME_MAX_BYTES].split(b"\0")[0].decode("latin-1")


_FIELDS = ("sh_type", "sh_flags", "sh_offset", "sh_size", "sh_link", "sh_addr")


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
