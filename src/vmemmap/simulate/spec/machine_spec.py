"""What machine to simulate: plain data, and whether such a machine can be.

`MachineSpec.check` finds what contradicts itself or the kernel, and names the field as the TOML
file has it. It builds nothing; see ``machine.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from vmemmap.address import ByteOrder, Run
from vmemmap.errors import SpecError
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import (
    MIB,
    SECTION_BYTES,
    SUBSECTION_BYTES,
    Kernel,
    Mmu,
)

MAX_NODES = 256
"""NODES_SHIFT is 8 on ppc64."""
IMAGE_BYTES = 20 * MIB
"""What the kernel image takes at physical address 0."""
LOAD_ALIGN = VECTOR_BYTES = 64 << 10
MIN_BOOT_BYTES = 2 * SECTION_BYTES
MAX_CPUS = 2048
CRASHKERNEL_AT_MOST = 512 * MIB
"""Where a capture kernel's memory begins at most, as a 6.1 puts it with 1 GiB and more."""
MAX_RANGES = 4096
MAX_EVENTS = 1024

EventKind = Literal["add", "remove"]


class _Stretch:
    """What lies at *start* and has *size* bytes."""

    __slots__ = ()
    start: int
    size: int

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class MemoryRange(_Stretch):
    """Memory that is there at boot: *size* bytes from *start*, on NUMA node *node*."""

    node: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class HotplugEvent(_Stretch):
    """Memory that comes or goes while the machine runs.

    Attributes:
        kind: "add" or "remove". A range that was removed can be added again.
        start: Physical address (bytes).
        size: Bytes.
        node: NUMA node of added memory.
        altmap: Bytes at the start of the added range that its own struct pages may use; 0 for
            none. For memory that is no device this is memmap_on_memory.
        device: Device memory (pmem): it has struct pages, but is no RAM, so no dump holds it. It
            leaves as a whole, and so does memory with an altmap.
        reserve: Of the altmap the bytes at its start that hold something else, as pmem's info block
            and label do: struct pages begin behind them. 0 for none.
        compound: Bytes of one compound page of device memory, as device DAX makes them; 0 for base
            pages.
        online: Added RAM comes into use. False as with memhp_default_state=offline: it has struct
            pages that nobody has initialised.
        lmb: Bytes of a piece in which DLPAR adds RAM, 16 to 256 MiB: when one fails, those before
            it are taken away again. 0 adds all of it at once.
    """

    kind: EventKind
    start: int
    size: int
    node: int = 0
    altmap: int = 0
    device: bool = False
    reserve: int = 0
    compound: int = 0
    online: bool = True
    lmb: int = 0


@dataclass(frozen=True, slots=True)
class FirmwareRange(_Stretch):
    """Memory that is the firmware's (RTAS, OPAL): reserved at boot, and in the dump in any form.

    Attributes:
        start: Physical address (bytes).
        size: Bytes.
    """

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class CmaArea(_Stretch):
    """Memory that is kept for large contiguous buffers (CMA), and free until one is wanted.

    Attributes:
        start: Physical address (bytes).
        size: Bytes.
    """

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class PagePlan:
    """What the memory is used for when the machine crashes, in base pages.

    What is not named is free. Compound pages of *slab* and *huge* count all their pages, and so do
    *gigantic* ones, which boot sets apart: on hash the firmware offers them before (the device
    tree's ibm,expected#pages), on radix they are asked for on the command line (hugepagesz=1G).
    """

    cache: int = 0
    cache_private: int = 0
    anonymous: int = 0
    slab: int = 0
    huge: int = 0
    gigantic: int = 0
    hwpoison: int = 0
    offline: int = 0
    vmalloc: int = 8

    @property
    def total(self) -> int:
        """Pages in use, all kinds together."""
        return sum(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong, each counted from 1 over the whole life of the machine.

    Attributes:
        block: Which allocations of a backing block fail.
        node_page: Which allocations of a page for list nodes fail.
        mapping: Which mappings of a block fail.
        crash_before_store: The machine crashes before this store of the tracking, counted from 0.
    """

    block: tuple[int, ...] = ()
    node_page: tuple[int, ...] = ()
    mapping: tuple[int, ...] = ()
    crash_before_store: int | None = None


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
        _one_of("kernel.page_size", self.page_size, (4096, 65536))
        _one_of("kernel.byte_order", self.byte_order, ("little", "big"))
        _one_of("kernel.mmu", self.mmu, ("hash", "radix"))
        if self.struct_page_size is not None:
            _one_of("kernel.struct_page_size", self.struct_page_size, (56, 64))
        _one_of("dump.headers_from", self.headers_from, ("boot", "crash"))
        _one_of("dump.form", self.form, ("plain", "kdump", "fadump"))
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
        self._check_memory(kernel)
        self._check_load_address()
        self._check_reserved(kernel)
        self._check_block_size(kernel)
        self._check_events(kernel)
        self._check_plans(kernel)
        return kernel

    @property
    def boot_bytes(self) -> int:
        """Bytes of memory at boot."""
        return sum(part.size for part in self.memory)

    def _check_memory(self, kernel: Kernel) -> None:
        if not self.memory:
            raise SpecError("memory", "there is none; give at least one range")
        if len(self.memory) > MAX_RANGES:
            raise SpecError("memory", f"{len(self.memory)} ranges are more than {MAX_RANGES}")
        for index, part in enumerate(self.memory):
            where = f"memory[{index}]"
            _check_range(where, part.start, part.size, kernel, SECTION_BYTES)
            if not 0 <= part.node < MAX_NODES:
                raise SpecError(f"{where}.node", f"{part.node} is outside 0 to {MAX_NODES - 1}")
        ascending = sorted(range(len(self.memory)), key=lambda index: self.memory[index].start)
        for below, above in pairwise(ascending):
            if self.memory[above].start < self.memory[below].end:
                earlier, later = sorted((below, above))
                raise SpecError(f"memory[{later}].start", f"overlaps memory[{earlier}]")
        first = min(self.memory, key=lambda part: part.start)
        if first.start or first.size < MIN_BOOT_BYTES:
            raise SpecError(
                "memory",
                f"the kernel needs {MIN_BOOT_BYTES // MIB} MiB from physical address 0 on",
            )

    @property
    def image(self) -> tuple[Run, ...]:
        """Where the kernel is, and its exception vectors, which are at 0 in any case."""
        image = Run(self.load_address, self.load_address + IMAGE_BYTES)
        return (image,) if not self.load_address else (Run(0, VECTOR_BYTES), image)

    def _check_load_address(self) -> None:
        start, where = self.load_address, "kernel.load_address"
        if start % LOAD_ALIGN or start < 0:
            raise SpecError(where, f"{start:#x} is no multiple of {LOAD_ALIGN >> 10}K")
        if not any(part.start <= start and start + IMAGE_BYTES <= part.end for part in self.memory):
            end = start + IMAGE_BYTES
            raise SpecError(
                where, f"no range of memory has all of the kernel: {start:#x} to {end:#x}"
            )

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

    def _check_reserved(self, kernel: Kernel) -> None:
        """Check what boot keeps from the kernel: each in one range, clear of the kernel."""
        if self.crashkernel_at is not None and not self.crashkernel:
            raise SpecError("dump.crashkernel_at", "there is no dump.crashkernel to put there")
        where = "dump.crashkernel"
        if self.crashkernel < 0:
            raise SpecError(where, f"{self.crashkernel} is less than nothing")
        rows = [(where, room.start, room.end)] if (room := self.reservation) else []
        rows += [
            (f"firmware[{index}]", part.start, part.end) for index, part in enumerate(self.firmware)
        ]
        rows += self._check_cma(kernel, rows)
        for name, start, end in rows:
            if start % kernel.page_size or end % kernel.page_size or end <= start:
                raise SpecError(name, f"{start:#x} to {end:#x} are no whole pages")
            if any(start < image.end and image.start < end for image in self.image):
                raise SpecError(name, f"{start:#x}: the kernel itself is there")
            if not any(part.start <= start and end <= part.end for part in self.memory):
                raise SpecError(name, f"no range of memory has all of {start:#x} to {end:#x}")
        for below, above in pairwise(sorted(self.firmware, key=lambda part: part.start)):
            if above.start < below.end:
                raise SpecError("firmware", f"two ranges overlap at {above.start:#x}")

    def _check_cma(
        self, kernel: Kernel, others: list[tuple[str, int, int]]
    ) -> list[tuple[str, int, int]]:
        if self.cma and not kernel.at(eras.CMA):
            raise SpecError("cma", f"CMA came with 3.5, and the kernel is {kernel.release}")
        rows = [*others]
        for index, area in enumerate(self.cma):
            where = f"cma[{index}]"
            if area.start % SECTION_BYTES or area.size % SECTION_BYTES:
                raise SpecError(where, f"{area.start:#x}, {area.size:#x}: no multiples of 16 MiB")
            for name, start, end in rows:
                if area.start < end and start < area.end:
                    raise SpecError(where, f"overlaps {name}")
            rows.append((where, area.start, area.end))
        return rows[len(others) :]

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

    def _check_events(self, kernel: Kernel) -> None:
        if len(self.events) > MAX_EVENTS:
            raise SpecError("event", f"{len(self.events)} events are more than {MAX_EVENTS}")
        present = [_Present(part.start, part.end) for part in self.memory]
        nodes = {part.node for part in self.memory}
        for index, event in enumerate(self.events):
            where = f"event[{index}]"
            _one_of(f"{where}.kind", event.kind, ("add", "remove"))
            small = event.device and kernel.at(eras.SUBSECTION_HOTPLUG)
            unit = SUBSECTION_BYTES if small else SECTION_BYTES
            _check_range(where, event.start, event.size, kernel, unit)
            if event.kind == "add":
                _check_add(where, event, present, kernel)
                if event.node not in nodes and not 0 <= event.node < self.nodes:
                    raise SpecError(
                        f"{where}.node",
                        f"node {event.node} does not exist (memory at boot is on {_list(nodes)})",
                    )
                present.append(
                    _Present(event.start, event.end, event.device, bool(event.altmap), event.online)
                )
            else:
                present = _take_out(where, event, present)
                if any(event.start < part.end and part.start < event.end for part in self.image):
                    raise SpecError(f"{where}.start", "the kernel itself is there")

    def _check_plans(self, kernel: Kernel) -> None:
        for name in PagePlan.__slots__:
            count = getattr(self.pages, name)
            if count < 0:
                raise SpecError(f"pages.{name}", f"{count} is less than nothing")
        for name, size in (("huge", kernel.huge_pages), ("gigantic", kernel.gigantic_pages)):
            if (count := getattr(self.pages, name)) % size:
                raise SpecError(
                    f"pages.{name}", f"{count} is no multiple of {size}, the size of a {name} page"
                )
        if self.pages.offline and kernel.version < (5, 1):
            raise SpecError("pages.offline", "offline pages are marked since 5.1 only")
        if self.pages.total * self.page_size > self.boot_bytes:
            raise SpecError(
                "pages",
                f"{self.pages.total} pages of {self.page_size >> 10}K are more than the "
                f"{self.boot_bytes >> 20} MiB of memory",
            )
        for name in ("block", "node_page", "mapping"):
            for count in getattr(self.faults, name):
                if count < 1:
                    raise SpecError(f"faults.{name}", f"{count}: they are counted from 1")
        if self.faults.crash_before_store is not None and self.faults.crash_before_store < 0:
            raise SpecError("faults.crash_before_store", "stores are counted from 0")


@dataclass(frozen=True, slots=True)
class _Present:
    """Memory that is there between two events."""

    start: int
    end: int
    device: bool = False
    altmap: bool = False
    online: bool = True

    def __str__(self) -> str:
        return f"{self.start:#x} to {self.end:#x}"


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise SpecError(name, f"{value!r} is none of {', '.join(map(str, known))}")


def _list(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _check_range(where: str, start: int, size: int, kernel: Kernel, unit: int) -> None:
    if size <= 0:
        raise SpecError(f"{where}.size", f"{size} is no size")
    for name, value in (("start", start), ("size", size)):
        if value % unit:
            raise SpecError(
                f"{where}.{name}", f"{value:#x} is no multiple of {unit >> 20} MiB, as it must be"
            )
    if start < 0 or start + size > 1 << kernel.max_physmem_bits:
        raise SpecError(
            f"{where}.start",
            f"{start:#x} + {size:#x} is beyond the {kernel.max_physmem_bits} bits of physical "
            f"address that {kernel.release} can have (MAX_PHYSMEM_BITS)",
        )
    if start + size > kernel.reach:
        raise SpecError(
            f"{where}.start",
            f"{start:#x} + {size:#x} is beyond {kernel.reach:#x}, where the linear map or the "
            f"vmemmap of {kernel.release} ends with {kernel.page_size >> 10}K pages on "
            f"{kernel.mmu}",
        )


def _check_add(where: str, event: HotplugEvent, present: list[_Present], kernel: Kernel) -> None:
    for part in present:
        if event.start < part.end and part.start < event.end:
            raise SpecError(f"{where}.start", f"memory is there already: {part}")
    if event.altmap and not event.device and (kernel.mmu != "radix" or kernel.version < (6, 6)):
        raise SpecError(
            f"{where}.altmap",
            "memmap_on_memory needs the radix MMU and 6.6; for device memory set device = true",
        )
    if event.altmap:
        if kernel.at(eras.ALTMAPS) == "none":
            raise SpecError(f"{where}.altmap", f"{kernel.release} has no altmap; it came with 4.13")
        if event.altmap % kernel.page_size or not 0 < event.altmap < event.size:
            raise SpecError(
                f"{where}.altmap",
                f"{event.altmap:#x} is no number of whole pages inside the range",
            )
    if event.reserve % kernel.page_size or not 0 <= event.reserve <= event.altmap:
        raise SpecError(
            f"{where}.reserve",
            f"{event.reserve:#x} is no number of whole pages at the start of the altmap",
        )
    if not event.online and event.device:
        raise SpecError(f"{where}.online", "device memory never comes online")
    if event.compound:
        _check_compound(where, event, kernel)
    if event.lmb:
        _check_lmb(where, event)


def _check_lmb(where: str, event: HotplugEvent) -> None:
    _one_of(f"{where}.lmb", event.lmb, tuple(MIB << shift for shift in range(4, 9)))
    if event.device or event.altmap:
        raise SpecError(f"{where}.lmb", "RAM alone comes in LMBs, and here without an altmap")
    if (event.start | event.size) % event.lmb:
        raise SpecError(
            f"{where}.lmb", f"start and size are to be multiples of {event.lmb >> 20} MiB"
        )


def _check_compound(where: str, event: HotplugEvent, kernel: Kernel) -> None:
    sizes = (2 * MIB, 1 << 30) if kernel.mmu == "radix" else (16 * MIB,)
    if not event.device:
        raise SpecError(f"{where}.compound", "only device memory comes in compound pages")
    if not kernel.at(eras.COMPOUND_DEVICES):
        raise SpecError(
            f"{where}.compound", "device memory has been made of compound pages since 5.17"
        )
    _one_of(f"{where}.compound", event.compound, sizes)
    if (event.start | event.size) % event.compound:
        raise SpecError(
            f"{where}.compound", f"start and size are to be multiples of {event.compound >> 20} MiB"
        )


def _take_out(where: str, event: HotplugEvent, present: list[_Present]) -> list[_Present]:
    """Take a range out of what is present; it may be part of what was added, or several parts."""
    kept: list[_Present] = []
    left, online = event.size, set[bool]()
    for part in present:
        low, high = max(part.start, event.start), min(part.end, event.end)
        if low >= high:
            kept.append(part)
            continue
        if event.device and not part.device:
            raise SpecError(f"{where}.device", f"no device memory is there: {part}")
        whole = (part.start, part.end) == (event.start, event.end)
        if (part.device or part.altmap) and not whole:
            raise SpecError(f"{where}.size", f"what is there leaves as a whole: {part}")
        online.add(part.online)
        kept += [
            _Present(start, end, online=part.online)
            for start, end in ((part.start, low), (high, part.end))
            if start < end
        ]
        left -= high - low
    if left:
        raise SpecError(
            f"{where}.start",
            f"cannot remove {event.start:#x} to {event.end:#x}: {left:#x} bytes are not there",
        )
    if len(online) > 1:
        raise SpecError(f"{where}.size", "some of it is online and some is not: remove each alone")
    return kept
