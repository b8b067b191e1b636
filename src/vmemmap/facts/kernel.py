"""What the kernel says about the structures that the vmemmap needs, each value with its origin.

Every property reads as little as it can and is established once. A value is asked of VMCOREINFO
first; impossible values are errors that name the key, never repaired. Nothing here walks the list.

Source: Linux arch/powerpc/kernel/vmcore_info.c, kernel/vmcore_info.c, arch/powerpc/mm/init_64.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.errors import FactConflict, FactError, FactInvalid, FactMissing, ReadError
from vmemmap.established import established
from vmemmap.facts.assumptions import Assumptions
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.mmu import VMEMMAP_BLOCK_SHIFTS
from vmemmap.facts.types.kernel_types import KernelTypes, no_types
from vmemmap.facts.uts import ORDER_OF_MACHINE, Utsname, read_utsname
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.linear_map import LINEAR_SPAN, PAGE_OFFSET, linear_phys
from vmemmap.memory import Memory, read_u32, read_u64

PSIZE_DEF_BYTES = {12 * 32: 32, 14 * 32: 32, 14 * 80: 80, 15 * 88: 88, 16 * 88: 88, 16 * 96: 96}
"""Size of ``mmu_psize_defs`` to that of an element (bytes): 2.6.35 to 3.1, to 3.9, to 3.13, to 4.9,
to 5.13, and later (Book3S)."""

_SINCE_3_13 = ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs")
_MAX_UTS_OFFSET = 4096
_MAX_PSIZE_INDEX = 15
"""mmu_psize_defs has 12 to 16 elements, by kernel."""


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """How a ``struct vmemmap_backing`` lies in memory; all in bytes.

    24 bytes with the members at 0, 8 and 16 in every kernel from 2.6.35 to 7.3.
    """

    size: int
    list_offset: int
    phys_offset: int
    virt_offset: int
    order: ByteOrder


class KernelFacts:
    """Facts about the dumped kernel, established when they are asked for.

    Args:
        vmcoreinfo: The parsed VMCOREINFO.
        memory: Physical memory of the dump.
        header_machine: utsname's machine from the container's header, or an empty string.
        container_order: The container's byte order, the last resort for the memory's.
        symbols: A vmlinux named by the user, asked for what VMCOREINFO does not have.
        assume: What the user says.
        types: The kernel's types, asked for what VMCOREINFO does not have.
    """

    def __init__(
        self,
        vmcoreinfo: Vmcoreinfo,
        memory: Memory,
        header_machine: str,
        container_order: ByteOrder,
        symbols: SymbolFile | None = None,
        assume: Assumptions | None = None,
        types: KernelTypes | None = None,
    ) -> None:
        self.vmcoreinfo = vmcoreinfo
        self._memory = memory
        self._header_machine = header_machine
        self._container_order = container_order
        self._symbols = symbols
        self._assume = assume or Assumptions()
        self.types = types or no_types(vmcoreinfo)

    @established
    def release(self) -> Fact:
        """The kernel's release, as ``uname -r`` prints it."""
        if "OSRELEASE" not in self.vmcoreinfo and self._utsname is not None:
            return Fact("release", self._utsname.release, Origin.DERIVED, "utsname in memory")
        return Fact("release", self.vmcoreinfo.text("OSRELEASE"), Origin.VMCOREINFO, "OSRELEASE")

    @established
    def page_size(self) -> Fact:
        """The kernel's base page size in bytes: 4096 or 65536."""
        return Fact("page_size", self.vmcoreinfo.page_size(), Origin.VMCOREINFO, "PAGESIZE")

    @established
    def memory_byte_order(self) -> Fact:
        """The byte order of the dumped memory: little or big."""
        name = "memory_byte_order"
        given = self._assume.given(name)
        if given is not None:
            return given
        uts = self._utsname
        if uts is not None and uts.machine in ORDER_OF_MACHINE:
            return Fact(
                name,
                ORDER_OF_MACHINE[uts.machine],
                Origin.DERIVED,
                f"utsname in memory has machine {uts.machine}",
            )
        if self._header_machine in ORDER_OF_MACHINE:
            return Fact(
                name,
                ORDER_OF_MACHINE[self._header_machine],
                Origin.DERIVED,
                f"the dump's header has machine {self._header_machine}",
            )
        plausible = self._orders_of_list_head()
        if len(plausible) == 1:
            return Fact(
                name,
                plausible[0],
                Origin.DERIVED,
                f"vmemmap_list is a kernel address only when read as {plausible[0]}-endian",
            )
        return Fact(name, self._container_order, Origin.ASSUMED, "same as the container's")

    @established
    def machine(self) -> Fact:
        """The machine, as ``uname -m`` prints it: ppc64 or ppc64le."""
        if self._utsname is not None and self._utsname.machine:
            return Fact("machine", self._utsname.machine, Origin.DERIVED, "utsname in memory")
        if self._header_machine in ORDER_OF_MACHINE:
            return Fact("machine", self._header_machine, Origin.DERIVED, "the dump's header")
        order = self.memory_byte_order
        word = "ppc64le" if order.value == "little" else "ppc64"
        return Fact("machine", word, order.origin, f"memory is {order.value}-endian")

    @established
    def struct_page_size(self) -> Fact:
        """Size of ``struct page`` in bytes."""
        value = self.vmcoreinfo.size("page")
        if not 32 <= value <= 256 or value % 8:
            raise FactInvalid(
                f"VMCOREINFO has SIZE(page)={value}; expected a multiple of 8 from 32 to 256",
                name="SIZE(page)",
            )
        return self.vmcoreinfo.fact("struct_page_size", "SIZE(page)")

    @established
    def vmemmap_list(self) -> Fact:
        """Address of the head pointer ``vmemmap_list``."""
        return self.symbol("vmemmap_list")

    @established
    def list_head(self) -> Fact:
        """Address of the newest node, or 0 for an empty list."""
        at = self.vmemmap_list
        value = self._read(at, 8)
        return Fact("list_head", value, Origin.DERIVED, "the pointer at vmemmap_list", True)

    @established
    def node_layout(self) -> NodeLayout:
        """The layout of ``struct vmemmap_backing``."""
        info = self.vmcoreinfo
        if self._assumes_node_layout:
            return NodeLayout(24, 0, 8, 16, self.order)
        size = info.size("vmemmap_backing")
        offsets = [
            info.offset(f"vmemmap_backing.{member}") for member in ("list", "phys", "virt_addr")
        ]
        page_size = self.page_size.value
        assert isinstance(page_size, int)
        if not 24 <= size <= page_size or size % 8:
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
        return NodeLayout(size, offsets[0], offsets[1], offsets[2], self.order)

    @established
    def psize_index(self) -> Fact:
        """``mmu_vmemmap_psize``: which element of mmu_psize_defs describes the vmemmap's blocks."""
        at = self.symbol("mmu_vmemmap_psize")
        value = self._read(at, 4)
        if value > _MAX_PSIZE_INDEX:
            raise FactInvalid(
                f"mmu_vmemmap_psize at {at.shown} is {value}; expected an index of at most "
                f"{_MAX_PSIZE_INDEX} into mmu_psize_defs",
                name="mmu_vmemmap_psize",
            )
        return Fact("mmu_vmemmap_psize", value, Origin.DERIVED, f"read at {at.shown}")

    @established
    def block_size(self) -> Fact:
        """Size of one vmemmap block in bytes."""
        info = self.vmcoreinfo
        index = self.psize_index.value
        defs = self.symbol("mmu_psize_defs")
        key = "SIZE(mmu_psize_def)"
        if self._predates_export("mmu_psize_defs", key) and self.types.value(key) is None:
            element, shift_at = self._psize_def_bytes(), 0
        else:
            element, shift_at = info.size("mmu_psize_def"), info.offset("mmu_psize_def.shift")
        assert isinstance(index, int)
        assert isinstance(defs.value, int)
        if not 4 <= element <= 4096 or shift_at + 4 > element:
            raise FactInvalid(
                f"VMCOREINFO has SIZE(mmu_psize_def)={element} and OFFSET(mmu_psize_def.shift)="
                f"{shift_at}; expected a size of 4 to 4096 with the offset inside it",
                name="SIZE(mmu_psize_def)",
            )
        at = Fact(
            "mmu_psize_defs", defs.value + index * element + shift_at, Origin.DERIVED, "", True
        )
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
    def order(self) -> ByteOrder:
        """The memory's byte order, as the plain word."""
        return "little" if self.memory_byte_order.value == "little" else "big"

    def symbol(self, name: str) -> Fact:
        """Give SYMBOL(name) as a fact, checked to be an address in the linear map.

        Raises:
            FactError: It is missing, garbage, or no address of kernel data.
        """
        if f"SYMBOL({name})" not in self.vmcoreinfo and self._symbols is not None:
            return self._symbol_from_vmlinux(self._symbols, name)
        if f"SYMBOL({name})" not in self.vmcoreinfo and name in _SINCE_3_13:
            raise FactMissing(
                f"VMCOREINFO has no SYMBOL({name}) (kernels before 3.13 do not export the list: "
                "name the kernel with --vmlinux)",
                name=f"SYMBOL({name})",
            )
        value = self.vmcoreinfo.symbol(name)
        if linear_phys(value) is None:
            raise FactInvalid(
                f"VMCOREINFO has SYMBOL({name})={value:x}; expected an address in the linear map "
                f"({PAGE_OFFSET:#x} to {PAGE_OFFSET + LINEAR_SPAN:#x})",
                name=f"SYMBOL({name})",
            )
        return Fact(name, value, Origin.VMCOREINFO, f"SYMBOL({name})", True)

    def _symbol_from_vmlinux(self, symbols: SymbolFile, name: str) -> Fact:
        """Look a symbol up in the user's vmlinux, once it is known to be of this kernel."""
        self.check_vmlinux(symbols)
        found = symbols.find(name)
        if found is None or linear_phys(found.address) is None:
            why = "" if symbols.has_symbols else ", which has no symbol table (it was stripped)"
            raise FactMissing(
                f"neither VMCOREINFO nor {symbols.path} has the symbol {name}{why}", name=name
            )
        return Fact(name, found.address, Origin.USER, f"symbol table of {symbols.path}", True)

    def check_vmlinux(self, symbols: SymbolFile) -> None:
        """Check that a vmlinux is of this kernel.

        Raises:
            FactConflict: It has a symbol elsewhere than VMCOREINFO.
        """
        for known in ("swapper_pg_dir", "init_uts_ns"):
            there, here = symbols.find(known), self.optional_symbol(known)
            if there and here and here != there.address:
                raise FactConflict(
                    f"{symbols.path} is not the vmlinux of this dump's kernel: {known} is at "
                    f"{there.address:#x} there and at {here:#x} in VMCOREINFO",
                    name=known,
                )

    def _predates_export(self, symbol: str, key: str) -> bool:
        """Tell a kernel that exports nothing about a structure from a damaged VMCOREINFO.

        Kernels before 3.13 have neither; where the symbol is there the layout has to be as well.
        """
        return f"SYMBOL({symbol})" not in self.vmcoreinfo and key not in self.vmcoreinfo

    def _psize_def_bytes(self) -> int:
        """Size of one element of mmu_psize_defs, from the size of the whole array in the vmlinux.

        The arrays of the kernels before 3.13 differ in size, so that it tells the element's.
        """
        symbol = self._symbols.find("mmu_psize_defs") if self._symbols else None
        size = symbol.size if symbol else 0
        if size not in PSIZE_DEF_BYTES:
            raise FactMissing(
                f"VMCOREINFO has no SIZE(mmu_psize_def), and an array mmu_psize_defs of {size} "
                "bytes is of no kernel known",
                name="SIZE(mmu_psize_def)",
            )
        return PSIZE_DEF_BYTES[size]

    def optional_symbol(self, name: str) -> int | None:
        """Give SYMBOL(name) unchecked, or None if VMCOREINFO has no such key."""
        return self.vmcoreinfo.symbol(name) if f"SYMBOL({name})" in self.vmcoreinfo else None

    def read_root_entry(self) -> int:
        """Read the first entry of swapper_pg_dir as the big-endian word that a radix MMU reads.

        Raises:
            FactError, ReadError: VMCOREINFO does not say where it is, or it is not in the dump.
        """
        return read_u64(self._memory, self.root_table_phys, "big")

    @property
    def root_table_phys(self) -> int:
        """Physical address of swapper_pg_dir, the root of the kernel's page tables."""
        symbol = self.symbol("swapper_pg_dir")
        phys = linear_phys(int(symbol.value))
        assert phys is not None
        if phys % 8:
            raise FactInvalid(
                f"swapper_pg_dir is at {symbol.shown}; expected a multiple of 8", name=symbol.name
            )
        return phys

    @property
    def node_size(self) -> Fact:
        """Size of one list node in bytes."""
        size = self.node_layout.size
        if self._assumes_node_layout:
            return Fact("node_size", size, Origin.ASSUMED, "24 bytes in every kernel known")
        return self.vmcoreinfo.fact("node_size", "SIZE(vmemmap_backing)")

    @property
    def _assumes_node_layout(self) -> bool:
        """The kernel exports nothing about list nodes, and nothing else tells."""
        key = "SIZE(vmemmap_backing)"
        return self._predates_export("vmemmap_list", key) and self.types.value(key) is None

    @established
    def _utsname(self) -> Utsname | None:
        """The utsname in the kernel's memory; None if it cannot be read or makes no sense."""
        try:
            phys = linear_phys(int(self.symbol("init_uts_ns").value))
            assert phys is not None
            # Since Linux commit 9a56493f6942 ("uts: Use generic ns_common::count") (in v5.11) the
            # texts come first and the offset is exported; before, a 4-byte counter precedes them.
            if "OFFSET(uts_namespace.name)" in self.vmcoreinfo:
                offsets: tuple[int, ...] = (self.vmcoreinfo.offset("uts_namespace.name"),)
                if offsets[0] > _MAX_UTS_OFFSET:
                    return None
            else:
                offsets = (4, 0)
            return read_utsname(self._memory, phys, offsets)
        except (FactError, ReadError):
            return None

    def _orders_of_list_head(self) -> list[ByteOrder]:
        """Give the byte orders in which the list's head is a linear-map address of a node."""
        try:
            phys = linear_phys(int(self.vmemmap_list.value))
            assert phys is not None
            raw = self._memory.read(phys, 8)
        except (FactError, ReadError):
            return []
        orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
        return [
            order
            for order in orders
            if linear_phys(int.from_bytes(raw, order)) and int.from_bytes(raw, order) % 8 == 0
        ]

    def _read(self, at: Fact, size: int) -> int:
        """Read the 4- or 8-byte variable at a linear-map address."""
        assert isinstance(at.value, int)
        phys = linear_phys(at.value)
        if phys is None:
            raise FactInvalid(f"{at.name} at {at.shown} is not in the linear map", name=at.name)
        try:
            read = read_u64 if size == 8 else read_u32
            return read(self._memory, phys, self.order)
        except ReadError as error:
            raise FactMissing(
                f"{at.name} at {at.shown} cannot be read: {error}", name=at.name
            ) from (error)
