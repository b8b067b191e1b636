"""Puts the search for lost entries to work: what is wanted, where to look, and the table after it.

The searches themselves are in ``backing/rescue_nodes.py`` (nodes) and ``backing/rescue_blocks.py``,
what they are given and give in ``backing/rescue_search.py``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run
from vmemmap.backing.rescue_blocks import find_blocks
from vmemmap.backing.rescue_nodes import find_nodes, guess_block_size
from vmemmap.backing.rescue_search import DEFAULT_EFFORT, Effort, Found, Search
from vmemmap.backing.table import FROM_NODE_PAGE, FROM_STRUCT_PAGES, BackingTable
from vmemmap.backing.walk import EMPTY_WALK, Walk
from vmemmap.distinct import distinct
from vmemmap.errors import FactError
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, join, subtract
from vmemmap.linear_map import linear_phys, linear_phys_many
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.mmzone.read_sections import read_section_table
from vmemmap.source.base import PhysicalSource

_IMAGE_SYMBOLS = (
    *("_stext", "swapper_pg_dir", "init_uts_ns", "vmemmap_list", "mmu_psize_defs"),
    *("mmu_vmemmap_psize", "node_data", "node_online_map", "mem_section"),
)
_TEXT_AT_LEAST = 1 << 20
"""No kernel that can make a dump has less text."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """A list with what was found of its lost part.

    Attributes:
        walk: The walk's entries, then those found, and the findings of both.
        how: For each entry how it was found (uint8); see `BackingTable.how`.
        distrusted: For each, whether its block lies where no memory is, so that it is not used.
        places: For each the place that its block names, if that is another, else 0.
    """

    walk: Walk
    how: NDArray[np.uint8]
    distrusted: NDArray[np.bool_]
    places: NDArray[np.uint64]


def start_search(
    mem_section: MemSection,
    source: PhysicalSource,
    table: BackingTable,
    places: NDArray[np.uint64],
    base: int,
    region: Run,
    block_size: int,
    effort: Effort = DEFAULT_EFFORT,
) -> tuple[Search, NDArray[np.bool_]]:
    """Work out what the list ought to have and has not; arguments as for `rescue_list`.

    Returns:
        The search, and which of the table's own entries are sound.

    Raises:
        FactError: The size of struct page or of the kernel's pages is not known.
    """
    kernel = mem_section.kernel
    size, page_size = kernel.struct_page_size.value, kernel.page_size.value
    ranges = source.ranges().astype(np.int64).reshape(-1, 2)
    present = initialised = np.array([[0, (region.end - base) // size]], dtype=np.int64)
    memory = join(ranges[:, 0], ranges[:, 1])
    with suppress(FactError):
        sections = read_section_table(mem_section, base)
        in_table = join(sections.first_pfn, sections.end_pfn)
        known = np.concatenate([ranges, in_table * page_size])
        memory = join(known[:, 0], known[:, 1])
        if not any(finding.severity is Severity.ERROR for finding in sections.findings):
            present = in_table  # of a damaged table what is lost may be wanted as well
            initialised = sections.initialised
    nodes, _ = linear_phys_many(table.node)
    pages = distinct(nodes // np.uint64(page_size)).astype(np.int64)
    own_pages = np.column_stack([pages, pages + 1]) * page_size
    for taken in (join(own_pages[:, 0], own_pages[:, 1]), kernel_image(kernel)):
        memory = subtract(memory, taken)
    search = Search(
        source=source,
        layout=BackingFacts(kernel).node_layout,
        page_size=page_size,
        block_size=block_size,
        region=region,
        base=base,
        wanted=present * size,
        initialised=initialised * size,
        memory=memory,
        taken=table.phys[:0],
        effort=effort,
    )
    own = table.usable & ~table.rescued
    sound = own & search.fits(table.phys, table.virt)
    sound[sound] = search.is_wanted(table.virt[sound])
    sound &= places == 0
    start = np.sort((table.virt[sound] - np.uint64(base)).astype(np.int64))
    have = np.column_stack([start, start + block_size])
    wanted = subtract(search.wanted, have)
    return replace(search, wanted=wanted, taken=table.phys[sound]), sound


def kernel_image(kernel: KernelFacts) -> Intervals:
    """Give memory that is certainly the kernel's own, in bytes: its variables and first text.

    Not all from the first symbol to the last: what only the boot needed lies in between, and is
    given to the page allocator after it. Nor the pages around: a block can be smaller than a page.
    """
    found = {name: kernel.optional_symbol(name) for name in _IMAGE_SYMBOLS}
    places = [(linear_phys(virt), name) for name, virt in found.items() if virt]
    rows = [
        (phys, phys + (_TEXT_AT_LEAST if name == "_stext" else 8))
        for phys, name in places
        if phys is not None
    ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return join(table[:, 0], table[:, 1])


def rescue_list(
    mem_section: MemSection,
    source: PhysicalSource,
    table: BackingTable,
    walk: Walk,
    places: NDArray[np.uint64],
    base: int,
    region: Run,
    block_size: int,
    effort: Effort = DEFAULT_EFFORT,
) -> Rescued:
    """Find what the list has lost.

    Args:
        mem_section: The kernel's table of sections, and facts about the kernel.
        source: The dump.
        table: The list as it was walked.
        walk: The walk that gave it.
        places: For each entry the place that its block names, if that is another, else 0.
        base: Virtual address of the struct page of pfn 0.
        region: The vmemmap.
        block_size: Bytes in a block.
        effort: When to end; the same effort finds the same on every machine.

    Raises:
        FactError: As for `start_search`.
    """
    search, sound = start_search(
        *(mem_section, source, table, places, base, region, block_size, effort)
    )
    nothing = walk.node[:0]
    nodes = blocks = Found(nothing, nothing, nothing)
    if len(search.wanted):
        nodes = search.in_place(find_nodes(search, table.node[sound]), table.node[places != 0])
        taken = np.concatenate([search.taken, nodes.phys])
        search = replace(search, wanted=search.without(nodes), taken=taken)
        if len(search.wanted):
            blocks = find_blocks(search)
    wrong = table.usable & ~search.fits(table.phys, table.virt)
    lengths = (len(walk.node), len(nodes.node), len(blocks.node))
    return Rescued(
        Walk(
            np.concatenate([walk.node, nodes.node, blocks.node]),
            np.concatenate([walk.phys, nodes.phys, blocks.phys]),
            np.concatenate([walk.virt, nodes.virt, blocks.virt]),
            (*walk.findings, *_findings(nodes, blocks)),
        ),
        np.repeat(np.array([0, FROM_NODE_PAGE, FROM_STRUCT_PAGES], np.uint8), lengths),
        np.concatenate([wrong, np.zeros(lengths[1] + lengths[2], np.bool_)]),
        np.concatenate([places, np.zeros(lengths[1] + lengths[2], np.uint64)]),
    )


def count_lost(
    mem_section: MemSection,
    source: PhysicalSource,
    facts: BackingFacts,
    region: Run,
    effort: Effort,
) -> int:
    """Count the blocks that a search finds for a vmemmap in a region, where there is no list.

    Args:
        mem_section: The kernel's table of sections.
        source: The dump.
        facts: What is known of the list, which may lack the size of a block.
        region: Where the vmemmap would lie.
        effort: How far to look.

    Raises:
        FactError: As for `start_search`.
    """
    kernel, node = mem_section.kernel, facts.node_layout
    page_size = kernel.page_size.value
    try:
        block_size = facts.block_size.value
    except FactError:
        block_size = guess_block_size(source, node, page_size, region) or 0
    if not block_size:
        return 0
    table = BackingTable(
        EMPTY_WALK,
        block_size=block_size,
        region=region,
        struct_page_size=kernel.struct_page_size.value,
        node_size=node.size,
        page_size=page_size,
        duplicates_legal=False,
    )
    found = rescue_list(
        *(mem_section, source, table, EMPTY_WALK, table.places),
        *(region.start, region, block_size, effort),
    )
    return len(found.walk.node)


def _findings(nodes: Found, blocks: Found) -> list[Finding]:
    out = []
    if len(nodes.node) or len(blocks.node):
        out.append(
            Finding(
                "rescued",
                Severity.INFO,
                f"{len(nodes.node) + len(blocks.node)} entries that the list does not reach were "
                f"found in the dump and are used: {len(nodes.node)} in pages of nodes, "
                f"{len(blocks.node)} by the struct pages themselves",
            )
        )
    unseen = (*nodes.unseen, *blocks.unseen)
    if unseen:
        out.append(
            Finding(
                "rescue_limited",
                Severity.WARNING,
                f"the search for lost entries was ended at its limit: {'; '.join(unseen)}; there "
                "may be more",
            )
        )
    return out
