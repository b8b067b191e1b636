"""Edits of a crashed machine's list, of what says how to read it, and of what its dump covers.

What is broken is chosen from the list itself, so that the same edit works on every machine that
has what it takes: enough entries, freed nodes, hot-added memory. Each edit gives the `Place` that
it concerns. Which of them are kinds of damage, and what a checker has to find, is in ``damage.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmemmap.errors import SpecError
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.kernel import SECTION_SHIFT
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import phys_of, virt_of
from vmemmap.simulate.mm.backing_list import LIST_AT, PHYS_AT, VIRT_ADDR_AT, VmemmapBacking


@dataclass(frozen=True, slots=True)
class Place:
    """Where an edit was made: a list node, a vmemmap address, a physical address; None for none."""

    node: int | None = None
    virt: int | None = None
    phys: int | None = None


class ListEditor:
    """Changes a snapshot's list, and finds in it what to change.

    Attributes:
        snapshot: The snapshot.
        machine: Its machine.
        entries: The list as it was, head first.
        block_size: Bytes of a vmemmap block.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.machine = snapshot.machine
        self.image = image_of(self.machine.kernel)
        self.entries = list(self.machine.walk())
        self.block_size = self.machine.vmemmap.block_size

    def peek(self, node: int, member: int) -> int:
        """Give a word of a list node."""
        return self.machine.memory.load_u64(phys_of(node) + member)

    def poke(self, node: int, member: int, value: int) -> None:
        """Overwrite a word of a list node."""
        self.machine.memory.store_u64(phys_of(node) + member, value)

    def clear(self, node: int) -> None:
        """Make a list node all zero."""
        for member in (LIST_AT, PHYS_AT, VIRT_ADDR_AT):
            self.poke(node, member, 0)

    def point(self, index: int, target: int) -> None:
        """Make what points at entry *index* point at *target* instead; 0 is the head."""
        if index:
            self.poke(self.entries[index - 1].node, LIST_AT, target)
        else:
            self.machine.memory.store_u64(self.image.phys["vmemmap_list"], target)

    def hide(self, start: int, end: int) -> None:
        """Let the dump not cover ``[start, end)`` (physical addresses)."""
        self.snapshot.missing.append((start, end))

    def at(self, third: int) -> int:
        """Give the index of an entry about one third or two thirds down the list."""
        return max(1, len(self.entries) * third // 3)

    def other(self, index: int, member: int) -> int:
        """Give a word of the entry after *index*."""
        entry = self.entries[(index + 1) % len(self.entries)]
        return entry.phys if member == PHYS_AT else entry.virt_addr

    def block_around(self, phys: int) -> int:
        """Give the block-aligned address at or below *phys*."""
        return phys // self.block_size * self.block_size

    def page_around(self, phys: int) -> tuple[int, int]:
        """Give start and end of the page that holds *phys*."""
        size = self.machine.kernel.page_size
        return phys // size * size, phys // size * size + size

    def spare_page(self) -> int:
        """Give the physical address of a page that nothing uses, in memory the dump covers."""
        shift, ranges = self.machine.kernel.page_shift, self.snapshot.ranges
        for start, end in self.snapshot.owners.free.tolist():
            for pfn in range(end - 1, start - 1, -1):
                phys = pfn << shift
                if any(low <= phys < high for low, high in ranges):
                    return phys
        raise SpecError("damage", "the machine has no free page in the dump")

    def hot_added(self) -> tuple[int, int]:
        """Give memory that was added, is there at the crash, and is no device."""
        for event in reversed(self.machine.spec.events):
            there = all(
                self.machine.sparsemem.flags(section) & 2
                for section in range(event.start >> SECTION_SHIFT, event.end >> SECTION_SHIFT)
            )
            if event.kind == "add" and not event.device and there:
                return event.start, event.end
        raise SpecError("damage", "this kind needs memory that was hot-added and is still there")


Edit = Callable[[ListEditor], Place]


# -- pointers of the list


def pointer(index: Callable[[ListEditor], int], target: Callable[[ListEditor], int]) -> Edit:
    """Redirect the pointer at the entry *index* to the node *target*; 0 ends the list there."""

    def edit(editor: ListEditor) -> Place:
        here, there = index(editor), target(editor)
        editor.point(here, there)
        return Place(there or editor.entries[here - 1].node)

    return edit


def stale_pointer(editor: ListEditor) -> Place:
    """Lead the list into the stack of freed nodes."""
    memory = editor.machine.memory
    if not memory.load_u32(editor.image.phys["num_freed"]):
        raise SpecError("damage", "this kind needs nodes that were freed: remove memory")
    freed = memory.load_u64(editor.image.phys["next"])
    editor.point(editor.at(2), freed)
    return Place(freed)


# -- nodes


def member(offset: int, value: Callable[[ListEditor, int], int]) -> Edit:
    """Overwrite one member of an entry in the middle; *value* is given the editor and its index."""

    def edit(editor: ListEditor) -> Place:
        index = editor.at(1)
        node, phys, virt = editor.entries[index]
        new = value(editor, index)
        editor.poke(node, offset, new)
        return Place(
            node, new if offset == VIRT_ADDR_AT else virt, new if offset == PHYS_AT else phys
        )

    return edit


def swap_blocks(editor: ListEditor) -> Place:
    """Let two entries have each other's block."""
    index = editor.at(1)
    node, phys, virt = editor.entries[index]
    other = editor.entries[(index + 1) % len(editor.entries)]
    editor.poke(node, PHYS_AT, other.phys)
    editor.poke(other.node, PHYS_AT, phys)
    return Place(node, virt, other.phys)


def clear_node(editor: ListEditor) -> Place:
    """Make a node all zero."""
    entry = editor.entries[editor.at(1)]
    editor.clear(entry.node)
    return _place(entry)


def move_off_grid(editor: ListEditor) -> Place:
    """Put a copy of a node between two slots of another page, and lead the list there."""
    index = editor.at(1)
    node, phys, virt = editor.entries[index]
    copy = virt_of(editor.spare_page()) + 8
    for offset in (LIST_AT, PHYS_AT, VIRT_ADDR_AT):
        editor.poke(copy, offset, editor.peek(node, offset))
    editor.point(index, copy)
    return Place(copy, virt, phys)


def overlap_nodes(editor: ListEditor) -> Place:
    """Let two nodes share a word: the second's pointer is the first's virt_addr."""
    index = editor.at(1)
    (_, phys, virt), (_, next_phys, next_virt) = editor.entries[index : index + 2]
    first = virt_of(editor.spare_page())
    words = (first + 16, phys, virt, next_phys, next_virt)
    for number, word in enumerate(words):
        editor.poke(first, 8 * number, word)
    editor.point(index, first)
    return Place(first + 16, next_virt, next_phys)


def lose_entry(editor: ListEditor) -> Place:
    """Take an entry off the list as if it had never been made (field bug 25)."""
    index = editor.at(1)
    entry = editor.entries[index]
    editor.point(index, editor.peek(entry.node, LIST_AT))
    editor.clear(entry.node)
    return _place(entry)


# -- sections, variables, VMCOREINFO


def lose_sections(editor: ListEditor) -> Place:
    """Forget all sections of the block with the highest address."""
    machine = editor.machine
    kernel, sparsemem = machine.kernel, machine.sparsemem
    entry = max(editor.entries, key=lambda entry: entry.virt_addr)
    size = kernel.struct_page_size
    start = entry.virt_addr - kernel.vmemmap_base
    first = start // size // kernel.pages_per_section
    last = -(-(start + editor.block_size) // size)
    for section in range(first, -(-last // kernel.pages_per_section)):
        at = sparsemem.entry_phys(section)
        if at is not None:
            machine.memory.store_u64(at, 0)
    return _place(entry)


def variable(name: str, value: int) -> Edit:
    """Overwrite a variable of 4 bytes."""

    def edit(editor: ListEditor) -> Place:
        editor.machine.memory.store_u32(editor.image.phys[name], value)
        return Place(phys=editor.image.phys[name])

    return edit


def psize_shift(editor: ListEditor) -> Place:
    """Overwrite the page shift by which the block size is told."""
    memory = editor.machine.memory
    shift = editor.block_size.bit_length() - 1
    at = editor.image.phys["mmu_psize_defs"]
    while memory.load_u32(at) != shift:
        at += 8
    memory.store_u32(at, 77)
    return Place(phys=at)


def radix_mmu(editor: ListEditor) -> Place:
    """Let VMCOREINFO say that the kernel runs on the radix MMU."""
    lines = editor.snapshot.vmcoreinfo.decode().splitlines()
    kept = [line for line in lines if not line.startswith("NUMBER(RADIX_MMU)")]
    editor.snapshot.vmcoreinfo = "".join(f"{x}\n" for x in [*kept, "NUMBER(RADIX_MMU)=1"]).encode()
    return Place()


# -- memory that the dump does not cover


def hide_head(editor: ListEditor) -> Place:
    """Leave out the page of the variable vmemmap_list."""
    head = editor.image.phys["vmemmap_list"]
    editor.hide(*editor.page_around(head))
    return Place(phys=head)


def hide_node_page(editor: ListEditor) -> Place:
    """Leave out a page of nodes."""
    entry = editor.entries[editor.at(1)]
    start, end = editor.page_around(phys_of(entry.node))
    editor.hide(start, end)
    first = next(entry for entry in editor.entries if start <= phys_of(entry.node) < end)
    return Place(first.node, entry.virt_addr, entry.phys)


def hide_hot_node_page(editor: ListEditor) -> Place:
    """Move the newest node to the first page of hot-added memory, and leave that memory out."""
    start, end = editor.hot_added()
    node, phys, virt = editor.entries[0]
    moved = virt_of(start)
    for offset in (LIST_AT, PHYS_AT, VIRT_ADDR_AT):
        editor.poke(moved, offset, editor.peek(node, offset))
    editor.clear(node)
    editor.point(0, moved)
    editor.hide(start, end)
    return Place(moved, virt, phys)


def hide_hot_memory(editor: ListEditor) -> Place:
    """Leave out hot-added memory."""
    start, end = editor.hot_added()
    editor.hide(start, end)
    return Place(phys=start)


def _place(entry: VmemmapBacking) -> Place:
    return Place(entry.node, entry.virt_addr, entry.phys)
