"""Reads a machine from TOML: the same fields as `MachineSpec`, grouped into tables.

::

    [kernel]    release, page_size, byte_order, mmu, block_size, struct_page_size, hibernation,
                debug_vm, nodes, load_address
    [[memory]]  node, start, size
    [[event]]   kind, start, size, node, online, device, altmap, reserve, compound,
                lmb
    [pages]     cache, cache_private, anonymous, slab, huge, gigantic, hwpoison, offline, vmalloc,
                seed
    [faults]    block, node_page, mapping, crash_before_store
    [dump]      cpus, crash_time, headers_from, form, crashkernel, crashkernel_at
    [[firmware]] start, size
    [[cma]]     start, size

Sizes and addresses are integers or texts with a unit: "64K", "1G", "0x40000000".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from vmemmap.errors import SpecError
from vmemmap.simulate.spec.machine_spec import MachineSpec
from vmemmap.simulate.spec.parts import (
    CmaArea,
    FaultPlan,
    FirmwareRange,
    HotplugEvent,
    MemoryRange,
    PagePlan,
)

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
    "debug_vm",
    "nodes",
    "load_address",
)
_DUMP = ("cpus", "crash_time", "headers_from", "form", "crashkernel", "crashkernel_at")
_SIZES = frozenset({"page_size", "block_size", "struct_page_size", "start", "size"}) | {
    "altmap",
    "reserve",
    "compound",
    "lmb",
    "crashkernel",
    "crashkernel_at",
    "load_address",
}
_TEXTS = frozenset({"release", "byte_order", "mmu", "kind", "headers_from", "form"})
_LISTS = frozenset({"block", "node_page", "mapping"})
_FLAGS = frozenset({"hibernation", "debug_vm", "device", "online"})

EXAMPLE = """\
# A machine for `vmemmap simulate`. Every field has a default, but for start and
# size of [[memory]].
# Sizes and addresses are numbers, or texts: "64K", "1.5G", "0x40000000".

[kernel]
release = "6.1.0"           # 2.6.35 to 7.3: tracking and layouts are its own
page_size = "64K"           # or "4K"
byte_order = "little"       # or "big"
mmu = "hash"                # or "radix"
block_size = "64K"          # of the vmemmap; default: what this kernel prefers
struct_page_size = 64       # or 56
hibernation = false         # in 2.6.35 hotplug is not locked without it
nodes = 4                   # there can be; default: those with memory at boot
debug_vm = false            # poisons struct pages of memory not online
load_address = 0            # not 0: a relocated kernel, as that of a capture

[[memory]]                  # what is there at boot; multiples of 16 MiB
node = 0
start = 0
size = "2G"

[[memory]]
node = 1
start = "4G"                # the gap is a hole
size = "2G"

[[event]]                   # in order; what was removed can be added again
kind = "add"
start = "8G"
size = "512M"
node = 1
lmb = "256M"                # in pieces; all are taken back if one fails

[[event]]
kind = "remove"
start = "8G"
size = "256M"

[[event]]
kind = "add"
start = "12G"
size = "256M"
node = 1
online = false              # there and not in use; nobody has its struct pages

[[event]]
kind = "add"
start = "16G"
size = "128M"
device = true               # pmem: struct pages and no RAM
altmap = "1M"               # its beginning may hold its own struct pages,
reserve = "64K"             # and so much of that holds something else
# compound = "16M"          # device DAX since 5.17; on radix "2M" or "1G"

[pages]                     # base pages in use at the crash; the rest is free
cache = 2000
cache_private = 100
anonymous = 1500
slab = 300
huge = 512                  # a multiple of 16 MiB on hash, of 2 MiB on radix
gigantic = 0                # a multiple of 16 GiB on hash, of 1 GiB on radix
hwpoison = 1
offline = 0
vmalloc = 8
seed = 1                    # of the scatter

[faults]                    # which of them fail, counted from 1
block = []
node_page = []
mapping = []
# crash_before_store = 100  # stop in the middle of the tracking

[dump]
cpus = 2
headers_from = "crash"      # or "boot": without memory that was added later
form = "plain"              # or "kdump" or "fadump": how its segments are cut
crashkernel = "128M"        # of a capture kernel: a hole; default: none
# crashkernel_at = "512M"   # default: amid the first range, 512 MiB at most

[[firmware]]                # RTAS or OPAL: in the dump even inside that hole
start = "0x2fff0000"
size = "64K"

[[cma]]                     # kept for large buffers, free until one is wanted
start = "1G"
size = "64M"
"""


def load_spec(path: str | Path, changes: Sequence[str] = ()) -> MachineSpec:
    """Read a machine from a TOML file.

    Args:
        path: The file.
        changes: As for `parse_spec`.

    Raises:
        SpecError: The file cannot be read or is no TOML; or as `parse_spec`.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(SPEC_MAX_BYTES + 1)
    except OSError as error:
        raise SpecError("", f"cannot be read: {error.strerror}") from error
    if len(text) > SPEC_MAX_BYTES:
        raise SpecError("", "is larger than 1 MiB, which no machine's description is")
    try:
        return parse_spec(text.decode(), changes)
    except UnicodeDecodeError as error:
        raise SpecError("", f"is not UTF-8 text (byte {error.start})") from error


def parse_spec(text: str, changes: Sequence[str] = ()) -> MachineSpec:
    """Read a machine from TOML text; it is checked already.

    Args:
        text: TOML.
        changes: Fields to set in place of the text's, each as "kernel.page_size=4K". Only fields
            that are single values, in tables that stand once.

    Raises:
        SpecError: The text is no TOML, a field is unknown or of the wrong kind, or the machine
            cannot be; names the field.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number without end
        raise SpecError("", f"is no TOML: {error}") from error
    for change in changes:
        _apply(tables, change)
    single = ("kernel", "pages", "faults", "dump")
    _known("", tables, ("memory", "event", "firmware", "cma", *single))
    kernel = _table("kernel", tables.get("kernel", {}), _KERNEL)
    pages = _table("pages", tables.get("pages", {}), (*PagePlan.__slots__, "seed"))
    seed = {"seed": pages.pop("seed")} if "seed" in pages else {}
    spec = MachineSpec(
        memory=_rows("memory", tables, MemoryRange, {"node": 0}),
        events=_rows("event", tables, HotplugEvent, {}),
        pages=PagePlan(**pages),
        firmware=_rows("firmware", tables, FirmwareRange, {}),
        cma=_rows("cma", tables, CmaArea, {}),
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


def _apply(tables: dict[str, Any], change: str) -> None:
    """Put one FIELD=VALUE of the command line into the tables."""
    field, equals, value = change.partition("=")
    table, dot, name = field.strip().partition(".")
    if not equals or not dot or table not in ("kernel", "pages", "faults", "dump"):
        raise SpecError(
            change, "is no FIELD=VALUE such as kernel.page_size=4K (kernel, pages, faults, dump)"
        )
    inside = tables.setdefault(table, {})
    if not isinstance(inside, dict):
        raise SpecError(table, "is to be a table")
    text = value.strip()
    if name in _TEXTS or name in _SIZES:
        inside[name] = text
        return
    try:
        inside[name] = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError as error:
        raise SpecError(field, f"{text!r} is no number, list, true or false") from error


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
