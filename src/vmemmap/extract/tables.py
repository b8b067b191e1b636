"""The kernel's own page tables, from the root down: entries that map memory or lead to a table.

Processes have roots of their own, which nothing here leads to. A table of which a sixteenth makes
no sense is none, and is left out with all that hangs from it.

Source: the formats, ``translate/page_tables``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.image import Image
from vmemmap.extract.words import only
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.page_tables.choice import FORMATS
from vmemmap.translate.page_tables.table_format import Format

_TABLES_MAX = 1 << 20
"""More than any machine's kernel has: 4 KiB pages map 2 TiB of vmalloc with it."""
_SOUND = 16
_PART_BYTES = 4096


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
        How many of the tables that were led to are not shown in full: the dump lacks them or a
        part of them, they are no tables, or there are too many.
    """
    word = np.dtype(f"{numpy_prefix(form.order(order))}u8")
    _show_nothing(image, source, root, form)
    tables, seen, left_out = [root], {root}, 0
    for level in form.levels:
        below: list[int] = []
        for at in tables:
            raw, there = _read(source, at, 8 << level.bits)
            if not there:
                left_out += 1
                continue
            entries = raw.view(word).astype(np.uint64)
            maps, _, leads, table = form.interpret(entries, level)
            known = maps | leads
            used = np.count_nonzero(entries)
            if (used - np.count_nonzero(known)) * _SOUND > used and at != root:
                left_out += 1
                continue
            left_out += len(there) * _PART_BYTES < len(raw)
            shown = only(raw.view(word), known)
            for part in there:
                image.add(at + part, shown[part : part + _PART_BYTES], Shown.PAGE_TABLES)
            new = [to for to in dict.fromkeys(table[leads].tolist()) if to not in seen]
            below += new[: max(_TABLES_MAX - len(seen), 0)]
            left_out += max(len(new) - max(_TABLES_MAX - len(seen), 0), 0)
            seen.update(new)
        tables = below
    return left_out


def _show_nothing(image: Image, source: PhysicalSource, root: int, form: Format) -> None:
    """Show that the place of the root is empty, as far as any format of this MMU has a root.

    A kernel that has mapped nothing does not tell its format: that all of it is zero is what the
    choice rests on, and what lies behind a root that is in use says nothing.
    """
    rivals = next((rows for rows in FORMATS.values() if form in rows), (form,))
    size = max(8 << each.levels[0].bits for each in rivals)
    raw, there = _read(source, root, size)
    if len(there) * _PART_BYTES >= size and not raw.any():
        image.add(root, raw.tobytes(), Shown.PAGE_TABLES)


def _read(source: PhysicalSource, at: int, size: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Read a table, zeros for those parts that the dump lacks; where the others begin in it."""
    out, there = np.zeros(size, dtype=np.uint8), []
    for part in range(0, size, _PART_BYTES):
        end = min(part + _PART_BYTES, size)
        try:
            source.read_into(at + part, out[part:end])
            there.append(part)
        except ReadError:
            out[part:end] = 0
    return out, there
