"""Which MMU and which address layout a kernel had, from all that its dump says about them.

The list's own addresses are the strongest evidence there is, and they have to agree with what
VMCOREINFO says. They are asked for only where they are needed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run
from vmemmap.errors import FactConflict, FactError, FactMissing, ReadError, UnsupportedDump
from vmemmap.established import established
from vmemmap.facts.assumptions import Assumptions
from vmemmap.facts.backing import BackingFacts
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.mmu import HASH, RADIX, decide_mmu, radix_from_vmcoreinfo
from vmemmap.memory import CLOSED
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.translate.regions import (
    BOOK3E,
    BY_SYMBOL,
    DEFAULT_RADIX_LAYOUT,
    LAYOUTS,
    AddressLayout,
    LayoutChoice,
    find_layout,
    find_layout_of_areas,
    mmus_of,
)
from vmemmap.translate.vmalloc_areas import KnownAreas

_NONE = np.empty(0, dtype=np.uint64)


class LayoutClues(Protocol):
    """What else of the dump speaks for a layout; each is established only when it is asked for."""

    @property
    def list_virts(self) -> NDArray[np.uint64]:
        """The virt_addr of every list entry, by walking the list."""
        ...

    @property
    def list_unread(self) -> str:
        """Why no list entry can be read, in words; empty where some can, or the list is empty."""
        ...

    def count_rescued(self, layout: AddressLayout) -> int:
        """Count the blocks that a search of the dump finds if the kernel has this layout."""
        ...

    @property
    def areas(self) -> KnownAreas:
        """Where the kernel says that its vmalloc and I/O areas begin."""
        ...

    @property
    def mem_section(self) -> MemSection:
        """The kernel's table of sections, which knows where the struct page of pfn 0 would be."""
        ...


class LayoutEvidence:
    """Decides on MMU, layout and base, each as a fact with its origin.

    Args:
        kernel: Facts about the kernel.
        list_facts: Facts about its list.
        clues: What else of the dump speaks for a layout.
        path: The dump, for errors.
        assume: What the user says.
        rescue: Go by mem_section where all else fails.
    """

    def __init__(
        self,
        kernel: KernelFacts,
        list_facts: BackingFacts,
        clues: LayoutClues,
        path: str = "",
        assume: Assumptions | None = None,
        *,
        rescue: bool = False,
    ) -> None:
        self._kernel = kernel
        self._list_facts = list_facts
        self._clues = clues
        self._path = path
        self._assume = assume or Assumptions()
        self._rescue = rescue

    def close(self) -> None:
        """Let go of the clues: a closed dump gives none any more."""
        self._clues = CLOSED

    @established
    def keeps_no_list(self) -> bool:
        """The list is empty on radix; mmu_vmemmap_psize then means nothing."""
        # Since Linux commit 368a0590d954 (in v6.6) radix has its own vmemmap_populate(), which maps
        # the vmemmap in page tables and keeps no list.
        try:
            if self._list_facts.list_head.value:
                return False
            return self._decide_mmu(None, None).value == RADIX
        except FactError:
            return False

    @established
    def mmu(self) -> Fact[str]:
        """``hash`` or ``radix``, with the evidence.

        Raises:
            FactError: Nothing in the dump decides.
        """
        if (
            "mmu" in self._assume.values
            or radix_from_vmcoreinfo(self._kernel.vmcoreinfo) is not None
        ):
            return self._decide_mmu(None, None)  # the list need not be walked
        choice = self._choice
        try:
            has_list = choice is not None and len(self._clues.list_virts) > 0
        except FactError:
            has_list = False  # something else has told the layout
        block_size = self._list_facts.block_size.value if has_list else None
        return self._decide_mmu(choice.layout if choice else None, block_size)

    @property
    def layout(self) -> AddressLayout:
        """How the kernel divides its address space.

        Raises:
            FactError: Nothing in the dump decides, or two things in it disagree.
            UnsupportedDump: It is the layout of an embedded (Book3E) kernel.
        """
        choice = self._choice
        if choice is None and self.mmu.value == RADIX:
            return DEFAULT_RADIX_LAYOUT
        if choice is None:
            raise FactMissing(
                f"the kernel's address space layout cannot be told: {self._why_untold()}",
                name="layout",
            )
        return choice.layout

    @property
    def region(self) -> Run | None:
        """Where the vmemmap lies, or None if no layout could be chosen."""
        try:
            vmemmap = self.layout.vmemmap
        except FactError:
            return None
        return Run(vmemmap.start, vmemmap.end)

    def _why_untold(self) -> str:
        """Say why nothing tells the layout; advice only where an assumption brings more."""
        no_symbol = "VMCOREINFO has no SYMBOL(vmemmap)"
        unread = self._clues.list_unread
        if unread and self._rescue:
            return f"{unread}; {no_symbol}, and --rescue found no block of struct pages either"
        if unread:
            return (
                f"{unread}; {no_symbol}; --rescue, in the commands that have it, may find some of "
                "the struct pages in what is there"
            )
        names = ", ".join(row.name for row in self._possible)
        return (
            f"no list entry lies in a known vmemmap region and {no_symbol}; if you know it, name "
            f"it with --assume layout=NAME (one of {names})"
        )

    @property
    def _possible(self) -> list[AddressLayout]:
        """The layouts that kernels with this page size have, and with this MMU if it is known."""
        radix = radix_from_vmcoreinfo(self._kernel.vmcoreinfo)
        mmus = {HASH, RADIX} if radix is None else {RADIX if radix else HASH}
        size = self._page_size
        return [row for row in LAYOUTS if size in row.page_sizes and mmus & mmus_of(row, size)]

    @property
    def layout_fact(self) -> Fact[str]:
        """The layout's name, and how it was chosen."""
        given = self._assume.given("layout")
        if given is not None:
            return given
        choice, layout = self._choice, self.layout
        if choice is None:
            reason = "the only one that radix kernels without a list have"
            return Fact("layout", layout.name, Origin.ASSUMED, reason)
        by_symbol = choice.reason == BY_SYMBOL
        origin = Origin.VMCOREINFO if by_symbol else Origin.DERIVED
        return Fact("layout", layout.name, origin, choice.reason)

    @established
    def vmemmap_base(self) -> Fact[int]:
        """Virtual address of the struct page of pfn 0, whether or not it is backed."""
        symbol = self._kernel.optional_symbol("vmemmap")
        base = self.layout.vmemmap.start
        if symbol == base:
            return Fact("vmemmap_base", base, Origin.VMCOREINFO, "SYMBOL(vmemmap)", True)
        if symbol is not None:
            raise FactConflict(
                f"VMCOREINFO has SYMBOL(vmemmap)={symbol:x}, but the list's addresses lie in a "
                f"vmemmap that begins at {base:#x}",
                name="vmemmap_base",
            )
        layout = self.layout_fact
        return Fact("vmemmap_base", base, layout.origin, f"of layout {layout.value}", True)

    def _decide_mmu(self, layout: AddressLayout | None, block_size: int | None) -> Fact[str]:
        given = self._assume.given("mmu")
        return given or decide_mmu(
            radix_number=radix_from_vmcoreinfo(self._kernel.vmcoreinfo),
            layout_name=layout.name if layout else None,
            layout_mmus=mmus_of(layout, self._page_size) if layout else frozenset(),
            block_size=block_size,
            read_root_entry=self._kernel.read_root_entry,
        )

    @established
    def _choice(self) -> LayoutChoice | None:
        """The layout and the reason in words; None where nothing decides."""
        given = self._assume.given("layout")
        if given is not None:
            layout = next(row for row in LAYOUTS if row.name == given.value)
            return LayoutChoice(layout, given.detail)
        symbol = self._kernel.optional_symbol("vmemmap")
        radix = radix_from_vmcoreinfo(self._kernel.vmcoreinfo)
        try:
            virts = self._clues.list_virts
        except FactError:
            if symbol is None:
                by_other = self._choose_by_areas() or self._choose_by_sections(radix)
                if by_other is None:
                    raise
                return by_other
            virts = _NONE  # the symbol may tell alone
        size = self._page_size
        by_list = find_layout(size, virts, vmemmap_symbol=None, radix=None)
        any_mmu = by_list
        if symbol is not None:
            any_mmu = find_layout(size, virts, vmemmap_symbol=symbol, radix=None)
        if any_mmu is not None and any_mmu.layout.mmus == BOOK3E:
            raise UnsupportedDump(
                "this dump is of an embedded (Book3E) kernel, whose address space is not handled; "
                "expected a server (Book3S) kernel",
                path=self._path,
            )
        choice = any_mmu
        if radix is not None:
            choice = find_layout(size, virts, vmemmap_symbol=symbol, radix=radix)
        if by_list is not None and (choice is None or choice.layout is not by_list.layout):
            key = "SYMBOL(vmemmap)" if choice and symbol is not None else "NUMBER(RADIX_MMU)"
            raise FactConflict(
                f"the list's addresses lie in the layout {by_list.layout.name} ({by_list.reason}), "
                f"which does not go with {key} in VMCOREINFO",
                name="layout",
            )
        return choice or self._choose_by_sections(radix) or self._choose_by_rescue()

    def _choose_by_sections(self, radix: bool | None) -> LayoutChoice | None:
        """Choose by mem_section, for want of a list on what may be the hash MMU."""
        if radix or not self._rescue:
            return None
        try:
            base = self._clues.mem_section.map_base()
        except (FactError, ReadError):
            return None
        found = find_layout(
            self._page_size, np.array([base], dtype=np.uint64), vmemmap_symbol=None, radix=radix
        )
        if found is None or found.layout.vmemmap.start != base:
            return None
        return LayoutChoice(found.layout, f"mem_section has the struct page of pfn 0 at {base:#x}")

    def _choose_by_rescue(self) -> LayoutChoice | None:
        """Choose by what a search of the dump finds, where no entry of the list can be read."""
        if not self._rescue or not self._clues.list_unread:
            return None
        counts = [(self._clues.count_rescued(row), row) for row in self._possible]
        most = max(count for count, _ in counts)
        # As in find_layout(): of two that lie one in the other, the inner one.
        near = [(count, row) for count, row in counts if most and 2 * count >= most]
        near.sort(key=lambda found: found[1].vmemmap.start)
        for (_, outer), (_, inner) in pairwise(near):
            if inner.vmemmap.end > outer.vmemmap.end:
                return None  # two that have nothing to do with each other
        if not near:
            return None
        count, row = near[-1]
        return LayoutChoice(row, f"--rescue found {count} blocks of struct pages that lie in it")

    def _choose_by_areas(self) -> LayoutChoice | None:
        """Choose by where vmalloc lies, as on a kernel that does not export its list."""
        areas = self._clues.areas
        starts = np.array(areas.starts, dtype=np.uint64)
        return find_layout_of_areas(self._page_size, starts, areas.source)

    @property
    def _page_size(self) -> int:
        return self._kernel.page_size.value
