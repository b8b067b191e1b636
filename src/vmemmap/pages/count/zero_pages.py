"""Pages filled with zeros, which makedumpfile leaves out at odd dump levels: found by reading them.

Only pages that stay at the level otherwise are looked at, as makedumpfile does. That reads nearly
all of the dump.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.intervals import Intervals, groups, total
from vmemmap.pages.array import PageArray
from vmemmap.pages.exclusions import Exclusions
from vmemmap.pages.kept import decided
from vmemmap.pages.zero_filled import zero_pages
from vmemmap.source.base import PhysicalSource

_DECODED_BYTES = 4 << 20
"""So much is decoded at once: it is in the processor's cache when it is looked at."""
_FILE_BYTES = 64 << 20
"""So much is looked at together where the file has it as it is, and it is read bit by bit."""


def count_zero_pages(
    source: PhysicalSource, pages: PageArray, exclusions: Exclusions, level: int
) -> int | None:
    """Count the pages full of zeros among those that a dump level leaves otherwise.

    Args:
        source: The dump's physical memory.
        pages: The struct pages.
        exclusions: What makedumpfile would decide.
        level: A dump level, 0 to 31.

    Returns:
        How many; None if some that stay are not in the dump, so that it cannot be known.
    """
    zero, at_once = 0, (_FILE_BYTES if source.gives_file else _DECODED_BYTES) // pages.page_size
    for stretch in decided(pages, exclusions, level):
        for part in groups(stretch.kept, at_once):
            found = _zero_among(source, part, pages.page_size)
            if found is None:
                return None
            zero += found
            source.trim()
    return zero


def _zero_among(source: PhysicalSource, kept: Intervals, page_size: int) -> int | None:
    """Count the zero pages among those of some intervals; None if one is unreadable."""
    start, size = kept[:, 0] * page_size, (kept[:, 1] - kept[:, 0]) * page_size
    found = source.locate(np.column_stack([start, start, size]))
    if int(found.spans[:, 1].sum()) != total(kept) * page_size:
        return None
    is_zero: NDArray[np.bool_] = zero_pages(found, page_size)
    return int(np.count_nonzero(is_zero))
