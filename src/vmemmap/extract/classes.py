"""What an extract can show: the classes that its bytes belong to, and what each reveals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Shown(StrEnum):
    """Why a byte is in the extract."""

    KERNEL = "kernel"
    LIST = "list"
    SECTIONS = "sections"
    NODES = "nodes"
    AREAS = "areas"
    PAGE_TABLES = "page_tables"
    STRUCT_PAGES = "struct_pages"
    RESCUED = "rescued"
    DMESG = "dmesg"
    SYMBOLS = "symbols"
    TYPES = "types"
    CRASH = "crash"


OPTIONAL = (Shown.DMESG, Shown.SYMBOLS, Shown.TYPES, Shown.CRASH)
"""The classes that are in an extract only if they are asked for."""


@dataclass(frozen=True, slots=True)
class ClassText:
    """A class in words.

    Attributes:
        holds: What it is.
        reveals: What somebody learns from it.
    """

    holds: str
    reveals: str


CLASS_TEXTS: dict[Shown, ClassText] = {
    Shown.KERNEL: ClassText(
        "utsname without the node's and the domain's name, and the words that say how large a "
        "block of the vmemmap is",
        "the kernel's release, build and machine",
    ),
    Shown.LIST: ClassText(
        "the head of vmemmap_list and the nodes on it, 24 bytes each",
        "where the blocks of the vmemmap lie, and in which order memory was added",
    ),
    Shown.SECTIONS: ClassText(
        "mem_section: of each section its section_mem_map and the pointer beside it, and the maps "
        "of sections that are there in parts",
        "which memory the machine has, and what was added or removed",
    ),
    Shown.NODES: ClassText(
        "of each NUMA node its range and number, its zones (struct zone) and their names",
        "the machine's memory by node and zone, free memory by order, kernel addresses",
    ),
    Shown.AREAS: ClassText(
        "of some vmalloc areas where they begin, and the links between them",
        "kernel addresses",
    ),
    Shown.PAGE_TABLES: ClassText(
        "the kernel's own page tables: entries that map memory or lead to a table",
        "which memory the kernel has mapped where; never what processes have",
    ),
    Shown.STRUCT_PAGES: ClassText(
        "of each struct page its flags with node and zone, its counts, what kind of mapping it "
        "has, its head in a compound, and the order of a free block",
        "what every page of memory is used for, page by page; nothing of what it holds",
    ),
    Shown.RESCUED: ClassText(
        "nodes and struct pages as above, of blocks that are not on the list and that --rescue "
        "found without it",
        "the same as nodes of the list and struct pages",
    ),
    Shown.DMESG: ClassText(
        "the kernel's log: of each record when it was logged, by whom, and its text, scrubbed",
        "what hardware and drivers the machine has and what befell it. Names of hosts, nets, "
        "users, processes, files and devices, UUIDs, serial numbers, times of day, registers, "
        "values of the command line and all that processes logged are replaced as far as they "
        "can be told: read the log (vmemmap dmesg OUT) before you share it",
    ),
    Shown.SYMBOLS: ClassText(
        "kallsyms, the kernel's own symbol table",
        "which functions and variables the kernel was built with, and their addresses; those of "
        "modules are not among them",
    ),
    Shown.TYPES: ClassText(
        "BTF, the kernel's own description of its types, and symbols, by which it is found",
        "how the kernel was built and configured",
    ),
    Shown.CRASH: ClassText(
        "what crash reads before it answers: the kernel's banner, masks of processors, counters of "
        "pages, names of page flags, memory blocks; of the task that each processor ran, and its "
        "idle one, where they and their stacks lie; the links of free blocks",
        "who built the kernel with what, how many processors there are, kernel addresses; of tasks "
        "no name, number, time or stack, of block devices how many pages they have in the cache",
    ),
}
"""In the order in which one meets them."""

STILL_REVEALED = (
    "memory layout and size, the kernel's release, build and exported numbers, and what each page "
    "of memory is used for"
)
"""What every extract tells whoever has it."""
