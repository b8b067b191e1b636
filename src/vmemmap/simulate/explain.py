"""What the model's tables hold for one release, and how sure each of them is.

Source: the tables themselves; where a row carries a `Bracket` and the release lies inside, the
kernel may be on either side of the change, and the row says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmemmap.simulate import eras
from vmemmap.simulate.crash import counters, dmesg, kernel_types, warn
from vmemmap.simulate.kernel import RADIX_SINCE, Kernel
from vmemmap.simulate.mm import page_layout, pgdat, stat_items, vmalloc
from vmemmap.simulate.sched import task_layout


@dataclass(frozen=True, slots=True)
class EraRow:
    """What holds of one thing in a release.

    Attributes:
        name: A short name, the same in every release.
        what: The question that it answers.
        value: The answer, as text.
        since: The release from which on it holds; None for the oldest that the model knows.
        until: The release in which something else begins to hold; None when nothing does.
        doubts: Changes that this release may or may not have; none where all is known.
    """

    name: str
    what: str
    value: str
    since: str | None
    until: str | None
    doubts: tuple[eras.Bracket, ...]


def explain_era(release: str) -> list[EraRow]:
    """Give all rows for a release, in the order of `TOPICS`; without those of an MMU to come.

    Raises:
        SpecError: It is no release that the model knows.
    """
    kernel = Kernel.of(release, 65536, "little", "hash")
    return [
        _row(name, what, table, say, kernel.numbers)
        for name, (what, table, say) in TOPICS.items()
        if kernel.version >= RADIX_SINCE or "radix" not in name
    ]


def _row(
    name: str,
    what: str,
    table: eras.Table[Any],
    say: Callable[[Any], str],
    numbers: eras.Numbers,
) -> EraRow:
    value = eras.at(table, numbers)
    holding = [row[0] for row in table if numbers >= row[0]]
    # Rows that say the same stand there for their bracket, and are no change.
    since = next(
        (
            low
            for low, before in zip(holding[::-1], holding[-2::-1], strict=False)
            if eras.at(table, _three(before)) != value
        ),
        None,
    )
    until = next((row[0] for row in table if row[0] > numbers and row[1] != value), None)
    return EraRow(
        name=name,
        what=what,
        value=say(value),
        since=None if since is None else _text(since),
        until=None if until is None else _text(until),
        doubts=tuple(eras.doubts(table, numbers)),
    )


def _three(since: tuple[int, ...]) -> eras.Numbers:
    return eras.numbers_of(_text(since))


def _text(since: tuple[int, ...]) -> str:
    return ".".join(map(str, since))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _regions(regions: eras.Regions) -> str:
    starts = (regions.vmalloc.start, regions.io.start, regions.vmemmap.start)
    return "vmalloc {:#x}, I/O {:#x}, vmemmap {:#x}".format(*starts)


def _numbers(value: tuple[int, ...]) -> str:
    return " ".join(map(str, value))


def _words(value: tuple[str, ...]) -> str:
    return ", ".join(value) or "none"


def _numbered(value: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in value.items())


def _or_none(value: str | int | None) -> str:
    return str(value or "none")


def _members(value: Any) -> str:
    """Give the members of a plain record that are set, with their values."""
    members = ((name, getattr(value, name)) for name in value.__slots__)
    said = [f"{name} {member}" for name, member in members if member is not None]
    return ", ".join(said) or "none"


def _entry(value: eras.EntryFormat) -> str:
    order = "big-endian" if value.big_endian else "in the kernel's byte order"
    pointers = "virtual" if value.virtual_pointers else "physical"
    if value.pointer_present:
        pointers = f"marked {pointers}"
    return f"{order}, present {value.present:#x}, leaf {value.leaf:#x}, {pointers} pointers"


Topic = tuple[str, eras.Table[Any], Callable[[Any], str]]
TOPICS: dict[str, Topic] = {
    "regions_hash_64k": (
        "where the regions begin: hash, 64 KiB pages",
        eras.REGIONS_HASH_64K,
        _regions,
    ),
    "regions_hash_4k": (
        "where the regions begin: hash, 4 KiB pages",
        eras.REGIONS_HASH_4K,
        _regions,
    ),
    "regions_radix": ("where the regions begin: radix", eras.REGIONS_RADIX, _regions),
    "physmem_bits_64k": ("MAX_PHYSMEM_BITS with 64 KiB pages", eras.MAX_PHYSMEM_BITS_64K, str),
    "physmem_bits_4k": ("MAX_PHYSMEM_BITS with 4 KiB pages", eras.MAX_PHYSMEM_BITS_4K, str),
    "index_bits_64k": (
        "index bits of PTE, PMD, PUD, PGD: hash, 64 KiB pages",
        eras.INDEX_BITS_HASH_64K,
        _numbers,
    ),
    "index_bits_4k": ("the same with 4 KiB pages", eras.INDEX_BITS_HASH_4K, _numbers),
    "entry_format": ("how a page table entry is written", eras.ENTRY_FORMATS, _entry),
    "psize_shifts": ("page shift by MMU_PAGE_ index", eras.MMU_PAGE_SHIFTS, _numbers),
    "psize_def_bytes": ("sizeof(struct mmu_psize_def)", eras.PSIZE_DEF_BYTES, str),
    "block_64k_in_4k": (
        "may a kernel with 4 KiB pages use 64 KiB blocks",
        eras.HASH_64K_IN_4K_KERNEL,
        _yes,
    ),
    "radix_2m_blocks": (
        "is the vmemmap of radix built of 2 MiB blocks",
        eras.RADIX_BIG_BLOCKS,
        _yes,
    ),
    "radix_2m_anywhere": (
        "may 2 MiB back a part begun in its middle",
        eras.RADIX_HUGE_ANYWHERE,
        _yes,
    ),
    "radix_list": ("does the radix MMU keep the list", eras.RADIX_KEEPS_LIST, _yes),
    "nodes": ("how list nodes are handed out", eras.TRACKERS, str),
    "node_failure": (
        "is -ENOMEM what comes of a node that cannot be had",
        eras.NODE_FAILURE_IS_ENOMEM,
        _yes,
    ),
    "mapping_failure": (
        "is -EFAULT what comes of a failed mapping (or BUG)",
        eras.MAPPING_FAILURE_IS_EFAULT,
        _yes,
    ),
    "warnings": ("functions of the list with a WARN_ON(1)", eras.LIST_WARNS, _words),
    "altmap": ("where struct pages of device memory come from", eras.ALTMAPS, str),
    "altmap_end": ("may an altmap's last block end with its range", eras.ALTMAP_END_IS_EXACT, _yes),
    "compound_devices": (
        "may device DAX be made of compound pages",
        eras.COMPOUND_DEVICES,
        _yes,
    ),
    "compound_pfn": (
        "does radix know whose tails it populates",
        eras.COMPOUND_PFN_IS_EXACT,
        _yes,
    ),
    "unused_pages": (
        "struct pages of memory that is not online",
        eras.UNUSED_PAGES,
        str,
    ),
    "vmemmap_free": ("what vmemmap_free() is", eras.VMEMMAP_FREE, str),
    "populated": ("where vmemmap_populated() begins to look", eras.SCAN_START, str),
    "zeroed_blocks": ("are blocks and node pages cleared", eras.ZEROED_BLOCKS, _yes),
    "boot_failure": (
        "does a lost section at boot cost those after it",
        eras.BOOT_STOPS_AT_FAILURE,
        _yes,
    ),
    "boot_buffer": (
        "does boot take struct pages of a run from one piece",
        eras.SPARSE_BUFFER,
        _yes,
    ),
    "parts_of_sections": ("do parts of sections come and go", eras.SUBSECTION_HOTPLUG, _yes),
    "hotplug_lock": ("the lock of memory hotplug", eras.HOTPLUG_LOCKS, str),
    "device_hotplug_lock": ("is device_hotplug_lock taken as well", eras.DEVICE_HOTPLUG_LOCK, _yes),
    "pgdat_resize_lock": ("is pgdat_resize_lock taken for a section", eras.PGDAT_RESIZE_LOCK, _yes),
    "section_roots": (
        "is mem_section a pointer to what boot allocates",
        eras.SECTION_ROOTS_ALLOCATED,
        _yes,
    ),
    "section_online": ("are online sections marked", eras.SECTION_ONLINE, _yes),
    "section_early": ("are sections of boot marked", eras.SECTION_EARLY, _yes),
    "stale_section": (
        "does a removed section leave the encoding of NULL",
        eras.STALE_MAP_AFTER_REMOVE,
        _yes,
    ),
    "struct_page_bytes": ("sizeof(struct page) with memory cgroups", eras.STRUCT_PAGE_BYTES, str),
    "struct_page": ("offsets in struct page", page_layout.FIELDS, _members),
    "page_flags": ("bits of page.flags", page_layout.PAGE_FLAGS, _members),
    "page_flag_names": ("flags from bit 0 on", page_layout.FLAG_NAMES, str),
    "zone_counters": ("enum zone_stat_item", stat_items.ZONE_ITEMS, str),
    "node_counters": ("enum node_stat_item", stat_items.NODE_ITEMS, _or_none),
    "memory_state": ("number of N_MEMORY", counters.MEMORY_STATE, _or_none),
    "page_types": ("_mapcount of pages by type", page_layout.PAGE_TYPES, _members),
    "compound": ("how a compound page is told", page_layout.COMPOUND, _members),
    "zones": ("zones without that of device memory", pgdat.ZONES, _words),
    "migrate_types": ("lists of a free area", pgdat.MIGRATE_TYPES, _members),
    "cma": ("is there CMA", eras.CMA, _yes),
    "map_lines": (
        "lines of boot that tell the regions",
        dmesg.MAP_LINES,
        lambda value: _words(tuple(map(str.strip, value))),
    ),
    "node_lines": (
        "does boot tell memory by page frames",
        dmesg.NODE_RANGES_ARE_PFNS,
        _yes,
    ),
    "warning_form": ("the first line of a warning", warn.FIRST_LINES, str),
    "warning_lines": ("lines of the source that warn", warn.LINES, _numbered),
    "warning_task": ("a warning's line of its task", warn.TASK_LINES, _or_none),
    "warning_end": ("a warning's last line", warn.END_MARKS, _or_none),
    "warning_gap": ("blanks between a warning's registers", warn.REGISTER_GAPS, repr),
    "last_cpupid": ("bits of the last CPU and process", page_layout.LAST_CPUPID_BITS, str),
    "tail_mapping": ("mapping of tail pages", page_layout.TAIL_MAPPING, hex),
    "slab_refcount": ("_refcount of a slab's first page", page_layout.SLAB_REFCOUNT, str),
    "slabs_in_mapping": (
        "may mapping of a slab look like an anonymous page's",
        page_layout.SLABS_IN_MAPPING,
        _yes,
    ),
    "node_layout": ("pglist_data: size behind the zones", pgdat.PGDAT_LAYOUTS, _members),
    "zonelist_cache": ("does a zonelist know full zones", pgdat.ZONELIST_CACHE, _yes),
    "node_start": (
        "bytes from nr_zones to node_start_pfn",
        pgdat.START_AFTER_ZONES,
        str,
    ),
    "vmap_area": ("offset of vmap_area.list", vmalloc.VMAP_AREA_LIST, str),
    "task_state": ("a task's state: name and type", task_layout.TASK_STATE, " ".join),
    "task_thread_info": ("is thread_info in the task", task_layout.THREAD_INFO_IN_TASK, _yes),
    "task_cpu": ("is a task's processor in the task", task_layout.CPU_IN_TASK, _yes),
    "task_links": ("do tasks hang from PIDs without a pid_link", task_layout.TGID_LINK, _yes),
    "task_threads": ("do threads hang from signal_struct", task_layout.THREAD_HEAD, _yes),
    "task_group": ("do threads hang from one another", task_layout.THREAD_GROUP, _yes),
    "task_letters": ("letters of states", task_layout.STATE_LETTERS, str),
    "pid_tree": ("are PIDs in a tree of their namespace", task_layout.PIDS_IN_IDR, _yes),
    "pid_tree_base": ("does that tree know its first number", task_layout.IDR_BASE, _yes),
    "pid_xarray": ("is that tree an XArray", task_layout.XARRAY, _yes),
    "cpu_masks": ("is __cpu_online_mask the mask itself", task_layout.CPU_MASKS, _yes),
    "panic_cpu": ("is there a panic_cpu", task_layout.PANIC_CPU, _yes),
    "highest_section": (
        "is there a __highest_present_section_nr",
        kernel_types.HIGHEST_SECTION,
        _yes,
    ),
}
"""Each by its name: the question, the table that answers it, and how an answer is put into text."""
