"""A synthetic machine as a dump source, without a container in between.

The container formats have tests of their own; behind this, whatever fails is not their fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from builders.machine import Machine
from builders.vmcoreinfo import vmcoreinfo_text
from vmemmap.absence import Absence
from vmemmap.address import ByteOrder
from vmemmap.errors import NotInDump, PageExcluded, PageLost
from vmemmap.facts.backing import BackingLayout
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.intervals import Intervals
from vmemmap.source.base import Located, PhysicalSource
from vmemmap.vmcore import Vmcore


class MachineSource:
    """The memory of *machine*, with its dropped, excluded and lost pages.

    It has what a Memory and an opened dump are asked for, and no more than that.

    Attributes:
        reads: How many reads were made.
    """

    format = "machine"
    block_size = None
    moves = False

    def __init__(
        self,
        machine: Machine,
        *,
        vmcoreinfo: bytes | None = None,
        header_machine: str = "",
        container_order: ByteOrder | None = None,
    ) -> None:
        self._pages = machine.memory
        self.path = "synthetic"
        self.container_byte_order = container_order or machine.byte_order
        self.machine = header_machine
        self.notes: list[Any] = []
        self.vmcoreinfo = vmcoreinfo_text(machine.vmcoreinfo) if vmcoreinfo is None else vmcoreinfo
        self.warnings: list[str] = []
        self.reads = 0

    def view(self, address: int, size: int) -> memoryview:
        return memoryview(self.read(address, size))

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        out = bytearray()
        while len(out) < size:
            here = address + len(out)
            pfn, into = divmod(here, self._pages.page_size)
            if pfn in self._pages.excluded:
                raise PageExcluded(f"excluded: {here:#x}", phys=here)
            if pfn in self._pages.lost:
                raise PageLost(f"lost: {here:#x}", phys=here)
            if pfn not in self._pages.pages:
                raise NotInDump(f"absent: {here:#x}", phys=here)
            out += self._pages.pages[pfn][into : into + size - len(out)]
        return bytes(out)

    def read_into(self, address: int, out: NDArray[np.uint8]) -> None:
        out[:] = np.frombuffer(self.read(address, len(out)), dtype=np.uint8)

    @property
    def gives_file(self) -> bool:
        return False

    def locate(self, runs: NDArray[np.int64]) -> Located:
        return PhysicalSource.locate(cast(PhysicalSource, self), runs)

    def prefetch(self, runs: NDArray[np.int64]) -> None:
        """Do nothing: all of it is at hand."""

    def present_runs(self, start: int, end: int) -> Intervals:
        return PhysicalSource.present_runs(cast(PhysicalSource, self), start, end)

    def is_ram(self, address: int) -> bool:
        pfn = address // self._pages.page_size
        return pfn in self._pages.pages or pfn in self._pages.excluded

    def is_present(self, address: int) -> bool:
        return bool(self.present_many(np.array([address], dtype=np.uint64))[0])

    def is_stored(self, address: int) -> bool:
        return self.is_present(address)

    def why_absent(self, address: int) -> Absence:
        return PhysicalSource.why_absent(cast(PhysicalSource, self), address)

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        absent = self._pages.excluded | self._pages.lost
        have = [
            pfn in self._pages.pages and pfn not in absent
            for pfn in (addresses.ravel() // np.uint64(self._pages.page_size)).tolist()
        ]
        return np.array(have, dtype=np.bool_).reshape(addresses.shape)

    def heads(self, unit_bytes: int, head_bytes: int, until: int = 1 << 64) -> Iterator[Any]:
        assert 0 < head_bytes <= unit_bytes
        return iter(())

    def ranges(self) -> NDArray[np.uint64]:
        size = self._pages.page_size
        runs = [(run.start * size, run.stop * size) for run in self._pages.ram_runs()]
        return np.array(runs, dtype=np.uint64).reshape(-1, 2)

    def cheap_ranges(self) -> NDArray[np.uint64]:
        return self.ranges()

    def memory_end(self) -> int:
        return int(self.ranges()[-1, 1])

    def is_incomplete(self) -> bool:
        return bool(self._pages.lost)

    def close(self) -> None:
        return


def vmcore_of(
    machine: Machine,
    *,
    without: tuple[str, ...] = (),
    changes: Mapping[str, str] | None = None,
    header_machine: str = "",
    container_order: ByteOrder | None = None,
) -> Vmcore:
    """Open *machine* with VMCOREINFO keys left out or changed."""
    source = MachineSource(
        machine,
        vmcoreinfo=_text(machine, without, changes),
        header_machine=header_machine,
        container_order=container_order,
    )
    return Vmcore(cast(PhysicalSource, source))


def facts_of(
    machine: Machine,
    *,
    without: tuple[str, ...] = (),
    changes: Mapping[str, str] | None = None,
    header_machine: str = "",
    container_order: ByteOrder | None = None,
) -> KernelFacts:
    """Give the kernel's facts with VMCOREINFO keys left out or changed."""
    return KernelFacts(
        Vmcoreinfo(_text(machine, without, changes)),
        MachineSource(machine),
        header_machine,
        container_order or machine.byte_order,
    )


def usual_node(order: ByteOrder) -> BackingLayout:
    """Give the node layout of every kernel known, by the fact sheet."""
    return BackingLayout(24, 0, 8, 16, order)


def _text(machine: Machine, without: tuple[str, ...], changes: Mapping[str, str] | None) -> bytes:
    info = {k: v for k, v in machine.vmcoreinfo.items() if k not in without} | dict(changes or {})
    return vmcoreinfo_text(info)
