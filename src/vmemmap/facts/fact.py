"""A fact about the dumped kernel, and where it comes from.

A value without an origin is a guess; every one that is shown or used carries both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from vmemmap.errors import FactError
from vmemmap.shown import ShortTable

V_co = TypeVar("V_co", bound=int | str, covariant=True)


class Origin(StrEnum):
    """Where a fact comes from, the strongest source last."""

    ASSUMED = "assumed"
    """Nothing in the dump says so; it was the same in every kernel known."""
    DERIVED = "derived"
    """Worked out from other facts, or read from the kernel's memory by means of them."""
    KALLSYMS = "kallsyms"
    """From the kernel's own symbol table."""
    BTF = "btf"
    """From the kernel's own description of its types, in the dump."""
    VMCOREINFO = "vmcoreinfo"
    """A key of VMCOREINFO."""
    USER = "user"
    """Given by the caller."""


@dataclass(frozen=True, slots=True)
class Fact(Generic[V_co]):
    """One fact: ``Fact[int]`` or ``Fact[str]``.

    Attributes:
        name: A stable name, such as ``page_size`` or ``vmemmap_list``.
        value: An integer or a text.
        origin: Where the value comes from.
        detail: The evidence in words: which key, which address.
        is_address: Print the value in hex.
    """

    name: str
    value: V_co
    origin: Origin
    detail: str = ""
    is_address: bool = False

    def __str__(self) -> str:
        return f"{self.name} = {self.shown} ({self.origin}: {self.detail})"

    @property
    def shown(self) -> str:
        """The value as text: addresses in hex with 0x, other integers in decimal."""
        return f"{self.value:#x}" if self.is_address else str(self.value)


AnyFact = Fact[int | str]
"""A fact of whatever kind."""


@dataclass(slots=True, repr=False)
class Facts(Mapping[str, AnyFact]):
    """Facts by name, in the order in which they were established.

    Attributes:
        missing: What could not be established: name to the error that says why.
    """

    _facts: dict[str, AnyFact] = field(default_factory=dict)
    missing: dict[str, FactError] = field(default_factory=dict)

    def add(self, fact: AnyFact) -> None:
        """Put a fact in; one of the same name is replaced."""
        self._facts[fact.name] = fact

    def __getitem__(self, name: str) -> AnyFact:
        if name in self._facts:
            return self._facts[name]
        if name in self.missing:
            raise KeyError(f"{name} is unknown: {self.missing[name]}")
        raise KeyError(f"there is no fact {name!r}: expected one of {', '.join(self._facts)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __repr__(self) -> str:
        """Give a line a fact, and one for each that is missing."""
        lines = [f"Facts: {len(self)}, {len(self.missing)} missing"]
        lines += [f"  {fact}" for fact in self.values()]
        lines += [f"  {name}: unknown: {error}" for name, error in self.missing.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Give a table for a notebook."""
        rows = [(fact.name, fact.shown, str(fact.origin), fact.detail) for fact in self.values()]
        rows += [(name, "unknown", "", str(error)) for name, error in self.missing.items()]
        names = ("name", "value", "origin", "evidence")
        return ShortTable("facts", names, len(rows), rows.__getitem__, all_rows=True).as_html()
