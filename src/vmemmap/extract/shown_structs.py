"""Shows members of the kernel's structures, found by its symbols and types, one by one.

What is shown is only what a member can be: an address where there has to be one, a number below an
end, a text of a known form, links of a list that lead back to each other. A pointer that leads
astray leads into anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from vmemmap.errors import FactMissing, ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.kernel_data import KernelPieces
from vmemmap.facts.kernel_types import KernelTypes
from vmemmap.facts.symbols.table import SymbolTable
from vmemmap.linear_map import linear_phys

_PART_BYTES = 4096
"""What a dump has or lacks together."""
_STRUCT_MAX = 1 << 16
_ARRAY_MAX = 1 << 20
_TEXT_MAX = 1024
_LIST_MAX = 1 << 16
_COUNTER_END = 1 << 48
_REGIONS = (0xC, 0xD, 0xF)
"""The highest four bits of the kernel's addresses."""


class ShownStructs:
    """A kernel's structures, of which members are shown.

    Args:
        show: Where they go.
        symbols: The kernel's.
        types: The kernel's.
        shown: Their class.

    Attributes:
        memory: The kernel's data.
        types: As given.
    """

    def __init__(
        self, show: KernelPieces, symbols: SymbolTable, types: KernelTypes, shown: Shown
    ) -> None:
        self._show, self._shown, self._symbols = show, shown, symbols
        self.memory, self.types = show.memory, types

    def find(self, *names: str) -> int:
        """Give the address of the first of these symbols that the kernel has, or 0."""
        for name in names:
            found = self._symbols.find(name)
            if found is not None:
                return found.address
        return 0

    def variable(self, name: str) -> tuple[int, int]:
        """Give address and size of a variable, (0, 0) without it."""
        found = self._symbols.find(name)
        return (0, 0) if found is None else (found.address, min(found.size, _ARRAY_MAX))

    def member(self, path: str) -> int:
        """Give the offset of a member; a FactMissing without it."""
        found = self.types.member(path)
        if found is None:
            why = self.types.lacking or "the kernel's types have none"
            raise FactMissing(f"where {path} is, is not known: {why}", name=path)
        return found.offset

    def members(self, *paths: str) -> list[int]:
        """Give the offsets of members, all of which have to be known."""
        return [self.member(path) for path in paths]

    def optional(self, path: str) -> int | None:
        """Give the offset of a member, or None without it."""
        found = self.types.member(path)
        return None if found is None else found.offset

    def size(self, name: str) -> int:
        """Give the size of a struct; a FactMissing if that is not known."""
        found = self.types.compared(f"SIZE({name})")
        if found is None or found.value < 1:
            raise FactMissing(f"the size of {name} is not known", name=name)
        return min(found.value, _STRUCT_MAX)

    def put(self, virt: int, data: bytes) -> None:
        """Show these bytes."""
        self._show.put(virt, data, self._shown)

    def word(self, virt: int, size: int = 8) -> int:
        """Show a number, and give it; 0 for what cannot be read."""
        with suppress(ReadError):
            data = self.memory.read(virt, size)
            self.put(virt, data)
            return int.from_bytes(data, self.memory.order)
        return 0

    def pointer(self, virt: int) -> int:
        """Show a pointer to kernel data, and give it; 0 for whatever else is there."""
        with suppress(ReadError):
            value = self.memory.word(virt)
            if linear_phys(value) is not None:
                return self.word(virt)
        return 0

    def address(self, virt: int) -> None:
        """Show an address of any of the kernel's regions; nothing if it is none."""
        with suppress(ReadError):
            if self.memory.word(virt) >> 60 in _REGIONS:
                self.word(virt)

    def number(self, virt: int, size: int, end: int) -> int:
        """Show a number below *end*, and give it; 0, and nothing shown, if it is none."""
        with suppress(ReadError):
            if self.memory.word(virt, size) < end:
                return self.word(virt, size)
        return 0

    def counter(self, virt: int, size: int = 8) -> None:
        """Show a number that may be negative; nothing if no counter gets that far from zero."""
        with suppress(ReadError):
            value = self.memory.word(virt, size)
            if min(value, (1 << 8 * size) - value) < _COUNTER_END:
                self.word(virt, size)

    def text(self, virt: int, expected: re.Pattern[bytes]) -> bytes:
        """Show a text if it is as it should be, and give it."""
        text, at = b"", virt
        while b"\0" not in text and len(text) < _TEXT_MAX:
            part = _PART_BYTES - at % _PART_BYTES
            text += self.memory.read(at, part)
            at += part
        text = text.partition(b"\0")[0]
        if expected.fullmatch(text) is None:
            return b""
        self.put(virt, text + b"\0")
        return text

    def room(self, virt: int, size: int) -> None:
        """Have the pages of a structure there, and nothing in them."""
        self._show.show_room(virt, size, self._shown)

    def links(self, head: int) -> Iterator[int]:
        """Show the links of a list and its head; yield the address of each link.

        It ends where a link does not lead back to the one before: what is there is no link of it.
        """
        before, at, seen = head, self.pointer(head), {0, head}
        while at not in seen and len(seen) < _LIST_MAX:
            with suppress(ReadError):
                if self.memory.word(at + 8) != before:
                    return
            self.word(at + 8)
            yield at
            seen.add(at)
            before, at = at, self.pointer(at)
