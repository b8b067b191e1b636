"""What is known of every page of a simulated dump: to compare a tool with, page by page.

It comes from the allocators and from what was written to memory, not from struct pages, and shares
no code with any reader. By example, of a machine with 64 KiB pages::

    pfn_start pfn_end  use        node  order  zero   makedumpfile  levels
            0     417  kernel        0      0  False  None          0
          417     418  free          0      0  True   "free"        bits 1, 3, 5, ..., 16 to 31
          418     420  slab          0      1  False  None          0
          420     421  cache         0      0  False  "cache"       bits 2 to 7, 10 to 15, ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vmemmap.distinct import distinct
from vmemmap.intervals import Intervals, holds, join, runs_of, subtract, touched
from vmemmap.progress import Progress, no_progress
from vmemmap.simulate.crash.answers import leaves_unused_alone, makedumpfile_class
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.mm.owners import Owners
from vmemmap.simulate.mm.usage import Use

FREE, KERNEL, NOT_ONLINE, NO_NODE = 0, len(Use) + 1, len(Use) + 2, len(Use) + 3
"""What a page is used for, beside what `Use` has."""
WORDS = ("free", *(use.name.lower() for use in Use), "kernel", "not_online", "no_node")
LEVELS = range(32)
_ASKED = {"cache": 2 | 4, "cache_private": 4, "user": 8, "free": 16}
"""The dump levels that ask for a class of pages; the others go at every level."""
_ZERO_LEVEL = 1
_WORD_BYTES = 8


class KnownPages(NamedTuple):
    """Pages in a row of which the same is known.

    Attributes:
        pfn_start: The first pfn.
        pfn_end: The one after the last.
        use: free; cache, cache_private, anonymous, slab, huge, hwpoison, offline, vmalloc;
            kernel for all else that is in use; not_online for RAM that did not come online;
            no_node for memory that the headers cover and no node has: it has left, or its section
            got no struct pages at boot.
        node: The NUMA node; None where there is none.
        order: Of the free block or compound page that each is part of, which has ``2**order``
            pages and begins at a multiple of that; 0 where it stands alone.
        zero: They are full of zeros.
        makedumpfile: The class by which makedumpfile leaves them out, as far as VMCOREINFO of the
            kernel tells it; None if it is none, or not known.
        levels: Bit N is set where dump level N leaves them out. None where that is not known: their
            struct pages hold what lay there before.
    """

    pfn_start: int
    pfn_end: int
    use: str
    node: int | None
    order: int
    zero: bool
    makedumpfile: str | None
    levels: int | None


def known_pages(snapshot: Snapshot, progress: Progress = no_progress) -> Iterator[KnownPages]:
    """Give all pages of the memory that the dump covers, ascending.

    Args:
        snapshot: The memory, as it is written.
        progress: Told how many bytes were looked at for zeros.
    """
    kernel, owners = snapshot.machine.kernel, snapshot.owners
    covered = touched(np.array(snapshot.ranges, np.int64).reshape(-1, 2), kernel.page_size)
    zeros = subtract(covered, _with_content(snapshot, progress))
    blocks = _blocks(owners)
    idle = np.array([(part.start, part.end) for part in owners.idle], np.int64)
    sets = (covered, zeros, blocks[:, :2], idle, *owners.homes.values())
    starts = distinct(np.concatenate([part.reshape(-1) for part in sets]))
    use, node = np.full(len(starts), NO_NODE), np.full(len(starts), -1)
    for part in owners.idle:
        inside = (starts >= part.start) & (starts < part.end)
        use[inside], node[inside] = NOT_ONLINE, part.node
    for number, home in owners.homes.items():
        inside = holds(home, starts, 1)
        use[inside], node[inside] = KERNEL, number
    order = np.zeros(len(starts), np.int64)
    inside = holds(blocks[:, :2], starts, 1)
    at = np.searchsorted(blocks[:, 0], starts[inside], side="right") - 1
    use[inside], order[inside] = blocks[at, 2], blocks[at, 3]
    columns = np.column_stack([use, node, order, holds(zeros, starts, 1)])
    yield from _rows(snapshot, starts, columns, holds(covered, starts, 1))


def _rows(
    snapshot: Snapshot,
    starts: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    covered: npt.NDArray[np.bool_],
) -> Iterator[KnownPages]:
    """Give stretches that lie side by side, and are alike, as one."""
    turns = (columns[1:] != columns[:-1]).any(axis=1) | (covered[1:] != covered[:-1])
    first = np.flatnonzero(np.r_[np.ones(min(len(starts), 1), np.bool_), turns])
    ends = np.r_[starts[first[1:]], starts[-1:]]
    kernel = snapshot.machine.kernel
    classes = [makedumpfile_class(kernel, word) for word in WORDS]
    # Of these makedumpfile goes by whatever their struct pages say.
    unknown = NOT_ONLINE if leaves_unused_alone(snapshot.machine) else -1
    for row, end in zip(first.tolist(), ends.tolist(), strict=True):
        if not covered[row]:
            continue
        use, node, order, zero = columns[row].tolist()
        word, goes = WORDS[use], classes[use]
        levels = None if use == unknown else levels_of(goes, zero=bool(zero))
        at = int(starts[row])
        yield KnownPages(
            at, end, word, node if node >= 0 else None, order, bool(zero), goes, levels
        )


def levels_of(goes: str | None, *, zero: bool) -> int:
    """Give the dump levels that leave a page out, as a sum of ``1 << level``.

    Args:
        goes: The class by which makedumpfile leaves it out; None if it is none.
        zero: It is full of zeros.
    """
    asked = _ZERO_LEVEL if zero else 0
    if goes is not None:
        asked |= _ASKED.get(goes, 0)
    always = goes is not None and goes not in _ASKED
    return sum(1 << level for level in LEVELS if always or level & asked)


def _blocks(owners: Owners) -> npt.NDArray[np.int64]:
    """Give free blocks and user pages: rows (start, end, use, order), ascending; neighbours as one.

    A block's size is its order's, so that what many have together can be parted again.
    """
    rows = [np.zeros((0, 4), np.int64)]
    for by_order in (*owners.blocks.values(), *owners.cma_blocks.values()):
        for order, frames in by_order.items():
            together = join(frames, frames + (1 << order))
            alike = np.broadcast_to((FREE, order), (len(together), 2))
            rows.append(np.column_stack([together, alike]))
    used = [(run.start, run.end, int(run.use), run.order) for run in owners.runs]
    rows.append(np.array(used, np.int64).reshape(-1, 4))
    table = np.concatenate(rows)
    return np.asarray(table[np.argsort(table[:, 0], kind="stable")])


def _with_content(snapshot: Snapshot, progress: Progress) -> Intervals:
    """Give the pages that are not full of zeros."""
    page, seen = snapshot.machine.kernel.page_size, 0
    single: list[int] = []
    several = [np.zeros((0, 2), np.int64)]
    for start, end in snapshot.ranges:
        for phys, data in snapshot.contents(start, end):
            seen += len(data)
            progress("looking for pages of zeros", seen, None)
            first, lead = divmod(phys, page)
            if lead + len(data) <= page:
                if bytes(data).count(0) < len(data):
                    single.append(first)
                continue
            whole = bytes(lead) + bytes(data) + bytes(-(lead + len(data)) % page)
            words = np.frombuffer(whole, np.uint64).reshape(-1, page // _WORD_BYTES)
            several.append(runs_of(np.asarray(words.any(axis=1))) + first)
    alone = np.array(single, np.int64)
    pages = np.concatenate([*several, np.column_stack([alone, alone + 1])])
    return join(pages[:, 0], pages[:, 1])
