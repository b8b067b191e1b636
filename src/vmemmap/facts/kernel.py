"""What the kernel says about itself: release, sizes, byte order, symbols; each with its origin.

Every property reads as little as it can and is established once. A value is asked of VMCOREINFO
first; impossible values are errors that name the key, never repaired. What it says of vmemmap_list
is in ``vmemmap.facts.backing``.

Source: Linux arch/powerpc/kernel/vmcore_info.c, kernel/vmcore_info.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmemmap.address import ByteOrder
from vmemmap.errors import FactConflict, FactError, FactInvalid, FactMissing, ReadError
from vmemmap.established import established
from vmemmap.facts.assumptions import Assumptions
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel_types import KernelTypes, no_types
from vmemmap.facts.release import UNKNOWN, Release
from vmemmap.facts.uts import ORDER_OF_MACHINE, Utsname, find_utsname
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import LINEAR_SPAN, PAGE_OFFSET, LinearMemory, linear_phys, linear_virt
from vmemmap.memory import Memory

if TYPE_CHECKING:
    from vmemmap.facts.vmlinux import SymbolFile

_SINCE_3_13 = ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs")
_EXPORTS_LIST = Release("3.13")
_OF_VMEMMAP = (
    *(f"SYMBOL({name})" for name in (*_SINCE_3_13, "vmemmap")),
    *("SIZE(vmemmap_backing)", "SIZE(mmu_psize_def)"),
)
"""Keys of VMCOREINFO that only kernels with SPARSEMEM_VMEMMAP have."""
_WITHOUT_VMEMMAP = (
    "info, dmesg and vtop of other addresses work on it; list, check, page, pages, usage and drgn "
    "need a vmemmap"
)
_MAX_UTS_OFFSET = 4096


class KernelFacts:
    """Facts about the dumped kernel, established when they are asked for.

    Args:
        vmcoreinfo: The parsed VMCOREINFO.
        memory: Physical memory of the dump.
        header_machine: utsname's machine from the container's header, or an empty string.
        container_order: The container's byte order, the last resort for the memory's.
        vmlinux: Named by the user; asked for symbols that VMCOREINFO does not have.
        assume: What the user says.
        types: The kernel's types, asked for what VMCOREINFO does not have.

    Attributes:
        vmcoreinfo: As given; likewise vmlinux and types.
    """

    def __repr__(self) -> str:
        known = "OSRELEASE" in self.vmcoreinfo
        release = self.vmcoreinfo.text("OSRELEASE") if known else "a kernel without a release"
        return f"<KernelFacts of {release}>"

    def __init__(
        self,
        vmcoreinfo: Vmcoreinfo,
        memory: Memory,
        header_machine: str,
        container_order: ByteOrder,
        vmlinux: SymbolFile | None = None,
        assume: Assumptions | None = None,
        types: KernelTypes | None = None,
    ) -> None:
        self.vmcoreinfo = vmcoreinfo
        self._physical = memory
        self._header_machine = header_machine
        self._container_order = container_order
        self.vmlinux = vmlinux
        self._assume = assume or Assumptions()
        self.types = types or no_types(vmcoreinfo)

    @established
    def release(self) -> Fact[str]:
        """The kernel's release, as ``uname -r`` prints it."""
        if "OSRELEASE" not in self.vmcoreinfo and self.utsname is not None:
            return Fact("release", self.utsname.release, Origin.DERIVED, "utsname in memory")
        return Fact("release", self.vmcoreinfo.text("OSRELEASE"), Origin.VMCOREINFO, "OSRELEASE")

    @established
    def page_size(self) -> Fact[int]:
        """The kernel's base page size in bytes: 4096 or 65536."""
        return Fact("page_size", self.vmcoreinfo.page_size(), Origin.VMCOREINFO, "PAGESIZE")

    @established
    def memory_byte_order(self) -> Fact[str]:
        """The byte order of the dumped memory: little or big."""
        name = "memory_byte_order"
        given = self._assume.given(name)
        if given is not None:
            return given
        uts = self.utsname
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
    def machine(self) -> Fact[str]:
        """The machine, as ``uname -m`` prints it: ppc64 or ppc64le."""
        if self.utsname is not None and self.utsname.machine:
            return Fact("machine", self.utsname.machine, Origin.DERIVED, "utsname in memory")
        if self._header_machine in ORDER_OF_MACHINE:
            return Fact("machine", self._header_machine, Origin.DERIVED, "the dump's header")
        order = self.memory_byte_order
        name = "ppc64le" if order.value == "little" else "ppc64"
        return Fact("machine", name, order.origin, f"memory is {order.value}-endian")

    @established
    def struct_page_size(self) -> Fact[int]:
        """Size of ``struct page`` in bytes."""
        value = self.vmcoreinfo.size("page")
        if not 32 <= value <= 256 or value % 8:
            raise FactInvalid(
                f"VMCOREINFO has SIZE(page)={value}; expected a multiple of 8 from 32 to 256",
                name="SIZE(page)",
            )
        return self.vmcoreinfo.fact("struct_page_size", "SIZE(page)")

    @property
    def no_vmemmap(self) -> str:
        """Why this kernel has no vmemmap, in words; empty where it has one, or may have."""
        info = self.vmcoreinfo
        if any(key in info for key in _OF_VMEMMAP):
            return ""
        if self.vmlinux is not None and self.vmlinux.find("vmemmap_list") is not None:
            return ""
        if "SYMBOL(mem_section)" not in info:
            for name, model in (("mem_map", "FLATMEM"), ("node_data", "DISCONTIGMEM")):
                if f"SYMBOL({name})" in info:
                    return (
                        f"VMCOREINFO has SYMBOL({name}) and no SYMBOL(mem_section), so that its "
                        f"memory model is {model}; {_WITHOUT_VMEMMAP}"
                    )
            return ""
        release = self.parsed_release
        if release.is_known and release >= _EXPORTS_LIST:
            return (
                f"VMCOREINFO has SYMBOL(mem_section) and no SYMBOL(vmemmap_list), which kernels "
                f"since {_EXPORTS_LIST.text} export if they have one, so that its memory model is "
                f"SPARSEMEM without VMEMMAP; {_WITHOUT_VMEMMAP}"
            )
        return ""

    @property
    def order(self) -> ByteOrder:
        """The memory's byte order, as the plain word."""
        return "little" if self.memory_byte_order.value == "little" else "big"

    @established
    def memory(self) -> LinearMemory:
        """The kernel's own data, read by its addresses."""
        return LinearMemory(self._physical, self.order)

    @property
    def parsed_release(self) -> Release:
        """The kernel's release, to be compared; `UNKNOWN` where nothing tells it."""
        try:
            return Release(self.release.value)
        except FactError:
            return UNKNOWN

    def symbol(self, name: str) -> Fact[int]:
        """Give SYMBOL(name) as a fact, checked to be an address in the linear map.

        Raises:
            FactError: It is missing, garbage, or no address of kernel data.
        """
        if f"SYMBOL({name})" not in self.vmcoreinfo and self.vmlinux is not None:
            return self._symbol_from_vmlinux(self.vmlinux, name)
        if f"SYMBOL({name})" not in self.vmcoreinfo and name in _SINCE_3_13:
            why = self.no_vmemmap
            raise FactMissing(
                f"this kernel has no vmemmap: {why}"
                if why
                else f"VMCOREINFO has no SYMBOL({name}) (kernels before 3.13 do not export the "
                "list: name the kernel with --vmlinux)",
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

    def _symbol_from_vmlinux(self, symbols: SymbolFile, name: str) -> Fact[int]:
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

    def optional_symbol(self, name: str) -> int | None:
        """Give SYMBOL(name) unchecked, or None if VMCOREINFO has no such key."""
        return self.vmcoreinfo.symbol(name) if f"SYMBOL({name})" in self.vmcoreinfo else None

    def read_root_entry(self) -> int:
        """Read the first entry of swapper_pg_dir as the big-endian word that a radix MMU reads.

        Raises:
            FactError, ReadError: VMCOREINFO does not say where it is, or it is not in the dump.
        """
        return int.from_bytes(self._physical.read(self.root_table_phys, 8), "big")

    @property
    def root_table_phys(self) -> int:
        """Physical address of swapper_pg_dir, the root of the kernel's page tables."""
        phys = self._phys_of("swapper_pg_dir")
        if phys % 8:
            raise FactInvalid(
                f"swapper_pg_dir is at {linear_virt(phys):#x}; expected a multiple of 8",
                name="swapper_pg_dir",
            )
        return phys

    def _phys_of(self, name: str) -> int:
        """Give the physical address of what a symbol names; errors as for `symbol`."""
        phys = linear_phys(self.symbol(name).value)
        assert phys is not None
        return phys

    @established
    def utsname(self) -> Utsname | None:
        """The utsname in the kernel's memory; None if it cannot be read or makes no sense."""
        try:
            # Since Linux commit 9a56493f6942 ("uts: Use generic ns_common::count") (in v5.11) the
            # texts come first and the offset is exported; before, a 4-byte counter precedes them.
            if "OFFSET(uts_namespace.name)" in self.vmcoreinfo:
                offsets: tuple[int, ...] = (self.vmcoreinfo.offset("uts_namespace.name"),)
                if offsets[0] > _MAX_UTS_OFFSET:
                    return None
            else:
                offsets = (4, 0)
            return find_utsname(self._physical, self._phys_of("init_uts_ns"), offsets)
        except (FactError, ReadError):
            return None

    def _orders_of_list_head(self) -> list[ByteOrder]:
        """Give the byte orders in which the list's head is a linear-map address of a node."""
        try:
            raw = self._physical.read(self._phys_of("vmemmap_list"), 8)
        except (FactError, ReadError):
            return []
        orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
        return [
            order
            for order in orders
            if linear_phys(int.from_bytes(raw, order)) and int.from_bytes(raw, order) % 8 == 0
        ]
