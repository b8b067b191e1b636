"""What a check asks of a dump; `vmemmap.dump.Dump` has it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import Walk
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.kernel import KernelFacts
from vmemmap.findings import Finding
from vmemmap.formats.extract_note import ExtractNote
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.pages.model import PageModel
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.evidence import LayoutEvidence
from vmemmap.translate.runs import VmemmapRuns


class CheckedDump(Protocol):
    """What is checked: the layers of a dump; each may raise a FactError."""

    source: PhysicalSource

    @property
    def extract_note(self) -> ExtractNote | None:
        """What it says of itself if it is an extract."""
        ...

    @property
    def kernel(self) -> KernelFacts:
        """Facts about the kernel."""
        ...

    @property
    def list_facts(self) -> BackingFacts:
        """Facts about the list and its blocks."""
        ...

    @property
    def evidence(self) -> LayoutEvidence:
        """Which MMU and which address layout."""
        ...

    @property
    def mem_section(self) -> MemSection:
        """The kernel's table of sections."""
        ...

    @property
    def walk(self) -> Walk:
        """What a walk of the list met."""
        ...

    @property
    def listed(self) -> BackingTable:
        """The list."""
        ...

    @property
    def misplaced(self) -> NDArray[np.uint64]:
        """For each entry of `listed` the place that its block names, if that is another, else 0."""
        ...

    def elsewhere(self) -> tuple[Finding, ...]:
        """Name the entries whose block says that it belongs to another place, as far as asked."""
        ...

    @property
    def backing(self) -> BackingTable:
        """The list with what was rescued of it, where that was asked for."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is known to be wrong with it by itself."""
        ...

    @property
    def region(self) -> Run | None:
        """The vmemmap, or None where it is not known."""
        ...

    @property
    def vmemmap_tables(self) -> VmemmapRuns:
        """What the page tables map of the vmemmap."""
        ...

    @property
    def pages(self) -> PageModel:
        """Sections, nodes and zones."""
        ...

    def runs_of(self, table: BackingTable) -> VmemmapRuns:
        """Give what a list's entries map."""
        ...
