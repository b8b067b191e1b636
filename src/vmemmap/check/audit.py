"""The list judged against the rest of the dump: its own nodes, memory, the kernel, the sections.

The walk (``walk.py``) finds what ends a list, the table (``table.py``) what an entry cannot be by
itself. Here is what only shows beside something else. Every judgement is array work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.backing.table import BackingTable
from vmemmap.check.coverage import Coverage, Sections
from vmemmap.distinct import distinct
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, intersect, join, subtract, total, touched, touches
from vmemmap.mmzone.section_layout import IS_EARLY, IS_ONLINE
from vmemmap.source.base import PhysicalSource
from vmemmap.units import size_text

_FINDINGS_PER_CODE = 20
_PHYS_LIMIT = np.uint64(1 << 53)
_SUBSECTION_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class AuditContext:
    """What the list is judged by.

    Attributes:
        source: The dump.
        page_size: The kernel's page size in bytes.
        node_size: Bytes in a list node.
        base: Virtual address of the struct page of pfn 0.
        struct_page_size: Bytes in a struct page.
        sections: The memory with struct pages, or None where only the list could tell.
        image: Physical memory that is certainly the kernel's own, in bytes.
        leaves_removed: The kernel may leave the entries of removed memory in the list.
        complete: The walk came to the list's end.
        lost_table: Tells why no page table can be read for an address of the vmemmap; None where
            one can.
    """

    source: PhysicalSource
    page_size: int
    node_size: int
    base: int
    struct_page_size: int
    sections: Sections | None
    image: Intervals
    leaves_removed: bool
    complete: bool
    lost_table: Callable[[int], str | None] = lambda virt: None

    @property
    def dumped(self) -> Intervals:
        """The dump's memory ranges, in bytes."""
        return self.source.ranges().astype(np.int64).reshape(-1, 2)

    def state(self, *, device: bool) -> Intervals:
        """Give the memory that is a device's, or not in use (bytes), or all the other."""
        if self.sections is None:
            return np.empty((0, 2), dtype=np.int64)
        flags = self.sections.flags
        marks = bool((flags & IS_ONLINE).any())
        apart = (flags & (IS_ONLINE | IS_EARLY) == 0) & marks
        rows = self.sections.pfns[apart if device else ~apart]
        return join(rows[:, 0], rows[:, 1]) * self.page_size


def audit_list(table: BackingTable, context: AuditContext) -> Iterator[Finding]:
    """Judge the entries of the list against the rest of the dump."""
    if not len(table):
        return
    yield from _nodes(table, context)
    yield from _shared_blocks(table)
    yield from _blocks_in_memory(table, context)
    yield from _blocks_over_others(table, context)
    if context.sections is not None:
        yield from _without_section(table, context, context.sections)
    yield from _straddling(table, context)


def audit_coverage(
    table: BackingTable, coverage: Coverage, context: AuditContext
) -> Iterator[Finding]:
    """Judge the sections against what backs them."""
    sections = context.sections
    if sections is None:
        return
    partly, bare = _partly_backed(coverage.bare, context, sections)
    by = "entry in the list" if len(table) or table.block_size else "page table entry"
    for start, end in bare[:_FINDINGS_PER_CODE].tolist():
        virt = context.base + start * context.struct_page_size
        phys, end_phys = start * context.page_size, end * context.page_size
        what = f"memory {phys:#x} to {end_phys:#x} is present, and"
        lost = None if len(table) else context.lost_table(virt)
        if lost:
            message = f"{what} the way to its struct pages from {virt:#x} on is lost: {lost}"
            yield Finding("page_table_unreadable", Severity.ERROR, message, phys=phys, virt=virt)
        else:
            message = f"{what} no {by} covers its struct pages from {virt:#x} on"
            message += ": what they say is lost"
            yield Finding("section_without_entry", Severity.ERROR, message, phys=phys, virt=virt)
    if len(bare) > _FINDINGS_PER_CODE:
        yield Finding(
            "section_without_entry",
            Severity.ERROR,
            f"{len(bare) - _FINDINGS_PER_CODE} more stretches of memory have the same fault; "
            f"{total(bare)} pages in all",
        )
    if len(partly):
        yield Finding(
            "section_partly_backed",
            Severity.INFO,
            f"{total(partly)} pages of hot-added sections, from "
            f"{int(partly[0, 0]) * context.page_size:#x} on, have no struct pages: device memory "
            "can come in parts of 2 MiB",
            phys=int(partly[0, 0]) * context.page_size,
        )
    if len(coverage.on_device):
        first = int(coverage.on_device[0, 0]) * context.page_size
        yield Finding(
            "struct_pages_on_device",
            Severity.INFO,
            f"{total(coverage.on_device)} pages of device memory, from {first:#x} on, have their "
            "struct pages on the device itself (an altmap), which no dump contains: what they say "
            "cannot be read",
            phys=first,
        )
    yield from _not_in_dump(context, sections)


def _nodes(table: BackingTable, context: AuditContext) -> Iterator[Finding]:
    """Nodes are cut from whole pages, one behind the other."""
    into = table.node % np.uint64(context.page_size)
    yield from table.describe(
        "node_off_grid",
        Severity.ERROR,
        np.flatnonzero(into % np.uint64(context.node_size)),
        "lies between the places that nodes are cut at; it looks like a node and may be none",
    )
    order = np.argsort(table.node, kind="stable")
    near = np.diff(table.node[order]) < np.uint64(context.node_size)
    yield from table.describe(
        "node_overlap",
        Severity.ERROR,
        order[1:][near],
        "begins inside another node of the list; at most one of the two is real",
    )


def _shared_blocks(table: BackingTable) -> Iterator[Finding]:
    """A block backs one place of the vmemmap."""
    possible = table.usable | (table.phys < _PHYS_LIMIT) & (table.virt >= np.uint64(1 << 63))
    possible &= ~table.outdated
    rows = np.flatnonzero(possible)
    rows = rows[np.argsort(table.phys[rows], kind="stable")]
    apart = np.diff(table.phys[rows])
    for code, bad, words in (
        ("phys_duplicate", apart == 0, "has the block {phys:#x}, which another entry has too"),
        (
            "phys_overlap",
            (apart != 0) & (apart < np.uint64(max(table.block_size, 1))),
            "has the block {phys:#x}, which begins inside that of another entry",
        ),
    ):
        yield from table.describe(
            code,
            Severity.ERROR,
            np.sort(rows[1:][bad]),
            words + ": the struct pages of one of the two are not there",
        )


def _blocks_in_memory(table: BackingTable, context: AuditContext) -> Iterator[Finding]:
    rows = np.flatnonzero(table.usable)
    phys, size = table.phys[rows].astype(np.int64), max(table.block_size, 1)
    ranged = touches(context.dumped, phys, size)
    device = touches(context.state(device=True), phys, size) & ~ranged
    known = touches(context.state(device=False), phys, size) & ~ranged & ~device
    nowhere = ~(ranged | device | known)
    late = touches(_hot_added(context, context.sections), phys, size)
    # Where mem_section cannot be read, memory that the dump does not cover may still have been.
    certain = context.sections is not None
    yield from table.describe(
        "phys_outside_memory",
        Severity.ERROR if certain else Severity.WARNING,
        rows[nowhere],
        "says that the block is at {phys:#x}, where "
        + (
            "neither the dump nor mem_section has memory"
            if certain
            else "the dump has no memory (mem_section, which would tell more, cannot be used)"
        ),
    )
    yield from table.describe(
        "phys_in_device",
        Severity.INFO,
        rows[device],
        "has its block at {phys:#x}, in device memory or memory not in use: an altmap, which no "
        "dump contains",
    )
    yield from table.describe(
        "block_not_in_dump",
        Severity.WARNING,
        rows[known & late],
        "has its block at {phys:#x}, in memory that the kernel had and no range of the dump covers "
        "(hot-added after the capture kernel was loaded): its struct pages cannot be read",
    )
    yield from table.describe(
        "block_not_in_dump",
        Severity.WARNING,
        rows[known & ~late],
        "has its block at {phys:#x}, in memory that the kernel had from boot on and no range of "
        "the dump covers: its struct pages cannot be read",
    )
    wanted, first = _first_wanted(table, rows, context)
    absent = ranged & wanted & ~context.source.stored_many(first)
    yield from table.describe(
        "block_excluded",
        Severity.WARNING,
        rows[absent],
        "has its block at {phys:#x}, which the dump covers but does not contain: whoever wrote it "
        "left the block out, or the file is cut short",
    )


def _first_wanted(
    table: BackingTable, rows: NDArray[np.intp], context: AuditContext
) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Tell which blocks hold struct pages of memory that is present, and where these begin.

    A block can begin with some that describe a hole: nobody has written those, so that a dump tool
    may leave them out. Where it is not known which memory there is all of a block is wanted.
    """
    if context.sections is None:
        return np.ones(len(rows), dtype=np.bool_), table.phys[rows]
    virt = table.virt[rows]
    inside = (virt >= np.uint64(context.base)) & table.in_region[rows]
    offset = np.where(inside, virt - np.uint64(context.base), 0).astype(np.int64)
    described = context.sections.joined * context.struct_page_size
    starts = np.append(described[:, 0], 1 << 62)
    start = starts[np.searchsorted(described[:, 1], offset, side="right")]
    skipped = np.where(inside, np.maximum(start - offset, 0), 0)
    wanted = skipped < max(table.block_size, 1)
    return wanted, table.phys[rows] + np.where(wanted, skipped, 0).astype(np.uint64)


def _blocks_over_others(table: BackingTable, context: AuditContext) -> Iterator[Finding]:
    rows = np.flatnonzero(table.usable)
    phys, size = table.phys[rows].astype(np.int64), max(table.block_size, 1)
    shift = np.uint64(context.page_size.bit_length() - 1)
    page = distinct((table.node & np.uint64((1 << 60) - 1)) >> shift).astype(np.int64)
    pages = join(page, page + 1)
    yield from table.describe(
        "block_over_nodes",
        Severity.ERROR,
        rows[touches(pages * context.page_size, phys, size)],
        "says that the block is at {phys:#x}, where the list has its own nodes",
    )
    yield from table.describe(
        "block_over_kernel",
        Severity.ERROR,
        rows[touches(context.image, phys, size)],
        "says that the block is at {phys:#x}, where the kernel itself is",
    )


def _without_section(
    table: BackingTable, context: AuditContext, sections: Sections
) -> Iterator[Finding]:
    """Entries that describe memory the kernel does not have, or no longer."""
    inside = (table.virt >= np.uint64(context.base)) & table.in_region
    offset = np.where(inside, table.virt - np.uint64(context.base), 0).astype(np.int64)
    wanted = sections.joined * context.struct_page_size
    useless = inside & ~touches(wanted, offset, max(table.block_size, 1))
    stale = useless | table.outdated
    if not context.complete and stale[-1]:
        # A list that runs into freed nodes follows them to where the next would be cut.
        alive = np.flatnonzero(~stale)
        first = int(alive[-1]) + 1 if len(alive) else 0
        count = len(table) - first
        yield Finding(
            "stale_nodes",
            Severity.ERROR,
            f"node {int(table.node[first]):#x} and the {count - 1} behind it describe no memory "
            "that is present, and then the list ends in damage: it has run into freed nodes",
            node=int(table.node[first]),
            phys=int(table.phys[first]),
            virt=int(table.virt[first]),
        )
        useless[first:] = False
    yield from table.describe(
        "entry_without_section",
        Severity.INFO if context.leaves_removed else Severity.WARNING,
        np.flatnonzero(useless),
        "has virt_addr {virt:#x}, which describes no memory that is present"
        + (" (kernels before 3.17 leave the entries of removed memory)" * context.leaves_removed),
    )


def _straddling(table: BackingTable, context: AuditContext) -> Iterator[Finding]:
    size = context.struct_page_size
    if not table.block_size or table.block_size % size == 0:
        return
    usable = table.usable & (table.virt >= np.uint64(context.base))
    offset = table.virt[usable] - np.uint64(context.base)
    count = int(np.count_nonzero((offset + np.uint64(table.block_size)) % np.uint64(size)))
    yield Finding(
        "struct_page_straddles",
        Severity.INFO,
        f"{count} struct pages of {size} bytes lie across the end of their block: they are in two "
        "pieces, and a reader has to translate both",
    )


def _partly_backed(
    bare: Intervals, context: AuditContext, sections: Sections
) -> tuple[Intervals, Intervals]:
    """Tell what is bare rightly, parts of hot-added sections not in use, from what is not."""
    apart = context.state(device=True) // context.page_size
    parts = intersect(bare, apart)
    # All of a section bare is a loss; so is a piece that is no multiple of a sub-section.
    per, unit = sections.per_section, max(_SUBSECTION_BYTES // context.page_size, 1)
    whole = touched(intersect(subtract(apart, bare), apart), per) * per
    fits = intersect(parts, whole)
    fits = fits[(fits % unit == 0).all(axis=1)]
    return fits, subtract(bare, fits)


def _not_in_dump(context: AuditContext, sections: Sections) -> Iterator[Finding]:
    """Memory that came after the dump's headers were made."""
    missing = subtract(_hot_added(context, sections), context.dumped)
    if len(missing):
        yield Finding(
            "memory_not_in_dump",
            Severity.INFO,
            f"{size_text(total(missing))} of hot-added memory, from {int(missing[0, 0]):#x} on, "
            "are not in the dump: they came after the capture kernel was loaded",
            phys=int(missing[0, 0]),
        )


def _hot_added(context: AuditContext, sections: Sections | None) -> Intervals:
    """Give memory that came after the dump's headers were made, as far as the sections tell."""
    late = context.state(device=False)
    if sections is not None and (sections.flags & IS_EARLY).any():
        rows = sections.pfns[sections.flags & IS_EARLY == 0] * context.page_size
        return intersect(late, join(rows[:, 0], rows[:, 1]))
    end = int(context.dumped[-1:, 1].max(initial=0))
    if sections is not None:
        # Memory comes by whole sections: what a dump lacks of its last one was there at boot.
        section_bytes = sections.per_section * context.page_size
        end = -(-end // section_bytes) * section_bytes
    return intersect(late, np.array([[end, 1 << 62]], dtype=np.int64))
