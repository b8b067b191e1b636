"""The entries of two lists, paired by the virtual address of the block that each backs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.compare.fate import Fate
from vmemmap.distinct import distinct, is_among

if TYPE_CHECKING:
    from vmemmap.backing.table import BackingTable


@dataclass(frozen=True, slots=True)
class EntryChanges:
    """Blocks of two lists, by rising virtual address, without entries that are not used.

    Attributes:
        block_size: Bytes in a block.
        virt: The virtual addresses, uint64.
        fate: A `Fate` for each, uint8.
        phys_before: The physical address before, uint64; 0 where there was no block.
        phys_after: The one after, likewise.
        order_kept: Whether the entries that both lists have stand in one order in both.
    """

    block_size: int
    virt: NDArray[np.uint64]
    fate: NDArray[np.uint8]
    phys_before: NDArray[np.uint64]
    phys_after: NDArray[np.uint64]
    order_kept: bool

    def count(self, fate: Fate) -> int:
        """Count the blocks of a fate."""
        return int(np.count_nonzero(self.fate == fate))

    @property
    def changed(self) -> NDArray[np.intp]:
        """The rows of blocks that are not the same."""
        return np.flatnonzero(self.fate != Fate.SAME)


def compare_entries(before: BackingTable, after: BackingTable) -> EntryChanges | str:
    """Pair the entries of two lists.

    Returns:
        The pairs; or why the lists cannot be compared.
    """
    sizes = {table.block_size for table in (before, after) if len(table)}
    if len(sizes) > 1:
        return "the lists have blocks of two sizes, " + " and ".join(
            f"{table.block_size:#x} bytes" for table in (before, after)
        )
    one, other = ((table.virt[table.usable], table.phys[table.usable]) for table in (before, after))
    virt = distinct(np.concatenate([one[0], other[0]]))
    (phys_before, was), (phys_after, still) = (_column(virt, *each) for each in (one, other))
    fate = np.full(len(virt), Fate.SAME, dtype=np.uint8)
    fate[was & still & (phys_before != phys_after)] = Fate.MOVED
    fate[still & ~was] = Fate.NEW
    fate[was & ~still] = Fate.GONE
    return EntryChanges(
        block_size=sizes.pop() if sizes else 0,
        virt=virt,
        fate=fate,
        phys_before=phys_before,
        phys_after=phys_after,
        order_kept=bool(
            np.array_equal(one[0][is_among(one[0], other[0])], other[0][is_among(other[0], one[0])])
        ),
    )


def _column(
    virt: NDArray[np.uint64], virts: NDArray[np.uint64], phys: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Put one list's physical addresses beside all virtual ones; and tell which it has."""
    column, has = np.zeros(len(virt), dtype=np.uint64), np.zeros(len(virt), dtype=np.bool_)
    place = np.searchsorted(virt, virts)
    column[place], has[place] = phys, True
    return column, has
