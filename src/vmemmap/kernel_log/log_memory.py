"""What logs are read out of: the kernel's variables, and buffers of which parts may be missing.

A log can be 2 GiB long, so a buffer is never held as a whole; and where a page of it is not in the
dump, the rest is still read.
"""

from __future__ import annotations

from vmemmap.errors import FactMissing
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import LinearMemory

_PIECE_BYTES = 1 << 18
_PAGE_BYTES = 4096


class LogBuffer:
    """Bytes ``[0, size)`` of a buffer in the linear map, read piece by piece.

    Args:
        memory: The kernel's data.
        what: What it is, for errors.
        virt: Kernel virtual address of its first byte.
        size: Its length in bytes.

    Raises:
        FactInvalid: It does not lie in the linear map.
    """

    def __init__(self, memory: LinearMemory, what: str, virt: int, size: int) -> None:
        self._memory = memory
        self.what = what
        self.virt = virt
        self.size = size
        self._start = 0
        self._piece = b""
        self._step = _PIECE_BYTES
        for at in (0, size):
            memory.content(what, virt + at, 0)  # lies in the linear map

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
                self._piece = self._memory.content(self.what, self.virt + start, end - start)
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
        memory: The kernel's data.

    Attributes:
        info: As given; likewise memory.
        order: The memory's byte order.
    """

    def __init__(self, info: Vmcoreinfo, memory: LinearMemory) -> None:
        self.info = info
        self.memory = memory
        self.order = memory.order

    def u32(self, name: str) -> int:
        """Give the value of a 32-bit variable.

        Raises:
            FactError: VMCOREINFO does not have it, or the dump does not.
        """
        return self.memory.number(name, self.info.symbol(name), 4)

    def pointer(self, name: str) -> int:
        """Give the value of a pointer; errors as for `u32`."""
        return self.memory.number(name, self.info.symbol(name))
