"""Packs BTF, the description of types that a kernel carries in itself.

``vmemmap.formats.btf`` has the picture. A type is the number that the method which packed it gave.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.formats.btf import HEADER_BYTES, MAGIC, VERSION, BtfKind

_ENUM_BYTES = 4
_SIGNED = 1 << 24
"""BTF_INT_SIGNED, where a number's record has it."""


class BtfPacker:
    """Types that are being packed; `pack` gives the whole."""

    def __init__(self, order: ByteOrder) -> None:
        self._mark = numpy_prefix(order)
        self._strings = bytearray(b"\0")
        self._places = {"": 0}
        self._records: list[bytes] = []
        self._structs: dict[str, int] = {}
        self._named: dict[int, str] = {}

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        """Add an integer of *size* bytes."""
        return self._record(name, BtfKind.INT, size, 0, (_SIGNED * signed | 8 * size,))

    def pointer(self, target: int | str = 0) -> int:
        """Add a pointer to a type; 0 is ``void``, and a struct's name one that may come later."""
        if isinstance(target, int):
            return self._record("", BtfKind.PTR, target, 0)
        number = self._record("", BtfKind.PTR, 0, 0)
        self._named[number] = target
        return number

    def array(self, element: int, count: int, index: int) -> int:
        """Add an array of *count* elements, counted by the integer type *index*."""
        return self._record("", BtfKind.ARRAY, 0, 0, (element, index, count))

    def structure(self, name: str, size: int, members: Iterable[tuple[str, int, int]]) -> int:
        """Add a struct of *size* bytes; members are name, type, and offset in bytes."""
        rows = [(self._name(member), kind, 8 * at) for member, kind, at in members]
        words = [word for row in rows for word in row]
        number = self._record(name, BtfKind.STRUCT, size, len(rows), words)
        if name:
            self._structs[name] = number
        return number

    def enum(self, name: str, values: Mapping[str, int]) -> int:
        """Add an enum; its values are unsigned numbers of 32 bits."""
        words = [word for label, value in values.items() for word in (self._name(label), value)]
        return self._record(name, BtfKind.ENUM, _ENUM_BYTES, len(values), words)

    def alias(self, name: str, target: int) -> int:
        """Add a typedef."""
        return self._record(name, BtfKind.TYPEDEF, target, 0)

    def pack(self) -> bytes:
        """Give header, types and strings."""
        for number, name in self._named.items():
            pointer = (0, BtfKind.PTR << 24, self._structs[name])
            self._records[number - 1] = struct.pack(self._mark + "3I", *pointer)
        types = b"".join(self._records)
        sizes = (HEADER_BYTES, 0, len(types), len(types), len(self._strings))
        header = struct.pack(self._mark + "HBB5I", MAGIC, VERSION, 0, *sizes)
        return header + types + bytes(self._strings)

    def _name(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self._strings)
            self._strings += text.encode() + b"\0"
        return self._places[text]

    def _record(
        self, name: str, kind: BtfKind, last: int, count: int, words: Iterable[int] = ()
    ) -> int:
        tail = list(words)
        head = (self._name(name), kind << 24 | count, last)
        self._records.append(struct.pack(f"{self._mark}{3 + len(tail)}I", *head, *tail))
        return len(self._records)
