"""Reads BTF, a kernel's own description of its types: of a vmlinux, or in the dump itself.

Kernels since 5.2 can have it (CONFIG_DEBUG_INFO_BTF). All records are looked over once, since each
one's length decides where the next one is; after that only what is asked for is decoded.

Source: ``vmemmap.formats.btf``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.distinct import is_among
from vmemmap.errors import FactInvalid
from vmemmap.facts.types.types import Form, RawMember, TypeNode, Types
from vmemmap.formats import btf
from vmemmap.formats.btf import BtfKind

BTF_MAX_BYTES = 32 << 20
"""Distributions' kernels have 4 to 8 MiB."""
_POINTER_BYTES = 8
_NAME_MAX_BYTES = 512
_NAMESAKES_MAX = 16
_NAMED = (BtfKind.STRUCT, BtfKind.UNION, BtfKind.TYPEDEF)


class Btf(Types):
    """The types that one piece of BTF describes.

    Args:
        data: All of it, header first.
        detail: Where it is, in words.

    Raises:
        FactInvalid: It is no BTF, or is damaged.
    """

    form = "BTF"

    def __init__(self, data: bytes, detail: str) -> None:
        self.detail = detail
        header = btf.decode_header(data)
        if header is None or header.version != btf.VERSION:
            raise self._damage(f"it begins with {data[:4].hex(' ') or 'nothing'}, as no BTF does")
        if len(data) > BTF_MAX_BYTES:
            raise self._damage(f"it has {len(data)} bytes; expected at most {BTF_MAX_BYTES}")
        for what, at, size in (
            ("types", header.types_at, header.types_size),
            ("strings", header.strings_at, header.strings_size),
        ):
            if at + size > len(data):
                raise self._damage(f"its {what} end at {at + size:#x}, and it at {len(data):#x}")
        self._strings = data[header.strings_at : header.strings_at + header.strings_size]
        if header.types_size % 4 or self._strings[-1:] != b"\0":
            raise self._damage("its types are no whole words, or its strings have no end")
        stored = np.frombuffer(
            data, numpy_prefix(header.order) + "u4", header.types_size // 4, header.types_at
        )
        self._words: NDArray[np.uint32] = stored.astype(np.uint32)
        self._starts = self._walk()
        self._names = self._words[self._starts]
        self._kinds = self._words[self._starts + 1] >> np.uint32(24) & np.uint32(31)
        self._found: dict[str, int | None] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def _damage(self, why: str) -> FactInvalid:
        return FactInvalid(f"{self.detail} is damaged: {why}", name="types")

    def _walk(self) -> NDArray[np.intp]:
        """Go from record to record; give where each one begins, type 1 first."""
        words, end = self._words.data, len(self._words)  # one by one this is faster than numpy
        fixed = [3] * 32
        each = [0] * 32
        for kind, tail in btf.TAIL_WORDS.items():
            fixed[kind] += tail
        for kind, tail in btf.EACH_WORDS.items():
            each[kind] = tail
        starts: list[int] = []
        at = 0
        while at + btf.RECORD_WORDS <= end:
            starts.append(at)
            info = words[at + 1]
            kind_number = info >> 24 & 31
            if not 0 < kind_number <= BtfKind.ENUM64:
                # The record's length is not known, so nothing behind it can be found.
                raise self._damage(f"type {len(starts)} is of kind {kind_number}, which is unknown")
            at += fixed[kind_number] + each[kind_number] * (info & 0xFFFF)
        if at != end:
            raise self._damage(f"the last of its {len(starts)} types is cut off")
        return np.array(starts, dtype=np.intp)

    def find(self, name: str) -> int | None:
        """Give the number of the struct, union or typedef of this name, or None."""
        if name not in self._found:
            self._found[name] = self._choose(name, _NAMED)
        return self._found[name]

    def _choose(self, name: str, kinds: tuple[BtfKind, ...]) -> int | None:
        rows = self._rows(name, kinds)
        if len(rows) > 1:
            # A driver may have a type of the same name. It is another one if it has another size.
            sizes = {self._size(int(row) + 1) for row in rows[:_NAMESAKES_MAX]}
            if len(sizes) > 1 or len(rows) > _NAMESAKES_MAX:
                return None
        return int(rows[0]) + 1 if len(rows) else None

    def _rows(self, name: str, kinds: tuple[BtfKind, ...]) -> NDArray[np.intp]:
        """Give the rows of the records that have this name and one of these kinds."""
        wanted = b"\0" + name.encode("utf-8", "surrogateescape") + b"\0"
        places = []
        at = self._strings.find(wanted)
        while at >= 0:
            places.append(at + 1)
            at = self._strings.find(wanted, at + 1)
        if not places or not name:
            return np.zeros(0, dtype=np.intp)
        rows = np.flatnonzero(is_among(self._names, np.array(places, dtype=np.uint32)))
        return rows[is_among(self._kinds[rows], np.array(kinds, dtype=np.uint32))]

    def node(self, handle: int) -> TypeNode:
        """Give what type number *handle* is made of."""
        if not 0 < handle <= len(self._starts):
            raise self._damage(f"type {handle} of {len(self._starts)} is spoken of")
        at = int(self._starts[handle - 1])
        _, info, last = (int(word) for word in self._words[at : at + 3])
        kind = BtfKind(btf.kind_of(info))
        if kind in btf.ALIASES:
            return TypeNode(Form.ALIAS, target=last or None)
        if kind in (BtfKind.STRUCT, BtfKind.UNION):
            return TypeNode(Form.RECORD, last, members=self._members(at, info))
        if kind is BtfKind.ARRAY:
            element, _, count = (int(word) for word in self._words[at + 3 : at + 6])
            return TypeNode(Form.ARRAY, target=element or None, count=count)
        if kind is BtfKind.PTR:
            return TypeNode(Form.OTHER, _POINTER_BYTES)
        sized = kind in (BtfKind.INT, BtfKind.ENUM, BtfKind.ENUM64, BtfKind.FLOAT)
        return TypeNode(Form.OTHER, last if sized else 0)

    def _members(self, at: int, info: int) -> tuple[RawMember, ...]:
        count, has_bits = btf.count_of(info), btf.flag_of(info)
        rows = self._words[at + 3 : at + 3 + 3 * count].reshape(-1, 3).tolist()
        return tuple(
            RawMember(
                self._string(name),
                type_number or None,
                offset & 0xFF_FFFF if has_bits else offset,
                offset >> 24 if has_bits else 0,
            )
            for name, type_number, offset in rows
        )

    def enumerators(self, name: str) -> Mapping[str, int] | None:
        """Give name and value of each enumerator of ``enum name``, in order; None without it."""
        number = self._choose(name, (BtfKind.ENUM, BtfKind.ENUM64))
        if number is None:
            return None
        at = int(self._starts[number - 1])
        info = int(self._words[at + 1])
        count, signed = btf.count_of(info), btf.flag_of(info)
        wide = btf.kind_of(info) == BtfKind.ENUM64
        words = 3 if wide else 2
        rows = self._words[at + 3 : at + 3 + words * count].reshape(-1, words).tolist()
        found = {}
        for label, low, *high in rows:
            value, bits = (low | high[0] << 32, 64) if high else (low, 32)
            if signed and value >> bits - 1:
                value -= 1 << bits
            found[self._string(label)] = value
        return found

    def _string(self, at: int) -> str:
        if at >= len(self._strings):
            raise self._damage(f"a name at {at:#x}, and the strings end at {len(self._strings):#x}")
        end = self._strings.find(b"\0", at, at + _NAME_MAX_BYTES)
        if end < 0:
            raise self._damage(f"a name longer than {_NAME_MAX_BYTES} bytes")
        return self._strings[at:end].decode("utf-8", "surrogateescape")
