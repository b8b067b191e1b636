"""The one narrow interface between whoever has bytes and whoever needs them.

It says nothing of where bytes come from (``vmemmap.source``) nor of virtual addresses
(``vmemmap.translate``).
"""

from __future__ import annotations

from typing import Any, Protocol

from vmemmap.errors import NotInDump

__all__ = ["CLOSED", "BytesMemory", "Memory"]


class Memory(Protocol):
    """Bytes at addresses of one address space."""

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at *address*.

        Args:
            address: First byte's address (bytes).
            size: How many bytes; 0 gives an empty result.

        Returns:
            Exactly *size* bytes; never fewer, never filled up.

        Raises:
            ReadError: Any byte of the range cannot be had; ``phys`` names the first such.
        """
        ...


class BytesMemory:
    """A Memory over bytes that are at hand, for tests and small experiments.

    Args:
        pieces: Start address to content; pieces must not overlap. A read may cross from one piece
            into the next when they touch.
    """

    def __init__(self, pieces: dict[int, bytes]) -> None:
        self._pieces = sorted(pieces.items())

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at *address*; see `Memory.read`."""
        out = bytearray()
        for start, data in self._pieces:
            here = address + len(out)
            if start <= here < start + len(data):
                out += data[here - start : here - start + size - len(out)]
        if len(out) != size:
            raise NotInDump(
                f"cannot read {address + len(out):#x}: no memory there", phys=address + len(out)
            )
        return bytes(out)


class _Closed:
    def __getattr__(self, _name: str) -> Any:
        raise ValueError("the dump is closed")


CLOSED: Any = _Closed()
"""Stands where a closed dump was: whatever is asked of it is a ValueError."""
