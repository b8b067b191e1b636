"""How large a filtered dump would be, from a sample of the pages that stay.

Every so many pages that stay one is looked at, and compressed; the pages between them are taken to
be like them. The sample is the same every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.filter.contents import Contents
from vmemmap.filter.decision import Decision
from vmemmap.intervals import join
from vmemmap.write.compress import compressor
from vmemmap.write.kdump import CONTENT, ZERO
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.page_bits import PageBits

_SAMPLE_BYTES = 128 << 20
_SAMPLE_PAGES_MIN = 4096
_AT_ONCE_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would come of filtering a dump. Counts are of pages.

    Attributes:
        level: The dump level.
        codec: How pages would be compressed.
        page_size: Size of a page in bytes.
        pages: Pages of the dump's memory.
        kept: Pages that stay.
        gone: Pages that go, by class.
        absent: Pages that would stay, but that the dump does not have.
        unclassified: Pages that stay because nothing tells what they are, by the reason.
        sampled: Pages that were looked at.
        zero: How many of those that stay are full of zeros, by the sample.
        size_bytes: The size of the output, by the sample.
        error_bytes: It is off by less than this, 19 times of 20; 0 if all pages were looked at.
        warnings: What kept the decision from being made as it should, a line each.
    """

    level: int
    codec: str
    page_size: int
    pages: int
    kept: int
    gone: dict[str, int]
    absent: int
    unclassified: dict[str, int]
    sampled: int
    zero: int
    size_bytes: int
    error_bytes: int
    warnings: tuple[str, ...]


def estimate(
    decision: Decision, contents: Contents, header: KdumpHeader, gone: dict[str, int]
) -> Estimate:
    """Estimate the output of a decision.

    Args:
        decision: What stays.
        contents: The dump's pages, in the codec that is wanted.
        header: The header that the output would have.
        gone: Pages that go, by class.
    """
    kept = decision.kept.count()
    sample = max(_SAMPLE_BYTES // header.page_size, _SAMPLE_PAGES_MIN)
    pfns = _every_so_many(decision.kept, kept, sample)
    sizes = _sizes(contents, pfns, header.codec)
    looked_at = max(len(sizes), 1)
    mean = float(sizes.mean()) if len(sizes) else 0.0
    spread = float(sizes.std()) / looked_at**0.5 if len(sizes) < kept else 0.0
    zero = int(np.count_nonzero(sizes == 0)) * kept // looked_at
    size = header.data_at(kept) + round(mean * kept)
    return Estimate(
        level=decision.level,
        codec=header.codec,
        page_size=header.page_size,
        pages=decision.pages,
        kept=kept,
        gone=gone,
        absent=decision.absent,
        unclassified=dict(decision.unclassified),
        sampled=len(sizes),
        zero=zero,
        size_bytes=size + (header.page_size if zero else 0),
        error_bytes=round(2 * spread * kept),
        warnings=tuple(decision.warnings),
    )


def _every_so_many(kept: PageBits, total: int, sample: int) -> NDArray[np.int64]:
    """Give about so many pages, evenly spread."""
    step = max(total / sample, 1.0)
    ranks = np.unique((np.arange(min(sample, total)) * step + step / 2).astype(np.int64))
    ranks = ranks[ranks < total] if step > 1 else np.arange(total)
    found, before = [np.empty(0, dtype=np.int64)], 0
    for intervals in kept.intervals():
        lengths = intervals[:, 1] - intervals[:, 0]
        ends = before + np.cumsum(lengths)
        here = ranks[(ranks >= before) & (ranks < ends[-1])]
        row = np.searchsorted(ends, here, side="right")
        found.append(intervals[row, 1] - (ends[row] - here))
        before = int(ends[-1])
    return np.concatenate(found)


def _sizes(contents: Contents, pfns: NDArray[np.int64], codec: str) -> NDArray[np.int64]:
    """Give how many bytes each page would take: 0 for those of zeros, and those not to be had."""
    size = contents.page_size
    compress = None if codec == "none" else compressor(codec, size)
    at_once = _AT_ONCE_BYTES // size
    out = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(pfns), at_once):
        some = pfns[first : first + at_once]
        for batch in contents.load(join(some, some + 1)):
            stored = np.where(batch.form >= 0, batch.size, 0)
            rows = np.flatnonzero(batch.form == CONTENT)
            rows = rows[~contents.find_zero(batch.data, batch.offset[rows])]
            stored[rows] = size
            if len(rows) and compress is not None:
                stored[rows] = compress(batch.data, batch.offset[rows])[1]
            stored[batch.form == ZERO] = 0
            out.append(stored)
    return np.concatenate(out)
