"""What machine to simulate, and whether such a machine can be.

`MachineSpec.check` finds what contradicts itself or the kernel, and names the field as the TOML
file has it. It builds nothing; see ``machine.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vmemmap.address import ByteOrder, Run
from vmemmap.errors import SpecError
from vmemmap.simulate.kernel import IMAGE_BYTES, MIB, Kernel, Mmu
from vmemmap.simulate.spec.checks import (
    MAX_NODES,
    check_faults,
    check_load_address,
    check_memory,
    check_pages,
    check_reserved,
    one_of,
)
from vmemmap.simulate.spec.event_checks import check_events
from vmemmap.simulate.spec.parts import (
    CmaArea,
    FaultPlan,
    FirmwareRange,
    HotplugEvent,
    MemoryRange,
    PagePlan,
)

VECTOR_BYTES = 64 << 10
MAX_CPUS = 2048
CRASHKERNEL_AT_MOST = 512 * MIB
"""Where a capture kernel's memory begins at most, as a 6.1 puts it with 1 GiB and more."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to simulate.

    Attributes:
        memory: What is there at boot; the first range begins at physical address 0.
        release: Kernel release, 2.6.35 to 7.3.
        page_size: 4096 or 65536 bytes.
        byte_order: "little" or "big".
        mmu: "hash" or "radix".
        struct_page_size: 64, or 56 for a kernel without memory cgroups; None for what it was with
            them in this release.
        block_size: Size of a vmemmap block in bytes; None for what the kernel prefers.
        events: Hotplug events, in order.
        pages: What the memory is used for.
        faults: What goes wrong.
        cpus: How many processors leave their registers in the dump.
        crash_time: Seconds since 1970.
        headers_from: Whether the dump covers the memory there at boot (the capture kernel was
            loaded then and never again) or at the crash.
        form: How the dump's segments are cut: one for each range of memory; or as kdump's capture
            kernel shows them, the first 64 KiB apart and firmware in the hole last; or as fadump's.
        crashkernel: Bytes reserved for a capture kernel, which no dump has; 0 for none.
        crashkernel_at: Where; None for the middle of the first range, 512 MiB at most.
        firmware: Memory that is the firmware's.
        cma: Areas of CMA, in whole 16 MiB; since 3.5.
        hibernation: Whether the kernel can hibernate; in 2.6.35 the only hotplug lock needs it.
        nodes: NUMA nodes that there can be, numbered from 0; 0 for those with memory at boot alone.
            The others get memory while the machine runs.
        debug_vm: Whether struct pages that nobody has initialised are poisoned (CONFIG_DEBUG_VM,
            since 4.17), and do not hold what lay there before.
        seed: Where the scatter of user pages comes from.
        load_address: Physical address of the kernel's image. 0 but for a relocatable kernel that is
            told to stay where it was loaded, as kexec tells a capture kernel.
    """

    memory: tuple[MemoryRange, ...]
    release: str = "6.1.0"
    page_size: int = 65536
    byte_order: ByteOrder = "little"
    mmu: Mmu = "hash"
    struct_page_size: int | None = None
    block_size: int | None = None
    events: tuple[HotplugEvent, ...] = ()
    pages: PagePlan = field(default_factory=PagePlan)
    faults: FaultPlan = field(default_factory=FaultPlan)
    cpus: int = 1
    crash_time: int = 1795335881
    headers_from: Literal["boot", "crash"] = "crash"
    form: Literal["plain", "kdump", "fadump"] = "plain"
    crashkernel: int = 0
    crashkernel_at: int | None = None
    firmware: tuple[FirmwareRange, ...] = ()
    cma: tuple[CmaArea, ...] = ()
    hibernation: bool = False
    debug_vm: bool = False
    nodes: int = 0
    seed: int = 1
    load_address: int = 0

    def check(self) -> Kernel:
        """Check that such a machine can be.

        Returns:
            Its kernel.

        Raises:
            SpecError: It cannot; names the field.
        """
        one_of("kernel.page_size", self.page_size, (4096, 65536))
        one_of("kernel.byte_order", self.byte_order, ("little", "big"))
        one_of("kernel.mmu", self.mmu, ("hash", "radix"))
        if self.struct_page_size is not None:
            one_of("kernel.struct_page_size", self.struct_page_size, (56, 64))
        one_of("dump.headers_from", self.headers_from, ("boot", "crash"))
        one_of("dump.form", self.form, ("plain", "kdump", "fadump"))
        if not 0 <= self.nodes <= MAX_NODES:
            raise SpecError("kernel.nodes", f"{self.nodes} is outside 0 to {MAX_NODES}")
        if not 1 <= self.cpus <= MAX_CPUS:
            raise SpecError("dump.cpus", f"{self.cpus} is outside 1 to {MAX_CPUS}")
        if not 0 <= self.crash_time < 1 << 32:
            raise SpecError("dump.crash_time", f"{self.crash_time} is outside 0 to 2^32")
        kernel = Kernel.of(
            *(self.release, self.page_size, self.byte_order, self.mmu),
            self.struct_page_size,
            self.load_address,
        )
        check_memory(self.memory, kernel)
        check_load_address(self.load_address, self.memory)
        self._check_crashkernel()
        image = self.image
        check_reserved(kernel, self.memory, image, self.reservation, self.firmware, self.cma)
        self._check_block_size(kernel)
        check_events(self.events, kernel, self.memory, image, self.nodes)
        check_pages(self.pages, kernel, self.boot_bytes)
        check_faults(self.faults)
        return kernel

    @property
    def boot_bytes(self) -> int:
        """Bytes of memory at boot."""
        return sum(part.size for part in self.memory)

    @property
    def image(self) -> tuple[Run, ...]:
        """Where the kernel is, and its exception vectors, which are at 0 in any case."""
        image = Run(self.load_address, self.load_address + IMAGE_BYTES)
        return (image,) if not self.load_address else (Run(0, VECTOR_BYTES), image)

    @property
    def reservation(self) -> Run | None:
        """Where the capture kernel's memory is; None if there is none."""
        if not self.crashkernel:
            return None
        start = self.crashkernel_at
        if start is None:
            first = min(self.memory, key=lambda part: part.start)
            start = min(first.size // 2, CRASHKERNEL_AT_MOST) // MIB * MIB
        return Run(start, start + self.crashkernel)

    def _check_crashkernel(self) -> None:
        if self.crashkernel_at is not None and not self.crashkernel:
            raise SpecError("dump.crashkernel_at", "there is no dump.crashkernel to put there")
        if self.crashkernel < 0:
            raise SpecError("dump.crashkernel", f"{self.crashkernel} is less than nothing")

    def _check_block_size(self, kernel: Kernel) -> None:
        possible = kernel.block_sizes(self.boot_bytes)
        if self.block_size is not None and self.block_size not in possible:
            names = ", ".join(f"{size >> 10}K" for size in possible)
            raise SpecError(
                "kernel.block_size",
                f"{self.block_size >> 10}K cannot be on this machine: {kernel.release} on "
                f"{self.mmu} with {self.page_size >> 10}K pages and {self.boot_bytes >> 20} MiB at "
                f"boot can have {names}",
            )
