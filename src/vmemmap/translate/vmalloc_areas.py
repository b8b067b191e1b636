"""Addresses that the kernel itself says it has mapped: where its vmalloc and I/O areas begin.

They are what a page table format is tried on. Kernels up to 3.9 export ``vmlist``, those from 3.10
to 6.8 ``vmap_area_list``; later ones have neither, and only say where the region begins, which is
where the first area is.

Source: Linux include/linux/vmalloc.h, mm/vmalloc.c, kernel/vmcore_info.c (the keys).
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.errors import FactError, ReadError
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import PAGE_OFFSET, LinearMemory

_LIMIT_EACH_WAY = 48
"""So many areas from either end of the list: vmalloc lies at its beginning, I/O at its end."""
_LIMIT_VMLIST = 512
_MAX_OFFSET = 4096
_REGION_START = "NUMBER(VMALLOC_START)"


@dataclass(frozen=True, slots=True)
class KnownAreas:
    """Where areas begin, as the kernel lists them.

    Attributes:
        starts: Their first addresses (bytes), without duplicates; may be empty.
        source: The kernel's name of the list.
    """

    starts: tuple[int, ...]
    source: str


def find_known_areas(info: Vmcoreinfo, memory: LinearMemory) -> KnownAreas:
    """Read some of the kernel's list of areas, as far as it can be read.

    Args:
        info: VMCOREINFO.
        memory: The kernel's data.
    """
    for name, read in (("vmap_area_list", _from_vmap_area_list), ("vmlist", _from_vmlist)):
        if f"SYMBOL({name})" in info:
            try:
                starts = read(info, memory)
            except FactError:
                continue
            if starts:
                return KnownAreas(tuple(dict.fromkeys(starts)), name)
    if _REGION_START in info:
        try:
            return KnownAreas((info.number("VMALLOC_START"),), _REGION_START)
        except FactError:
            pass
    return KnownAreas((), "")


def _from_vmap_area_list(info: Vmcoreinfo, memory: LinearMemory) -> list[int]:
    """Follow the doubly linked list from its head both ways."""
    head = info.symbol("vmap_area_list")
    start_at, link_at = info.offset("vmap_area.va_start"), info.offset("vmap_area.list")
    ways = (info.offset("list_head.next"), info.offset("list_head.prev"))
    if max(start_at, link_at, *ways) > _MAX_OFFSET:
        return []
    starts = []
    for way in ways:
        link = _find_word(memory, head + way)
        for _ in range(_LIMIT_EACH_WAY):
            if link is None or link == head:
                break
            start = _find_word(memory, link - link_at + start_at)
            if start is not None:
                starts.append(start)
            link = _find_word(memory, link + way)
    return [start for start in starts if start > PAGE_OFFSET]


def _from_vmlist(info: Vmcoreinfo, memory: LinearMemory) -> list[int]:
    """Follow the singly linked list; ``next`` is the first member of ``struct vm_struct``."""
    start_at = info.offset("vm_struct.addr")
    node = _find_word(memory, info.symbol("vmlist"))
    starts = []
    for _ in range(_LIMIT_VMLIST):
        if not node or start_at > _MAX_OFFSET:
            break
        start = _find_word(memory, node + start_at)
        if start is not None:
            starts.append(start)
        node = _find_word(memory, node)
    return [start for start in starts if start > PAGE_OFFSET]


def _find_word(memory: LinearMemory, virt: int) -> int | None:
    """Read a word at a linear-map address; None where that is none or is not in the dump."""
    try:
        return memory.word(virt)
    except ReadError:
        return None
