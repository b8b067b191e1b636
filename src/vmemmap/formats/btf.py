"""BTF, the type information that kernels carry in themselves, as data: header and records.

::

    header | ... types: one record after the other, type 1 first ... | strings, NUL-terminated

Offsets in the header count from its end. A record is three words (u32) and, by its kind, more: an
array has three, each member of a struct or union three, and so on (`TAIL_WORDS`). The first word is
the name's place among the strings; the second has the kind, how many members there are, and one
flag; the third is a size in bytes or another type's number. Type 0 is ``void`` and has no record.

Source: Linux include/uapi/linux/btf.h, Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from vmemmap.address import ByteOrder, numpy_prefix

MAGIC = 0xEB9F
VERSION = 1
HEADER_BYTES = 24
RECORD_WORDS = 3


class BtfKind(IntEnum):
    """What a record describes; new kinds are added at the end, in 5.2 there were 16."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


ALIASES = frozenset(
    {BtfKind.TYPEDEF, BtfKind.VOLATILE, BtfKind.CONST, BtfKind.RESTRICT, BtfKind.TYPE_TAG}
)
"""Kinds that are another type by another name."""

TAIL_WORDS = {BtfKind.INT: 1, BtfKind.ARRAY: 3, BtfKind.VAR: 1, BtfKind.DECL_TAG: 1}
"""Words after the record's three."""

EACH_WORDS = {
    BtfKind.STRUCT: 3,  # name, type, offset in bits
    BtfKind.UNION: 3,
    BtfKind.ENUM: 2,  # name, value
    BtfKind.FUNC_PROTO: 2,  # name, type
    BtfKind.DATASEC: 3,  # type, offset, size
    BtfKind.ENUM64: 3,  # name, low half of the value, high half
}
"""Words for each of the members that the record counts."""


def kind_of(info: int) -> int:
    """Give the kind out of a record's second word."""
    return info >> 24 & 31


def count_of(info: int) -> int:
    """Give how many members follow, out of a record's second word."""
    return info & 0xFFFF


def flag_of(info: int) -> bool:
    """Give the flag: a struct's offsets have sizes of bit fields in them; an enum is signed."""
    return bool(info >> 31)


@dataclass(frozen=True, slots=True)
class Header:
    """The header; the offsets are from its start, and all is in bytes."""

    order: ByteOrder
    version: int
    types_at: int
    types_size: int
    strings_at: int
    strings_size: int


def decode_header(data: bytes | memoryview) -> Header | None:
    """Decode the header at the start of *data*; None if it is no BTF, of either byte order."""
    if len(data) < HEADER_BYTES:
        return None
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    for order in orders:
        magic, version, _flags, size, types, types_size, strings, strings_size = struct.unpack_from(
            numpy_prefix(order) + "HBB5I", data
        )
        if magic == MAGIC:
            return Header(order, version, size + types, types_size, size + strings, strings_size)
    return None
