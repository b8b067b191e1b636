"""The kernel's own page tables, from the root down: entries that map memory or lead to a table.

Processes have roots of their own, which nothing here leads to. A table of which a sixteenth makes
no sense is none, and is left out with all that hangs from it.

Source: the formats, ``translate/page_tables``.
"""

from __future__ import annotations

import numpy as np

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.image import Image
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.page_tables.table_format import Format

_TABLES_MAX = 1 << 20
"""More than any machine's kernel has: 4 KiB pages map 2 TiB of vmalloc with it."""
_SOUND = 16


def show_tables(
    image: Image, source: PhysicalSource, root: int, form: Format, order: ByteOrder
) -> int:
    """Show the kernel's page tables.

    Args:
        image: Where they go.
        source: The dump.
        root: Physical address of the root table.
        form: Their format.
        order: The memory's byte order.

    Returns:
        How many of the tables that were led to are not shown: not in the dump, or none.
    """
    word = np.dtype(f"{numpy_prefix(form.order(order))}u8")
    tables, seen, left_out = [root], {root}, 0
    for depth, level in enumerate(form.levels):
        below: list[int] = []
        for at in tables:
            try:
                raw = np.frombuffer(source.read(at, 8 << level.bits), dtype=word)
            except ReadError:
                left_out += 1
                continue
            entries = raw.astype(np.uint64)
            maps, _, leads, table = form.interpret(entries, level)
            known = maps | leads
            strange = int(np.count_nonzero((entries != 0) & ~known))
            if strange * _SOUND > np.count_nonzero(entries) and depth:
                left_out += 1
                continue
            image.add(at, np.where(known, raw, 0).astype(word).tobytes(), Shown.PAGE_TABLES)
            below += [t for t in table[leads].tolist() if t not in seen]
            seen.update(below)
        tables = list(dict.fromkeys(below))[: max(_TABLES_MAX - len(seen), 0) + len(below)]
    return left_out
