"""What a census has counted so far; windows are counted each by itself and added up."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmemmap.pages.blocks import Damage
from vmemmap.pages.makedumpfile import Exclusions
from vmemmap.pages.struct_pages import Why

DAMAGE_KEPT = 1000


@dataclass(slots=True)
class Tally:
    """What was counted so far.

    Attributes:
        zones: Counts by kind for each value of the flag bits that name node and zone.
        free_blocks: Free blocks by order.
        why: Pages that cannot be read, by reason.
        heads: Compounds.
        tails: Tails.
        slab_tails: Tails that are slab pages.
        reserved: Pages with the reserved flag.
        damaged: Damaged struct pages.
        damage: Some of them.
        exclusions: What makedumpfile sees.
    """

    free_blocks: NDArray[np.int64]
    zones: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    why: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Why), dtype=np.int64))
    heads: int = 0
    tails: int = 0
    slab_tails: int = 0
    reserved: int = 0
    damaged: int = 0
    damage: list[Damage] = field(default_factory=list)
    exclusions: Exclusions = field(default_factory=Exclusions)

    def add(self, other: Tally) -> None:
        """Add what was counted elsewhere."""
        for key, counts in other.zones.items():
            self.zones[key] = self.zones.get(key, 0) + counts
        self.free_blocks += other.free_blocks
        self.why += other.why
        self.heads += other.heads
        self.tails += other.tails
        self.slab_tails += other.slab_tails
        self.reserved += other.reserved
        self.damaged += other.damaged
        self.damage += other.damage[: max(DAMAGE_KEPT - len(self.damage), 0)]
        self.exclusions.add(other.exclusions)
