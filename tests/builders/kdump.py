"""Builds kdump-compressed dumps ("KDUMP   "), ordinary and hostile.

File plan, in blocks of block_size bytes:

    0                               main header, 464 bytes
    1                               sub-header, 104 bytes; notes directly behind it
    1 + sub_hdr_size                bitmap 1 (RAM exists), then bitmap 2 (page is in the file)
    1 + sub_hdr_size + bitmaps      descriptors, 24 bytes each, rank order of bitmap 2
    behind the descriptors          page data, unaligned; the shared zero page first

Reference: dump-formats.md section 1 and 6.3.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .byte_order import Order, prefix
from .kdump_codecs import CODEC_FLAGS, Codec, compress
from .notes import Notes

SIGNATURE = b"KDUMP   "
MAIN_HEADER_BYTES = 464
SUB_HEADER_BYTES = 104
DESCRIPTOR_BYTES = 24
STATUS_INCOMPLETE = 0x8

UTSNAME_FIELDS = ("sysname", "nodename", "release", "version", "machine", "domainname")
_NUMBERS = (
    *("timestamp_sec", "timestamp_usec", "status", "block_size", "sub_hdr_size"),
    *("bitmap_blocks", "max_mapnr", "total_ram_blocks", "device_blocks", "written_blocks"),
    *("current_cpu", "nr_cpus"),
)
_SUB_NAMES = (
    *("phys_base", "dump_level", "split", "start_pfn", "end_pfn", "offset_vmcoreinfo"),
    *("size_vmcoreinfo", "offset_note", "size_note", "offset_eraseinfo", "size_eraseinfo"),
    *("start_pfn_64", "end_pfn_64", "max_mapnr_64"),
)
_SUB_TYPES = "QiiQQqQqQqQQQQ"
# Sub-header bytes that each header version defines.
VALID_SUB_HEADER_BYTES = {0: 8, 1: 12, 2: 32, 3: 48, 4: 64, 5: 80, 6: 104}


class PageMark(Enum):
    """What a page can be instead of bytes."""

    LOST = "set in bitmap 2, all-zero descriptor (incomplete dump)"


LOST = PageMark.LOST
PageContent = bytes | bytearray | PageMark | None


@dataclass(frozen=True, slots=True)
class KdumpPlan:
    """Where the parts of a built file lie (absolute file offsets in bytes).

    ``descriptor_pfns`` lists the PFN of each descriptor, in rank order.
    """

    notes_offset: int
    bitmap1_offset: int
    bitmap2_offset: int
    descriptors_offset: int
    data_offset: int
    descriptor_pfns: tuple[int, ...]


def build_kdump(pages: Mapping[int, PageContent], *, block_size: int, **options: Any) -> bytes:
    """Return a kdump file; the options are those of ``plan_kdump``."""
    return plan_kdump(pages, block_size=block_size, **options)[0]


def plan_kdump(
    pages: Mapping[int, PageContent],
    *,
    block_size: int,
    order: Order = "little",
    version: int = 6,
    codec: Codec = "zlib",
    page_codecs: Mapping[int, Codec] | None = None,
    notes: Notes | None = None,
    eraseinfo: bytes = b"",
    dump_level: int = 31,
    share_zero: bool = True,
    split: tuple[int, int] | None = None,
    max_mapnr: int | None = None,
    single_bitmap: bool = False,
    utsname: Mapping[str, str | bytes] | None = None,
    timestamp: int = 1795335881,
    beyond_version: int = 0,
    header: Mapping[str, int] | None = None,
    sub_header: Mapping[str, int] | None = None,
    descriptors: Mapping[int, Mapping[str, int]] | None = None,
) -> tuple[bytes, KdumpPlan]:
    """Return a kdump file and where its parts lie.

    Args:
        pages: PFN (in units of *block_size*) -> page bytes of exactly *block_size*; ``None`` for
            an excluded page (bitmap 1 only); ``LOST`` for an all-zero descriptor. A PFN that is
            not a key is no RAM.
        block_size: Bytes a block and a page.
        order: Byte order of header, sub-header and descriptors (not of the pages).
        version: header_version 0..6. Sub-header fields newer than it are left out, and with them
            what they point to: notes from 4 on, vmcoreinfo from 3 on, split from 2 on.
        codec: Codec of the pages; a page that does not shrink is stored raw.
        page_codecs: Codec by PFN, where it differs.
        notes: Notes, placed behind the sub-header; offset_vmcoreinfo points into them.
        eraseinfo: Text put at the end of the file.
        dump_level: The sub-header's dump_level (from version 1 on).
        share_zero: All-zero pages share the first data slot.
        split: ``[start_pfn, end_pfn)`` of this member of a split dump; descriptors and data are
            limited to it, the bitmaps are not.
        max_mapnr: Default is the highest PFN plus one.
        single_bitmap: Write bitmap 2 alone, as no current writer does.
        utsname: Fields of the main header by name; ``bytes`` may fill all 65 bytes without a NUL.
        timestamp: Seconds; microseconds stay 0.
        beyond_version: Fill byte of the sub-header area that *version* does not define.
        header: Fields of the main header to overwrite (``header_version``, ``status``, ...).
        sub_header: Fields of the sub-header to overwrite; forces them in for any version.
        descriptors: PFN -> fields (``offset``, ``size``, ``flags``, ``page_flags``) to overwrite.
    """
    mark = prefix(order)
    notes = notes or Notes()
    if max_mapnr is None:
        max_mapnr = max(pages, default=-1) + 1
    sub_blocks = -(-(SUB_HEADER_BYTES + len(notes.data)) // block_size)
    map_bytes = -(-max_mapnr // (8 * block_size)) * block_size
    maps = 1 if single_bitmap else 2
    bitmap1_offset = (1 + sub_blocks) * block_size
    bitmap2_offset = bitmap1_offset + (maps - 1) * map_bytes
    descriptors_offset = bitmap1_offset + maps * map_bytes
    in_member = range(*split) if split else range(max_mapnr)
    described = tuple(pfn for pfn in sorted(pages) if pages[pfn] is not None and pfn in in_member)
    data_offset = descriptors_offset + DESCRIPTOR_BYTES * len(described)

    codecs = {pfn: (page_codecs or {}).get(pfn, codec) for pfn in described}
    table, data = _pack_pages(
        pages, codecs, data_offset, mark, block_size if share_zero else 0, descriptors or {}
    )
    eraseinfo_offset = data_offset + len(data)
    notes_offset = block_size + SUB_HEADER_BYTES

    incomplete = any(pages[pfn] is LOST for pfn in described)
    numbers = dict.fromkeys(_NUMBERS, 0) | {
        "timestamp_sec": timestamp,
        "status": CODEC_FLAGS[codec] | (STATUS_INCOMPLETE if incomplete else 0),
        "block_size": block_size,
        "sub_hdr_size": sub_blocks,
        "bitmap_blocks": maps * map_bytes // block_size,
        "max_mapnr": min(max_mapnr, 2**32 - 1),
        "nr_cpus": notes.cpus or 1,
    }
    start, end = split or (0, 0)
    sub = dict.fromkeys(_SUB_NAMES, 0) | {
        "dump_level": dump_level,
        "split": 1 if split else 0,
        "start_pfn": min(start, 2**32 - 1),
        "end_pfn": min(end, 2**32 - 1),
        "offset_vmcoreinfo": notes_offset + notes.vmcoreinfo_offset if notes.vmcoreinfo_size else 0,
        "size_vmcoreinfo": notes.vmcoreinfo_size,
        "offset_note": notes_offset if notes.data else 0,
        "size_note": len(notes.data),
        "offset_eraseinfo": eraseinfo_offset if eraseinfo else 0,
        "size_eraseinfo": len(eraseinfo),
        "start_pfn_64": start,
        "end_pfn_64": end,
        "max_mapnr_64": max_mapnr,
    }
    image = bytearray(descriptors_offset)
    main = _pack_main(mark, version, utsname or {}, numbers, header or {})
    image[: len(main)] = main
    packed_sub = _pack_sub(mark, version, sub, sub_header or {}, beyond_version)
    image[block_size:notes_offset] = packed_sub
    image[notes_offset : notes_offset + len(notes.data)] = notes.data
    for pfn, content in pages.items():
        # Bit order is LSB first whatever the byte order.
        if not single_bitmap:
            image[bitmap1_offset + pfn // 8] |= 1 << pfn % 8
        if content is not None:
            image[bitmap2_offset + pfn // 8] |= 1 << pfn % 8
    plan = KdumpPlan(
        notes_offset, bitmap1_offset, bitmap2_offset, descriptors_offset, data_offset, described
    )
    return b"".join((image, table, data, eraseinfo)), plan


def _pack_pages(
    pages: Mapping[int, PageContent],
    codecs: Mapping[int, Codec],
    data_offset: int,
    mark: str,
    zero_bytes: int,
    changes: Mapping[int, Mapping[str, int]],
) -> tuple[bytes, bytes]:
    """Return the descriptor table and the data area; *zero_bytes* of shared zero page first."""
    zero = bytes(zero_bytes)
    data, table = bytearray(zero), bytearray()
    for pfn, codec in codecs.items():
        content = pages[pfn]
        fields = {"offset": 0, "size": 0, "flags": 0, "page_flags": 0}
        if isinstance(content, bytes | bytearray):
            if zero_bytes and content == zero:
                fields |= {"offset": data_offset, "size": zero_bytes}
            else:
                packed, flags = bytes(content), 0
                smaller = compress(codec, packed)
                if len(smaller) < len(packed):
                    packed, flags = smaller, CODEC_FLAGS[codec]
                fields |= {"offset": data_offset + len(data), "size": len(packed), "flags": flags}
                data += packed
        fields |= dict(changes.get(pfn, {}))
        table += struct.pack(mark + "QIIQ", *fields.values())
    return bytes(table), bytes(data)


def _pack_main(
    mark: str,
    version: int,
    utsname: Mapping[str, str | bytes],
    numbers: dict[str, int],
    changes: Mapping[str, int],
) -> bytes:
    _check_names(changes, (*numbers, "header_version"))
    _check_names(utsname, UTSNAME_FIELDS)
    fields = numbers | dict(changes)
    version = fields.pop("header_version", version)
    names = {"sysname": "Linux", "nodename": "(none)", "domainname": "(none)"} | dict(utsname)
    texts = (names.get(name, "") for name in UTSNAME_FIELDS)
    encoded = (text.encode() if isinstance(text, str) else text for text in texts)
    # Two fields are signed; hostile values are given as the reader would see them.
    layout = mark + "8si65s65s65s65s65s65s6xqqIiiIIIIIIi"
    return struct.pack(layout, SIGNATURE, version, *encoded, *fields.values())


def _pack_sub(
    mark: str, version: int, fields: dict[str, int], changes: Mapping[str, int], fill: int
) -> bytes:
    _check_names(changes, tuple(fields))
    valid = VALID_SUB_HEADER_BYTES[max(0, min(version, 6))]
    packed = bytearray(struct.pack(mark + _SUB_TYPES, *fields.values()))
    packed[valid:] = bytes((fill,)) * (SUB_HEADER_BYTES - valid)
    for name, value in changes.items():
        index = _SUB_NAMES.index(name)
        at = struct.calcsize("<" + _SUB_TYPES[:index])
        struct.pack_into(mark + _SUB_TYPES[index], packed, at, value)
    return bytes(packed)


def _check_names(changes: Mapping[str, object], known: tuple[str, ...]) -> None:
    unknown = set(changes) - set(known)
    if unknown:
        raise ValueError(f"no such header field: {sorted(unknown)}")
