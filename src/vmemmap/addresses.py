"""What addresses mean in one dump: translated to memory and back, read, and the page that has one.

How each region is translated stands in ``translate/``, the list in ``backing/``; here they meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import Phys, Run, Virt
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import EMPTY_WALK
from vmemmap.errors import FactError, ReadError, TranslateError
from vmemmap.established import established
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.mmu import RADIX
from vmemmap.findings import Severity
from vmemmap.linear_map import LINEAR_SPAN, PAGE_OFFSET, linear_phys, linear_virt
from vmemmap.memory import CLOSED
from vmemmap.source.base import PhysicalSource
from vmemmap.translate.address_space import AddressSpace
from vmemmap.translate.evidence import LayoutEvidence
from vmemmap.translate.explained import ExplainedMemory
from vmemmap.translate.kernel_tables import KernelTables
from vmemmap.translate.lookup import BlockTable
from vmemmap.translate.regions import CERTAIN_LINEAR
from vmemmap.translate.result import Translation, translation

if TYPE_CHECKING:
    # These are loaded when they are first asked for: vtop does without the pages.
    from vmemmap.pages.model import PageModel
    from vmemmap.pages.page import PageInfo

_CERTAIN_END = CERTAIN_LINEAR.end
_MAY_BE_DEVICE = (Absence.HOT_ADDED, Absence.RESERVED)
"""What memory that the dump's headers do not know may be said to be before devices are marked."""


class AddressedDump(Protocol):
    """What is asked of a dump; `vmemmap.dump.Dump` has it. Each may raise a FactError."""

    source: PhysicalSource

    @property
    def memory(self) -> ExplainedMemory:
        """Physical memory, with errors that say why bytes are not there."""
        ...

    @property
    def kernel(self) -> KernelFacts:
        """Facts about the kernel."""
        ...

    @property
    def evidence(self) -> LayoutEvidence:
        """Which MMU and which address layout."""
        ...

    @property
    def region(self) -> Run | None:
        """The vmemmap, or None where it is not known."""
        ...

    @property
    def backing(self) -> BackingTable:
        """The list."""
        ...

    @property
    def tables(self) -> KernelTables:
        """The kernel's page tables."""
        ...

    @property
    def pages(self) -> PageModel:
        """The struct pages."""
        ...

    def why_absent(self, phys: int) -> Absence | None:
        """Say why the byte at a physical address is not in the dump; None where it is."""
        ...


class Addresses:
    """The addresses of one dump.

    Args:
        dump: The dump.
    """

    def __init__(self, dump: AddressedDump) -> None:
        self._dump = dump
        self._source, self._memory = dump.source, dump.memory

    def close(self) -> None:
        """Let go of the dump: a closed one has no addresses any more."""
        self._dump = self._source = self._memory = CLOSED
        for name in ("space", "_paged"):
            vars(self).pop(name, None)

    @established
    def space(self) -> AddressSpace:
        """The kernel's address space."""
        layout, page_size = self._dump.evidence.layout, self._dump.kernel.page_size.value
        list_error: FactError | None = None
        try:
            blocks, block_size = self._dump.backing.blocks, self._dump.backing.block_size
        except FactError as error:
            # vmalloc and I/O do without the list, and on radix the vmemmap does too.
            blocks, block_size = BlockTable(EMPTY_WALK.virt, EMPTY_WALK.phys, page_size), 0
            list_error = None if self._dump.evidence.mmu.value == RADIX else error
        return AddressSpace(
            layout=layout,
            blocks=blocks,
            block_size=block_size,
            page_size=page_size,
            tables=self._dump.tables.of,
            doubt=self._doubt,
            list_error=list_error,
        )

    def _doubt(self, virt: int) -> str:
        """Say what speaks against "no entry covers it", or give an empty text."""
        backing = self._dump.backing
        rows = np.flatnonzero(
            ~backing.usable & (np.uint64(virt) - backing.virt < np.uint64(backing.block_size))
        )
        if len(rows):
            return f"; entry {int(rows[0])} claims it, but is damaged and not used"
        damage = [finding for finding in backing.findings if finding.severity is Severity.ERROR]
        if damage:
            return f"; the list is damaged ({damage[0].code}), so the block's entry may be lost"
        return ""

    def translate(self, virt: int) -> Translation:
        """Translate one kernel virtual address, 0 to 2**64 - 1; errors as for `Vmcore.vtop`."""
        if PAGE_OFFSET <= virt < _CERTAIN_END:  # needs no list and no layout
            phys, method, region, entry = virt - PAGE_OFFSET, "linear", CERTAIN_LINEAR.name, None
        else:
            phys, method, region, entry = self.space.translate(virt)
        if self._source.is_stored(phys):
            return translation(virt, phys, method, region, entry, None)
        absence = self._memory.explain(phys)
        if absence in _MAY_BE_DEVICE and self._is_struct_page_on_device(virt, phys, entry):
            absence = Absence.ON_DEVICE
        return translation(virt, phys, method, region, entry, absence)

    def _is_struct_page_on_device(self, virt: int, phys: int, entry: int | None) -> bool:
        """Tell whether an address is one of the vmemmap, and what is there lies on a device."""
        if entry is None and (self._dump.region is None or virt not in self._dump.region):
            return False
        try:
            return self._dump.pages.struct_pages.is_on_device(phys)
        except (FactError, ReadError):
            return False

    def virtual(self, phys: int) -> tuple[Translation, ...]:
        """Give the addresses of a physical one, below 2**60; see `Vmcore.ptov`."""
        absence = self._dump.why_absent(phys)
        found = []
        if absence is not Absence.NO_MEMORY and self._is_linear(phys):
            virt, region = Virt(linear_virt(phys)), CERTAIN_LINEAR.name
            found.append(
                Translation(virt, Phys(phys), "linear", region, None, absence is None, absence)
            )
        backing = self._dump.backing
        size = np.uint64(backing.block_size)
        inside = backing.usable & (np.uint64(phys) - backing.phys < size)
        for entry in np.flatnonzero(inside).tolist():
            virt = Virt(int(backing.virt[entry]) + phys - int(backing.phys[entry]))
            found.append(
                Translation(
                    *(virt, Phys(phys), "vmemmap_list", self._dump.evidence.layout.vmemmap.name),
                    *(entry, absence is None, absence),
                )
            )
        for region, rows in self._paged:
            inside = np.uint64(phys) - rows[:, 1] < rows[:, 2]
            for start, at, _size in rows[inside].tolist():
                where = Virt(start + phys - at), Phys(phys), "page_table", region, None
                found.append(Translation(*where, absence is None, absence))
        return tuple(found)

    @established
    def _paged(self) -> tuple[tuple[str, NDArray[np.uint64]], ...]:
        """What page tables map, for `virtual`: of most dumps the first time takes milliseconds."""
        return tuple(self.space.paged_runs())

    def _is_linear(self, phys: int) -> bool:
        """Tell whether this kernel's linear map reaches as far as a physical address."""
        if phys >= LINEAR_SPAN:
            return False
        virt = linear_virt(phys)
        if virt in CERTAIN_LINEAR:
            return True
        try:
            return self.space.translate(virt).method == "linear"
        except (TranslateError, ReadError):
            return False

    def read(self, virt: int, size: int) -> bytes:
        """Read bytes at a kernel virtual address; errors as for `Vmcore.read`."""
        out: list[bytes] = []
        if virt in CERTAIN_LINEAR:
            length = min(size, CERTAIN_LINEAR.end - virt)
            out.append(self._memory.read(_linear(virt), length))
            virt, size = virt + length, size - length
        if size > 0:
            out += [self._memory.read(phys, length) for phys, length in self.space.runs(virt, size)]
        return b"".join(out)

    def page_of(self, address: int) -> PageInfo:
        """Decode the struct page of the page that holds an address; see `Vmcore.page_of`."""
        pages, page_size = self._dump.pages.array, self._dump.kernel.page_size.value
        if 0 <= address < 1 << 60:
            return pages[address // page_size]
        base = self._dump.evidence.vmemmap_base.value
        if address in self._dump.evidence.layout.vmemmap and address >= base:
            return pages[(address - base) // self._dump.kernel.struct_page_size.value]
        return pages[self.translate(address).phys // page_size]


def _linear(virt: int) -> int:
    """Give the physical address of an address that is certainly in the linear map."""
    phys = linear_phys(virt)
    assert phys is not None
    return phys
