"""The linear map of ppc64: kernel addresses that are physical ones with the top nibble set to 0xc.

The kernel's own data lies in it, so that what a kernel says of itself is read here and needs no
page tables. Where the linear map ends and other regions begin differs by kernel and MMU; that is
``vmemmap.translate.regions``. What is here holds for every kernel.

Source: Linux arch/powerpc/include/asm/page.h, __va() and __pa() for CONFIG_PPC64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import FactInvalid, FactMissing, NotInDump, ReadError
from vmemmap.memory import Memory

PAGE_OFFSET = 0xC000_0000_0000_0000
LINEAR_SPAN = 1 << 51
"""The linear map is never longer (MAX_PHYSMEM_BITS is 51 at most); on many it is shorter."""


def linear_phys(virt: int) -> int | None:
    """Give the physical address of a linear-map address, or None for any other address.

    Args:
        virt: Kernel virtual address.

    Returns:
        The physical address (bytes) if *virt* lies in ``[PAGE_OFFSET, PAGE_OFFSET + 2**51)``. On
        kernels whose other regions begin earlier the answer may be an address without memory.
    """
    phys = virt - PAGE_OFFSET
    return phys if 0 <= phys < LINEAR_SPAN else None


def linear_phys_many(virt: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Do what `linear_phys` does for many addresses.

    Args:
        virt: Kernel virtual addresses, uint64 in native byte order.

    Returns:
        Physical addresses (bytes), uint64, same shape; and which of them are valid.
    """
    phys = virt - np.uint64(PAGE_OFFSET)  # wraps below it, and is then too large
    return phys, phys < np.uint64(LINEAR_SPAN)


def linear_virt(phys: int) -> int:
    """Give the address at which the linear map has a physical address (bytes)."""
    return PAGE_OFFSET + phys


class LinearMemory:
    """The kernel's own data: physical memory, read at the linear map's addresses.

    It is a `Memory` itself. ``read``, `word` and `words` fail as that does, for whoever can do
    without what is not there; `content` and `number` fail as facts do, and name what was wanted.

    Args:
        memory: Physical memory.
        order: Its byte order.

    Attributes:
        order: As given.
        word_type: A word of 8 bytes in that order, for arrays.
    """

    def __init__(self, memory: Memory, order: ByteOrder) -> None:
        self._memory = memory
        self.order: ByteOrder = order
        self.word_type: np.dtype[np.uint64] = np.dtype(numpy_prefix(order) + "u8")

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes; see `Memory.read`. Outside the linear map there is no memory."""
        phys = linear_phys(address)
        if phys is None:
            raise NotInDump(f"{address:#x} is no address of kernel data", phys=address)
        return self._memory.read(phys, size)

    def word(self, virt: int, width: int = 8) -> int:
        """Read an unsigned number.

        Args:
            virt: Kernel virtual address.
            width: Its bytes: 1, 2, 4 or 8.

        Raises:
            ReadError: It is not in the dump, or not in the linear map.
        """
        return int.from_bytes(self.read(virt, width), self.order)

    def words(self, virt: int, count: int) -> NDArray[np.uint64]:
        """Read *count* words of 8 bytes, as an array of `word_type`; errors as for `word`."""
        return np.frombuffer(self.read(virt, 8 * count), dtype=self.word_type)

    def content(self, what: str, virt: int, size: int) -> bytes:
        """Read bytes that a fact stands on.

        Args:
            what: What is read, for errors.
            virt: Kernel virtual address of the first byte.
            size: How many bytes; for none it is still seen whether the address can be.

        Raises:
            FactInvalid: It does not lie in the linear map.
            FactMissing: The dump does not have it; says why.
        """
        phys = linear_phys(virt)
        if phys is None or linear_phys(virt + max(size, 1) - 1) is None:
            raise FactInvalid(
                f"{what} at {virt:#x} (+{size} bytes) does not lie in the linear map", name=what
            )
        try:
            return self._memory.read(phys, size)
        except ReadError as error:
            raise FactMissing(f"{what} at {virt:#x} cannot be read: {error}", name=what) from error

    def number(self, what: str, virt: int, width: int = 8) -> int:
        """Read an unsigned number that a fact stands on; arguments and errors as for `content`."""
        return int.from_bytes(self.content(what, virt, width), self.order)
