"""What the kernel says of vmemmap_list: where it begins, how a node lies, how large a block is.

The list came with Linux commit 91eea67c6d87 ("powerpc: Track backing pages allocated by
vmemmap_populate()") (in v2.6.35), and is exported since v3.13. Each value has its origin and is
established once; impossible values are errors that name the key, never repaired. Nothing here
walks the list (``vmemmap.backing.walk``).

Source: Linux arch/powerpc/mm/init_64.c, arch/powerpc/kernel/vmcore_info.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.established import established
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.mmu import VMEMMAP_BLOCK_SHIFTS

PSIZE_DEF_BYTES = {12 * 32: 32, 14 * 32: 32, 14 * 80: 80, 15 * 88: 88, 16 * 88: 88, 16 * 96: 96}
"""Size of ``mmu_psize_defs`` to that of an element (bytes): 2.6.35 to 3.1, to 3.9, to 3.13, to 4.9,
to 5.13, and later (Book3S)."""

_MAX_PSIZE_INDEX = 15
"""mmu_psize_defs has 12 to 16 elements, by kernel."""


@dataclass(frozen=True, slots=True)
class BackingLayout:
    """How a ``struct vmemmap_backing``, a node of the list, lies in memory; all in bytes.

    24 bytes with the members at 0, 8 and 16 in every kernel from 2.6.35 to 7.3.
    """

    size: int
    list_offset: int
    phys_offset: int
    virt_offset: int
    order: ByteOrder


class BackingFacts:
    """Facts about the list, established when they are asked for.

    Args:
        kernel: Facts about the kernel whose list it is.
    """

    def __init__(self, kernel: KernelFacts) -> None:
        self._kernel = kernel

    def __repr__(self) -> str:
        return f"<BackingFacts of {self._kernel!r}>"

    @established
    def vmemmap_list(self) -> Fact[int]:
        """Address of the head pointer ``vmemmap_list``."""
        return self._kernel.symbol("vmemmap_list")

    @established
    def list_head(self) -> Fact[int]:
        """Address of the newest node, or 0 for an empty list."""
        value = self._read(self.vmemmap_list, 8)
        return Fact("list_head", value, Origin.DERIVED, "the pointer at vmemmap_list", True)

    @established
    def node_layout(self) -> BackingLayout:
        """The layout of ``struct vmemmap_backing``."""
        info, order = self._kernel.vmcoreinfo, self._kernel.order
        if self._assumes_node_layout:
            return BackingLayout(24, 0, 8, 16, order)
        size = info.size("vmemmap_backing")
        offsets = [
            info.offset(f"vmemmap_backing.{member}") for member in ("list", "phys", "virt_addr")
        ]
        if not 24 <= size <= self._kernel.page_size.value or size % 8:
            raise FactInvalid(
                f"VMCOREINFO has SIZE(vmemmap_backing)={size}; expected a multiple of 8 from 24 "
                f"to the page size (it is 24 in every kernel known)",
                name="SIZE(vmemmap_backing)",
            )
        if any(at % 8 or at + 8 > size for at in offsets) or len(set(offsets)) != 3:
            raise FactInvalid(
                "VMCOREINFO has OFFSET(vmemmap_backing.list, .phys, .virt_addr) = "
                f"{', '.join(map(str, offsets))}; expected three different multiples of 8 inside "
                f"{size} bytes (0, 8, 16 in every kernel known)",
                name="OFFSET(vmemmap_backing)",
            )
        return BackingLayout(size, offsets[0], offsets[1], offsets[2], order)

    @property
    def node_size(self) -> Fact[int]:
        """Size of one list node in bytes."""
        size = self.node_layout.size
        if self._assumes_node_layout:
            return Fact("node_size", size, Origin.ASSUMED, "24 bytes in every kernel known")
        return self._kernel.vmcoreinfo.fact("node_size", "SIZE(vmemmap_backing)")

    @established
    def psize_index(self) -> Fact[int]:
        """``mmu_vmemmap_psize``: which element of mmu_psize_defs describes the vmemmap's blocks."""
        at = self._kernel.symbol("mmu_vmemmap_psize")
        value = self._read(at, 4)
        if value > _MAX_PSIZE_INDEX:
            raise FactInvalid(
                f"mmu_vmemmap_psize at {at.shown} is {value}; expected an index of at most "
                f"{_MAX_PSIZE_INDEX} into mmu_psize_defs",
                name="mmu_vmemmap_psize",
            )
        return Fact("mmu_vmemmap_psize", value, Origin.DERIVED, f"read at {at.shown}")

    @established
    def block_shift_at(self) -> Fact[int]:
        """Where mmu_psize_defs has the shift of the blocks (4 bytes)."""
        info = self._kernel.vmcoreinfo
        index = self.psize_index.value
        defs = self._kernel.symbol("mmu_psize_defs")
        if self._is_unknown("mmu_psize_defs", "SIZE(mmu_psize_def)"):
            element, shift_at = self._psize_def_bytes(), 0
        else:
            element, shift_at = info.size("mmu_psize_def"), info.offset("mmu_psize_def.shift")
        if not 4 <= element <= 4096 or shift_at + 4 > element:
            raise FactInvalid(
                f"VMCOREINFO has SIZE(mmu_psize_def)={element} and OFFSET(mmu_psize_def.shift)="
                f"{shift_at}; expected a size of 4 to 4096 with the offset inside it",
                name="SIZE(mmu_psize_def)",
            )
        place = defs.value + index * element + shift_at
        return Fact("mmu_psize_defs", place, Origin.DERIVED, "", True)

    @established
    def block_size(self) -> Fact[int]:
        """Size of one vmemmap block in bytes."""
        index, at = self.psize_index.value, self.block_shift_at
        shift = self._read(at, 4)
        if shift not in VMEMMAP_BLOCK_SHIFTS:
            known = ", ".join(map(str, VMEMMAP_BLOCK_SHIFTS))
            raise FactInvalid(
                f"mmu_psize_defs[{index}].shift at {at.shown} is {shift}; expected the shift of a "
                f"vmemmap block ({known})",
                name="block_size",
            )
        return Fact(
            "block_size", 1 << shift, Origin.DERIVED, f"mmu_psize_defs[{index}].shift is {shift}"
        )

    @property
    def _assumes_node_layout(self) -> bool:
        return self._is_unknown("vmemmap_list", "SIZE(vmemmap_backing)")

    def _is_unknown(self, symbol: str, key: str) -> bool:
        """Tell a kernel that says nothing about a structure from a damaged VMCOREINFO.

        Kernels before 3.13 export neither symbol nor key, and then only the kernel's types can
        tell; where the symbol is there the key has to be as well.
        """
        info = self._kernel.vmcoreinfo
        if f"SYMBOL({symbol})" in info or key in info:
            return False
        return self._kernel.types.value(key) is None

    def _psize_def_bytes(self) -> int:
        """Size of one element of mmu_psize_defs, from the size of the whole array in the vmlinux.

        The arrays of the kernels before 3.13 differ in size, so that it tells the element's.
        """
        vmlinux = self._kernel.vmlinux
        symbol = vmlinux.find("mmu_psize_defs") if vmlinux else None
        size = symbol.size if symbol else 0
        if size not in PSIZE_DEF_BYTES:
            raise FactMissing(
                f"VMCOREINFO has no SIZE(mmu_psize_def), and an array mmu_psize_defs of {size} "
                "bytes is of no kernel known",
                name="SIZE(mmu_psize_def)",
            )
        return PSIZE_DEF_BYTES[size]

    def _read(self, at: Fact[int], width: int) -> int:
        """Read the variable of *width* bytes at an address."""
        return self._kernel.memory.number(at.name, at.value, width)
