"""Address types, so that physical and virtual addresses cannot be mixed unseen, and half-open runs.

This module does no translation; see ``vmemmap.translate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

Phys = NewType("Phys", int)
"""A physical address in the dumped machine (bytes)."""

Virt = NewType("Virt", int)
"""A kernel virtual address (bytes)."""

Pfn = NewType("Pfn", int)
"""A page frame number: physical address divided by the kernel's page size."""

ByteOrder = Literal["little", "big"]
"""The order of bytes in a word; containers and memory have one each, and they may differ."""

U64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Run:
    """A half-open range ``[start, end)`` of addresses (bytes)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError(f"run ends at {self.end:#x}, before it starts at {self.start:#x}")

    def __len__(self) -> int:
        return self.end - self.start

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.start <= address < self.end

    def __str__(self) -> str:
        return f"[{self.start:#x}, {self.end:#x})"


def is_power_of_two(value: int) -> bool:
    """Tell whether *value* is 1, 2, 4, 8 and so on; False for 0 and for negative numbers."""
    return value > 0 and value & (value - 1) == 0


def numpy_prefix(order: ByteOrder) -> str:
    """Give the character that numpy and ``struct`` put before a type for this byte order."""
    return "<" if order == "little" else ">"


def shown_in_hex(thing: object, addresses: tuple[str, ...]) -> str:
    """Give a dataclass as ``repr`` does, but those of its fields that are addresses in hex."""
    fields = []
    for name in type(thing).__dataclass_fields__:  # type: ignore[attr-defined]
        value = getattr(thing, name)
        as_hex = name in addresses and isinstance(value, int)
        fields.append(f"{name}={value:#x}" if as_hex else f"{name}={value!r}")
    return f"{type(thing).__name__}({', '.join(fields)})"
