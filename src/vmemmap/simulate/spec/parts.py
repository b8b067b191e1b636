"""What a machine is made of: plain data; see ``machine_spec.py`` for the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["add", "remove"]


class _Stretch:
    """What lies at *start* and has *size* bytes."""

    __slots__ = ()
    start: int
    size: int

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class MemoryRange(_Stretch):
    """Memory that is there at boot: *size* bytes from *start*, on NUMA node *node*."""

    node: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class HotplugEvent(_Stretch):
    """Memory that comes or goes while the machine runs.

    Attributes:
        kind: "add" or "remove". A range that was removed can be added again.
        start: Physical address (bytes).
        size: Bytes.
        node: NUMA node of added memory.
        altmap: Bytes at the start of the added range that its own struct pages may use; 0 for
            none. For memory that is no device this is memmap_on_memory.
        device: Device memory (pmem): it has struct pages, but is no RAM, so no dump holds it. It
            leaves as a whole, and so does memory with an altmap.
        reserve: Of the altmap the bytes at its start that hold something else, as pmem's info block
            and label do: struct pages begin behind them. 0 for none.
        compound: Bytes of one compound page of device memory, as device DAX makes them; 0 for base
            pages.
        online: Added RAM comes into use. False as with memhp_default_state=offline: it has struct
            pages that nobody has initialised.
        lmb: Bytes of a piece in which DLPAR adds RAM, 16 to 256 MiB: when one fails, those before
            it are taken away again. 0 adds all of it at once.
    """

    kind: EventKind
    start: int
    size: int
    node: int = 0
    altmap: int = 0
    device: bool = False
    reserve: int = 0
    compound: int = 0
    online: bool = True
    lmb: int = 0


@dataclass(frozen=True, slots=True)
class _Area(_Stretch):
    """What boot sets apart: *size* bytes from the physical address *start*."""

    start: int
    size: int


class FirmwareRange(_Area):
    """Memory that is the firmware's (RTAS, OPAL): reserved at boot, and in the dump in any form.

    Attributes:
        start: Physical address (bytes).
        size: Bytes.
    """

    __slots__ = ()


class CmaArea(_Area):
    """Memory that is kept for large contiguous buffers (CMA), and free until one is wanted.

    Attributes:
        start: Physical address (bytes).
        size: Bytes.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PagePlan:
    """What the memory is used for when the machine crashes, in base pages.

    What is not named is free. Compound pages of *slab* and *huge* count all their pages, and so do
    *gigantic* ones, which boot sets apart: on hash the firmware offers them before (the device
    tree's ibm,expected#pages), on radix they are asked for on the command line (hugepagesz=1G).
    """

    cache: int = 0
    cache_private: int = 0
    anonymous: int = 0
    slab: int = 0
    huge: int = 0
    gigantic: int = 0
    hwpoison: int = 0
    offline: int = 0
    vmalloc: int = 8

    @property
    def total(self) -> int:
        """Pages in use, all kinds together."""
        return sum(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong, each counted from 1 over the whole life of the machine.

    Attributes:
        block: Which allocations of a backing block fail.
        node_page: Which allocations of a page for list nodes fail.
        mapping: Which mappings of a block fail.
        crash_before_store: The machine crashes before this store of the tracking, counted from 0.
    """

    block: tuple[int, ...] = ()
    node_page: tuple[int, ...] = ()
    mapping: tuple[int, ...] = ()
    crash_before_store: int | None = None
