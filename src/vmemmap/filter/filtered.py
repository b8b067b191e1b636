"""The dump that is filtered, as far as its filter has to know it."""

from __future__ import annotations

from typing import Protocol

from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.obtain import Obtained
from vmemmap.intervals import Intervals
from vmemmap.pages.model import PageModel
from vmemmap.source.base import PhysicalSource


class FilteredDump(Protocol):
    """The layers of a dump; each is established when it is asked for, and may raise a FactError."""

    source: PhysicalSource

    @property
    def vmcoreinfo(self) -> Obtained:
        """The text of VMCOREINFO."""
        ...

    @property
    def kernel(self) -> KernelFacts:
        """Facts about the kernel."""
        ...

    @property
    def pages(self) -> PageModel:
        """The struct pages."""
        ...

    @property
    def doubtful_pfns(self) -> Intervals:
        """The pages that entries of the list describe whose block is not theirs, or may not be."""
        ...

    @property
    def is_sound(self) -> bool:
        """Whether the list is without damage, by all that can be held against it."""
        ...
