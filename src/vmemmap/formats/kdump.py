"""The kdump-compressed file, as data: offsets, sizes, flags, and how to read its headers.

::

    block 0                     main header (464 bytes used)
    block 1 .. sub_hdr_size     sub-header (104 bytes used), then ELF notes
    then bitmap_blocks          bitmap 1: RAM exists; bitmap 2: the page is in the file
    then                        a 24-byte descriptor for each set bit of bitmap 2, by rising pfn
    then                        page data, each page compressed or raw, not aligned

A block is block_size bytes, the writer's page size. Nothing in the file names its byte order:
`decode_main` is tried in both and the plausible result taken. The 64-bit ABI only.

Source: makedumpfile diskdump_mod.h, crash diskdump.h; QEMU dump/dump.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from vmemmap.address import ByteOrder, is_power_of_two, numpy_prefix

SIGNATURE = b"KDUMP   "
DISKDUMP_SIGNATURE = b"DISKDUMP"

MAIN_HEADER_BYTES = 464
SUB_HEADER_BYTES = 104
DESCRIPTOR_BYTES = 24

BLOCK_SIZE_MIN = 4096
BLOCK_SIZE_MAX = 65536
VERSION_MAX_KNOWN = 6
DUMP_LEVEL_MAX = 31
VERSION_MAX_PLAUSIBLE = 16
MAX_MAPNR_LIMIT = 1 << 47

UTSNAME = (12, 6 * 65)
"""Offset and bytes of six NUL padded texts in the main header."""
TIME_OFFSET = 408
STATUS_OFFSET = 424
STATUS_INCOMPLETE = 0x8
MARKED_INCOMPLETE = "the dump is marked incomplete: its writer had no space left"

FLAG_ZLIB = 0x1
FLAG_LZO = 0x2
FLAG_SNAPPY = 0x4
FLAG_ZSTD = 0x20
CODEC_OF_FLAG = {FLAG_ZLIB: "zlib", FLAG_LZO: "lzo", FLAG_SNAPPY: "snappy", FLAG_ZSTD: "zstd"}

SUB_HEADER_BYTES_OF_VERSION = (8, 12, 32, 48, 64, 80, 104)
"""How many bytes of the sub-header mean something, by header version."""


@dataclass(frozen=True, slots=True)
class MainHeader:
    """The main header; sizes in blocks where the name says so."""

    order: ByteOrder
    header_version: int
    release: str
    machine: str
    status: int
    block_size: int
    sub_hdr_size_blocks: int
    bitmap_blocks: int
    max_mapnr: int
    nr_cpus: int


@dataclass(frozen=True, slots=True)
class SubHeader:
    """The sub-header; a field that the file's version does not have is 0.

    start_pfn, end_pfn and max_mapnr come from the 64-bit fields where the version has them.
    """

    dump_level: int | None
    split: bool
    start_pfn: int
    end_pfn: int
    offset_vmcoreinfo: int
    size_vmcoreinfo: int
    offset_note: int
    size_note: int
    offset_eraseinfo: int
    max_mapnr: int


def decode_main(data: bytes | memoryview, order: ByteOrder) -> MainHeader:
    """Decode the main header's 464 bytes *data* with its fields in the given byte order."""
    prefix = numpy_prefix(order)
    (version,) = struct.unpack_from(prefix + "i", data, 8)
    status, block_size, sub_hdr_size, bitmap_blocks, max_mapnr = struct.unpack_from(
        prefix + "IiiII", data, STATUS_OFFSET
    )
    (nr_cpus,) = struct.unpack_from(prefix + "i", data, 460)
    return MainHeader(
        order=order,
        header_version=version,
        release=_text(data, 142),
        machine=_text(data, 272),
        status=status,
        block_size=block_size,
        sub_hdr_size_blocks=sub_hdr_size,
        bitmap_blocks=bitmap_blocks,
        max_mapnr=max_mapnr,
        nr_cpus=nr_cpus,
    )


def main_header_fault(header: MainHeader, file_bytes: int) -> tuple[int, str, str, str] | None:
    """Say what is wrong with a main header.

    Args:
        header: The header, decoded in one byte order.
        file_bytes: Size of the file.

    Returns:
        None for a sound one, else (file offset, field, expected, found) of the first bad field.
    """
    blocks = file_bytes // header.block_size + 1 if header.block_size > 0 else 0
    checks = (
        (8, "header_version", f"0 to {VERSION_MAX_PLAUSIBLE}", header.header_version,
         0 <= header.header_version <= VERSION_MAX_PLAUSIBLE),
        (428, "block_size", "a power of two from 4096 to 65536", header.block_size,
         is_power_of_two(header.block_size)
         and BLOCK_SIZE_MIN <= header.block_size <= BLOCK_SIZE_MAX),
        (432, "sub_hdr_size", f"1 to {blocks} blocks (the file's size)",
         header.sub_hdr_size_blocks, 1 <= header.sub_hdr_size_blocks <= blocks),
        (436, "bitmap_blocks", "at least 1", header.bitmap_blocks, header.bitmap_blocks >= 1),
    )  # fmt: skip
    for file_offset, field, expected, found, good in checks:
        if not good:
            return file_offset, field, expected, str(found)
    return None


def decode_sub(data: bytes | memoryview, main: MainHeader) -> SubHeader:
    """Decode the sub-header; *data* is its first 104 bytes, or as many as the file has.

    Fields beyond what the header version defines, or beyond the end of *data*, read as 0.
    """
    version = min(max(main.header_version, 0), VERSION_MAX_KNOWN)
    valid = SUB_HEADER_BYTES_OF_VERSION[version]
    padded = bytes(data[:valid]).ljust(SUB_HEADER_BYTES, b"\0")
    (
        _phys_base, dump_level, split, start_pfn, end_pfn,
        offset_vmcoreinfo, size_vmcoreinfo, offset_note, size_note,
        offset_eraseinfo, _size_eraseinfo, start_pfn_64, end_pfn_64, max_mapnr_64,
    ) = struct.unpack_from(numpy_prefix(main.order) + "QiiQQqQqQqQQQQ", padded)  # fmt: skip
    wide = version >= 6
    return SubHeader(
        dump_level=dump_level if version >= 1 else None,
        split=split != 0,
        start_pfn=start_pfn_64 if wide else start_pfn,
        end_pfn=end_pfn_64 if wide else end_pfn,
        offset_vmcoreinfo=offset_vmcoreinfo,
        size_vmcoreinfo=size_vmcoreinfo,
        offset_note=offset_note,
        size_note=size_note,
        offset_eraseinfo=offset_eraseinfo,
        max_mapnr=max_mapnr_64 if wide else main.max_mapnr,
    )


def descriptor_struct(order: ByteOrder) -> struct.Struct:
    """Give the layout of a page descriptor: u64 file offset, u32 size, u32 flags, u64 unused."""
    return struct.Struct(numpy_prefix(order) + "QIIQ")


def descriptor_dtype(order: ByteOrder) -> np.dtype[np.void]:
    """Give the same layout for many descriptors at once."""
    word = numpy_prefix(order)
    names = ("offset", "size", "flags", "page_flags")
    types = ("u8", "u4", "u4", "u8")
    return np.dtype([(name, word + kind) for name, kind in zip(names, types, strict=True)])


def _text(data: bytes | memoryview, offset: int) -> str:
    """Read one of the six utsname fields: 65 bytes, NUL padded, possibly unterminated."""
    return bytes(data[offset : offset + 65]).split(b"\0")[0].decode("latin-1")
