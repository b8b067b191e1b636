"""Writes an ELF vmcore of a whole machine that has worked for a while, for benchmarks.

Hash MMU, 6.1 kernel; struct pages as `PageContent` makes them. The file is sparse and has one
program header for all memory, as kexec writes it. Physical memory, ascending:

    0           kernel data, VMCOREINFO pages, mem_section
    ...         memory in use: holes of the file, or data in the pages that no dump level leaves out
                ... block 2, block 1, block 0: boot hands memory out from the top down, so that
                virtual addresses go up while physical ones go down
    the top     pages of list nodes, the first of them the highest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from .big_list import node_image, spread_sections
from .byte_order import Order
from .elf_core import Segment, build_elf
from .kernel_data import PAGE_OFFSET
from .machine import Machine, build_machine
from .node_list import NODE_BYTES
from .page_content import STRUCT_PAGE_BYTES, PageContent

_ALIGN = 0x10000
_BATCH_BYTES = 16 << 20
_TEXTS = 64
"""Pages of different contents, where pages are filled."""


@dataclass(frozen=True, slots=True)
class BusyMachine:
    """The known answer.

    Attributes:
        path: The ELF file.
        pages: How many there are.
        struct_pages: The part of the file that has the struct pages: first byte, and how many.
        counts: Pages by kind.
        kept: Pages that no dump level leaves out but for being full of zeros; counted if they
            were filled.
        zero: Those of them that are full of zeros.
    """

    path: Path
    pages: int
    struct_pages: tuple[int, int]
    counts: dict[str, int]
    kept: int
    zero: int


def write_busy_machine(
    path: Path | str,
    ram_bytes: int,
    *,
    page_size: int = 65536,
    block_size: int = 65536,
    byte_order: Order = "little",
    filled: bool | Callable[[int], bytes] = False,
    seed: int = 1,
) -> BusyMachine:
    """Write the vmcore and return what it has.

    Args:
        path: File to write: a 1024th of *ram_bytes* with 64 KiB pages, a 64th with 4 KiB pages.
        ram_bytes: A multiple of 32 GiB with 64 KiB pages, of 2 GiB with 4 KiB pages.
        page_size: 4096 or 65536.
        block_size: Of the vmemmap: 4 KiB (with such pages only), 64 KiB or 16 MiB.
        byte_order: Of the memory and of the container.
        filled: Put data into the pages that no dump level leaves out; an eighth of them are zeros.
            Random data, or what this gives for a pfn below 64: the same 64 pages again and again.
        seed: Of what the pages are.
    """
    machine = build_machine(
        byte_order=byte_order,
        page_size=page_size,
        block_shift=block_size.bit_length() - 1,
        blocks=1,
        store="none",
    )
    machine.drop(machine.entries[0].node)
    pages = ram_bytes // page_size
    blocks = pages * STRUCT_PAGE_BYTES // block_size
    node_phys, block_phys = _places(ram_bytes, blocks, page_size, block_size)
    node = np.uint64(PAGE_OFFSET) + node_phys
    virt = np.uint64(machine.vmemmap_base) + np.arange(blocks, dtype=np.uint64) * np.uint64(
        block_size
    )
    link = np.concatenate((np.zeros(1, np.uint64), node[:-1]))
    machine.poke_u64(machine.symbols["vmemmap_list"], int(node[-1]))
    spread_sections(machine, pages)
    content = PageContent(page_size, byte_order, seed=seed)

    path = Path(path)
    with path.open("wb") as file:
        front = _write_front(file, machine, ram_bytes)
        for pfn, data in machine.memory.pages.items():
            if any(data):
                file.seek(front + pfn * page_size)
                file.write(data)
        image = node_image(np.stack((link, block_phys, virt), axis=1), page_size, byte_order)
        file.seek(front + ram_bytes - image.nbytes)
        file.write(image[::-1].tobytes())
        _write_struct_pages(file, front, content, block_phys, block_size)
        low, vmemmap_bytes = int(block_phys[-1]), blocks * block_size
        kept = zero = 0
        if filled:
            taken = np.zeros(pages, dtype=np.bool_)
            taken[list(machine.memory.pages)] = True
            taken[low // page_size : (low + vmemmap_bytes) // page_size] = True
            taken[pages - len(image) :] = True
            empty = [pfn for pfn, data in machine.memory.pages.items() if not any(data)]
            texts = _random_pages(content) if filled is True else map(filled, range(_TEXTS))
            kept, zero = _fill(file, front, content, taken, empty, list(texts))
    return BusyMachine(path, pages, (front + low, vmemmap_bytes), content.counts, kept, zero)


def _places(
    ram_bytes: int, blocks: int, page_size: int, block_size: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Give the physical addresses of list nodes and of blocks, in the order of the vmemmap."""
    per_page = page_size // NODE_BYTES
    number = np.arange(blocks, dtype=np.uint64)
    page, slot = number // np.uint64(per_page), number % np.uint64(per_page)
    node = np.uint64(ram_bytes - page_size) - page * np.uint64(page_size)
    lowest = int(node[-1]) // block_size * block_size
    block = np.uint64(lowest - block_size) - number * np.uint64(block_size)
    return node + slot * np.uint64(NODE_BYTES), block


def _write_front(file: BinaryIO, machine: Machine, ram_bytes: int) -> int:
    """Write headers and notes; give where in the file the memory begins."""
    notes = machine.notes(machine.byte_order)

    def headers(offset: int) -> bytes:
        memory = Segment(0, memsz=ram_bytes, filesz=ram_bytes, offset=offset)
        return build_elf([memory], notes, order=machine.byte_order, align=_ALIGN)

    front = -(-len(headers(0)) // _ALIGN) * _ALIGN
    file.write(headers(front))
    file.truncate(front + ram_bytes)
    return front


def _write_struct_pages(
    file: BinaryIO,
    front: int,
    content: PageContent,
    block_phys: npt.NDArray[np.uint64],
    block_size: int,
) -> None:
    """Write all blocks, a batch of them at a time: the last lies lowest."""
    together = max(_BATCH_BYTES // block_size, 1)
    per_block = block_size // STRUCT_PAGE_BYTES
    for first in range(0, len(block_phys), together):
        end = min(first + together, len(block_phys))
        made = content.make(first * per_block, (end - first) * per_block)
        file.seek(front + int(block_phys[end - 1]))
        file.write(made.reshape(end - first, block_size)[::-1].tobytes())


def _random_pages(content: PageContent) -> Iterator[bytes]:
    rng = np.random.default_rng(content.seed)
    for _ in range(_TEXTS):
        yield rng.integers(0, 256, content.page_size, dtype=np.uint8).tobytes()


def _fill(
    file: BinaryIO,
    front: int,
    content: PageContent,
    taken: npt.NDArray[np.bool_],
    empty: list[int],
    texts: list[bytes],
) -> tuple[int, int]:
    """Put data into seven of eight pages that always stay and that are not taken.

    Args:
        file: The dump.
        front: Where in it the memory begins.
        content: What the pages are.
        taken: Pages that have their data, one element a pfn.
        empty: Those of them whose data are zeros.
        texts: What to put into them, in turn.

    Returns:
        How many pages always stay, and how many of them are full of zeros.
    """
    size, kept, zero = content.page_size, 0, 0
    step = _BATCH_BYTES // STRUCT_PAGE_BYTES
    for first in range(0, len(taken), step):
        stays = content.stays(first, min(step, len(taken) - first))
        kept += int(np.count_nonzero(stays))
        zero += sum(bool(stays[pfn - first]) for pfn in empty if 0 <= pfn - first < len(stays))
        free = np.flatnonzero(stays & ~taken[first : first + step]) + first
        zero += int(np.count_nonzero(free % 8 == 0))
        for pfn in free[free % 8 != 0].tolist():
            file.seek(front + pfn * size)
            file.write(texts[pfn % _TEXTS])
    return kept, zero
