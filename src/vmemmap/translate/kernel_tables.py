"""The kernel's page tables in an opened dump: their format, their root, and what they do not map.

How a table is walked stands in ``page_tables/walk.py``, how a format is chosen in
``page_tables/choice.py``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run
from vmemmap.errors import NotBacked
from vmemmap.established import established
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.mmu import RADIX
from vmemmap.memory import CLOSED
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.evidence import LayoutEvidence
from vmemmap.translate.explained import ExplainedMemory
from vmemmap.translate.page_tables.choice import TableEvidence, settle_format
from vmemmap.translate.page_tables.table_format import Format
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.translate.runs import NoRuns, TableRuns, VmemmapRuns
from vmemmap.translate.vmalloc_areas import KnownAreas


class TableClues(Protocol):
    """What else of the dump tells of its tables; each is established only when it is asked for."""

    @property
    def list_unread(self) -> str:
        """Why no list entry can be read, in words; empty where some can, or the list is empty."""
        ...

    @property
    def ram(self) -> NDArray[np.uint64]:
        """Where the kernel's memory lies, as `TableEvidence` wants it."""
        ...

    @property
    def areas(self) -> KnownAreas:
        """Addresses that the kernel itself says it has mapped."""
        ...


class KernelTables:
    """The page tables of one dump.

    Args:
        kernel: Facts about the kernel.
        evidence: Which MMU and which address layout.
        source: The dump's physical memory.
        memory: The same, with errors that say why bytes are not there.
        clues: What else of the dump tells of them.
        given: The user's word about their format, or None.
    """

    def __init__(
        self,
        kernel: KernelFacts,
        evidence: LayoutEvidence,
        source: PhysicalSource,
        memory: ExplainedMemory,
        clues: TableClues,
        given: Fact[str] | None,
    ) -> None:
        self._kernel, self._evidence = kernel, evidence
        self._source, self._memory = source, memory
        self._clues, self._given = clues, given

    def close(self) -> None:
        """Let go of the clues: a closed dump gives none any more."""
        self._clues = CLOSED

    @established
    def format(self) -> tuple[Format, Fact[str]]:
        """The format of the kernel's page tables, and the fact ``page_table``."""
        kernel, evidence = self._kernel, self._evidence
        return settle_format(
            self._given,
            mmu=evidence.mmu.value,
            page_size=kernel.page_size.value,
            release=kernel.parsed_release,
            evidence=lambda: TableEvidence(
                memory=self._source,
                root=kernel.root_table_phys,
                order=kernel.order,
                layout=evidence.layout,
                ram=self._clues.ram,
                areas=self._clues.areas,
            ),
        )

    def at(self, root_phys: int) -> PageTable:
        """Give the page tables whose root is at a physical address."""
        table_format, fact = self.format
        doubts = {Origin.ASSUMED: "which is assumed", Origin.USER: "which was given"}
        return PageTable(
            self._memory,
            root_phys,
            table_format,
            self._kernel.order,
            moves=self._source.moves,
            doubt=doubts.get(fact.origin, ""),
        )

    def of(self, virt: int) -> PageTable:
        """Give the page tables that may map a kernel virtual address.

        Raises:
            NotBacked: None does: it lies in the vmemmap of the hash MMU.
            FactError: Nothing tells MMU, layout or format.
        """
        if virt in self._only_in_list:
            what = self._clues.list_unread or "vmemmap_list is empty"
            raise NotBacked(
                f"cannot translate {virt:#x}: {what}; on the hash MMU the list is the only record "
                "of the vmemmap",
                virt=virt,
                below=None,
                above=None,
            )
        return self._own

    @property
    def vmemmap(self) -> VmemmapRuns:
        """What they map of the vmemmap."""
        try:
            tables = self.of(self._evidence.vmemmap_base.value)
        except NotBacked:
            return NoRuns()
        return TableRuns(tables, self._kernel.page_size.value)

    @established
    def _only_in_list(self) -> Run:
        """The addresses that no page table maps: the vmemmap of the hash MMU."""
        region = self._evidence.layout.vmemmap
        on_radix = self._evidence.mmu.value == RADIX
        return Run(0, 0) if on_radix else Run(region.start, region.end)

    @established
    def _own(self) -> PageTable:
        return self.at(self._kernel.root_table_phys)
