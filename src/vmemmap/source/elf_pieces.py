"""What memory an ELF file's segments cover, as pieces that do not overlap, each of one kind.

::

    p_paddr        p_paddr + what the file has    + p_filesz       + p_memsz
       | IN_FILE      | TRUNCATED: the file ends     | EXCLUDED       |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CorruptDump
from vmemmap.formats import elf64
from vmemmap.source.overlaps import settle_overlaps

IN_FILE, EXCLUDED, TRUNCATED = 0, 1, 2
_PHYS_LIMIT = 1 << 56
"""No ppc64 machine addresses more; a segment beyond it is damage."""


class Pieces(NamedTuple):
    """Pieces of memory by rising address; columns of uint64, a row a piece.

    Attributes:
        start: Physical address (bytes).
        end: The address after the last byte.
        offset: Where the file has it; only of those that are `IN_FILE`.
        kind: `IN_FILE`, `EXCLUDED` or `TRUNCATED`.
        overlapped: Whether segments overlapped; the first in the file has each address then.
        ends_early: Whether the file ends before some segment does.
    """

    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    offset: NDArray[np.uint64]
    kind: NDArray[np.uint64]
    overlapped: bool
    ends_early: bool


def pieces_of(loads: NDArray[np.void], file_bytes: int) -> Pieces:
    """Cut segments into pieces.

    Args:
        loads: The program headers of type PT_LOAD.
        file_bytes: How large the file is.

    Raises:
        CorruptDump: A segment lies where no machine has memory.
    """
    paddr = loads["p_paddr"].astype(np.uint64)
    memsz = loads["p_memsz"].astype(np.uint64)
    offset = loads["p_offset"].astype(np.uint64)
    usable = (paddr != np.uint64(elf64.NO_PHYS)) & (memsz > 0)
    limit = np.uint64(_PHYS_LIMIT)
    absurd = usable & ((paddr >= limit) | (memsz > limit) | (paddr + memsz > limit))
    if absurd.any():
        bad = int(np.flatnonzero(absurd)[0])
        raise CorruptDump(
            f"PT_LOAD {bad} (p_offset {int(offset[bad]):#x})",
            file_offset=int(offset[bad]),
            expected="physical addresses below 2**56",
            found=f"p_paddr {int(paddr[bad]):#x}, p_memsz {int(memsz[bad]):#x}",
        )
    paddr, memsz, offset = paddr[usable], memsz[usable], offset[usable]
    filesz = np.minimum(loads["p_filesz"].astype(np.uint64)[usable], memsz)
    size = np.uint64(file_bytes)
    stored = np.minimum(filesz, np.where(offset < size, size - np.minimum(offset, size), 0))
    nowhere = np.zeros_like(paddr)
    pieces = [
        np.stack([paddr, paddr + stored, offset, np.full_like(paddr, IN_FILE)]),
        np.stack([paddr + stored, paddr + filesz, nowhere, np.full_like(paddr, TRUNCATED)]),
        np.stack([paddr + filesz, paddr + memsz, nowhere, np.full_like(paddr, EXCLUDED)]),
    ]
    # A stable sort after this order keeps file-backed pieces first, then file order: the priority
    # by which overlaps are settled.
    table = np.concatenate(pieces, axis=1)
    table = table[:, table[0] < table[1]]
    rank = np.argsort(table[0], kind="stable")
    ordered = table[:, rank]
    overlapped = bool((ordered[0][1:] < ordered[1][:-1]).any())
    if overlapped:
        ordered = settle_overlaps(table)
    start, end, position, kind = np.ascontiguousarray(ordered)
    return Pieces(start, end, position, kind, overlapped, bool((stored < filesz).any()))
