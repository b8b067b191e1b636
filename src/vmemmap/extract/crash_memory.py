"""What crash reads of memory, beside what all readers do: counters, memory blocks, names of flags.

Source: Linux drivers/base/memory.c and bus.c, lib/klist.c, block/bdev.c, mm/vmalloc.c; see
``crash_needs``.
"""

from __future__ import annotations

import re
from contextlib import suppress

from vmemmap.errors import ReadError
from vmemmap.extract.crash_needs import HUGE_PAGES, STATISTICS
from vmemmap.extract.shown_structs import ShownStructs
from vmemmap.mmzone.nodes import NodeInfo
from vmemmap.mmzone.pgdat_layout import PgdatLayout

_NAMES_MAX = 128
_FLAGS_END, _NODES_END, _SECTIONS_END, _PAGES_END = 1 << 16, 1 << 16, 1 << 32, 1 << 40
_WORD = re.compile(rb"[a-z0-9_]{1,31}")
_BLOCK_NAME = re.compile(rb"memory[0-9]{1,8}")
_HUGE_NAME = re.compile(rb"hugepages-[0-9]{1,10}kB")


def show_statistics(kernel: ShownStructs) -> None:
    """Show how many pages are used for what, as the kernel counts them."""
    for name, (enum, last) in STATISTICS.items():
        count = (kernel.types.enumerators(enum) or {}).get(last, 0)
        if at := kernel.find(name):
            for number in range(min(count, _NAMES_MAX)):
                kernel.counter(at + 8 * number)
    if (at := kernel.find("vm_committed_as")) and (
        place := kernel.optional("percpu_counter.count")
    ) is not None:
        kernel.counter(at + place)


def show_huge_pages(kernel: ShownStructs) -> None:
    """Show how many huge pages of each size there are."""
    first, room = kernel.variable("hstates")
    size = kernel.size("hstate")
    places = kernel.members(*(f"hstate.{name}" for name in HUGE_PAGES))
    name = kernel.optional("hstate.name")
    kernel.room(first, room)
    for at in range(first, first + room // size * size, size):
        for place, width in zip(places, (4, 8, 8), strict=True):
            kernel.counter(at + place, width)
        if name is not None:
            kernel.text(at + name, _HUGE_NAME)


def show_flag_names(kernel: ShownStructs) -> None:
    """Show the names of the flags of pages, constants of the kernel's."""
    first, room = kernel.variable("pageflag_names")
    for at in range(first, first + min(room, 16 * _NAMES_MAX), 16):
        name = kernel.pointer(at + 8)
        if not name or not kernel.text(name, _WORD):
            return
        kernel.word(at)


def show_nodes(kernel: ShownStructs, nodes: tuple[NodeInfo, ...], layout: PgdatLayout) -> None:
    """Show how many pages each node has."""
    at = kernel.member("pglist_data.node_present_pages")
    for node in nodes:
        if node.zones:
            first = node.zones[0]
            kernel.word(first.address - layout.node_zones - first.index * layout.zone_size + at)


def show_areas(kernel: ShownStructs) -> None:
    """Show the list of vmalloc areas: from where to where each goes."""
    start, end, link = kernel.members("vmap_area.va_start", "vmap_area.va_end", "vmap_area.list")
    owner, flags = kernel.optional("vmap_area.vm"), kernel.optional("vmap_area.flags")
    size = kernel.size("vmap_area")
    for at in kernel.links(kernel.find("vmap_area_list")):
        kernel.room(at - link, size)
        for place in (start, end):
            kernel.address(at - link + place)
        if owner is not None:
            kernel.pointer(at - link + owner)
        if flags is not None:
            kernel.number(at - link + flags, 8, _FLAGS_END)


def show_memory_blocks(kernel: ShownStructs) -> None:
    """Show the memory blocks of sysfs: number, first section, state, node."""
    devices, links, node = kernel.members(
        "subsys_private.klist_devices", "klist.k_list", "klist_node.n_node"
    )
    bus, device, inside = kernel.members(
        "device_private.knode_bus", "device_private.device", "memory_block.dev"
    )
    name = kernel.member("device.kobj") + kernel.member("kobject.name")
    private = _memory_bus(kernel)
    if not private:
        return
    for at in kernel.links(private + devices + links):
        block = kernel.pointer(at - node - bus + device) - inside
        if block < 0:
            continue
        kernel.text(kernel.pointer(block + inside + name), _BLOCK_NAME)
        for member, width, end in (
            ("start_section_nr", 8, _SECTIONS_END),
            ("end_section_nr", 8, _SECTIONS_END),
            ("state", 8, _FLAGS_END),
            ("nid", 4, _NODES_END),
        ):
            if (place := kernel.optional(f"memory_block.{member}")) is not None:
                kernel.number(block + place, width, end)


def _memory_bus(kernel: ShownStructs) -> int:
    """Show the way to the bus of memory blocks, and give its ``struct subsys_private``."""
    direct = kernel.optional("bus_type.p")
    if direct is not None:
        return kernel.pointer(kernel.find("memory_subsys") + direct)
    kset, subsys = kernel.members("subsys_private.subsys", "kset.list")
    own, link, name = kernel.members("kset.kobj", "kobject.entry", "kobject.name")
    for at in kernel.links(kernel.pointer(kernel.find("bus_kset")) + subsys):
        with suppress(ReadError):
            text = kernel.memory.word(at - link + name)
            if kernel.memory.read(text, 7) == b"memory\0":
                kernel.text(kernel.pointer(at - link + name), _WORD)
                return at - link - own - kset
    return 0


def show_block_devices(kernel: ShownStructs) -> None:
    """Show how many pages each block device has in the cache, nothing else of it."""
    mapping, pages = kernel.members("inode.i_mapping", "address_space.nrpages")
    size, room = kernel.size("inode"), kernel.size("address_space")

    def show(inode: int) -> None:
        kernel.room(inode, size)
        if cache := kernel.pointer(inode + mapping):
            kernel.room(cache, room)
            kernel.number(cache + pages, 8, _PAGES_END)

    if every := kernel.find("all_bdevs"):
        link, own = kernel.members("block_device.bd_list", "block_device.bd_inode")
        for at in kernel.links(every):
            kernel.room(at - link, kernel.size("block_device"))
            show(kernel.pointer(at - link + own))
    elif block := kernel.pointer(kernel.find("blockdev_superblock")):
        inodes, link = kernel.members("super_block.s_inodes", "inode.i_sb_list")
        for at in kernel.links(block + inodes):
            show(at - link)
