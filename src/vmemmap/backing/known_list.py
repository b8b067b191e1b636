"""The list of an opened dump: walked, with what is rescued of it, and what is wrong with it.

It asks the facts, the address layout and the dump's memory; how a list is walked stands in
``walk.py``, what its entries back in ``table.py``, and how lost ones are found in ``rescue.py``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run
from vmemmap.backing.list_eras import list_empty_mmu_unknown, list_empty_on_hash, may_duplicate
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import EMPTY_WALK, Walk, walk_list
from vmemmap.errors import FactError, FactMissing
from vmemmap.established import established
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.mmu import HASH
from vmemmap.findings import Finding, Severity
from vmemmap.intervals import Intervals, join
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.mmzone.read_sections import read_section_table
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.evidence import LayoutEvidence
from vmemmap.translate.explained import ExplainedMemory
from vmemmap.translate.regions import AddressLayout

if TYPE_CHECKING:
    from vmemmap.backing.own_place import OwnPlaces
    from vmemmap.backing.rescue_search import Effort, Search

_MANY_NODES = 1 << 16
"""Nodes of a list that take megabytes of the dump, which are let go of when they have been read."""


class KnownList:
    """The list of one dump; everything is established when it is first asked for, and once.

    Args:
        kernel: Facts about the kernel.
        facts: Facts about the list and its blocks.
        evidence: Which MMU and which address layout.
        mem_section: The kernel's table of sections.
        source: The dump's physical memory.
        memory: The same, with errors that say why bytes are not there.
        rescue: Use what can be found of a damaged list.
        effort: How far to look for it, as a multiple of what is usual.
    """

    def __init__(
        self,
        kernel: KernelFacts,
        facts: BackingFacts,
        evidence: LayoutEvidence,
        mem_section: MemSection,
        source: PhysicalSource,
        memory: ExplainedMemory,
        *,
        rescue: bool,
        effort: int,
    ) -> None:
        self._kernel, self._facts, self._evidence = kernel, facts, evidence
        self._mem_section, self._source, self._memory = mem_section, source, memory
        self._rescue, self._effort = rescue, effort

    @established
    def walk(self) -> Walk:
        """What a walk of the list met."""
        if self._evidence.keeps_no_list:
            return EMPTY_WALK
        facts = self._facts
        try:
            head = facts.list_head.value
        except FactMissing as error:
            if not self._rescue or error.name != "vmemmap_list":
                raise
            unreadable = Finding("list_head_unreadable", Severity.ERROR, str(error))
            return replace(EMPTY_WALK, findings=(unreadable,))
        try:
            block_size = facts.block_size.value
        except FactError:
            if not self._rescue:
                raise
            block_size = self._page_size  # to judge doubtful nodes by; better is not known yet
        walk = walk_list(
            self._memory, head, facts.node_layout, page_size=self._page_size, block_size=block_size
        )
        if len(walk.node) > _MANY_NODES:
            self._source.trim()  # the nodes are not looked at again
        return walk

    @property
    def unread(self) -> str:
        """Why no list entry can be read, in words; empty where some can, or the list is empty."""
        if len(self.walk.node):
            return ""
        return next((f.message for f in self.walk.findings if f.severity is Severity.ERROR), "")

    @established
    def listed(self) -> BackingTable:
        """The list itself, without anything rescued."""
        table = self._table(self.walk)
        if not table.outdated.any() or (asking := self._own_places(table)) is None:
            return table
        places = asking.contested(table)
        return self._table(self.walk, places=places) if places.any() else table

    @established
    def misplaced(self) -> NDArray[np.uint64]:
        """For each entry of `listed` the place that its block names, if that is another, else 0.

        Of a long list some entries are asked; see `OwnPlaces.misplaced`.
        """
        table = self.listed
        try:
            base, size = self._evidence.vmemmap_base.value, self._kernel.struct_page_size.value
            initialised = read_section_table(self._mem_section, base).initialised * size
        except FactError:
            return table.places
        asking = self._own_places(table)
        if asking is None:
            return table.places
        rows, places = np.flatnonzero(table.usable), table.places.copy()
        places[rows] = asking.misplaced(table.phys[rows], table.virt[rows], initialised, base)
        return places

    def elsewhere(self) -> tuple[Finding, ...]:
        """Name the entries of which `misplaced` gives the place.

        Those of which it was known before are among the table's own findings.
        """
        known = self.backing.places[: len(self.listed)]
        return tuple(self.listed.elsewhere(np.where(known == 0, self.misplaced, 0)))

    @property
    def doubtful_pfns(self) -> Intervals:
        """The pages that entries describe whose block is not theirs, or may not be.

        It lies where no block can be, it says itself that it is another's, or two entries have it.
        """
        table, nothing = self.listed, np.empty((0, 2), dtype=np.int64)
        usable = self.backing.usable[: len(table)]
        start, end = table.pfn_start, table.pfn_end
        if start is None or end is None or not usable.any():
            return nothing
        doubtful = self.misplaced != 0
        with suppress(FactError):
            search, sound = self._search()
            rows = np.flatnonzero(sound)
            rows = rows[np.argsort(table.phys[rows], kind="stable")]
            near = np.flatnonzero(np.diff(table.phys[rows]) < np.uint64(table.block_size))
            doubtful |= ~search.fits(table.phys, table.virt)
            doubtful[rows[near]] = doubtful[rows[near + 1]] = True
        doubtful &= usable
        if not doubtful.any():
            return nothing
        return join(start[doubtful].astype(np.int64), end[doubtful].astype(np.int64))

    def _search(self) -> tuple[Search, NDArray[np.bool_]]:
        """Give the search for what the list lacks, and which entries are sound; a FactError."""
        from vmemmap.backing.rescue import start_search

        region = self._evidence.layout.vmemmap
        return start_search(
            *(self._mem_section, self._source, self.listed, self.misplaced),
            *(self._evidence.vmemmap_base.value, Run(region.start, region.end)),
            self.listed.block_size,
        )

    def _own_places(self, table: BackingTable) -> OwnPlaces | None:
        """Give what asks blocks for their place; None where it is not known how."""
        from vmemmap.backing.own_place import OwnPlaces

        region = self._evidence.region
        if region is None or not table.block_size:
            return None
        order = self._facts.node_layout.order
        return OwnPlaces(self._source, order, region, table.block_size)

    @established
    def backing(self) -> BackingTable:
        """The list, and what was rescued of it, where that was asked for."""
        if not self._rescue:
            return self.listed
        from vmemmap.backing.rescue import rescue_list

        try:
            if not self._keeps_list:
                return self._not_rescued("on radix the kernel keeps no list", Severity.INFO)
            region = self._evidence.layout.vmemmap
            found = rescue_list(
                *(self._mem_section, self._source, self.listed, self.walk, self.misplaced),
                *(self._evidence.vmemmap_base.value, Run(region.start, region.end)),
                *(self._block_size, self._search_effort),
            )
        except FactError as error:  # what is not known enough to find anything
            return self._not_rescued(str(error), Severity.WARNING)
        return self._table(found.walk, found.how, found.distrusted, found.places)

    def _not_rescued(self, why: str, severity: Severity) -> BackingTable:
        """Give the list as it is, with a finding that says why nothing was looked for."""
        finding = Finding("rescue_not_run", severity, f"nothing was looked for to rescue: {why}")
        return self._table(replace(self.walk, findings=(*self.walk.findings, finding)))

    @established
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the list, by itself and against what else the dump says."""
        found = self.backing.findings
        if self.walk.findings or len(self.walk.node):
            return found
        try:
            mmu = self._evidence.mmu
            return (list_empty_on_hash(mmu.detail), *found) if mmu.value == HASH else found
        except FactError as error:
            return (list_empty_mmu_unknown(str(error)), *found)

    def count_rescued(self, layout: AddressLayout) -> int:
        """Count the blocks that a search finds if the kernel has this layout, and no list."""
        from vmemmap.backing.rescue import count_lost

        region = Run(layout.vmemmap.start, layout.vmemmap.end)
        return count_lost(self._mem_section, self._source, self._facts, region, self._search_effort)

    @property
    def _search_effort(self) -> Effort:
        from vmemmap.backing.rescue_search import DEFAULT_EFFORT

        return DEFAULT_EFFORT.times(self._effort)

    def _table(
        self,
        walk: Walk,
        how: NDArray[np.uint8] | None = None,
        distrusted: NDArray[np.bool_] | None = None,
        places: NDArray[np.uint64] | None = None,
    ) -> BackingTable:
        try:
            struct_page_size = self._kernel.struct_page_size.value
        except FactError:
            struct_page_size = None  # the list stands without it; only pfns cannot be given
        return BackingTable(
            walk,
            block_size=0 if self._evidence.keeps_no_list else self._block_size,
            region=self._evidence.region,
            struct_page_size=struct_page_size,
            node_size=self._facts.node_layout.size,
            page_size=self._page_size,
            duplicates_legal=may_duplicate(self._kernel.parsed_release),
            how=how,
            distrusted=distrusted,
            places=places,
        )

    @established
    def _block_size(self) -> int:
        try:
            return self._facts.block_size.value
        except FactError:
            size = self._inferred_block_size() if self._rescue else None
            if size is None:
                raise
            return size

    def _inferred_block_size(self) -> int | None:
        """Take the block size from the list's addresses, or from nodes found in the dump."""
        from vmemmap.backing.rescue_nodes import guess_block_size, infer_block_size

        if len(self.walk.node):
            return infer_block_size(self.walk.phys, self.walk.virt)
        region = self._evidence.region
        if region is None:
            return None
        return guess_block_size(self._source, self._facts.node_layout, self._page_size, region)

    @property
    def _keeps_list(self) -> bool:
        """The kernel has a list, or should have one."""
        try:
            return len(self.walk.node) > 0 or self._evidence.mmu.value == HASH
        except FactError:
            return True

    @property
    def _page_size(self) -> int:
        return self._kernel.page_size.value
