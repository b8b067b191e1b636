"""A machine with terabytes of memory, whose list, blocks and log lie where boot places them."""

from __future__ import annotations

import numpy as np

from .big_list import node_image, spread_sections
from .byte_order import Order
from .kernel_data import PAGE_OFFSET
from .machine import build_machine
from .machine_state import Machine
from .printk import LocklessLog, Message

BLOCK_SHIFT = 24
STRUCT_PAGE_BYTES = 64
MESSAGES = 3000


def huge_machine(
    order: Order, *, ram_bytes: int, page_size: int = 0x10000, top: int | None = None
) -> tuple[Machine, list[tuple[int, int, int]]]:
    """Build the machine; its struct pages are not stored, its messages are ``message 0`` and on.

    Args:
        order: Of the memory.
        ram_bytes: Memory, all of it RAM from address 0 on.
        page_size: Of the kernel.
        top: Where the page behind the list's nodes is, and below it the blocks and the log: the end
            of memory, as on a machine of one node, if None.

    Returns:
        The machine; node, physical and virtual address of each entry, head first.
    """
    machine = build_machine(
        byte_order=order, page_size=page_size, blocks=1, block_shift=BLOCK_SHIFT, store="none"
    )
    machine.drop(machine.entries[0].node)
    end = ram_bytes if top is None else top
    block = 1 << BLOCK_SHIFT
    blocks = ram_bytes // page_size * STRUCT_PAGE_BYTES // block
    per_page = page_size // 24
    number = np.arange(blocks, dtype=np.uint64)
    pages = -(-blocks // per_page)
    nodes_at = end - pages * page_size
    at = number // np.uint64(per_page) * np.uint64(page_size) + number % np.uint64(per_page) * 24
    node = np.uint64(PAGE_OFFSET + nodes_at) + at
    phys = np.uint64(end - 2 * block) - number * np.uint64(block)
    virt = np.uint64(machine.vmemmap_base) + number * np.uint64(block)
    link = np.concatenate((np.zeros(1, np.uint64), node[:-1]))
    image = node_image(np.stack((link, phys, virt), axis=1), page_size, order)
    machine.poke(nodes_at, image.tobytes())
    machine.poke_u64(machine.symbols["vmemmap_list"], int(node[-1]))
    spread_sections(machine, ram_bytes // page_size)
    log = LocklessLog(order, 12, 18)
    for turn in range(MESSAGES):
        log.add(Message(b"message %d" % turn, turn * 10**6))
    log.install(machine, PAGE_OFFSET + end - (blocks + 4) * block)
    rows = zip(node.tolist(), phys.tolist(), virt.tolist(), strict=True)
    return machine, list(rows)[::-1]
