"""Struct pages that describe only pages which are left out: their own pages need not stay either.

A page of the vmemmap holds the struct pages of page_size / sizeof(struct page) pages; with 64 KiB
pages those of 64 MiB of memory. By example, with four struct pages in a page::

    pfn                   0  1  2  3    4  5  6  7    8  9 10 11
    stays                 x  .  .  x    .  .  .  .    .  x  .  .
    vmemmap page          0x7f0         0x7f1         0x7f2
    goes                                x

makedumpfile has this on x86-64 only (-e).
"""

from __future__ import annotations

import numpy as np

from vmemmap.intervals import Intervals, join, numbers, subtract, touches
from vmemmap.pages.struct_pages import StructPages
from vmemmap.write.page_bits import CHUNK_PAGES, PageBits


def without_spare(
    struct_pages: StructPages, kept: PageBits, page_size: int
) -> tuple[PageBits, Intervals]:
    """Give the pages that stay if struct pages that nobody needs go, and which those are.

    Args:
        struct_pages: Where they are; the list has to be sound.
        kept: The pages that stay; left as it is.
        page_size: The kernel's page size in bytes.
    """
    spare = _spare(struct_pages, kept, page_size)
    return PageBits.of(kept.pages, (subtract(part, spare) for part in kept.intervals())), spare


def _spare(struct_pages: StructPages, kept: PageBits, page_size: int) -> Intervals:
    """Give the pages that hold only struct pages of pages that go."""
    size, sections = struct_pages.size, struct_pages.sections
    described = -(-page_size // size) + (1 if page_size % size else 0)
    found: list[Intervals] = [np.empty((0, 2), dtype=np.int64)]
    for first, end in join(sections.first_pfn, sections.end_pfn).tolist():
        # Struct pages of so many pages fill whole pages, whatever the size of either.
        for start in range(first // CHUNK_PAGES * CHUNK_PAGES, end, CHUNK_PAGES):
            low, high = max(first, start), min(end, start + CHUNK_PAGES)
            here = [np.empty((0, 2), dtype=np.int64)]
            here += kept.intervals(max(low - described, 0), high + described)
            stays = np.concatenate(here)
            begin, stop = low * size // page_size, -(-high * size // page_size)
            rows = struct_pages.places(begin * page_size, stop * page_size) // page_size
            place, pfn, count = rows.T
            at = numbers(np.column_stack([place, place + count])) * page_size
            starts, ends = at // size, -(-(at + page_size) // size)
            pfns = numbers(np.column_stack([pfn, pfn + count]))
            free = pfns[~touches(stays, starts, ends - starts)]
            found.append(join(free, free + 1))
    rows = np.concatenate(found)
    return join(rows[:, 0], rows[:, 1])
