"""The ELF core file of a 64-bit kernel, as data: offsets, sizes, and how to read its headers.

::

    ELF header (64)  ->  program headers (56 each)  ->  PT_NOTE bytes  ->  PT_LOAD bytes ...

A vmcore has three byte orders: that of the header fields (found here by `container_order`), the
one EI_DATA claims, and that of the dumped memory. They can all differ: kexec_file_load on a
big-endian kernel writes big-endian fields under EI_DATA=LSB, and QEMU 7.0 to 8.0 writes big-endian
files around little-endian memory. Sections are not read, apart from section 0 for PN_XNUM.

Source: the ELF-64 object file format; Linux fs/proc/vmcore.c, kernel/kexec_file.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from vmemmap.address import ByteOrder, numpy_prefix

MAGIC = b"\x7fELF"
HEADER_BYTES = 64
PROGRAM_HEADER_BYTES = 56
SECTION_HEADER_BYTES = 64

EI_CLASS = 4
EI_DATA = 5
CLASS_32 = 1
CLASS_64 = 2

ET_CORE = 4
EM_PPC64 = 21
EV_CURRENT = 1

PT_NULL = 0
PT_LOAD = 1
PT_NOTE = 4

PN_XNUM = 0xFFFF
"""e_phnum of a file with more program headers than fit; the count is section 0's sh_info."""

SH_INFO_OFFSET = 44
NO_PHYS = (1 << 64) - 1
"""p_paddr of a segment that has no physical address (vmalloc in /proc/kcore)."""

TYPE_NAMES = {1: "relocatable", 2: "executable", 3: "shared object", 4: "core"}


@dataclass(frozen=True, slots=True)
class ElfHeader:
    """The fields of the ELF header that a dump reader needs; offsets and sizes in bytes."""

    order: ByteOrder
    e_type: int
    e_machine: int
    e_version: int
    e_phoff: int
    e_shoff: int
    e_flags: int
    e_phentsize: int
    e_phnum: int
    e_shentsize: int
    e_shnum: int
    e_shstrndx: int


_FIELDS = "HHIQQQIHHHHHH"  # from offset 16 to 64


def decode_header(data: bytes | memoryview, order: ByteOrder) -> ElfHeader:
    """Decode the 64-byte ELF header *data* with the fields in the given byte order.

    e_ehsize is left alone: QEMU 7.2 writes 8 there.
    """
    fields = struct.unpack_from(numpy_prefix(order) + _FIELDS, data, 16)
    e_type, machine, version, _entry, phoff, shoff, flags = fields[:7]
    _ehsize, phentsize, phnum, shentsize, shnum, shstrndx = fields[7:]
    first = (order, e_type, machine, version, phoff, shoff, flags)
    return ElfHeader(*first, phentsize, phnum, shentsize, shnum, shstrndx)


def container_order(data: bytes | memoryview) -> ByteOrder | None:
    """Find the byte order of a PowerPC64 core file's header fields, whatever EI_DATA says.

    Returns:
        The order in which e_type, e_machine, e_version and e_phentsize read 4, 21, 1 and 56. None
        of these is a palindrome, so at most one order fits; None when neither does.
    """
    for order in ("little", "big"):
        header = decode_header(data, order)
        if (header.e_type, header.e_machine, header.e_version, header.e_phentsize) == (
            ET_CORE,
            EM_PPC64,
            EV_CURRENT,
            PROGRAM_HEADER_BYTES,
        ):
            return order
    return None


def core_order(data: bytes | memoryview) -> ByteOrder | None:
    """Find the byte order of a 64-bit core of any machine, as `container_order` does."""
    for order in ("little", "big"):
        header = decode_header(data, order)
        core = (header.e_type, header.e_version, header.e_phentsize)
        if core == (ET_CORE, EV_CURRENT, PROGRAM_HEADER_BYTES):
            return order
    return None


def program_header_dtype(order: ByteOrder) -> np.dtype[np.void]:
    """Give the layout of one program header as a numpy record of 56 bytes."""
    prefix = numpy_prefix(order)
    return np.dtype(
        [
            ("p_type", prefix + "u4"),
            ("p_flags", prefix + "u4"),
            ("p_offset", prefix + "u8"),
            ("p_vaddr", prefix + "u8"),
            ("p_paddr", prefix + "u8"),
            ("p_filesz", prefix + "u8"),
            ("p_memsz", prefix + "u8"),
            ("p_align", prefix + "u8"),
        ]
    )


def section_header_dtype(order: ByteOrder) -> np.dtype[np.void]:
    """Give the layout of one section header as a numpy record of 64 bytes."""
    prefix = numpy_prefix(order)
    return np.dtype(
        [
            ("sh_name", prefix + "u4"),
            ("sh_type", prefix + "u4"),
            ("sh_flags", prefix + "u8"),
            ("sh_addr", prefix + "u8"),
            ("sh_offset", prefix + "u8"),
            ("sh_size", prefix + "u8"),
            ("sh_link", prefix + "u4"),
            ("sh_info", prefix + "u4"),
            ("sh_addralign", prefix + "u8"),
            ("sh_entsize", prefix + "u8"),
        ]
    )
