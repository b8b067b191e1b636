"""What ``vmemmap pages`` writes: all struct pages, a row a page; see ``as_arrow.py`` for the file.

There is no JSON form of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from vmemmap.pages.kinds import Kind
from vmemmap.pages.records import SCAN_FIELDS
from vmemmap.report.as_arrow import write_pages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vmemmap.vmcore import Vmcore

_NO_ANSWER = (Kind.DAMAGED, Kind.UNKNOWN, Kind.UNDECIDED)


def write(core: Vmcore, file: BinaryIO, chosen: Sequence[str], *, arrow: bool) -> tuple[int, int]:
    """Write the struct pages of a dump to a file, with the facts about the kernel beside them.

    Args:
        core: The dump.
        file: The file to fill, open for writing.
        chosen: The columns, some of `SCAN_FIELDS`; they keep the order that they have there.
        arrow: Write Arrow's own format, not Parquet.

    Returns:
        How many rows there are, and how many of them are damaged, unknown or undecided; that is 0
        where the kinds were not asked for.

    Raises:
        OutputError: pyarrow is missing, or there are no pages.
        OSError: The file cannot be written.
    """
    fields = tuple(name for name in SCAN_FIELDS if name in chosen)
    bad = 0

    def counted() -> Iterator[NDArray[np.void]]:
        nonlocal bad
        for chunk in core.pages.scan(fields):
            if "kind" in fields:
                bad += int(np.isin(chunk["kind"], _NO_ANSWER).sum())
            yield chunk

    facts = {name: fact.shown for name, fact in core.facts.items() if name != "vmcoreinfo"}
    rows = write_pages(file, counted(), facts, arrow=arrow)
    return rows, bad
