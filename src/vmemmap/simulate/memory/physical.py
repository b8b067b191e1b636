"""Simulated physical memory: real bytes, sparse, in the kernel's byte order.

A page frame that was never written costs nothing and reads as zero. Frames are 4 KiB, the smallest
unit in which any of the kernels maps or hands out memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.simulate.steps import Access, Steps

FRAME_SHIFT = 12
FRAME_BYTES = 1 << FRAME_SHIFT
_ZEROS = bytes(FRAME_BYTES)

PAGE_OFFSET = 0xC000000000000000
"""Where the linear map begins: the virtual address of physical address 0."""
LINEAR_MASK = (1 << 60) - 1


class PhysicalMemory:
    """Sparse bytes at physical addresses.

    Attributes:
        order: Byte order of its words.
        load_address: Where the kernel was loaded; its own variables are found by that.
    """

    def __init__(self, order: ByteOrder, load_address: int = 0) -> None:
        self.order: ByteOrder = order
        self.load_address = load_address
        self._frames: dict[int, bytearray] = {}
        prefix = numpy_prefix(order)
        self._u64 = struct.Struct(prefix + "Q")
        self._u32 = struct.Struct(prefix + "I")

    def copy(self) -> PhysicalMemory:
        """Give a copy, which stays as it is when this memory changes."""
        other = PhysicalMemory(self.order, self.load_address)
        other._frames = {number: bytearray(frame) for number, frame in self._frames.items()}
        return other

    def read(self, phys: int, size: int) -> bytes:
        """Give *size* bytes from *phys* on; zeros where nothing was written."""
        parts = []
        while size:
            offset = phys & (FRAME_BYTES - 1)
            length = min(size, FRAME_BYTES - offset)
            frame = self._frames.get(phys >> FRAME_SHIFT, _ZEROS)
            parts.append(frame[offset : offset + length])
            phys += length
            size -= length
        return b"".join(parts)

    def write(self, phys: int, data: bytes | memoryview) -> None:
        """Put *data* at *phys*."""
        view = memoryview(data)
        while len(view):
            offset = phys & (FRAME_BYTES - 1)
            length = min(len(view), FRAME_BYTES - offset)
            self._frame(phys)[offset : offset + length] = view[:length]
            phys += length
            view = view[length:]

    def clear(self, phys: int, size: int) -> None:
        """Make *size* bytes from *phys* on zero; whole frames of them cost nothing any more."""
        end = phys + size
        while phys < end:
            offset = phys & (FRAME_BYTES - 1)
            length = min(end - phys, FRAME_BYTES - offset)
            if length == FRAME_BYTES:
                self._frames.pop(phys >> FRAME_SHIFT, None)
            elif phys >> FRAME_SHIFT in self._frames:
                self._frame(phys)[offset : offset + length] = bytes(length)
            phys += length

    def load_u64(self, phys: int) -> int:
        """Give the 8-byte word at *phys*, which is aligned to its size."""
        frame = self._frames.get(phys >> FRAME_SHIFT, _ZEROS)
        value: int = self._u64.unpack_from(frame, phys & (FRAME_BYTES - 1))[0]
        return value

    def store_u64(self, phys: int, value: int) -> None:
        """Put an 8-byte word at *phys*, which is aligned to its size."""
        self._u64.pack_into(self._frame(phys), phys & (FRAME_BYTES - 1), value)

    def load_u32(self, phys: int) -> int:
        """Give the 4-byte word at *phys*, which is aligned to its size."""
        frame = self._frames.get(phys >> FRAME_SHIFT, _ZEROS)
        value: int = self._u32.unpack_from(frame, phys & (FRAME_BYTES - 1))[0]
        return value

    def store_u32(self, phys: int, value: int) -> None:
        """Put a 4-byte word at *phys*, which is aligned to its size."""
        self._u32.pack_into(self._frame(phys), phys & (FRAME_BYTES - 1), value)

    def frames(self, start: int, end: int) -> Iterator[tuple[int, bytearray]]:
        """Yield the frames in ``[start, end)`` that were written, as (phys, bytes), ascending."""
        asked = range(start >> FRAME_SHIFT, -(-end >> FRAME_SHIFT))
        if len(asked) < len(self._frames):
            numbers = [number for number in asked if number in self._frames]
        else:
            numbers = sorted(number for number in self._frames if number in asked)
        for number in numbers:
            yield number << FRAME_SHIFT, self._frames[number]

    @property
    def touched_bytes(self) -> int:
        """How much memory is held: frames written, in bytes."""
        return len(self._frames) << FRAME_SHIFT

    def _frame(self, phys: int) -> bytearray:
        number = phys >> FRAME_SHIFT
        frame = self._frames.get(number)
        if frame is None:
            frame = self._frames[number] = bytearray(FRAME_BYTES)
        return frame


def phys_of(virt: int) -> int:
    """Give the physical address of a linear-map address: __pa()."""
    return virt & LINEAR_MASK


def virt_of(phys: int) -> int:
    """Give the linear-map address of a physical address: __va()."""
    return phys | PAGE_OFFSET


@dataclass(frozen=True, slots=True)
class Store:
    """A store that kernel code did: where (a physical address), how wide, and what it replaced."""

    phys: int
    size: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Touch:
    """An access that kernel code is about to do: where, how wide, and what a store will put."""

    phys: int
    size: int
    value: int | None = None


class KernelMemory:
    """Memory as kernel code sees it: loads and stores at virtual addresses, each of them a step.

    Attributes:
        stores: Where each store is noted, while somebody wants to know.
        loads_are_steps: Loads are steps, too. Where no other code runs in between nobody can tell,
            and a list is walked several times as fast without.
        touch: The access before which kernel code stopped last.
    """

    def __init__(self, physical: PhysicalMemory) -> None:
        self.physical = physical
        self.stores: list[Store] | None = None
        self.loads_are_steps = True
        self.touch: Touch | None = None

    def load(self, virt: int) -> Steps[int]:
        """Load an 8-byte word."""
        if self.loads_are_steps:
            self.touch = Touch(virt & LINEAR_MASK, 8)
            yield Access.LOAD
        return self.physical.load_u64(virt & LINEAR_MASK)

    def store(self, virt: int, value: int) -> Steps[None]:
        """Store an 8-byte word."""
        phys = virt & LINEAR_MASK
        self.touch = Touch(phys, 8, value)
        yield Access.STORE
        if self.stores is not None:
            self.stores.append(Store(phys, 8, self.physical.load_u64(phys), value))
        self.physical.store_u64(phys, value)

    def load_int(self, virt: int) -> Steps[int]:
        """Load a 4-byte ``int``."""
        if self.loads_are_steps:
            self.touch = Touch(virt & LINEAR_MASK, 4)
            yield Access.LOAD
        return self.physical.load_u32(virt & LINEAR_MASK)

    def store_int(self, virt: int, value: int) -> Steps[None]:
        """Store a 4-byte ``int``."""
        phys = virt & LINEAR_MASK
        self.touch = Touch(phys, 4, value)
        yield Access.STORE
        if self.stores is not None:
            self.stores.append(Store(phys, 4, self.physical.load_u32(phys), value))
        self.physical.store_u32(phys, value)
