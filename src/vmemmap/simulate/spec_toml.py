"""Reads a machine from TOML: the same fields as `MachineSpec`, grouped into tables.

::

    [kernel]    release, page_size, byte_order, mmu, block_size, struct_page_size, hibernation
    [[memory]]  node, start, size
    [[event]]   kind, start, size, node, altmap, device
    [pages]     cache, cache_private, anonymous, slab, huge, hwpoison, offline, vmalloc, seed
    [faults]    block, node_page, mapping, crash_before_store
    [dump]      cpus, crash_time, headers_from

Sizes and addresses are integers or texts with a unit: "64K", "1G", "0x40000000".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from vmemmap.errors import SpecError
from vmemmap.simulate.spec import FaultPlan, HotplugEvent, MachineSpec, MemoryRange, PagePlan

SPEC_MAX_BYTES = 1 << 20
T = TypeVar("T")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_KERNEL = (
    "release",
    "page_size",
    "byte_order",
    "mmu",
    "block_size",
    "struct_page_size",
    "hibernation",
)
_DUMP = ("cpus", "crash_time", "headers_from")
_SIZES = frozenset({"page_size", "block_size", "struct_page_size", "start", "size", "altmap"})
_TEXTS = frozenset({"release", "byte_order", "mmu", "kind", "headers_from"})
_LISTS = frozenset({"block", "node_page", "mapping"})
_FLAGS = frozenset({"hibernation", "device"})


def load_spec(path: str | Path) -> MachineSpec:
    """Read a machine from a TOML file.

    Raises:
        SpecError: The file cannot be read or is no TOML; or as `parse_spec`.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(SPEC_MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(str(path), f"cannot be read: {error.strerror}") from error
    if len(text) > SPEC_MAX_BYTES:
        raise SpecError(str(path), "is larger than 1 MiB, which no machine's description is")
    try:
        return parse_spec(text.decode())
    except UnicodeDecodeError as error:
        raise SpecError(str(path), f"is not UTF-8 text (byte {error.start})") from error


def parse_spec(text: str) -> MachineSpec:
    """Read a machine from TOML text; it is checked already.

    Raises:
        SpecError: The text is no TOML, a field is unknown or of the wrong kind, or the machine
            cannot be; names the field.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number without end
        raise SpecError("TOML", str(error)) from error
    _known("", tables, ("kernel", "memory", "event", "pages", "faults", "dump"))
    kernel = _table("kernel", tables.get("kernel", {}), _KERNEL)
    pages = _table("pages", tables.get("pages", {}), (*PagePlan.__slots__, "seed"))
    seed = {"seed": pages.pop("seed")} if "seed" in pages else {}
    spec = MachineSpec(
        memory=_rows("memory", tables, MemoryRange, {"node": 0}),
        events=_rows("event", tables, HotplugEvent, {}),
        pages=PagePlan(**pages),
        faults=FaultPlan(**_table("faults", tables.get("faults", {}), FaultPlan.__slots__)),
        **kernel,
        **seed,
        **_table("dump", tables.get("dump", {}), _DUMP),
    )
    spec.check()
    return spec


def parse_size(text: str) -> int:
    """Give the number that a text such as "64K", "1.5G" or "0x40000000" stands for.

    Raises:
        ValueError: It is no such text, or no whole number of bytes.
    """
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size such as 64K, 1.5G or 0x40000000")
    number, unit = match[1], _UNITS[match[2]]
    if "." in number:
        whole, _, part = number.partition(".")
        scaled, rest = divmod(int(whole + part) * unit, int("1" + "0" * len(part)))
        if rest:
            raise ValueError(f"{text!r} is no whole number of bytes")
        return scaled
    return int(number, 0 if number[:2] in ("0x", "0X") else 10) * unit


def _known(where: str, table: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in table:
        if name not in names:
            field = f"{where}.{name}" if where else name
            raise SpecError(field, f"no such field; there are {', '.join(names)}")


def _rows(
    name: str, tables: dict[str, Any], kind: Callable[..., T], more: dict[str, int]
) -> tuple[T, ...]:
    rows = tables.get(name, [])
    if not isinstance(rows, list):
        raise SpecError(name, f"is to be written as [[{name}]]")
    known = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    made = []
    for index, row in enumerate(rows):
        where = f"{name}[{index}]"
        values = more | _table(where, row, known)
        for needed in ("start", "size", *(("kind",) if name == "event" else ())):
            if needed not in values:
                raise SpecError(f"{where}.{needed}", "is missing")
        made.append(kind(**values))
    return tuple(made)


def _table(where: str, table: object, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise SpecError(where, "is to be a table")
    _known(where, table, names)
    return {name: _value(f"{where}.{name}", name, value) for name, value in table.items()}


def _value(where: str, name: str, value: object) -> object:
    """Give a field's value in the kind that the field has."""
    if name in _TEXTS:
        if not isinstance(value, str):
            raise SpecError(where, f"{value!r} is to be a text in quotes")
        return value
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise SpecError(where, f"{value!r} is to be true or false")
        return value
    if name in _LISTS:
        numbers = value if isinstance(value, list) else [value]
        return tuple(_integer(where, number) for number in numbers)
    if name in _SIZES and isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise SpecError(where, str(error)) from error
    return _integer(where, value)


def _integer(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SpecError(where, f"{value!r} is no whole number")
    return value
