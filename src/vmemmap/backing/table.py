"""The backing list as a table: what the walk met, judged entry by entry, with numpy columns.

Damaged entries stay in the columns, as crash and makedumpfile would show them, but are named in the
findings and left out of translation. What shows only beside the rest of the dump: ``audit.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index as operator_index
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Phys, Run, Virt, shown_in_hex
from vmemmap.backing.walk import Walk
from vmemmap.distinct import distinct, is_among, repeats
from vmemmap.findings import Finding, Severity
from vmemmap.frames import Tabular
from vmemmap.shown import ShortTable
from vmemmap.translate.lookup import BlockTable
from vmemmap.units import count_text, size_text

FROM_LIST, FROM_NODE_PAGE, FROM_STRUCT_PAGES = 0, 1, 2
"""How an entry was found; see `BackingTable.how`."""
RESCUED = {FROM_NODE_PAGE: "node_page", FROM_STRUCT_PAGES: "struct_pages"}
"""The same for entries that are not from the list, as programs see it."""

_COLUMNS = ("#", "node", "virt", "phys", "pfns")
_FINDINGS_PER_CODE = 20
_PHYS_BITS_MAX = 53
"""The widest physical address that a page table entry of any ppc64 kernel can hold."""
_IMPOSSIBLE_BITS = (1 << 64) - (1 << _PHYS_BITS_MAX)


@dataclass(frozen=True, slots=True)
class Entry:
    """One list entry: a block of struct pages.

    Attributes:
        node: Virtual address of the ``struct vmemmap_backing``.
        phys: Physical start of the block (bytes).
        virt: vmemmap address that the block backs.
        size_bytes: Size of the block.
        pfn_start: First pfn whose struct page begins in the block; None if SIZE(page) is unknown,
            or the block is outside the vmemmap region.
        pfn_end: The pfn after the last such.
        rescued: None for an entry of the list; else how it was found: ``node_page`` (a node that
            the list does not reach) or ``struct_pages`` (the block alone; *node* is 0).
    """

    node: Virt
    phys: Phys
    virt: Virt
    size_bytes: int
    pfn_start: int | None
    pfn_end: int | None
    rescued: str | None = None

    def __repr__(self) -> str:
        return shown_in_hex(self, ("node", "phys", "virt"))


def _place(index: int, length: int) -> int:
    """Take the place of an entry.

    Raises:
        TypeError: It is no number.
        IndexError: There is none; says how many there are.
    """
    try:
        place = operator_index(index)
    except TypeError:
        raise TypeError(f"expected the place of an entry or a slice, found {index!r}") from None
    if not -length <= place < length:
        raise IndexError(f"there is no entry {place}: the list has {count_text(length, 'entry')}")
    return place


class BackingTable(Sequence[Entry], Tabular):
    """vmemmap_list, head (newest) first.

    Args:
        walk: What the walk met.
        block_size: Bytes in one block; a power of two. 0 for the empty list of a kernel that keeps
            none and so has no block size.
        region: Where the vmemmap lies, or None if no layout could be chosen.
        struct_page_size: SIZE(page) in bytes, or None if it is unknown.
        node_size: Bytes in one node.
        page_size: The kernel's page size (bytes).
        duplicates_legal: The kernel may have two entries for one place.
        how: For each entry how it was found, 0 in the list (`FROM_LIST`); None where all were.
        distrusted: For each, whether it must not be used; None for none.
        places: For each the vmemmap address to which its block says that it belongs, if that is not
            its virt_addr, else 0; None where no block has been asked. Such are not used.

    Attributes:
        node: Virtual addresses of the nodes, uint64 in native byte order.
        phys: Physical starts of the blocks (bytes), likewise.
        virt: vmemmap addresses of the blocks, likewise.
        block_size: As given.
        findings: What is wrong with the list; empty for a sound one.
        usable: For each entry, whether translation uses it.
        how: For each, how it was found, uint8.
        outdated: For each, whether a newer entry has its virt_addr.
        places: As given; 0 for all where no block has been asked.
        rescued: For each, whether it is not from the list but was found in the rest of the dump.
    """

    def __init__(
        self,
        walk: Walk,
        *,
        block_size: int,
        region: Run | None,
        struct_page_size: int | None,
        node_size: int,
        page_size: int,
        duplicates_legal: bool = True,
        how: NDArray[np.uint8] | None = None,
        distrusted: NDArray[np.bool_] | None = None,
        places: NDArray[np.uint64] | None = None,
    ) -> None:
        self.node, self.phys, self.virt = walk.node, walk.phys, walk.virt
        for column in (self.node, self.phys, self.virt):
            column.setflags(write=False)
        self.block_size = block_size
        self._region = region
        self._struct_page_size = struct_page_size
        self._node_size = node_size
        self._page_size = page_size
        self._duplicates_legal = duplicates_legal
        self.outdated = np.zeros(len(self.node), dtype=np.bool_)
        self.how = np.zeros(len(self.node), dtype=np.uint8) if how is None else how
        self.rescued = self.how != FROM_LIST
        self._distrusted = distrusted
        self.places = np.zeros(len(self.node), dtype=np.uint64) if places is None else places
        self.usable, judged = self._judge()
        self.usable.setflags(write=False)
        self.findings: tuple[Finding, ...] = (*walk.findings, *judged)

    def __getstate__(self) -> dict[str, object]:
        """Give what pickle and copy take; the views into the columns are made anew."""
        return {name: value for name, value in vars(self).items() if name != "blocks"}

    def __len__(self) -> int:
        return len(self.node)

    def __repr__(self) -> str:
        """Give the first entries and the last, and how many there are."""
        bad = f", {count_text(len(self.findings), 'finding')}" if self.findings else ""
        title = (
            f"BackingTable: {count_text(len(self), 'entry')}, blocks of "
            f"{size_text(self.block_size)}, {size_text(self.size_bytes)}{bad}"
        )
        return ShortTable(title, _COLUMNS, len(self), self._shown_row).as_text()

    def _repr_html_(self) -> str:
        """The same for a notebook, and the order of the list drawn."""
        title = f"{count_text(len(self), 'entry')}, blocks of {size_text(self.block_size)}"
        table = ShortTable(title, _COLUMNS, len(self), self._shown_row).as_html()
        if self._region is None or not len(self):
            return table
        from vmemmap.backing.order_picture import draw_order  # which no other question needs

        return table + draw_order(self, self._region.start).drawing

    def _shown_row(self, index: int) -> tuple[str, ...]:
        entry = self[index]
        pfns = "unknown" if entry.pfn_start is None else f"{entry.pfn_start} - {entry.pfn_end}"
        return (str(index), *map(hex, (entry.node, entry.virt, entry.phys)), pfns)

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Give the columns of a table, a row an entry; none where there are no pfns."""
        start, end = self.pfn_start, self.pfn_end
        unknown = np.zeros(len(self), dtype=np.uint64)
        outside = ~self.in_region if start is not None else np.ones(len(self), dtype=np.bool_)
        return {
            "node": self.node,
            "virt": self.virt,
            "phys": self.phys,
            "pfn_start": np.ma.MaskedArray(unknown if start is None else start, outside),
            "pfn_end": np.ma.MaskedArray(unknown if end is None else end, outside),
            "usable": self.usable,
            "rescued": self.rescued,
        }

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = _place(index, len(self))
        pfns = self._pfns if self.in_region[index] else None
        return Entry(
            Virt(int(self.node[index])),
            Phys(int(self.phys[index])),
            Virt(int(self.virt[index])),
            self.block_size,
            int(pfns[0][index]) if pfns else None,
            int(pfns[1][index]) if pfns else None,
            RESCUED.get(int(self.how[index])),
        )

    def __iter__(self) -> Iterator[Entry]:
        return (self[i] for i in range(len(self)))

    @property
    def pfn_start(self) -> NDArray[np.uint64] | None:
        """First pfn whose struct page begins in each block, or None if SIZE(page) is unknown.

        A block outside the vmemmap region holds none that can be told: there both pfns are 0.
        """
        return self._pfns[0] if self._pfns else None

    @property
    def pfn_end(self) -> NDArray[np.uint64] | None:
        """The pfn after the last one whose struct page begins in each block, or None."""
        return self._pfns[1] if self._pfns else None

    @property
    def size_bytes(self) -> int:
        """Bytes in all blocks together."""
        return len(self) * self.block_size

    @cached_property
    def blocks(self) -> BlockTable:
        """The usable entries, for translation; their rows are places in the list."""
        rows = np.flatnonzero(self.usable)
        size = self.block_size or self._page_size
        return BlockTable(self.virt[rows], self.phys[rows], size, rows)

    def entry_at(self, virt: int) -> int | None:
        """Give the place in the list of the usable entry that backs a vmemmap address, or None."""
        hit = self.blocks.find(virt)
        return None if hit is None else hit.row

    @cached_property
    def node_pages(self) -> int:
        """How many pages hold the listed nodes."""
        return len(distinct(self.node[~self.rescued] // np.uint64(self._page_size)))

    @property
    def unused_slots(self) -> int:
        """Slots of those pages that hold no listed node: never used, or freed."""
        listed = len(self) - int(np.count_nonzero(self.rescued))
        return self.node_pages * (self._page_size // self._node_size) - listed

    @cached_property
    def _pfns(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
        if self._struct_page_size is None or self._region is None:
            return None
        # With 56-byte struct pages one can straddle two blocks; it counts where it begins.
        into = np.where(self.in_region, self.virt - np.uint64(self._region.start), np.uint64(0))
        size = np.uint64(self._struct_page_size)
        block = np.uint64(self.block_size)
        start = (into + size - np.uint64(1)) // size
        end = (into + block + size - np.uint64(1)) // size
        end = np.where(self.in_region, end, start)
        start.setflags(write=False)
        end.setflags(write=False)
        return start, end

    @cached_property
    def in_region(self) -> NDArray[np.bool_]:
        """For each entry, whether its virt_addr lies in the vmemmap region."""
        if self._region is None:
            return np.zeros(len(self), dtype=np.bool_)
        start, end = np.uint64(self._region.start), np.uint64(self._region.end)
        return (self.virt >= start) & (self.virt < end)

    @property
    def _bounds(self) -> str:
        """The region as part of a message's template."""
        return f", {self._region.start:#x} to {self._region.end:#x}" if self._region else ""

    def _judge(self) -> tuple[NDArray[np.bool_], list[Finding]]:
        """Find the entries that cannot be what they claim."""
        inside_block = max(self.block_size, 1) - 1
        findings: list[Finding] = []
        usable = np.ones(len(self), dtype=np.bool_)
        if self._distrusted is not None:
            usable &= ~self._distrusted
        tests = (
            (
                "virt_misaligned",
                _with_any_bit(self.virt, inside_block),
                "virt_addr {virt:#x} is no multiple of the block size {block:#x}",
            ),
            (
                "virt_outside_region",
                ~self.in_region & (self._region is not None),
                "virt_addr {virt:#x} lies outside the vmemmap region" + self._bounds,
            ),
            (
                "phys_misaligned",
                _with_any_bit(self.phys, inside_block),
                "phys {phys:#x} is no multiple of the block size {block:#x}",
            ),
            (
                "phys_impossible",
                _with_any_bit(self.phys, _IMPOSSIBLE_BITS),
                "phys {phys:#x} is beyond any physical address of a ppc64 machine",
            ),
        )
        for code, bad, words in tests:
            rows = np.flatnonzero(bad)
            usable[rows] = False
            findings += self.describe(
                code, Severity.ERROR, rows, words + "; translation leaves it out"
            )
        usable[self.places != 0] = False
        findings += self.elsewhere(self.places)
        findings += self._duplicates(usable)
        return usable, findings

    def elsewhere(self, places: NDArray[np.uint64]) -> list[Finding]:
        """Name the entries whose block says that it belongs to another place.

        Args:
            places: For each entry that place; 0 for those of which nothing is to be said.
        """
        return self.describe(
            "block_elsewhere",
            Severity.ERROR,
            np.flatnonzero(places),
            "has the block {phys:#x} for virt_addr {virt:#x}, but the struct pages in it say that "
            "they belong to {place:#x}: one of the two was overwritten",
            places,
        )

    def _duplicates(self, usable: NDArray[np.bool_]) -> list[Finding]:
        """Name the entries whose virt_addr a newer entry has too, and make them unusable."""
        # Of a million entries each array counts. Mostly all can be used, and none comes twice.
        again = repeats(self.virt if usable.all() else self.virt[usable])
        older = np.flatnonzero(usable)[again] if again.any() else np.empty(0, dtype=np.intp)
        usable[older] = False
        self.outdated[older] = True
        found = self.describe(
            "virt_duplicate",
            Severity.INFO if self._duplicates_legal else Severity.WARNING,
            older,
            "virt_addr {virt:#x} is in a newer entry too, which is used"
            + " (this kernel may make a second one when memory is added)" * self._duplicates_legal,
        )
        elsewhere = np.flatnonzero(self.places)
        if not len(elsewhere):
            return found
        return found + self.describe(
            "virt_duplicate",
            Severity.WARNING,
            elsewhere[is_among(self.virt[elsewhere], self.virt[usable & ~self.rescued])],
            "virt_addr {virt:#x} is in an older entry too, which has the block for it and is used",
        )

    def describe(
        self,
        code: str,
        severity: Severity,
        rows: NDArray[np.intp],
        words: str,
        places: NDArray[np.uint64] | None = None,
    ) -> list[Finding]:
        """Make a finding for each of the first rows, and one for all the others.

        Args:
            code: The finding's code.
            severity: How bad it is.
            rows: The entries, by their place in the list.
            words: The message, where ``{phys}``, ``{virt}`` and ``{block}`` can be filled in, and
                ``{place}`` where *places* has one for each entry.
            places: Places of all entries.
        """
        out = []
        for row in rows[:_FINDINGS_PER_CODE].tolist():
            node, phys, virt = int(self.node[row]), int(self.phys[row]), int(self.virt[row])
            place = 0 if places is None else int(places[row])
            text = words.format(phys=phys, virt=virt, block=self.block_size, place=place)
            where = f"node {node:#x}" if node else f"block {phys:#x}"
            out.append(Finding(code, severity, f"{where}: {text}", node or None, phys, virt))
        if len(rows) > _FINDINGS_PER_CODE:
            more = len(rows) - _FINDINGS_PER_CODE
            out.append(Finding(code, severity, f"{more} more entries have the same fault"))
        return out


def _with_any_bit(values: NDArray[np.uint64], bits: int) -> NDArray[np.bool_]:
    """Tell which values have any of some bits; where none has, no copy of them is made."""
    if not int(np.bitwise_or.reduce(values)) & bits:
        return np.zeros(len(values), dtype=np.bool_)
    return np.asarray((values & np.uint64(bits)) != 0)
