"""Builds BTF from descriptions of types, by Documentation/bpf/btf.rst of the kernel.

A type is a number that the method which made it gave back; 0 is ``void``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from .byte_order import Order, prefix

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)

Field = tuple[str, int, int] | tuple[str, int, int, int]
"""Name, type, offset in bits, and for a bit field how many it has."""


class BtfBuilder:
    """A BTF under construction; `build` gives its bytes."""

    def __init__(self, order: Order) -> None:
        self.mark = prefix(order)
        self.strings = b"\0"
        self.places = {"": 0}
        self.records: list[bytes] = []

    def name(self, text: str) -> int:
        """Give where a string stands, which is put there first if need be."""
        if text not in self.places:
            self.places[text] = len(self.strings)
            self.strings += text.encode() + b"\0"
        return self.places[text]

    def record(
        self,
        name: str,
        kind: int,
        last: int,
        *,
        count: int = 0,
        flag: bool = False,
        tail: bytes = b"",
    ) -> int:
        """Add any record; give its number."""
        info = flag << 31 | kind << 24 | count
        self.records.append(struct.pack(self.mark + "3I", self.name(name), info, last) + tail)
        return len(self.records)

    def words(self, *values: int) -> bytes:
        return struct.pack(f"{self.mark}{len(values)}I", *(value & 0xFFFFFFFF for value in values))

    def integer(self, name: str, size: int) -> int:
        return self.record(name, INT, size, tail=self.words(8 * size))

    def array(self, element: int, count: int) -> int:
        return self.record("", ARRAY, 0, tail=self.words(element, 1, count))

    def alias(self, kind: int, target: int, name: str = "") -> int:
        return self.record(name, kind, target)

    def composite(self, kind: int, name: str, size: int, fields: Sequence[Field]) -> int:
        has_bits = any(len(field) == 4 for field in fields)
        tail = b""
        for label, type_number, at, *bits in fields:
            offset = at | (bits[0] << 24 if bits else 0)
            tail += self.words(self.name(label), type_number, offset)
        return self.record(name, kind, size, count=len(fields), flag=has_bits, tail=tail)

    def enum(self, name: str, values: Mapping[str, int], *, signed: bool = False) -> int:
        tail = b"".join(self.words(self.name(label), value) for label, value in values.items())
        return self.record(name, ENUM, 4, count=len(values), flag=signed, tail=tail)

    def enum64(self, name: str, values: Mapping[str, int], *, signed: bool = False) -> int:
        tail = b"".join(
            self.words(self.name(label), value, value >> 32) for label, value in values.items()
        )
        return self.record(name, ENUM64, 8, count=len(values), flag=signed, tail=tail)

    def build(self, *, header_bytes: int = 24) -> bytes:
        """Give the whole, with a header that may be longer than it needs to be."""
        types = b"".join(self.records)
        sizes = (header_bytes, 0, len(types), len(types), len(self.strings))
        header = struct.pack(self.mark + "HBB5I", 0xEB9F, 1, 0, *sizes)
        return header.ljust(header_bytes, b"\0") + types + self.strings
