"""A stretch of the kernel's memory read piece by piece, of which parts may be missing.

A log can be 2 GiB long, so it is never held as a whole; and where a page of it is not in the dump,
the rest is still read.
"""

from __future__ import annotations

from vmemmap.address import ByteOrder
from vmemmap.errors import FactMissing
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import read_linear
from vmemmap.memory import Memory

_PIECE_BYTES = 1 << 18
_PAGE_BYTES = 4096


class Window:
    """Bytes ``[0, size)`` of something in the linear map.

    Args:
        memory: Physical memory.
        what: What it is, for errors.
        virt: Kernel virtual address of its first byte.
        size: Its length in bytes.

    Raises:
        FactInvalid: It does not lie in the linear map.
    """

    def __init__(self, memory: Memory, what: str, virt: int, size: int) -> None:
        self._memory = memory
        self.what = what
        self.virt = virt
        self.size = size
        self._start = 0
        self._piece = b""
        self._step = _PIECE_BYTES
        for at in (0, size):
            read_linear(memory, what, virt + at, 0)  # lies in the linear map

    def get(self, at: int, size: int) -> bytes:
        """Give *size* bytes from offset *at* on.

        Raises:
            FactMissing: They are not all in the dump; says which.
        """
        assert 0 <= at <= at + size <= self.size
        if not self._start <= at <= at + size <= self._start + len(self._piece):
            self._load(at, size)
        return self._piece[at - self._start : at - self._start + size]

    def _load(self, at: int, size: int) -> None:
        """Read the piece that holds these bytes; where pages are missing, no page too many."""
        page_start = at - min(at, (self.virt + at) % _PAGE_BYTES)
        for start, step in ((page_start, self._step), (page_start, _PAGE_BYTES), (at, size)):
            # A step of a page ends where the page does.
            end = start + step - (self.virt + start) % _PAGE_BYTES
            end = min(max(end, at + size), self.size)
            try:
                self._piece = read_linear(self._memory, self.what, self.virt + start, end - start)
            except FactMissing:
                self._step = _PAGE_BYTES
                if (start, step) == (at, size):
                    raise
            else:
                self._start = start
                return


class KernelVariables:
    """The variables of the kernel whose addresses VMCOREINFO has.

    Args:
        info: The parsed VMCOREINFO.
        memory: Physical memory.
        order: Its byte order.
    """

    def __init__(self, info: Vmcoreinfo, memory: Memory, order: ByteOrder) -> None:
        self.info = info
        self.memory = memory
        self.order: ByteOrder = order

    def u32(self, name: str) -> int:
        """Give the value of a 32-bit variable.

        Raises:
            FactError: VMCOREINFO does not have it, or the dump does not.
        """
        return self._integer(name, 4)

    def pointer(self, name: str) -> int:
        """Give the value of a pointer; errors as for `u32`."""
        return self._integer(name, 8)

    def _integer(self, name: str, size: int) -> int:
        raw = read_linear(self.memory, name, self.info.symbol(name), size)
        return int.from_bytes(raw, self.order)
