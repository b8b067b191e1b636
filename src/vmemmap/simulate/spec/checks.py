"""Whether the memory of a machine at boot can be so, and what is planned for its pages.

Each check raises a `SpecError` that names the field as the TOML file has it.
"""

from __future__ import annotations

from itertools import pairwise

from vmemmap.address import Run
from vmemmap.errors import SpecError
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import IMAGE_BYTES, MIB, SECTION_BYTES, Kernel
from vmemmap.simulate.spec.parts import CmaArea, FaultPlan, FirmwareRange, MemoryRange, PagePlan

MAX_NODES = 256
"""NODES_SHIFT is 8 on ppc64."""
LOAD_ALIGN = 64 << 10
MIN_BOOT_BYTES = 2 * SECTION_BYTES
MAX_RANGES = 4096


def one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    """Check that a field has one of its possible values."""
    if value not in known:
        raise SpecError(name, f"{value!r} is none of {', '.join(map(str, known))}")


def check_range(where: str, start: int, size: int, kernel: Kernel, unit: int) -> None:
    """Check that a kernel can have memory there, in whole multiples of *unit* bytes."""
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


def check_memory(memory: tuple[MemoryRange, ...], kernel: Kernel) -> None:
    """Check the ranges that are there at boot."""
    if not memory:
        raise SpecError("memory", "there is none; give at least one range")
    if len(memory) > MAX_RANGES:
        raise SpecError("memory", f"{len(memory)} ranges are more than {MAX_RANGES}")
    for index, part in enumerate(memory):
        where = f"memory[{index}]"
        check_range(where, part.start, part.size, kernel, SECTION_BYTES)
        if not 0 <= part.node < MAX_NODES:
            raise SpecError(f"{where}.node", f"{part.node} is outside 0 to {MAX_NODES - 1}")
    ascending = sorted(range(len(memory)), key=lambda index: memory[index].start)
    for below, above in pairwise(ascending):
        if memory[above].start < memory[below].end:
            earlier, later = sorted((below, above))
            raise SpecError(f"memory[{later}].start", f"overlaps memory[{earlier}]")
    first = min(memory, key=lambda part: part.start)
    if first.start or first.size < MIN_BOOT_BYTES:
        raise SpecError(
            "memory",
            f"the kernel needs {MIN_BOOT_BYTES // MIB} MiB from physical address 0 on",
        )


def check_load_address(start: int, memory: tuple[MemoryRange, ...]) -> None:
    """Check where the kernel's image is to lie."""
    where = "kernel.load_address"
    if start % LOAD_ALIGN or start < 0:
        raise SpecError(where, f"{start:#x} is no multiple of {LOAD_ALIGN >> 10}K")
    if not any(part.start <= start and start + IMAGE_BYTES <= part.end for part in memory):
        end = start + IMAGE_BYTES
        raise SpecError(where, f"no range of memory has all of the kernel: {start:#x} to {end:#x}")


def check_reserved(
    kernel: Kernel,
    memory: tuple[MemoryRange, ...],
    image: tuple[Run, ...],
    crashkernel: Run | None,
    firmware: tuple[FirmwareRange, ...],
    cma: tuple[CmaArea, ...],
) -> None:
    """Check what boot keeps from the kernel: each in one range, clear of the kernel.

    Args:
        kernel: The kernel.
        memory: What is there at boot.
        image: Where the kernel is.
        crashkernel: Where a capture kernel's memory is.
        firmware: The firmware's memory.
        cma: Areas for large buffers.

    Raises:
        SpecError: One of them cannot be.
    """
    rows = [("dump.crashkernel", crashkernel.start, crashkernel.end)] if crashkernel else []
    rows += [(f"firmware[{index}]", part.start, part.end) for index, part in enumerate(firmware)]
    rows += _check_cma(kernel, cma, rows)
    for name, start, end in rows:
        if start % kernel.page_size or end % kernel.page_size or end <= start:
            raise SpecError(name, f"{start:#x} to {end:#x} are no whole pages")
        if any(start < part.end and part.start < end for part in image):
            raise SpecError(name, f"{start:#x}: the kernel itself is there")
        if not any(part.start <= start and end <= part.end for part in memory):
            raise SpecError(name, f"no range of memory has all of {start:#x} to {end:#x}")
    for below, above in pairwise(sorted(firmware, key=lambda part: part.start)):
        if above.start < below.end:
            raise SpecError("firmware", f"two ranges overlap at {above.start:#x}")


def _check_cma(
    kernel: Kernel, cma: tuple[CmaArea, ...], others: list[tuple[str, int, int]]
) -> list[tuple[str, int, int]]:
    if cma and not kernel.at(eras.CMA):
        raise SpecError("cma", f"CMA came with 3.5, and the kernel is {kernel.release}")
    rows = [*others]
    for index, area in enumerate(cma):
        where = f"cma[{index}]"
        if area.start % SECTION_BYTES or area.size % SECTION_BYTES:
            raise SpecError(where, f"{area.start:#x}, {area.size:#x}: no multiples of 16 MiB")
        for name, start, end in rows:
            if area.start < end and start < area.end:
                raise SpecError(where, f"overlaps {name}")
        rows.append((where, area.start, area.end))
    return rows[len(others) :]


def check_pages(pages: PagePlan, kernel: Kernel, memory_bytes: int) -> None:
    """Check what the memory of a machine is to be used for."""
    for name in PagePlan.__slots__:
        count = getattr(pages, name)
        if count < 0:
            raise SpecError(f"pages.{name}", f"{count} is less than nothing")
    for name, size in (("huge", kernel.huge_pages), ("gigantic", kernel.gigantic_pages)):
        if (count := getattr(pages, name)) % size:
            raise SpecError(
                f"pages.{name}", f"{count} is no multiple of {size}, the size of a {name} page"
            )
    if pages.offline and kernel.version < (5, 1):
        raise SpecError("pages.offline", "offline pages are marked since 5.1 only")
    if pages.total * kernel.page_size > memory_bytes:
        raise SpecError(
            "pages",
            f"{pages.total} pages of {kernel.page_size >> 10}K are more than the "
            f"{memory_bytes >> 20} MiB of memory",
        )


def check_faults(faults: FaultPlan) -> None:
    """Check what is to go wrong."""
    for name in ("block", "node_page", "mapping"):
        for count in getattr(faults, name):
            if count < 1:
                raise SpecError(f"faults.{name}", f"{count}: they are counted from 1")
    if faults.crash_before_store is not None and faults.crash_before_store < 0:
        raise SpecError("faults.crash_before_store", "stores are counted from 0")
