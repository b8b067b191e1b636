"""The one narrow interface between whoever has bytes and whoever needs them.

It says nothing of where bytes come from (``vmemmap.source``) nor of virtual addresses
(``vmemmap.translate``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vmemmap.address import ByteOrder
from vmemmap.errors import NotInDump, UnreadableFile

__all__ = ["CLOSED", "BytesMemory", "Dumpable", "DumpedMemory", "Memory", "OpenFile"]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that several threads may read at once, each at its own offsets.

    Attributes:
        fd: Its descriptor, which whoever opened it closes.
        path: What to call it in errors.
    """

    fd: int
    path: str

    def next_data(self, offset: int, end: int) -> int:
        """Give the first offset in ``[offset, end)`` that is not known to be zero, or *end*."""
        try:
            return min(os.lseek(self.fd, offset, os.SEEK_DATA), end)
        except OSError as error:
            return end if error.errno == errno.ENXIO else offset
        except AttributeError:
            return offset  # no such question on this system

    def data_end(self, offset: int, end: int) -> int:
        """Give where the next hole of a sparse file begins behind *offset*, *end* at most."""
        try:
            return min(max(os.lseek(self.fd, offset, os.SEEK_HOLE), offset + 1), end)
        except (OSError, AttributeError):
            return end

    def unreadable(self, error: OSError | None = None) -> UnreadableFile:
        """Make the error for a dump that cannot be read any more, or that ends where it did not."""
        why = error.strerror if error is not None else "it has become shorter"
        return UnreadableFile(f"cannot read the dump: {why}", path=self.path)


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


class DumpedMemory(Protocol):
    """A machine's memory at one moment, and what a dump would say of it: a dump without a file.

    Attributes:
        name: What it is called where a dump has its path.
        byte_order: Order of the memory and of the notes.
        notes: The ELF notes that its vmcore would have, VMCOREINFO among them.
        symbols: The vmlinux that a reader needs beside it, or None when it needs none.
        ranges: The memory that there is, as half-open physical ranges (bytes), ascending, apart.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def byte_order(self) -> ByteOrder:
        """See the class."""
        ...

    @property
    def notes(self) -> bytes:
        """See the class."""
        ...

    @property
    def symbols(self) -> bytes | None:
        """See the class."""
        ...

    @property
    def ranges(self) -> Sequence[tuple[int, int]]:
        """See the class."""
        ...

    def contents(self, start: int, end: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield what lies in a part of the memory; what is not yielded is zero.

        Args:
            start: Physical address (bytes), a multiple of 4096.
            end: The address after the part, likewise.

        Yields:
            Pieces as (physical address, bytes), in any order, none over another; one may begin
            before *start* or go on behind *end*.
        """
        ...


@runtime_checkable
class Dumpable(Protocol):
    """What `vmemmap.open` takes in place of a path: a simulated machine is one."""

    def dumped(self) -> DumpedMemory:
        """Give the memory as it is now; what happens afterwards does not show in it."""
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
