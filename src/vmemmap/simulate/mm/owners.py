"""Who owns which page frame at one moment: what the struct pages say follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vmemmap.simulate.mm.pgdat import FreeBlocks
from vmemmap.simulate.mm.usage import PageRun

Frames = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IdleFrames:
    """Frames that have struct pages and are in nobody's use.

    Attributes:
        node: Their NUMA node.
        start: The first frame.
        end: The frame after the last.
        device: They are a device's; if not, RAM that did not come online.
        order: Of the compound pages that a device's are made of; 0 for base pages.
        initialised: How many struct pages of each compound page were initialised.
    """

    node: int
    start: int
    end: int
    device: bool
    order: int = 0
    initialised: int = 1


@dataclass(frozen=True, slots=True)
class Owners:
    """Who owns which page frame at one moment.

    Attributes:
        homes: Frames of each node, as arrays of shape (n, 2): start and end, ascending.
        idle: Frames of device memory and of RAM that is not online; nobody reserves or frees them.
        reserved: Frames that the boot allocator kept, as (n, 2).
        free: Free frames, as (n, 2).
        blocks: First frames of free buddy blocks, by node and order, ascending.
        cma_blocks: The same of those in CMA areas, which are on lists of their own.
        runs: User pages, ascending.
    """

    homes: dict[int, Frames]
    idle: list[IdleFrames]
    reserved: Frames
    free: Frames
    blocks: FreeBlocks
    cma_blocks: FreeBlocks
    runs: list[PageRun]
