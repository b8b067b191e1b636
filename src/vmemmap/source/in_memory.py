"""A dump without a file: the memory of whoever has one, such as a simulated machine.

All of its ranges are there, and what nobody wrote is zero, as in the vmcore that it would crash
into. Its bytes are asked for when they are needed, a window at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import NotInDump
from vmemmap.formats.notes import find_vmcoreinfo, walk_notes
from vmemmap.memory import CLOSED, DumpedMemory
from vmemmap.source.base import PHYS_END, PageHeads, PhysicalSource
from vmemmap.source.file_view import ByteView

_WINDOW = 1 << 20
_WINDOWS_KEPT = 32
_HEADS_AT_A_TIME = 4096


class BytesView(ByteView):
    """The content of a file that is no file.

    Args:
        content: All of it.
        path: What to call it.
    """

    def __init__(self, content: bytes, path: str) -> None:
        self.path = path
        self.size = len(content)
        self.warnings = []
        self._view = memoryview(content)

    def view(self, offset: int, size: int) -> memoryview:
        """Give the bytes ``[offset, offset + size)``, cut at the end; no copy."""
        return self._view[offset : offset + size]

    def holds(self, offset: int, size: int) -> bool:
        """Tell whether ``[offset, offset + size)`` is wholly there."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def close(self) -> None:
        """Let go of the content."""
        self._view.release()


class MemorySource(PhysicalSource):
    """Memory that is at hand, read as a dump.

    Args:
        memory: The memory.

    Attributes:
        symbols: The vmlinux that is needed beside it, or None.
    """

    format = "memory"

    def __init__(self, memory: DumpedMemory) -> None:
        self._memory = memory
        self.path = memory.name
        self.container_byte_order = memory.byte_order
        self.notes = list(walk_notes(memory.notes, memory.byte_order))
        self.vmcoreinfo = find_vmcoreinfo(self.notes)
        self.warnings = []
        content = memory.symbols
        self.symbols = None if content is None else BytesView(content, f"symbols of {self.path}")
        self._ranges = np.array(memory.ranges, dtype=np.uint64).reshape(-1, 2)
        self._starts = self._ranges[:, 0].tolist()
        self._ends = self._ranges[:, 1].tolist()
        # Of the object, so that it goes with it.
        self._window = lru_cache(_WINDOWS_KEPT)(self._read_window)

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*; see `PhysicalSource.read`."""
        self._check(address, size)
        pieces = []
        while size > 0:
            offset = address % _WINDOW
            piece = self._window(address - offset)[offset : offset + size]
            pieces.append(piece)
            address, size = address + len(piece), size - len(piece)
        return b"".join(pieces)

    def read_into(self, address: int, out: NDArray[np.uint8]) -> None:
        """Fill *out* from physical *address* on; see `PhysicalSource.read_into`."""
        if len(out) <= _WINDOW:
            super().read_into(address, out)
            return
        self._check(address, len(out))
        out[:] = 0
        self._fill(address, out)

    def is_ram(self, address: int) -> bool:
        """Tell whether there is memory at physical *address*."""
        return self._covered_to(address) > address

    def is_present(self, address: int) -> bool:
        """Tell whether the byte at physical *address* is there; all memory is."""
        return self.is_ram(address)

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes are there; see `PhysicalSource.present_many`."""
        if not len(self._ranges):
            return np.zeros(addresses.shape, dtype=np.bool_)
        at = np.searchsorted(self._ranges[:, 0], addresses, side="right").astype(np.int64) - 1
        inside = addresses < self._ranges[np.maximum(at, 0), 1]
        return np.asarray((at >= 0) & inside)

    def heads(self, unit_bytes: int, head_bytes: int, until: int = PHYS_END) -> Iterator[PageHeads]:
        """Look at the beginning of every page; see `PhysicalSource.heads`."""
        total = sum(end - start for start, end in zip(self._starts, self._ends, strict=True)) or 1
        done = 0
        for start, end in zip(self._starts, self._ends, strict=True):
            first, stop = -(-start // unit_bytes) * unit_bytes, min(end, until)
            count = max(0, (stop - first - head_bytes) // unit_bytes + 1)
            for low in range(0, count, _HEADS_AT_A_TIME):
                number = min(_HEADS_AT_A_TIME, count - low)
                at = first + low * unit_bytes
                data = self._heads(at, number, unit_bytes, head_bytes)
                phys = np.arange(number, dtype=np.uint64) * np.uint64(unit_bytes) + np.uint64(at)
                yield PageHeads(phys, data, (done + at + number * unit_bytes - start) / total)
            done += end - start

    def ranges(self) -> NDArray[np.uint64]:
        """Give the ranges of memory; see `PhysicalSource.ranges`."""
        return self._ranges.copy()

    def trim(self) -> None:
        """Let go of what was read; see `PhysicalSource.trim`."""
        self._window.cache_clear()

    def close(self) -> None:
        """Let go of the memory; reads afterwards fail."""
        self._window.cache_clear()
        self._memory = CLOSED

    def _covered_to(self, address: int) -> int:
        """Give where the memory ends that begins at or before *address*; *address* without any."""
        at = bisect_right(self._starts, address) - 1
        return max(address, self._ends[at]) if at >= 0 else address

    def _check(self, address: int, size: int) -> None:
        end = address + size
        while address < end:
            reached = self._covered_to(address)
            if reached == address:
                raise NotInDump(
                    f"physical address {address:#x} is not in the dump: the machine has no memory "
                    "there",
                    phys=address,
                )
            address = reached

    def _read_window(self, start: int) -> bytes:
        out = np.zeros(_WINDOW, dtype=np.uint8)
        self._fill(start, out)
        return out.tobytes()

    def _fill(self, address: int, out: NDArray[np.uint8]) -> None:
        """Put what the memory has from *address* on into *out*, which is zero."""
        for low, data in self._pieces(address, address + len(out)):
            out[low - address : low - address + len(data)] = data

    def _heads(self, start: int, count: int, unit_bytes: int, head_bytes: int) -> NDArray[np.uint8]:
        heads = np.zeros((count, head_bytes), dtype=np.uint8)
        for low, data in self._pieces(start, start + count * unit_bytes):
            high = low + len(data)
            for row in range((low - start) // unit_bytes, -(-(high - start) // unit_bytes)):
                at = start + row * unit_bytes
                first, last = max(low, at), min(high, at + head_bytes)
                if first < last:
                    heads[row, first - at : last - at] = data[first - low : last - low]
        return heads

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield what lies in ``[start, end)``, cut to it."""
        unit = 4096
        for at, piece in self._memory.contents(start // unit * unit, -(-end // unit) * unit):
            low, high = max(at, start), min(at + len(piece), end)
            if low < high:
                yield low, np.frombuffer(piece, dtype=np.uint8)[low - at : high - at]
