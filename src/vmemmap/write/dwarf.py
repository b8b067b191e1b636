"""Packs DWARF 4: types and variables of one compile unit, as a debugger wants them of a vmlinux.

A type is the number that the method which packed it gave, as in ``vmemmap.write.btf``. There are
no lines or call frames in it, and of functions only their names and where they begin.

::

    .debug_info    header | compile_unit | base_type | structure_type | member ... 0 | variable ...
    .debug_abbrev  what each kind of entry has, in order: `_ENTRIES`
    .debug_line    the names of the source files, and no lines
    .debug_str     all names

Source: DWARF Debugging Information Format, version 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from vmemmap.address import ByteOrder, numpy_prefix

VERSION, ADDRESS_BYTES, POINTER_BYTES = 4, 8, 8
C99 = 0x0C
_OP_ADDR = 0x03
_NAME, _BYTE_SIZE, _LANGUAGE, _UPPER_BOUND = 0x03, 0x0B, 0x13, 0x2F
_ENCODING, _EXTERNAL, _TYPE, _LOCATION = 0x3E, 0x3F, 0x49, 0x02
_CONST_VALUE, _DATA_MEMBER_LOCATION = 0x1C, 0x38
_BIT_SIZE, _DATA_BIT_OFFSET, _LOW_PC, _HIGH_PC = 0x0D, 0x6B, 0x11, 0x12
_STMT_LIST, _DECL_FILE = 0x10, 0x3A
_ADDR, _DATA2, _DATA4, _DATA8, _DATA1, _STRP, _REF4, _OFFSET, _EXPRLOC, _PRESENT = (
    *(0x01, 0x05, 0x06, 0x07, 0x0B),
    *(0x0E, 0x13, 0x17, 0x18, 0x19),
)
_WIDTHS = {
    _ADDR: "Q",
    _DATA1: "B",
    _DATA2: "H",
    _DATA4: "I",
    _DATA8: "Q",
    _STRP: "I",
    _REF4: "I",
    _OFFSET: "I",
}
_SIGNED, _UNSIGNED, _SIGNED_CHAR, _UNSIGNED_CHAR = 0x05, 0x07, 0x06, 0x08
_WIDEST_ENUM_OF_4 = 1 << 32

Attributes = tuple[tuple[int, int], ...]
_ENTRIES: dict[str, tuple[int, bool, Attributes]] = {
    # kind: tag, whether it has children, and (attribute, form) of each value
    "unit": (0x11, True, ((_NAME, _STRP), (_LANGUAGE, _DATA2), (_STMT_LIST, _OFFSET))),
    "base": (0x24, False, ((_NAME, _STRP), (_BYTE_SIZE, _DATA1), (_ENCODING, _DATA1))),
    "void_pointer": (0x0F, False, ((_BYTE_SIZE, _DATA1),)),
    "pointer": (0x0F, False, ((_BYTE_SIZE, _DATA1), (_TYPE, _REF4))),
    "struct": (0x13, True, ((_NAME, _STRP), (_BYTE_SIZE, _DATA4))),
    "unnamed_struct": (0x13, True, ((_BYTE_SIZE, _DATA4),)),
    "member": (0x0D, False, ((_NAME, _STRP), (_TYPE, _REF4), (_DATA_MEMBER_LOCATION, _DATA4))),
    "bit_field": (
        *(0x0D, False),
        ((_NAME, _STRP), (_TYPE, _REF4), (_BIT_SIZE, _DATA1), (_DATA_BIT_OFFSET, _DATA4)),
    ),
    "typedef": (0x16, False, ((_NAME, _STRP), (_TYPE, _REF4))),
    "array": (0x01, True, ((_TYPE, _REF4),)),
    "bound": (0x21, False, ((_TYPE, _REF4), (_UPPER_BOUND, _DATA4))),
    "enum": (0x04, True, ((_NAME, _STRP), (_BYTE_SIZE, _DATA1), (_TYPE, _REF4))),
    "enumerator": (0x28, False, ((_NAME, _STRP), (_CONST_VALUE, _DATA8))),
    "variable": (
        *(0x34, False),
        ((_NAME, _STRP), (_TYPE, _REF4), (_EXTERNAL, _PRESENT), (_LOCATION, _EXPRLOC)),
    ),
    "variable_of_file": (
        *(0x34, False),
        (
            *((_NAME, _STRP), (_TYPE, _REF4), (_DECL_FILE, _DATA1)),
            *((_EXTERNAL, _PRESENT), (_LOCATION, _EXPRLOC)),
        ),
    ),
    "function": (
        *(0x2E, False),
        ((_NAME, _STRP), (_EXTERNAL, _PRESENT), (_LOW_PC, _ADDR), (_HIGH_PC, _DATA4)),
    ),
}
_CODES = {kind: code for code, kind in enumerate(_ENTRIES, 1)}


class DwarfPacker:
    """Types and variables that are being packed; `pack` gives the sections."""

    def __init__(self, order: ByteOrder, unit: str) -> None:
        """Begin a compile unit.

        Args:
            order: Byte order of the program.
            unit: The unit's name.
        """
        self._mark = numpy_prefix(order)
        self._strings = bytearray(b"\0")
        self._places = {"": 0}
        self._entries: list[tuple[str, tuple[int | str, ...]]] = []
        self._types: list[int] = []
        self._structs: dict[str, int] = {}
        self._files: list[str] = []
        self._add("unit", self._name(unit), C99, 0)

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        """Add an integer of *size* bytes."""
        if size == 1:
            encoding = _SIGNED_CHAR if signed else _UNSIGNED_CHAR
        else:
            encoding = _SIGNED if signed else _UNSIGNED
        return self._add_type("base", self._name(name), size, encoding)

    def pointer(self, target: int | str = 0) -> int:
        """Add a pointer to a type; 0 is ``void``, and a struct's name one that may come later."""
        if target == 0:
            return self._add_type("void_pointer", POINTER_BYTES)
        return self._add_type("pointer", POINTER_BYTES, target)

    def array(self, element: int, count: int, index: int) -> int:
        """Add an array of *count* elements, counted by the integer type *index*."""
        number = self._add_type("array", element)
        self._add("bound", index, count - 1)
        self._end()
        return number

    def structure(
        self,
        name: str,
        size: int,
        members: Iterable[tuple[str, int, int]],
        bit_fields: Iterable[tuple[str, int, int, int]] = (),
    ) -> int:
        """Add a struct of *size* bytes; members are name, type, and offset in bytes.

        Bit fields are name, type, offset in bits and their number. They are counted from the end
        of a byte where its compiler begins: the high one on big-endian machines.
        """
        if name:
            number = self._structs[name] = self._add_type("struct", self._name(name), size)
        else:
            number = self._add_type("unnamed_struct", size)
        for member, kind, at in members:
            self._add("member", self._name(member), kind, at)
        for member, kind, at, bits in bit_fields:
            self._add("bit_field", self._name(member), kind, bits, at)
        self._end()
        return number

    def enum(self, name: str, values: Mapping[str, int]) -> int:
        """Add an enum; its values are unsigned numbers of 32 bits."""
        assert all(0 <= value < _WIDEST_ENUM_OF_4 for value in values.values())
        base = self.integer("unsigned int", 4)
        number = self._add_type("enum", self._name(name), 4, base)
        for label, value in values.items():
            self._add("enumerator", self._name(label), value)
        self._end()
        return number

    def alias(self, name: str, target: int) -> int:
        """Add a typedef."""
        return self._add_type("typedef", self._name(name), target)

    def variable(self, name: str, kind: int, address: int, file: str = "") -> None:
        """Add a global variable of a type, at its address, and perhaps the source file it is in."""
        if not file:
            self._add("variable", self._name(name), kind, address)
            return
        if file not in self._files:
            self._files.append(file)
        number = self._files.index(file) + 1
        self._add("variable_of_file", self._name(name), kind, number, address)

    def function(self, name: str, address: int, size: int) -> None:
        """Add a function that takes and gives nothing, *size* bytes at its address."""
        self._add("function", self._name(name), address, size)

    def pack(self) -> dict[str, bytes]:
        """Give the contents of the sections, by name."""
        header_bytes, places, at = 4 + 2 + 4 + 1, [], 0
        for kind, _ in self._entries:
            places.append(header_bytes + at)
            at += self._size(kind)
        body = b"".join(self._packed(*entry, places) for entry in self._entries) + b"\0"
        head = struct.pack(self._mark + "HIB", VERSION, 0, ADDRESS_BYTES)
        info = struct.pack(self._mark + "I", len(head) + len(body)) + head + body
        return {
            ".debug_info": info,
            ".debug_abbrev": _abbreviations(),
            ".debug_line": self._file_names(),
            ".debug_str": bytes(self._strings),
        }

    def _file_names(self) -> bytes:
        """Give .debug_line: a header with a table of files, and a program without instructions."""
        files = b"".join(name.encode() + bytes(4) for name in self._files)
        # One byte an instruction, one operation in it, statements, no line range, no opcodes.
        head = bytes([1, 1, 1, 0, 1, 1]) + b"\0" + files + b"\0"
        rest = struct.pack(self._mark + "HI", VERSION, len(head)) + head
        return struct.pack(self._mark + "I", len(rest)) + rest

    def _name(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self._strings)
            self._strings += text.encode() + b"\0"
        return self._places[text]

    def _add(self, kind: str, *values: int | str) -> None:
        self._entries.append((kind, values))

    def _add_type(self, kind: str, *values: int | str) -> int:
        self._types.append(len(self._entries))
        self._add(kind, *values)
        return len(self._types)

    def _end(self) -> None:
        """End the children of the entry that has them."""
        self._entries.append(("", ()))

    def _size(self, kind: str) -> int:
        if not kind:
            return 1
        size = 1
        for _, form in _ENTRIES[kind][2]:
            if form == _EXPRLOC:
                size += 2 + ADDRESS_BYTES
            elif form != _PRESENT:
                size += struct.calcsize(self._mark + _WIDTHS[form])
        return size

    def _packed(self, kind: str, values: tuple[int | str, ...], places: list[int]) -> bytes:
        if not kind:
            return b"\0"
        out, left = bytes([_CODES[kind]]), list(values)
        for _, form in _ENTRIES[kind][2]:
            if form == _PRESENT:
                continue
            value = left.pop(0)
            if form == _REF4:
                number = self._structs[value] if isinstance(value, str) else value
                value = places[self._types[number - 1]]
            if form == _EXPRLOC:
                out += struct.pack(self._mark + "BBQ", 1 + ADDRESS_BYTES, _OP_ADDR, value)
            else:
                out += struct.pack(self._mark + _WIDTHS[form], value)
        return out


def _abbreviations() -> bytes:
    """Give .debug_abbrev; all its numbers are below 128, and so one byte each."""
    out = bytearray()
    for kind, (tag, has_children, attributes) in _ENTRIES.items():
        out += bytes([_CODES[kind], tag, has_children])
        for attribute, form in attributes:
            out += bytes([attribute, form])
        out += b"\0\0"
    return bytes(out) + b"\0"
