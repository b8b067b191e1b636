"""What the kernel stores into struct pages when memory gets them, in words and in number.

The model paints struct pages from the allocators' state when they are looked at, so that these
stores are told to who watches, and not done one by one.

Source: Linux mm/page_alloc.c and mm/mm_init.c, __init_single_page(), memmap_init_zone();
mm/memory_hotplug.c, __add_section() of 4.13.
"""

from __future__ import annotations

from typing import Literal

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.mm.page_layout import LAST_CPUPID_BITS

Occasion = Literal["boot", "added", "online", "device"]


def stores_of(kernel: Kernel, node: int, occasion: Occasion) -> tuple[str, int] | None:
    """Say what is stored into each struct page, and in how many stores.

    Args:
        kernel: The kernel.
        node: The memory's NUMA node.
        occasion: Memory of boot; added and not yet online; coming online; or a device's.

    Returns:
        None where this kernel stores nothing on that occasion.
    """
    unused = kernel.at(eras.UNUSED_PAGES)
    if occasion == "added" and unused == "reserved":
        return f"flags to node {node}, then PG_reserved", 2
    # Until 4.12 adding did what coming online does since.
    if (occasion == "added" and unused == "untouched") or (
        occasion == "online" and unused == "initialised"
    ):
        return None
    words, count = [], 0
    if not kernel.at(eras.ZEROED_BLOCKS):
        words, count = ["zeroed"], kernel.struct_page_size // 8
    zone = "the zone of devices" if occasion == "device" else "its zone"
    words += [f"flags to node {node} and {zone}", "_refcount 1", "_mapcount -1"]
    count += 3
    if kernel.at(LAST_CPUPID_BITS):
        words.append("no last CPU")
        count += 1
    words.append("lru to itself")
    count += 2
    if occasion in ("added", "device"):
        words.append("PG_reserved")
        count += 1
    return ", ".join(words), count
