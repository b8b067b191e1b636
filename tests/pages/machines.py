"""Synthetic machines with one of everything, for each era of struct page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import vmemmap
from builders.byte_order import Order
from builders.kernel_era import Layout
from builders.machine import build_machine
from builders.machine_state import Machine
from builders.struct_pages import FREE_HUGE_PAGE, StructPages

ERAS = (
    *("2.6.35-1", "3.0.101", "3.4.106", "3.10.35", "3.18.19", "4.2.8", "4.4.155", "4.9.232"),
    *("4.14.0", "4.17.0", "4.18.0", "5.4.0", "6.1.0", "6.4.6", "6.6.9", "6.9.0", "6.10.0"),
    *("6.11.11", "6.12.107", "6.14.0", "7.2.13"),
)


@dataclass(frozen=True)
class Built:
    """A machine, its struct pages, and its dump."""

    machine: Machine
    pages: StructPages
    path: Path

    def open(self) -> vmemmap.Vmcore:
        return vmemmap.open(self.path)

    def saved(self) -> Built:
        """Write the dump anew, after changes."""
        self.machine.sync_vmcoreinfo()
        self.path.write_bytes(self.machine.elf())
        return self


def layout_of(release: str, page_size: int) -> Layout:
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    if version < (5, 2):
        return "f000"
    if page_size == 65536:
        return "c00c"
    return "c0003f" if version >= (5, 10) else "c00030"


def machine_of(
    release: str, byte_order: Order, page_size: int = 65536, struct_page_size: int | None = None
) -> Machine:
    """Build a machine whose struct pages are all there and all unused."""
    old = release.startswith(("2.", "3.0", "3.4", "3.10"))
    machine = build_machine(
        byte_order=byte_order,
        page_size=page_size,
        block_shift=16,
        layout=layout_of(release, page_size),
        release=release,
        struct_page_size=struct_page_size or (56 if old else 64),
        store="all",
    )
    # Before 3.13 the list is not exported; the distributions that backported it are read the same.
    for name in ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs"):
        machine.vmcoreinfo.setdefault(f"SYMBOL({name})", format(machine.symbols[name], "x"))
    machine.vmcoreinfo.setdefault("SIZE(vmemmap_backing)", "24")
    for member, at in (("list", 0), ("phys", 8), ("virt_addr", 16)):
        machine.vmcoreinfo.setdefault(f"OFFSET(vmemmap_backing.{member})", str(at))
    psize = {"2": 32, "3": 32 if release < "3.10" or release.startswith("3.4") else 80}
    machine.vmcoreinfo.setdefault("SIZE(mmu_psize_def)", str(psize.get(release[0], 88)))
    machine.vmcoreinfo.setdefault("OFFSET(mmu_psize_def.shift)", "0")
    return machine


def pfns_of(machine: Machine) -> range:
    """All pages with a struct page."""
    per = (1 << 24) // machine.page_size
    return range(machine.sections[0] * per, (machine.sections[-1] + 1) * per)


def one_of_everything(path: Path, release: str, byte_order: Order, page_size: int = 65536) -> Built:
    """Build a machine with every kind of page that its kernel knows."""
    machine = machine_of(release, byte_order, page_size)
    pages = StructPages(machine, zone_bits=1)
    pages.clear(pfns_of(machine))
    if pages.version < (4, 4) and pages.knows_hugetlb:
        machine.vmcoreinfo["SYMBOL(free_huge_page)"] = format(FREE_HUGE_PAGE, "x")
    at = pfns_of(machine)[0]
    pages.reserved(at)
    pages.reserved(at + 1)
    for order in (0, 1, 3):
        pages.free(at + (8 << order), order)
    pages.cache(at + 3)
    pages.cache(at + 4, private=True)
    pages.anon(at + 5)
    pages.hwpoison(at + 6)
    pages.offline(at + 7)
    pages.slab(at + 10)
    pages.slab(at + 12, 2)
    pages.kernel_compound(at + 32, 3)
    pages.thp(at + 48, 4)
    if pages.knows_hugetlb:
        pages.hugetlb(at + 128, 7)
    top = 8 if page_size == 65536 else 12
    if len(pfns_of(machine)) >= 3 << top:
        pages.free(at + (1 << top), top)
    return Built(machine, pages, path).saved()
