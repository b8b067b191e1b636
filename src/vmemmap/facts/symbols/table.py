"""A kernel's symbols: from a name to an address, and from an address to the name and an offset.

One table for both places that symbols come from, the kernel's own kallsyms tables in the dump
(``vmemmap.facts.symbols.kallsyms``) and a vmlinux that the user names (``vmemmap.facts.vmlinux``).
Modules are in neither, so an address outside the kernel's image gets no name rather than a wrong
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import Run, shown_in_hex
from vmemmap.errors import FactConflict, FactError, UnknownSymbol
from vmemmap.facts.fact import Fact
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import PAGE_OFFSET

_SIMILAR_MAX_CHARACTERS = 4
"""A name that differs more than this in length is not looked at when similar ones are wanted."""

_SHOWN = 4
_IMAGE_SPAN = 1 << 30
"""No kernel's image is longer; they have about 50 MiB."""
_VALUES_NOT_ADDRESSES = ("vmemmap", "mem_section")
"""Pointers for which SYMBOL() of VMCOREINFO gives the value, and not where the variable is."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol.

    Attributes:
        name: As the compiler made it, such as ``vmemmap_list`` or ``foo.isra.0``.
        address: Kernel virtual address of what it names.
        size: Bytes of what it names; where the table does not record that, up to the next
            higher symbol; 0 if nothing tells.
        kind: The letter that nm prints, or an empty text where the table has none.
    """

    name: str
    address: int
    size: int
    kind: str = ""

    def __repr__(self) -> str:
        return shown_in_hex(self, ("address",))


@dataclass(frozen=True, slots=True)
class SymbolHit:
    """An address put as a symbol and an offset; as text ``name+0x10``, or ``name`` at its start."""

    symbol: Symbol
    offset: int

    @property
    def name(self) -> str:
        """The symbol's name."""
        return self.symbol.name

    @property
    def size(self) -> int:
        """The symbol's size in bytes, 0 if nothing tells."""
        return self.symbol.size

    def __str__(self) -> str:
        return f"{self.name}+{self.offset:#x}" if self.offset else self.name


@dataclass(frozen=True, eq=False)
class SymbolTable(Sequence[Symbol]):
    """Symbols by rising address; among equal addresses the one to be preferred comes first.

    Attributes:
        text: NUL-terminated names, with anything between them.
        name_at: Where in *text* each symbol's name starts, intp, length n.
        address: Kernel virtual addresses, uint64, native order, length n, rising.
        recorded_size: Bytes of what each names, uint64, length n; 0 where it is not recorded.
        kind: The letters of nm, length n, or empty.
        fact: How many there are, and where they come from.
    """

    text: bytes = field(repr=False)
    name_at: NDArray[np.intp] = field(repr=False)
    address: NDArray[np.uint64] = field(repr=False)
    recorded_size: NDArray[np.uint64] = field(repr=False)
    kind: bytes = field(repr=False)
    fact: Fact[int]

    def __len__(self) -> int:
        return len(self.address)

    def __getitem__(self, row: int) -> Symbol:  # type: ignore[override]  # no slices
        row = range(len(self))[row]
        return Symbol(
            self._name(row),
            int(self.address[row]),
            int(self.recorded_size[row]) or self._room(row),
            chr(self.kind[row]) if self.kind else "",
        )

    def __iter__(self) -> Iterator[Symbol]:
        above = np.searchsorted(self.address, self.address, side="right")
        following = np.append(self.address, self.address[-1:])[above]
        size = np.where(self.recorded_size, self.recorded_size, following - self.address)
        kinds = self.kind.decode("latin-1") if self.kind else [""] * len(self)
        for row, address, size_bytes, kind in zip(
            range(len(self)), self.address.tolist(), size.tolist(), kinds, strict=True
        ):
            yield Symbol(self._name(row), address, size_bytes, kind)

    def find_all(self, name: str) -> list[Symbol]:
        """Give every symbol of this name by rising address; static ones can share a name."""
        return [self[row] for row in rows_of_name(self.text, self.name_at, name).tolist()]

    def find(self, name: str) -> Symbol | None:
        """Give the symbol of this name with the lowest address, or None."""
        return next(iter(self.find_all(name)), None)

    def at(self, address: int) -> SymbolHit | None:
        """Give the symbol that an address belongs to, or None outside the kernel's image.

        As the kernel does it: the nearest symbol at or below the address, O(log n). A symbol's
        recorded size is not a limit: what the compiler puts behind a function belongs to it.
        """
        if not any(address in run for run in self.image):
            return None
        row = int(np.searchsorted(self.address, np.uint64(address), side="right")) - 1
        if row < 0:
            return None
        first = int(np.searchsorted(self.address, self.address[row], side="left"))
        return SymbolHit(self[first], address - int(self.address[row]))

    @cached_property
    def image(self) -> tuple[Run, ...]:
        """The address ranges that the table covers.

        With all symbols that is the kernel's image. A kernel built without CONFIG_KALLSYMS_ALL
        has those of its code only, and what lies between the parts with code has no names.
        """
        start, end = self.find("_stext"), self.find("_end")
        if start is not None and end is not None and start.address < end.address:
            return (Run(start.address, end.address),)
        parts = []
        for first, last in (("_stext", "_etext"), ("_sinittext", "_einittext")):
            start, end = self.find(first), self.find(last)
            if start is not None and end is not None and start.address < end.address:
                parts.append(Run(start.address, end.address))
        return tuple(parts)

    def similar(self, name: str, count: int = 3) -> list[str]:
        """Give up to *count* names that look like this one, the most similar first."""
        import difflib  # takes a while to import, and is wanted for mistakes only

        length = len(name.encode("utf-8", "surrogateescape"))
        lengths = np.array([self.text.find(b"\0", at) - at for at in self.name_at.tolist()])
        near = np.flatnonzero(np.abs(lengths - length) <= _SIMILAR_MAX_CHARACTERS)
        names = dict.fromkeys(self._name(int(row)) for row in near)
        return difflib.get_close_matches(name, names, count)

    def _name(self, row: int) -> str:
        start = int(self.name_at[row])
        return self.text[start : self.text.find(b"\0", start)].decode("utf-8", "surrogateescape")

    def _room(self, row: int) -> int:
        """Give the bytes up to the next higher symbol, 0 for the last."""
        above = int(np.searchsorted(self.address, self.address[row], side="right"))
        return int(self.address[above] - self.address[row]) if above < len(self) else 0


def rows_of_name(text: bytes, name_at: NDArray[np.intp], name: str) -> NDArray[np.intp]:
    """Find a name among NUL-terminated ones.

    Args:
        text: The names, with anything between them.
        name_at: Where in *text* each name starts, any order.
        name: The name to find.

    Returns:
        Its rows in *name_at*, rising.
    """
    wanted = name.encode("utf-8", "surrogateescape") + b"\0"
    places = []
    if len(wanted) > 1 and b"\0" not in wanted[:-1]:
        at = text.find(wanted)
        while at >= 0:
            # Another name may end like this one, so a place in the text can be no name.
            places.append(at)
            at = text.find(wanted, at + 1)
    if not places:
        return np.zeros(0, dtype=np.intp)
    found = np.array(places)
    nearest = np.minimum(np.searchsorted(found, name_at), len(found) - 1)
    return np.flatnonzero(found[nearest] == name_at)


def may_be_in_image(address: int, info: Vmcoreinfo) -> bool:
    """Tell whether an address can be in the kernel's image, before the symbols are read."""
    try:
        start = info.symbol("_stext")
    except FactError:
        start = PAGE_OFFSET
    return start <= address < start + _IMAGE_SPAN


def resolve_symbol(name: str, info: Vmcoreinfo, table: Callable[[], SymbolTable]) -> Symbol:
    """Say which symbol is meant by a name.

    Args:
        name: The name.
        info: VMCOREINFO, which has some addresses too, and says which of several is meant.
        table: Gives the kernel's symbols.

    Raises:
        UnknownSymbol: There is none of this name.
        FactConflict: There are several.
        FactError: There is no table, and VMCOREINFO does not have the symbol.
    """
    is_exported = f"SYMBOL({name})" in info and name not in _VALUES_NOT_ADDRESSES
    exported = info.symbol(name) if is_exported else None
    try:
        found = table().find_all(name)
    except FactError:
        if exported is None:
            raise
        found = []
    for symbol in found:
        if symbol.address == exported:
            return symbol
    if not found and exported is not None:
        return Symbol(name, exported, 0)
    if not found:
        similar = table().similar(name)
        hint = f" (similar: {', '.join(similar)})" if similar else ""
        raise UnknownSymbol(f"the kernel has no symbol {name!r}{hint}", name=name, similar=similar)
    places = list(dict.fromkeys(f"{symbol.address:#x}" for symbol in found))
    if len(places) > 1:
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        raise FactConflict(
            f"the kernel has {len(places)} of {name!r}, at {', '.join(places[:_SHOWN])}{more}; "
            "name the address",
            name=name,
        )
    return found[0]
