"""A machine's description from a few words, as one types them: ``spec_of(memory="4G")``.

The same fields as `MachineSpec`, with sizes as numbers or as texts such as "64K".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, TypeVar

from vmemmap.address import ByteOrder
from vmemmap.errors import SpecError
from vmemmap.simulate.kernel import Mmu
from vmemmap.simulate.spec.machine_spec import MachineSpec
from vmemmap.simulate.spec.parts import (
    CmaArea,
    FaultPlan,
    FirmwareRange,
    HotplugEvent,
    MemoryRange,
    PagePlan,
)
from vmemmap.simulate.spec.toml import parse_size

Size = int | str
"""Bytes, or a text such as "64K", "1.5G" or "0x40000000"."""


TracedEvent = Literal["boot"] | int | str | HotplugEvent
"""A boot or an event to look at; see `event_of`."""
T = TypeVar("T")


class SpecFields(TypedDict, total=False):
    """What of a `MachineSpec` can be said beside its memory."""

    release: str
    page_size: Size
    byte_order: ByteOrder
    mmu: Mmu
    struct_page_size: int
    block_size: Size
    events: Sequence[HotplugEvent]
    pages: PagePlan | Mapping[str, int]
    faults: FaultPlan | Mapping[str, Any]
    cpus: int
    crash_time: int
    headers_from: Literal["boot", "crash"]
    form: Literal["plain", "kdump", "fadump"]
    crashkernel: Size
    crashkernel_at: Size
    firmware: tuple[FirmwareRange, ...]
    cma: tuple[CmaArea, ...]
    hibernation: bool
    debug_vm: bool
    load_address: Size
    nodes: int
    seed: int


def spec_of(memory: Size | Sequence[MemoryRange], fields: SpecFields) -> MachineSpec:
    """Describe a machine.

    Args:
        memory: What is there at boot: so much from address 0 on, on node 0; or ranges.
        fields: The rest; what is not named is as in `MachineSpec`. Plans may be mappings.

    Raises:
        SpecError: A value is of the wrong kind; names the field.
        TypeError: There is no such field.
    """
    return MachineSpec(**_known({"memory": memory, **fields}))


def given_spec(
    spec: MachineSpec | None, memory: Size | Sequence[MemoryRange], fields: SpecFields
) -> MachineSpec:
    """Take the description of a machine, or else describe one as `spec_of` does.

    Raises:
        SpecError: As for `spec_of`.
        TypeError: It is no description, or there are fields beside it.
    """
    if spec is None:
        return spec_of(memory, fields)
    if not isinstance(spec, MachineSpec):
        raise TypeError(
            f"expected a MachineSpec, found {spec!r}: load_spec() reads one from a file, and "
            "memory= says how much memory there is"
        )
    if fields:
        raise TypeError(f"a spec is given, and beside it {', '.join(fields)}")
    return spec


def changed(spec: MachineSpec, fields: Mapping[str, Any]) -> MachineSpec:
    """Describe a machine that is like another but for some fields; raises as `spec_of`."""
    return replace(spec, **_known(fields))


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in _FIELDS:
            close = get_close_matches(name, _FIELDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_FIELDS)}"
            raise TypeError(f"a machine has no field {name!r}; {hint}")
        known[name] = _FIELDS[name](value)
    return known


def _ranges(memory: Size | Sequence[MemoryRange]) -> tuple[MemoryRange, ...]:
    if isinstance(memory, Sequence) and not isinstance(memory, str):
        return _all("memory", memory, MemoryRange)
    return (MemoryRange(0, 0, size_of("memory", memory)),)


def size_of(field: str, size: Size) -> int:
    """Give a size or an address in bytes.

    Raises:
        SpecError: It is none; names *field*.
    """
    if isinstance(size, int) and not isinstance(size, bool):
        return size
    if not isinstance(size, str):
        raise SpecError(field, f"{size!r} is no number of bytes, nor a text such as 64K")
    try:
        return parse_size(size)
    except ValueError as error:
        raise SpecError(field, str(error)) from error


def event_of(event: TracedEvent) -> Literal["boot"] | int | HotplugEvent:
    """Take an event as one types it: "boot", a number, or such as "add:8G:512M:1".

    Raises:
        SpecError: It is none.
    """
    if isinstance(event, HotplugEvent) or event == "boot":
        return event  # type: ignore[return-value]
    if isinstance(event, int) and not isinstance(event, bool):
        return event
    if not isinstance(event, str):
        raise SpecError("event", f"{event!r} is no event")
    if event.isdecimal() and len(event) < 10:
        return int(event)
    kind, *words = event.split(":")
    if (
        kind not in ("add", "remove")
        or len(words) not in (2, 3)
        or (kind == "remove" and words[2:])
    ):
        raise SpecError(
            "event",
            f"{event!r} is none: boot, the number of one of the spec's, add:START:SIZE[:NODE] or "
            "remove:START:SIZE",
        )
    if words[2:] and not (words[2].isdecimal() and len(words[2]) < 10):
        raise SpecError("event.node", f"{words[2]!r} is no node")
    place = size_of("event.start", words[0]), size_of("event.size", words[1])
    return HotplugEvent("add" if kind == "add" else "remove", *place, int((words[2:] or ["0"])[0]))


def number_of(field: str, value: object) -> int:
    """Take a whole number.

    Raises:
        SpecError: It is none; names *field*.
    """
    return _one(field, value, int, "whole number")


def _one(field: str, value: object, kind: type[T], what: str) -> T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SpecError(field, f"{value!r} is no {what}")
    return value


def _all(field: str, values: object, kind: type[T]) -> tuple[T, ...]:
    if not isinstance(values, Sequence):
        raise SpecError(field, f"{values!r} is to be a list of {kind.__name__}")
    return tuple(
        _one(f"{field}[{index}]", value, kind, kind.__name__) for index, value in enumerate(values)
    )


def _plan(field: str, value: object, kind: type[T]) -> T:
    """Take a plan, or make one of a mapping with its fields."""
    if not isinstance(value, Mapping):
        return _one(field, value, kind, f"{kind.__name__}, nor a mapping of its fields")
    without, values = kind(), {}
    for name, each in value.items():
        where = f"{field}.{name}"
        if name not in kind.__annotations__:
            known = ", ".join(kind.__annotations__)
            raise SpecError(where, f"no such field; there are {known}")
        several = isinstance(getattr(without, name), tuple)
        values[name] = _all(where, each, int) if several else number_of(where, each)
    return kind(**values)


def _text(field: str) -> Callable[[object], str]:
    return lambda value: _one(field, value, str, "text")


def _size_or_none(field: str) -> Callable[[Size | None], int | None]:
    return lambda value: None if value is None else size_of(field, value)


def _number(field: str) -> Callable[[object], int]:
    return lambda value: number_of(field, value)


_FIELDS: dict[str, Callable[[Any], object]] = {
    "memory": _ranges,
    "release": _text("kernel.release"),
    "page_size": lambda value: size_of("kernel.page_size", value),
    "byte_order": _text("kernel.byte_order"),
    "mmu": _text("kernel.mmu"),
    "struct_page_size": _size_or_none("kernel.struct_page_size"),
    "block_size": _size_or_none("kernel.block_size"),
    "events": lambda value: _all("events", value, HotplugEvent),
    "pages": lambda value: _plan("pages", value, PagePlan),
    "faults": lambda value: _plan("faults", value, FaultPlan),
    "cpus": _number("dump.cpus"),
    "crash_time": _number("dump.crash_time"),
    "headers_from": _text("dump.headers_from"),
    "form": _text("dump.form"),
    "crashkernel": lambda value: size_of("dump.crashkernel", value),
    "crashkernel_at": _size_or_none("dump.crashkernel_at"),
    "firmware": lambda value: _all("firmware", value, FirmwareRange),
    "cma": lambda value: _all("cma", value, CmaArea),
    "hibernation": lambda value: _one("kernel.hibernation", value, bool, "truth value"),
    "nodes": _number("kernel.nodes"),
    "debug_vm": lambda value: _one("kernel.debug_vm", value, bool, "truth value"),
    "seed": _number("pages.seed"),
    "load_address": lambda value: size_of("kernel.load_address", value),
}
"""How the value of each field is taken."""
