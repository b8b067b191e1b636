"""The pieces of an extract that crash needs to begin a session, and to answer about memory.

crash wants a whole machine. It gets the least with which it starts; where it only has to find
something to read, the page is there, and zero. Where a structure lies is told by the kernel's
symbols, and where in it a member is by its types; what neither knows is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from vmemmap.errors import FactError, ReadError
from vmemmap.extract import crash_machine, crash_memory
from vmemmap.extract.classes import Shown
from vmemmap.extract.crash_needs import ADDRESSES, NUMBERS, PLACES
from vmemmap.extract.kernel_data import KernelPieces
from vmemmap.extract.log_pieces import show_empty_log
from vmemmap.extract.shown_structs import ShownStructs
from vmemmap.facts.kernel_types import KernelTypes
from vmemmap.facts.symbols.table import SymbolTable
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.mmzone.nodes import NodeInfo
from vmemmap.mmzone.pgdat_layout import PgdatLayout


def show_for_crash(
    show: KernelPieces,
    symbols: SymbolTable,
    types: KernelTypes,
    info: Vmcoreinfo,
    nodes: tuple[NodeInfo, ...],
    layout: PgdatLayout,
) -> None:
    """Show what crash reads, with an empty log.

    Args:
        show: Where it goes.
        symbols: The kernel's.
        types: The kernel's.
        info: Says where the log is.
        nodes: The NUMA nodes.
        layout: How they lie.

    Raises:
        FactMissing: Without what is missing crash does not start; says what that is.
    """
    kernel = ShownStructs(show, symbols, types, Shown.CRASH)
    crash_machine.show_machine(kernel)
    for name in ADDRESSES:
        kernel.address(kernel.find(name))
    for name, size in NUMBERS.items():
        kernel.counter(kernel.find(name), size)
    for name in PLACES:
        kernel.room(*kernel.variable(name))
    parts: tuple[Callable[[ShownStructs], None], ...] = (
        crash_machine.show_features,
        crash_machine.show_process_table,
        crash_machine.show_taints,
        crash_machine.show_states,
        crash_memory.show_statistics,
        crash_memory.show_huge_pages,
        crash_memory.show_flag_names,
        crash_memory.show_memory_blocks,
        crash_memory.show_block_devices,
        crash_memory.show_areas,
        lambda kernel: crash_memory.show_nodes(kernel, nodes, layout),
        lambda _: show_empty_log(show, info),
    )
    for part in parts:
        with suppress(FactError, ReadError):
            part(kernel)
