"""Machines on the hash MMU of every era of page tables, with pages mapped in vmalloc and I/O space.

What is expected of them is by ppc64-kernel.md 3.1, 4.1 and 4.3, through the builders.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from builders.kernel_era import VMALLOC_BASES, version_of
from builders.machine import Machine, build_machine

# Release, layout, name of the format; for pages of 4 KiB, then of 64 KiB.
ERAS: list[tuple[int, str, str, str]] = [
    (4096, "2.6.35-22", "f000", "hash-4k-2.6.35"),
    (4096, "3.6.11", "f000", "hash-4k-2.6.35"),
    (4096, "3.7.0", "f000", "hash-4k-3.7"),
    (4096, "3.10.0-229", "f000", "hash-4k-3.10"),
    (4096, "4.4.0-21", "f000", "hash-4k-3.10"),
    (4096, "4.5.0", "f000", "hash-4k-4.5"),
    (4096, "4.6.0", "f000", "hash-4k-4.6"),
    (4096, "4.7.4", "f000", "hash-4k-4.7"),
    (4096, "4.10.17", "f000", "hash-4k-4.7"),
    (4096, "4.11.0", "f000", "hash-4k-4.11"),
    (4096, "4.18.0-80", "f000", "hash-4k-4.11"),
    (4096, "5.4.0", "c00030", "hash-4k-4.11"),
    (4096, "6.12.0", "c0003f", "hash-4k-4.11"),
    (65536, "2.6.35-22", "f000", "hash-64k-2.6.35"),
    (65536, "3.6.11", "f000", "hash-64k-2.6.35"),
    (65536, "3.9.6", "f000", "hash-64k-3.7"),
    (65536, "3.10.0-229", "f000", "hash-64k-3.10"),
    (65536, "3.13.0", "f000", "hash-64k-3.11"),
    (65536, "4.4.0-21", "f000", "hash-64k-3.11"),
    (65536, "4.5.0", "f000", "hash-64k-4.5"),
    (65536, "4.6.0", "f000", "hash-64k-4.6"),
    (65536, "4.7.4", "f000", "hash-64k-4.7"),
    (65536, "4.10.17", "f000", "hash-64k-4.7"),
    (65536, "4.11.0", "f000", "hash-64k-4.11"),
    (65536, "4.12.14", "f000", "hash-64k-4.12"),
    (65536, "4.15.0", "f000", "hash-64k-4.12"),
    (65536, "4.17.0", "f000", "hash-64k-4.17"),
    (65536, "4.18.0-80", "f000", "hash-64k-4.17"),
    (65536, "5.0.1", "f000", "hash-64k-4.17"),
    (65536, "6.1.0-50", "c00c", "hash-64k-4.17"),
    (65536, "6.12.0", "c00c", "hash-64k-4.17"),
]
IDS = [f"{page >> 10}k-{release}" for page, release, _, _ in ERAS]
DEVICE = 0x3FE000000000
"""Where devices lie on PowerNV machines: far beyond any memory."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A machine, and every page that its tables map: virtual to physical."""

    machine: Machine
    pages: dict[int, int]
    name: str

    @property
    def areas(self) -> list[int]:
        """The first page of each run of mapped pages, ascending."""
        size = self.machine.page_size
        return [virt for virt in sorted(self.pages) if virt - size not in self.pages]


def io_base(machine: Machine) -> int:
    """Where the kernel's I/O region begins."""
    start = VMALLOC_BASES[machine.layout]
    if machine.layout == "f000":
        late = version_of(machine.release) >= (4, 14)
        return start + (0x380000000000 if late else 0x080000000000)
    return {"c00030": 0xC000200000000000, "c0003f": 0xC0003E0000000000, "c00c": 0xC00A << 48}[
        machine.layout
    ]


def mapped(
    page_size: int, release: str, layout: str, name: str, *, small: bool = False, **more: Any
) -> Mapped:
    """Build the machine of an era; *small*: with no more than a few pages of vmalloc and I/O."""
    order = more.setdefault("byte_order", "little")
    suffix = "-powerpc64le" if order == "little" else "-powerpc64"
    machine = build_machine(
        page_size=page_size,
        block_shift=24,
        layout=layout,  # type: ignore[arg-type]
        release=release + suffix,
        blocks=1,
        store="none",
        **more,
    )
    rng = random.Random(f"{page_size} {release}")
    start, io = VMALLOC_BASES[layout], io_base(machine)  # type: ignore[index]
    numbers = [0, 1, 2, 3, 5, 9]
    if not small:
        # The next tables of every geometry, and the last page before 16 GiB.
        numbers += [255, 256, 511, 512, 4095, 4096, 70000, (1 << 34) // page_size - 1]
        numbers += range(1000, 1100)
    ram = [pfn * page_size for pfn in machine.pages]
    pages = {start + number * page_size: rng.choice(ram) for number in numbers}
    for number in [1, 0x80000000 // page_size] + ([] if small else [3, (1 << 33) // page_size]):
        pages[io + number * page_size] = DEVICE + number * page_size
    for virt, phys in pages.items():
        machine.map_page(virt, phys)
    return Mapped(machine, pages, name)
