"""Runs of pages as a page carries them: single pages wherever there is room, sums elsewhere.

What is carried is exact at every size. Where not all runs fit, the most crowded blocks become sums;
where not even sums of small blocks fit, the blocks become larger.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from vmemmap.pages.count.kind_runs import RANGES_MAX, KindRuns
from vmemmap.picture.packed import Packed, pack

_SUMS_SHARE = 0.6
"""Of the room, what sums of all blocks that have several runs may take."""
_BYTES_A_RUN = 1.2
_RUNS_A_BYTE = 8
"""How many runs a byte of the page holds where they are very regular."""
_TURNS_MAX = 6
_BLOCKS_LEAST = 16


class RunsRecord(TypedDict):
    """Pages as runs; see `KindRuns`.

    Attributes:
        shift: log2 of the pages in a block.
        ranges: First block and the one after the last of each stretch of blocks.
        crowd: How many runs each block has.
        mixed: For each block 1 where its runs are sums in no order, 2 where they tell nothing.
        word: The word of each run.
        length: Its pages, but for the last run of each block, which has the rest.
        mixed_blocks: How many blocks are mixed.
    """

    shift: int
    ranges: list[list[int]]
    crowd: Packed
    mixed: Packed
    word: Packed
    length: Packed
    mixed_blocks: int


def pack_runs(runs: KindRuns, budget: int) -> RunsRecord:
    """Pack runs into so many bytes, with as much detail as they allow."""
    each = _BYTES_A_RUN
    if len(runs) < budget * _RUNS_A_BYTE:
        packed = _packed(runs)
        if size_of(packed) <= budget:
            return packed
        each = max(size_of(packed) / max(len(runs), 1), 1 / _RUNS_A_BYTE)
    by, sums = 0, runs.with_runs(0)
    while size_of(_packed(sums)) > _SUMS_SHARE * budget and len(sums.grid) > _BLOCKS_LEAST:
        by += 1
        sums = runs.coarser(by).with_runs(0)
    runs, room = runs.coarser(by), budget - size_of(_packed(sums))
    most = max(int(room / each), 0)
    for _ in range(_TURNS_MAX):
        packed = _packed(runs.with_runs(most))
        if (size := size_of(packed)) <= budget:
            return packed
        most = int(most * min(0.9 * budget / size, 0.7))
    return _packed(sums)


def size_of(record: RunsRecord) -> int:
    """Give how many bytes of the page runs take."""
    arrays = (record["crowd"], record["mixed"], record["word"], record["length"])
    return sum(len(each["data"]) for each in arrays)


def _packed(runs: KindRuns) -> RunsRecord:
    assert len(runs.grid.ranges) <= RANGES_MAX
    last = np.diff(runs.block, append=-1) != 0
    return {
        "shift": runs.grid.shift,
        "ranges": runs.grid.ranges.tolist(),
        "crowd": pack(runs.crowd),
        "mixed": pack(runs.mixed),
        "word": pack(runs.word),
        "length": pack(runs.pages[~last]),
        "mixed_blocks": int(np.count_nonzero(runs.mixed)),
    }
