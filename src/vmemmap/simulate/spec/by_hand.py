"""A machine's description from a few words, as one types them: ``spec_of(memory="4G")``.

The same fields as `MachineSpec`, with sizes as numbers or as texts such as "64K".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from vmemmap.address import ByteOrder
from vmemmap.errors import SpecError
from vmemmap.simulate.kernel import Mmu
from vmemmap.simulate.spec.machine_spec import (
    FaultPlan,
    FirmwareRange,
    HotplugEvent,
    MachineSpec,
    MemoryRange,
    PagePlan,
)
from vmemmap.simulate.spec.toml import parse_size

Size = int | str
"""Bytes, or a text such as "64K", "1.5G" or "0x40000000"."""


_SIZED = {
    "page_size": "kernel",
    "block_size": "kernel",
    "crashkernel": "dump",
    "crashkernel_at": "dump",
}
"""Fields that are sizes or addresses, and the tables of a spec that have them."""


class SpecFields(TypedDict, total=False):
    """What of a `MachineSpec` can be said beside its memory."""

    release: str
    page_size: Size
    byte_order: ByteOrder
    mmu: Mmu
    struct_page_size: int
    block_size: Size
    events: tuple[HotplugEvent, ...]
    pages: PagePlan
    faults: FaultPlan
    cpus: int
    crash_time: int
    headers_from: Literal["boot", "crash"]
    form: Literal["plain", "kdump", "fadump"]
    crashkernel: Size
    crashkernel_at: Size
    firmware: tuple[FirmwareRange, ...]
    hibernation: bool
    debug_vm: bool
    seed: int


def spec_of(memory: Size | Sequence[MemoryRange], fields: SpecFields) -> MachineSpec:
    """Describe a machine.

    Args:
        memory: What is there at boot: so much from address 0 on, on node 0; or ranges.
        fields: The rest; what is not named is as in `MachineSpec`.

    Raises:
        SpecError: A size is none; names the field.
    """
    ranges: tuple[MemoryRange, ...]
    if isinstance(memory, int | str):
        ranges = (MemoryRange(0, 0, size_of("memory", memory)),)
    else:
        ranges = tuple(memory)
    sizes = {
        name: size_of(f"{_SIZED[name]}.{name}", value)
        for name, value in fields.items()
        if name in _SIZED and isinstance(value, int | str)
    }
    return MachineSpec(memory=ranges, **{**fields, **sizes})  # type: ignore[arg-type]


def size_of(field: str, size: Size) -> int:
    """Give a size or an address in bytes.

    Raises:
        SpecError: The text is none; names *field*.
    """
    if isinstance(size, int):
        return size
    try:
        return parse_size(size)
    except ValueError as error:
        raise SpecError(field, str(error)) from error
