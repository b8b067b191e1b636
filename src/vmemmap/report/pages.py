"""What ``vmemmap pages`` writes: all struct pages or some of them, a row a page.

``as_arrow.py`` and ``page_lines.py`` know the files. There is no record of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from vmemmap.pages.kinds import Kind
from vmemmap.pages.records import SCAN_FIELDS, ScanField
from vmemmap.report.as_arrow import write_pages
from vmemmap.report.page_lines import write_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vmemmap.vmcore import Vmcore

_NO_ANSWER = [kind.value for kind in (Kind.DAMAGED, Kind.UNKNOWN, Kind.UNDECIDED)]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which pages to write; empty members leave none out.

    Attributes:
        kinds: Only these.
        nodes: Only those of these NUMA nodes.
        pfns: Only those from the first to before the second.
    """

    kinds: frozenset[Kind] = frozenset()
    nodes: frozenset[int] = frozenset()
    pfns: tuple[int, int] | None = None

    @property
    def needs(self) -> set[ScanField]:
        """The columns that it is told by."""
        told: dict[ScanField, object] = {
            "kind": self.kinds,
            "node": self.nodes,
            "pfn": self.pfns,
        }
        return {field for field, wanted in told.items() if wanted}

    def of(self, chunk: NDArray[np.void]) -> NDArray[np.void]:
        """Give those rows of a chunk that are wanted."""
        wanted = np.ones(len(chunk), dtype=np.bool_)
        if self.kinds:
            wanted &= np.isin(chunk["kind"], [kind.value for kind in self.kinds])
        if self.nodes:
            wanted &= np.isin(chunk["node"], sorted(self.nodes))
        if self.pfns:
            first, end = self.pfns
            wanted &= (chunk["pfn"] >= np.uint64(first)) & (chunk["pfn"] < np.uint64(end))
        return chunk if wanted.all() else chunk[wanted]


def write(
    core: Vmcore,
    file: BinaryIO,
    chosen: Sequence[str],
    *,
    form: str,
    choice: Choice,
    stream: bool = False,
) -> tuple[int, int]:
    """Write struct pages of a dump to a file; tables have the facts about the kernel beside them.

    Args:
        core: The dump.
        file: The file to fill, open for writing.
        chosen: The columns, some of `SCAN_FIELDS`; they keep the order that they have there.
        form: ``parquet``, ``arrow``, ``csv`` or ``jsonl``.
        choice: Which pages.
        stream: Write Arrow's stream, not its file.

    Returns:
        How many rows there are, and how many of them are damaged, unknown or undecided; that is 0
        where the kinds were not asked for.

    Raises:
        OutputError: pyarrow is missing, or there are no pages.
        OSError: The file cannot be written.
    """
    names = tuple(name for name in SCAN_FIELDS if name in chosen)
    read = tuple(name for name in SCAN_FIELDS if name in chosen or name in choice.needs)
    bad = 0

    def counted(keep: Sequence[str]) -> Iterator[NDArray[np.void]]:
        nonlocal bad
        for scanned in core.pages.scan(read):
            chunk = choice.of(scanned)
            if "kind" in read:
                bad += int(np.isin(chunk["kind"], _NO_ANSWER).sum())
            yield chunk if len(keep) == len(read) else chunk[list(keep)]

    if form in ("csv", "jsonl"):
        return write_lines(file, counted(read), names, form), bad
    facts = {name: fact.shown for name, fact in core.facts.items() if name != "vmcoreinfo"}
    rows = write_pages(file, counted(names), facts, arrow=form == "arrow", stream=stream)
    return rows, bad
