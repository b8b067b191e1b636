"""Page frames in stretches that have one owner, so that their struct pages are painted alike.

By example, of a node that has the frames 0 to 8::

    reserved  [0, 2)           stretches  [0, 2)  of the node, reserved
    free      [4, 7)                      [2, 4)  of the node
                                          [4, 7)  of the node, free
                                          [7, 8)  of the node
                                          [8, ..) nobody's
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vmemmap.distinct import distinct
from vmemmap.intervals import holds
from vmemmap.simulate.mm.owners import Owners


class Owner(NamedTuple):
    """What a frame is to the allocators.

    Attributes:
        node: Its NUMA node; -1 if no node has it.
        reserved: The boot allocator kept it.
        free: It is free.
    """

    node: int
    reserved: bool
    free: bool


class Stretches:
    """All page frames, cut where the owner changes.

    Args:
        owners: Who owns which frame.

    Attributes:
        kinds: The owners that there are.
    """

    def __init__(self, owners: Owners) -> None:
        sets = [*owners.homes.values(), owners.reserved, owners.free]
        borders = distinct(np.concatenate([np.zeros(1, np.int64), *(a.reshape(-1) for a in sets)]))
        node = np.full(len(borders), -1, np.int64)
        for number, home in owners.homes.items():
            node[holds(home, borders, 1)] = number
        reserved, free = (holds(part, borders, 1) for part in (owners.reserved, owners.free))
        key = node << 2 | reserved << 1 | free
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        kinds = distinct(key[first])
        self._starts = borders[first]
        self._kind = np.searchsorted(kinds, key[first])
        self.kinds = [Owner(key >> 2, bool(key & 2), bool(key & 1)) for key in kinds.tolist()]

    def within(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Yield the parts of the stretches in ``[first, last)``: start, end, index in `kinds`."""
        low = int(np.searchsorted(self._starts, first, side="right")) - 1
        high = int(np.searchsorted(self._starts, last))
        starts = [first, *self._starts[low + 1 : high].tolist()]
        yield from zip(starts, [*starts[1:], last], self._kind[low:high].tolist(), strict=True)
