"""Whether what was written reads back as what was read: every page that was kept, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vmemmap.errors import PageExcluded, ReadError, UnwritableFile
from vmemmap.intervals import groups
from vmemmap.progress import Progress
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source
from vmemmap.write.page_bits import PageBits

_AT_ONCE_BYTES = 16 << 20


def verify(
    source: PhysicalSource,
    paths: Sequence[str],
    kept: PageBits,
    spans: Sequence[tuple[int, int]],
    page_size: int,
    progress: Progress,
    *,
    zero_left_out: bool = False,
) -> None:
    """Compare a dump with what was written of it.

    A page that cannot be read on either side is as it should be; one that the input has in part is
    compared as far as the input has it.

    Args:
        source: The dump.
        paths: What was written.
        kept: The pages that it should have.
        spans: The pfns for which each file is.
        page_size: The size of a page in bytes.
        progress: Told how far it has come, in pages.
        zero_left_out: Pages full of zeros need not be there.

    Raises:
        UnwritableFile: A page differs; carries the first path.
        DumpError: It cannot even be opened.
    """
    copy = open_source(*paths)
    total = sum(kept.count(*span) for span in spans)
    done = 0
    try:
        for span in spans:
            for intervals in kept.intervals(*span):
                for group in groups(intervals, _AT_ONCE_BYTES // page_size):
                    for start, end in group.tolist():
                        _compare(source, copy, start, end, page_size, paths[0], zero_left_out)
                        done += end - start
                    progress("verifying", done, total)
                    source.trim()
                    copy.trim()
    finally:
        copy.close()


def _compare(
    source: PhysicalSource,
    copy: PhysicalSource,
    start: int,
    end: int,
    page_size: int,
    path: str,
    zero_left_out: bool,
) -> None:
    """Compare pages in a row: all at once, and one by one where that does not do."""
    both = [np.empty((end - start) * page_size, dtype=np.uint8) for _ in range(2)]
    try:
        for one, buffer in zip((source, copy), both, strict=True):
            one.read_into(start * page_size, buffer)
        if np.array_equal(both[0], both[1]):
            return
    except ReadError:
        pass
    for pfn in range(start, end):
        phys = pfn * page_size
        if len(source.cut_off_runs(phys, phys + page_size)):
            continue  # the rest of it cannot be read
        for first, stop in source.present_runs(phys, phys + page_size).tolist():
            try:
                expected = source.read(first, stop - first)
            except ReadError:
                continue
            try:
                found = copy.read(first, stop - first)
            except ReadError as error:
                is_zero = expected.count(0) == len(expected)
                if zero_left_out and is_zero and isinstance(error, PageExcluded):
                    continue
                raise UnwritableFile(f"does not read back: {error}", path=path) from error
            if found != expected:
                raise UnwritableFile(
                    f"does not read back: the page at {phys:#x} has other bytes", path=path
                )
