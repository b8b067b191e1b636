"""Writes an ELF vmcore with a very long vmemmap_list, array-wise, for benchmarks.

64 KiB pages and 64 KiB blocks, hash MMU, 6.1 kernel. Struct pages are not stored: their blocks are
program headers with a memsz only, or not there at all; or all blocks show the same few. Physical
memory, ascending:

    0                   kernel data, VMCOREINFO pages, mem_section
    ``node_base``       a node page, the 2730 blocks of its nodes, a node page, ...

or, handed out from the top down as boot does it:

    ``node_base``       ... block 2730, the second node page, block 2729, ..., block 0, a node page
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .byte_order import Order, u64, u64_dtype
from .elf_core import Segment, build_elf
from .kernel_data import MEM_SECTION_BYTES, PAGE_OFFSET, SECTION_SHIFT
from .kernel_era import section_flags, version_of
from .machine import Machine, build_machine
from .node_list import NODE_BYTES, NodeOrder

PAGE = 0x10000
NODES_PER_PAGE = PAGE // NODE_BYTES

U64Array = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class BigList:
    """The known answer. The arrays are in list order, head first, one element an entry.

    Attributes:
        path: The ELF file.
        byte_order: Of container and memory.
        page_size: Bytes.
        block_size: Bytes.
        vmemmap_base: First vmemmap address.
        head: Value of vmemmap_list.
        node: Virtual address of each node.
        phys: Physical address of each block.
        virt: Vmemmap address of each block.
    """

    path: Path
    byte_order: Order
    page_size: int
    block_size: int
    vmemmap_base: int
    head: int
    node: U64Array
    phys: U64Array
    virt: U64Array


def write_big_list(
    path: Path | str,
    *,
    nodes: int = 1_048_576,
    byte_order: Order = "little",
    node_order: NodeOrder = "boot",
    top_down: bool = False,
    struct_pages: Literal["memsz", "absent", "content"] = "memsz",
    content: Path | None = None,
    seed: int = 1,
) -> BigList:
    """Write the vmcore and return the known answer.

    Args:
        path: File to write; about 25 MB for a million nodes.
        nodes: Number of list entries; each covers 64 MiB of RAM.
        byte_order: Of the memory and of the container.
        node_order: ``"boot"`` is newest first, nodes ascending. ``"shuffled"`` is what remains
            after every block was removed and added again in random order: nodes and blocks are
            used again in no order at all.
        top_down: Hand out memory from the top down: virtual addresses go up, physical ones down.
        struct_pages: ``"memsz"`` has program headers without data for the blocks, ``"absent"``
            has none; ``"content"`` takes them from *content*.
        content: A file whose size is a multiple of 64 KiB and that is put at the end of the vmcore.
            The blocks' program headers point into it, from its start again where it ends: so that
            64 GiB of struct pages need no 64 GiB of file. By physical address, in order; with
            *top_down* the blocks in it go from the last to the first.
        seed: Of the shuffling.
    """
    machine = build_machine(byte_order=byte_order, blocks=1, store="none")
    machine.drop(machine.entries[0].node)
    node_base = max(1 << 30, (max(machine.pages) + 1) * PAGE)

    slots = np.arange(nodes, dtype=np.uint64)
    chunk: U64Array = slots // np.uint64(NODES_PER_PAGE)
    slot: U64Array = slots % np.uint64(NODES_PER_PAGE)
    chunk_phys = np.uint64(node_base) + chunk * np.uint64((NODES_PER_PAGE + 1) * PAGE)
    node_at = np.uint64(PAGE_OFFSET) + chunk_phys + slot * np.uint64(NODE_BYTES)
    block_at = chunk_phys + (slot + np.uint64(1)) * np.uint64(PAGE)
    pages = -(-nodes // NODES_PER_PAGE)
    if top_down:
        last = np.uint64(2 * node_base + (pages * (NODES_PER_PAGE + 1) - 1) * PAGE)
        node_at = np.uint64(PAGE_OFFSET) + last - chunk_phys + slot * np.uint64(NODE_BYTES)
        chunk_phys, block_at = last - chunk_phys, last - block_at

    block: U64Array = slots
    which: U64Array = slots
    if node_order == "shuffled":
        rng = np.random.default_rng(seed)
        block = rng.permutation(slots)
        # Freed nodes come back last in, first out: any removal order is a permutation.
        which = rng.permutation(slots)
    virt = np.uint64(machine.vmemmap_base) + block * np.uint64(PAGE)
    node, phys = node_at[which], block_at[which]
    # Oldest first so far. The link of each node is the node pushed before it.
    link = np.concatenate((np.zeros(1, np.uint64), node[:-1]))

    place = np.empty(nodes, np.uint64)
    place[which] = slots
    image = node_image(np.stack((link, phys, virt), axis=1)[place], PAGE, byte_order)

    content_size = content.stat().st_size if content is not None else 0
    head = int(node[-1])
    machine.poke_u64(machine.symbols["vmemmap_list"], head)
    spread_sections(machine, nodes * (PAGE // 64))
    segments = machine.segments()
    pieces: list[Segment] = []
    for index, at in enumerate(chunk_phys[::NODES_PER_PAGE].tolist()):
        segments.append(Segment(at, image[index].tobytes()))
        first = index * NODES_PER_PAGE
        end = min(first + NODES_PER_PAGE, nodes)
        if struct_pages == "memsz":
            start = int(block_at[[first, end - 1]].min())
            segments.append(Segment(start, memsz=(end - first) * PAGE))
        while struct_pages == "content" and first < end:
            into = first * PAGE % content_size
            count = min(end - first, (content_size - into) // PAGE)
            start = int(block_at[[first, first + count - 1]].min())
            size = count * PAGE
            offset = content_size - into - size if top_down else into
            pieces.append(Segment(start, memsz=size, filesz=size, offset=offset))
            first += count
    path = Path(path)
    notes = machine.notes(byte_order)
    data = build_elf([*segments, *pieces], notes, order=byte_order, align=PAGE)
    if content is not None:
        # Only now is it known where the content comes to lie.
        content_at = -(-len(data) // PAGE) * PAGE
        moved = [replace(piece, offset=content_at + (piece.offset or 0)) for piece in pieces]
        data = build_elf([*segments, *moved], notes, order=byte_order, align=PAGE)
    with path.open("wb") as file:
        file.write(data)
        if content is not None:
            file.seek(content_at)
            with content.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 24)
    return BigList(
        path=path,
        byte_order=byte_order,
        page_size=PAGE,
        block_size=PAGE,
        vmemmap_base=machine.vmemmap_base,
        head=head,
        node=node[::-1].copy(),
        phys=phys[::-1].copy(),
        virt=virt[::-1].copy(),
    )


def node_image(
    records: npt.NDArray[np.uint64], page_size: int, order: Order
) -> npt.NDArray[np.uint64]:
    """Put list nodes into pages.

    Args:
        records: link, phys and virt of each node, in the order in which nodes were handed out.
        page_size: Of the kernel, in bytes.
        order: Of the memory.

    Returns:
        The words of a page a row, as they lie in memory.
    """
    per_page = page_size // NODE_BYTES
    pages = -(-len(records) // per_page)
    image = np.zeros((pages, page_size // 8), u64_dtype(order))
    filled = np.zeros((pages * per_page, 3), np.uint64)
    filled[: len(records)] = records
    image[:, : per_page * 3] = filled.reshape(pages, per_page * 3)
    return image


def spread_sections(machine: Machine, ram_pages: int) -> None:
    """Make mem_section list every section of so much RAM.

    With SPARSEMEM_VMEMMAP all sections encode the same value, so one page of entries serves every
    root. The last root is filled up, unless it is the only one.
    """
    per_root = machine.page_size // MEM_SECTION_BYTES
    sections = ram_pages * machine.page_size >> SECTION_SHIFT
    value = machine.vmemmap_base | section_flags(version_of(machine.release))
    entry = u64(value, machine.byte_order).ljust(MEM_SECTION_BYTES, b"\0")
    roots_at = machine.symbols["mem_section"]
    root = machine.read(roots_at, 8)
    page = int.from_bytes(root, machine.byte_order)
    machine.poke(page, entry * min(sections, per_root))
    machine.poke(roots_at, root * -(-sections // per_root))
    for offset in (120, 19768):
        machine.poke_u64(machine.symbols["contig_node"] + offset, ram_pages)
