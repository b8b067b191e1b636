"""Lends bytes that were read before, by their address: drgn's callback, and nothing but that.

drgn calls it once for every read, mostly for a few bytes, so the call itself is what counts. The
compiled module has it in C; what is here does the same without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

Buffer = bytes | memoryview

ReadSegment = Callable[[int, int, int, bool], Any]
"""drgn's callback: ``(address, count, offset, physical)`` to exactly *count* bytes."""

Missed = Callable[[int, int], Buffer]
"""Gives *count* bytes at an address that nothing kept covers; it may have them kept."""

_SLOTS = 1 << 10


class Lender(Protocol):
    """Bytes that were read before."""

    @property
    def read(self) -> ReadSegment:
        """The callback. What it gives stays as it is for as long as somebody has it."""

    @property
    def keep(self) -> Callable[[int, Buffer, int], None]:
        """Takes where bytes begin, the bytes, and the address in them that was asked for.

        They must not change any more.
        """

    @property
    def forget(self) -> Callable[[], None]:
        """Lets go of all bytes."""


class PlainLender:
    """A `Lender` in Python.

    Args:
        missed: Gives what nothing kept covers.
        shift: Bytes are found again by their address without so many low bits.
    """

    def __init__(self, missed: Missed, shift: int) -> None:
        slots: dict[int, tuple[int, int, Buffer]] = {}
        start, size, data = 0, 0, memoryview(b"")  # of the last read

        def read(address: int, count: int, offset: int = 0, physical: bool = False) -> Buffer:
            nonlocal start, size, data
            into = address - start
            end = into + count
            if into >= 0 and end <= size:
                return data[into:end]
            kept = slots.get((address >> shift) % _SLOTS)
            if kept is not None:
                into = address - kept[0]
                end = into + count
                if into >= 0 and end <= kept[1]:
                    start, size, data = kept  # type: ignore[assignment]
                    return data[into:end]
            return missed(address, count)

        def keep(begin: int, given: Buffer, address: int) -> None:
            nonlocal start, size, data
            start, size, data = begin, len(given), given  # type: ignore[assignment]
            slots[(address >> shift) % _SLOTS] = start, size, data

        def forget() -> None:
            nonlocal size, data
            slots.clear()
            size, data = 0, memoryview(b"")

        self.read, self.keep, self.forget = read, keep, forget


def make_lender(missed: Missed, shift: int) -> Lender:
    """Make a lender, the compiled one where that is; arguments as for `PlainLender`."""
    with suppress(ImportError):
        from vmemmap._compiled import Lender as CompiledLender

        return CompiledLender(missed, shift)
    return PlainLender(missed, shift)
