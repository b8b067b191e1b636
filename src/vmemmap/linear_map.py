"""The linear map of ppc64: kernel addresses that are physical ones with the top nibble set to 0xc.

Where the linear map ends and other regions begin differs by kernel and MMU; that is
``vmemmap.translate.regions``. What is here holds for every kernel and needs no such knowledge.

Source: Linux arch/powerpc/include/asm/page.h, __va() and __pa() for CONFIG_PPC64.
"""

from __future__ import annotations

from vmemmap.errors import FactInvalid, FactMissing, ReadError
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


def read_linear(memory: Memory, what: str, virt: int, size: int) -> bytes:
    """Read something of the kernel's that lies in the linear map.

    Args:
        memory: Physical memory.
        what: What is read, for errors.
        virt: Kernel virtual address of the first byte.
        size: How many bytes.

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
        return memory.read(phys, size)
    except ReadError as error:
        raise FactMissing(f"{what} at {virt:#x} cannot be read: {error}", name=what) from error
