"""A machine in a few lines, as Python shows it: its kernel, its list, and what became of it."""

from __future__ import annotations

from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.mm.backing_list import NODE_BYTES

_LAST_SHOWN = 2
"""So many of the events it names."""


def kernel_in_words(kernel: Kernel) -> str:
    """Name a kernel: its release, and what its machine is like."""
    size = kernel.page_size >> 10
    return f"{kernel.release}, {kernel.mmu}, {size}K pages, {kernel.byte_order}-endian"


def machine_in_words(machine: CrashedMachine) -> str:
    """Describe a machine that has booted, as it is now."""
    kernel, image = machine.kernel, image_of(machine.memory).phys
    load_u32, load_u64 = machine.memory.load_u32, machine.memory.load_u64
    last = [f"{outcome.what}: {outcome.word}" for outcome in machine.outcomes[-_LAST_SHOWN:]]
    earlier = len(machine.outcomes) - len(last)
    events = "; ".join([*([f"{earlier} before"] if earlier else []), *last])
    homes = [machine.pages.home(node) for node in machine.pages.nodes]
    size = sum(end - start for home in homes for start, end in home) << kernel.page_shift
    blocks = sum(1 for _ in machine.walk())
    return (
        f"<Machine {kernel_in_words(kernel)}:\n"
        f" {size >> 20} MiB on {len(homes)} node(s); "
        f"{blocks} block{'' if blocks == 1 else 's'} of {machine.vmemmap.block_size >> 10}K on "
        "the list\n"
        f" head {load_u64(image['vmemmap_list']):#x}, next {load_u64(image['next']):#x}, "
        f"num_left {load_u32(image['num_left'])}, num_freed {load_u32(image['num_freed'])}\n"
        f" {kernel.page_size // NODE_BYTES} nodes in a page; {events}"
        f"{f'; {machine.reason}' if machine.reason else ''}>"
    )
