"""Watching a machine while it works: what may be watched, and who tells the watch.

What a watch writes down stands in ``trace/watch.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vmemmap.errors import SpecError
from vmemmap.simulate.journal import Journal
from vmemmap.simulate.kernel import SECTION_SHIFT, Kernel
from vmemmap.simulate.memory.supply import Supply
from vmemmap.simulate.mm.page_tables import PageTables
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.steps import Runner
from vmemmap.simulate.trace.watch import Watch

TRACED_MOST = 1 << 17
"""So many blocks take about a minute to watch, and so many sections half of one."""


def check_length(kernel: Kernel, block_size: int, size: int) -> None:
    """Refuse to watch what has too many blocks to be gone through store by store.

    Args:
        kernel: The machine's kernel.
        block_size: The vmemmap block size, in bytes.
        size: How much memory boots, or is added or removed, in bytes.

    Raises:
        SpecError: It is too much.
    """
    pages = size >> kernel.page_shift
    blocks = pages * kernel.struct_page_size // block_size
    sections = size >> SECTION_SHIFT
    if max(blocks, sections) > TRACED_MOST:
        raise SpecError(
            "event",
            f"{sections} sections with {blocks} blocks of {block_size >> 10}K are too "
            f"many to go through store by store (at most {TRACED_MOST} of either)",
        )


@contextmanager
def watched(
    journal: Journal, runner: Runner, supply: Supply, vmemmap: Vmemmap, tables: PageTables
) -> Iterator[Watch]:
    """Let these parts of a machine tell a watch what they do, until this context is left."""
    watch = journal.watch = Watch(vmemmap.kernel, vmemmap.sparsemem.memory, vmemmap)
    runner.watch = watch.stopped
    supply.watch = vmemmap.map.watch = tables.watch = watch.did
    try:
        yield watch
    finally:
        journal.watch = runner.watch = None
        supply.watch = vmemmap.map.watch = tables.watch = None
