"""Which description of the kernel's types is believed, and what was taken from it.

VMCOREINFO goes first; what it lacks is asked of the vmlinux that the user named, then of the BTF in
the dump itself. Nothing is read before something is lacking. What both VMCOREINFO and the types say
of memory management has to be the same: a vmlinux that says otherwise is of another kernel, which
is an error, and BTF in the dump that says otherwise is damaged, and not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from vmemmap.errors import FactConflict, FactError, FactInvalid, FactMissing
from vmemmap.established import established
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.types.keys import FLAGS, may_tell, value_by_types
from vmemmap.facts.types.types import Member, Types
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.memory import CLOSED

if TYPE_CHECKING:
    from vmemmap.facts.vmlinux import SymbolFile

T = TypeVar("T")

_BASICS = ("SIZE(page)", "OFFSET(page.flags)")
"""What any description that is worth asking has."""
_COMPARED = re.compile(
    r"(?:SIZE|OFFSET|LENGTH)\((?:page|folio|zone|pglist_data|mem_section|free_area|list_head"
    r"|nodemask_t|vmemmap_backing|mmu_psize_def)[.)].*|NUMBER\(.*"
)
"""Keys about what a kernel has one of. Other structs, such as ``log``, can have namesakes."""


class KernelTypes:
    """The kernel's types, from the first place that has them.

    Args:
        info: VMCOREINFO, with which they are compared.
        vmlinux: Named by the user, or None.
        own: Reads the BTF in the dump; raises FactError where there is none.

    Attributes:
        used: What VMCOREINFO lacks and the types gave, by the name that VMCOREINFO would have it.
    """

    def __init__(
        self, info: Vmcoreinfo, vmlinux: SymbolFile | None, own: Callable[[], Types]
    ) -> None:
        self._info = info
        self._vmlinux = vmlinux
        self._own = own
        self._lacking: list[str] = []
        self._reading = False
        self._given: dict[str, Fact[int] | None] = {}
        self.used: dict[str, Fact[int]] = {}

    def close(self) -> None:
        """Let go of whoever reads the BTF in the dump, which can be read no more."""
        self._own = lambda: CLOSED.types

    @established
    def _chosen(self) -> tuple[Types, Origin] | None:
        """The types to go by, and where they come from; None if there are none."""
        self._reading = True
        try:
            if self._vmlinux is not None:
                try:
                    types = self._vmlinux.types
                    self._check(
                        types, f"{self._vmlinux.path} is not the vmlinux of this dump's kernel"
                    )
                    return types, Origin.USER
                except FactConflict:
                    raise
                except FactError as error:
                    self._lacking.append(str(error))
            try:
                types = self._own()
                self._check(types, "it is damaged")
                return types, Origin.BTF
            except FactError as error:
                self._lacking.append(f"the dump has no types of its own: {error}")
                return None
        finally:
            self._reading = False

    def _check(self, types: Types, follows: str) -> None:
        """Compare the types with what VMCOREINFO says.

        Raises:
            FactConflict: Something is different.
            FactInvalid: The types are damaged, or are not a kernel's.
        """
        if any(value_by_types(types, key) is None for key in _BASICS):
            raise FactInvalid(f"{types.detail} has no struct page", name="types")
        for key in filter(_COMPARED.fullmatch, self._info):
            there = value_by_types(types, key)
            if there is None:
                continue
            try:
                here = self._info.integer(key)
            except FactError:
                continue  # that is for whoever needs it to say
            if here != there:
                raise FactConflict(
                    f"{follows}: {key} is {there} by {types.detail}, and {here} in VMCOREINFO",
                    name=key,
                )

    def value(self, key: str) -> Fact[int] | None:
        """Give what VMCOREINFO's *key* would say, or None if no types tell.

        Raises:
            FactConflict: The user's vmlinux is of another kernel.
            FactInvalid: The types are damaged.
        """
        fact = self.compared(key)
        if fact is not None:
            self.used[key] = fact
        return fact

    def compared(self, key: str) -> Fact[int] | None:
        """Give the same for a comparison: nothing rests on it; errors as for `value`."""
        if self._reading or not may_tell(key):
            return None  # what the types themselves are found by does not come from them
        if key not in self._given:
            value = self._ask(lambda types: value_by_types(types, key))
            self._given[key] = None if value is None else self.note(key, value)
        return self._given[key]

    def member(self, path: str) -> Member | None:
        """Say where a member lies, or None if no types tell; errors as for `value`."""
        return self._ask(lambda types: types.member(path))

    def enumerators(self, name: str) -> Mapping[str, int] | None:
        """Give an enum's values by name, in order, or None; errors as for `value`."""
        return self._ask(lambda types: types.enumerators(name))

    def _ask(self, ask: Callable[[Types], T | None]) -> T | None:
        """Ask the chosen types; what is damaged in those of the dump is as if it was not there."""
        chosen = self._chosen
        if chosen is None:
            return None
        try:
            return ask(chosen[0])
        except FactInvalid as error:
            if chosen[1] is Origin.USER:
                raise
            self._lacking.append(str(error))
            return None

    def flags(self) -> Mapping[str, int] | None:
        """Give the bits of ``page.flags`` by name (``PG_lru``), in order, or None."""
        return self.enumerators(FLAGS)

    @property
    def known(self) -> bool:
        """There are types. They are read for this answer."""
        return self._chosen is not None

    @property
    def lacking(self) -> str:
        """Why there are none, as far as they were looked for."""
        return "; ".join(self._lacking)

    def note(self, name: str, value: int) -> Fact[int]:
        """Make the fact *name* of a value that the types gave."""
        chosen = self._chosen
        assert chosen is not None
        types, origin = chosen
        return Fact(name, value, origin, types.detail)


def no_types(info: Vmcoreinfo) -> KernelTypes:
    """Give the types of a kernel of which none are known."""

    def nowhere() -> Types:
        raise FactMissing("nothing was said of any", name="types")

    return KernelTypes(info, None, nowhere)


class CompletedVmcoreinfo(Vmcoreinfo):
    """VMCOREINFO, of which the values that are missing are asked of the kernel's types.

    ``key in info`` still says what VMCOREINFO itself has.

    Args:
        text: As for `Vmcoreinfo`.
        types: The kernel's types.
    """

    def __init__(self, text: bytes, types: KernelTypes) -> None:
        super().__init__(text)
        self._types = types

    def fact(self, name: str, key: str) -> Fact[int]:
        """Give the value of a whole key as the fact *name*, with its origin."""
        value = self.integer(key)
        given = None if key in self else self._types.value(key)
        return super().fact(name, key) if given is None else replace(given, name=name, value=value)

    def _integer(self, key: str, form: re.Pattern[str], base: int, expected: str) -> int:
        if key not in self and may_tell(key):
            given = self._types.value(key)
            if given is not None:
                return given.value
            if self._types.lacking:
                raise FactMissing(f"VMCOREINFO has no {key}; {self._types.lacking}", name=key)
        return super()._integer(key, form, base, expected)
