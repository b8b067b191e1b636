"""Which pages two dumps of the same moment have, and whether they are the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap import Vmcore
from vmemmap.pages.kept import decided
from vmemmap.source.base import PhysicalSource

PIECE_BYTES = 4 << 20

Pfns = NDArray[np.int64]


def stored(source: PhysicalSource, page_size: int) -> Pfns:
    """Give the pages that a dump has, as sorted pfns; a page counts with its first byte."""
    found = [np.empty(0, dtype=np.int64)]
    for low, high in source.ranges().tolist():
        pfns = np.arange(-(-low // page_size), -(-high // page_size), dtype=np.int64)
        found.append(pfns[source.present_many((pfns * page_size).astype(np.uint64))])
    return np.unique(np.concatenate(found))


def runs(pfns: Pfns, most: int) -> Iterator[tuple[int, int]]:
    """Yield runs of consecutive pfns, half-open, none longer than *most*."""
    if not len(pfns):
        return
    breaks = np.flatnonzero(np.diff(pfns) != 1) + 1
    starts, ends = np.r_[0, breaks], np.r_[breaks, len(pfns)]
    for start, end in zip(pfns[starts].tolist(), (pfns[ends - 1] + 1).tolist(), strict=True):
        for low in range(start, end, most):
            yield low, min(low + most, end)


def first_difference(one: Vmcore, other: Vmcore, pfns: Pfns, page_size: int) -> int | None:
    """Compare pages byte by byte; give the first physical address that differs, or None."""
    mine, theirs = (np.empty(PIECE_BYTES, dtype=np.uint8) for _ in range(2))
    for start, end in runs(pfns, PIECE_BYTES // page_size):
        size = (end - start) * page_size
        one.source.read_into(start * page_size, mine[:size])
        other.source.read_into(start * page_size, theirs[:size])
        if not np.array_equal(mine[:size], theirs[:size]):
            return start * page_size + int(np.argmax(mine[:size] != theirs[:size]))
    return None


def zero_pages(core: Vmcore, pfns: Pfns, page_size: int) -> Pfns:
    """Give those of the pages that are full of zeros."""
    found = [np.empty(0, dtype=np.int64)]
    piece = np.empty(PIECE_BYTES, dtype=np.uint8)
    for start, end in runs(pfns, PIECE_BYTES // page_size):
        data = piece[: (end - start) * page_size]
        core.source.read_into(start * page_size, data)
        empty = ~data.view(np.uint64).reshape(end - start, -1).any(axis=1)
        found.append(start + np.flatnonzero(empty))
    return np.concatenate(found)


def left_out(core: Vmcore, level: int) -> Pfns:
    """Give the pages that makedumpfile would leave out of a dump by what we say of each."""
    found = [np.empty(0, dtype=np.int64)]
    for stretch in decided(core.pages, core.page_model.exclusions, level):
        found += [np.arange(first, end, dtype=np.int64) for first, end, _ in stretch.gone.tolist()]
    return np.unique(np.concatenate(found))


def first_tails(core: Vmcore, pfns: Pfns) -> Pfns:
    """Give those of the pages that are the first after the head of a compound."""
    heads = {
        info.pfn + 1: info
        for info in (core.pages[int(pfn) - 1] for pfn in pfns)
        if "head" in info.flags
    }
    return np.array(sorted(set(heads) & set(pfns.tolist())), dtype=np.int64)
