"""Which machines there are: ``matrix.toml``, read and checked."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MATRIX = Path(__file__).with_name("matrix.toml")
CPU = {"hash": "POWER8", "radix": "POWER9"}
DUMPS = ("qemu", "kdump", "capture", "kcore")
WAY = re.compile(r"(zlib|lzo|flat):([12]?\d|3[01])")


class MatrixError(Exception):
    """matrix.toml or a choice from it makes no sense."""


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """One change of memory while the machine runs.

    Attributes:
        action: Add or remove.
        name: What the piece is called.
        mib: Its size, of an addition.
        node: Its NUMA node, of an addition.
        address: Its physical address, of an addition; None leaves the choice to QEMU.
    """

    action: Literal["add", "remove"]
    name: str
    mib: int = 0
    node: int = 0
    address: int | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A machine of the matrix; see the head of matrix.toml for the fields."""

    name: str
    title: str
    kernel: str
    mmu: Literal["hash", "radix"]
    memory: tuple[MemoryStep, ...]
    dumps: tuple[str, ...]
    machine: str = ""
    append: str = ""
    script: str = ""
    nodes: tuple[int, ...] = (1024,)
    makedumpfile: tuple[str, ...] = ("zlib:31", "lzo:31", "zlib:24", "lzo:17", "flat:31")
    cpus: int = 1
    max_gib: int = 8
    online: bool = True
    reload: bool = False
    table: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def cpu(self) -> str:
        """QEMU's name of the processor that has this MMU."""
        return CPU[self.mmu]


def machines(choice: str) -> list[Spec]:
    """Give the machines of a choice.

    Args:
        choice: ``all``, the name of a set, or names of machines with commas between them.

    Raises:
        MatrixError: There is no such set or machine, or one is not described as it should be.
    """
    content = tomllib.loads(MATRIX.read_text())
    tables, sets = content["machines"], content["sets"]
    names = [*tables] if choice == "all" else sets.get(choice, choice.split(","))
    unknown = [name for name in names if name not in tables]
    if unknown:
        raise MatrixError(
            f"there is no machine or set {', '.join(unknown)}; there are the sets all, "
            f"{', '.join(sets)} and the machines {', '.join(tables)}"
        )
    return [_spec(name, tables[name]) for name in names]


def _spec(name: str, table: dict[str, Any]) -> Spec:
    values = dict(table)
    values["memory"] = tuple(_step(name, text) for text in table.get("memory", ()))
    values["dumps"] = tuple(table["dumps"])
    if "nodes" in table:
        values["nodes"] = tuple(table["nodes"])
    if values["mmu"] not in CPU or not set(values["dumps"]) <= set(DUMPS):
        raise MatrixError(f"{name}: mmu is hash or radix, and dumps are of {', '.join(DUMPS)}")
    if "makedumpfile" in table:
        values["makedumpfile"] = tuple(table["makedumpfile"])
        if wrong := [way for way in values["makedumpfile"] if not WAY.fullmatch(way)]:
            raise MatrixError(f"{name}: {wrong[0]!r} is not zlib:LEVEL, lzo:LEVEL or flat:LEVEL")
    try:
        return Spec(name=name, table=table, **values)
    except TypeError as error:
        raise MatrixError(f"{name}: {error}") from error


def _step(machine: str, text: str) -> MemoryStep:
    action, name, *rest = text.split()
    numbers = [int(word, 0) for word in rest]
    if action == "remove" and not numbers:
        return MemoryStep("remove", name)
    if action == "add" and 1 <= len(numbers) <= 3:
        node = numbers[1] if len(numbers) > 1 else 0
        return MemoryStep("add", name, numbers[0], node, numbers[2] if len(numbers) > 2 else None)
    raise MatrixError(
        f"{machine}: {text!r} is neither 'add NAME MIB [NODE [ADDRESS]]' nor 'remove NAME'"
    )
