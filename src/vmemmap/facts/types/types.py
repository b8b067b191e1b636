"""The kernel's types, whoever knows them: sizes, places of members, values of enumerators.

One narrow interface for the two descriptions that there are, BTF (``btf.py``) and DWARF
(``dwarf.py``). Each only says what a type is made of, as a `TypeNode`; finding a member in it,
through anonymous structs and unions and past typedefs, is done here and once. Damaged or hostile
descriptions end every walk within a bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vmemmap.errors import FactInvalid

_ALIASES_MAX = 64
"""How many typedefs and qualifiers may stand between a name and a type."""
_MEMBERS_MAX = 1 << 14
"""How many members one search may look at; the largest of a kernel's structs has some hundreds."""
_SIZE_MAX = 1 << 40


class Form(Enum):
    """What a type is, as far as anybody here needs to know."""

    RECORD = "struct or union"
    ARRAY = "array"
    ALIAS = "typedef or qualifier"
    OTHER = "something with a size"


@dataclass(frozen=True, slots=True)
class RawMember:
    """A member as it is described: name (may be empty), its type, where it is and its bits.

    Attributes:
        bits: Size of a bit field; 0 for any other member.
    """

    name: str
    type: Any
    bit_offset: int
    bits: int


@dataclass(frozen=True, slots=True)
class TypeNode:
    """One type. Its own parts are handles that only the description it comes from understands.

    Attributes:
        size: In bytes; 0 for arrays and aliases, where it follows from *target*.
        target: What an array is of, or an alias stands for; None is ``void``.
        count: How many elements an array has.
        members: Those of a struct or union.
    """

    form: Form
    size: int = 0
    target: Any = None
    count: int = 0
    members: tuple[RawMember, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member lies in its struct.

    Attributes:
        offset: In bytes; of a bit field, that of the byte in which it begins.
        width: Its size in bytes; of a bit field, the bytes that it touches.
        count: Elements, if it is an array.
        bit_offset: From the struct's start.
        bits: Size of a bit field, else 0.
    """

    offset: int
    width: int
    count: int | None
    bit_offset: int
    bits: int


class Types(ABC):
    """A description of a kernel's types.

    Attributes:
        form: ``BTF`` or ``DWARF``.
        detail: Where it is, in words.
    """

    form: str
    detail: str

    @abstractmethod
    def find(self, name: str) -> Any:
        """Give the handle of the struct, union or typedef of this name, or None."""

    @abstractmethod
    def node(self, handle: Any) -> TypeNode:
        """Give what a type is made of."""

    @abstractmethod
    def enumerators(self, name: str) -> Mapping[str, int] | None:
        """Give name and value of each enumerator of ``enum name``, in order; None without it."""

    def find_by_member(self, name: str, member: str) -> Any:
        """Give the handle of the struct of this name with this member, if `find` can miss it."""
        return None

    def size(self, name: str) -> int | None:
        """Give the size in bytes of a struct, union or typedef, or None if there is none such.

        Raises:
            FactInvalid: The description contradicts itself.
        """
        handle = self.find(name)
        return None if handle is None else self._size(handle)

    def member(self, path: str) -> Member | None:
        """Find a member.

        Args:
            path: ``struct.member`` or ``struct.member.member``; the names of anonymous structs and
                unions in between are left out, as C does.

        Returns:
            Where it is, counted from the start of the first struct; None if there is none such.

        Raises:
            FactInvalid: The description contradicts itself.
        """
        owner, *names = path.split(".")
        if not names:
            return None
        handle = self.find(owner)
        if handle is None:
            handle = self.find_by_member(owner, names[0])
        if handle is None:
            return None
        at, found = 0, None
        for name in names:
            found = self._find_member(handle, name)
            if found is None:
                return None
            at += found.bit_offset
            handle = found.type
        assert found is not None
        node = self._resolve(handle)
        width = (at % 8 + found.bits + 7) // 8 if found.bits else self._size(handle)
        count = node.count if node is not None and node.form is Form.ARRAY else None
        return Member(at // 8, width, count, at, found.bits)

    def _find_member(self, handle: Any, name: str) -> RawMember | None:
        """Search a struct or union, and the anonymous ones in it."""
        waiting, seen = deque([(handle, 0)]), 0
        while waiting:
            inside, at = waiting.popleft()
            node = self._resolve(inside)
            members = node.members if node is not None else ()
            seen += 1 + len(members)
            if seen > _MEMBERS_MAX:
                raise FactInvalid(
                    f"{self.detail}: a struct of more than {_MEMBERS_MAX} members", name="types"
                )
            for member in members:
                here = at + member.bit_offset
                if member.name == name:
                    return RawMember(name, member.type, here, member.bits)
                if not member.name and not member.bits:
                    waiting.append((member.type, here))
        return None

    def _resolve(self, handle: Any) -> TypeNode | None:
        """Follow typedefs and qualifiers; None is ``void``."""
        for _ in range(_ALIASES_MAX):
            if handle is None:
                return None
            node = self.node(handle)
            if node.form is not Form.ALIAS:
                return node
            handle = node.target
        raise FactInvalid(
            f"{self.detail}: more than {_ALIASES_MAX} typedefs of each other", name="types"
        )

    def _size(self, handle: Any) -> int:
        """Give a type's size in bytes, 0 for ``void``."""
        total = 1
        for _ in range(_ALIASES_MAX):
            node = self._resolve(handle)
            if node is None:
                return 0
            if node.form is not Form.ARRAY:
                total *= node.size
                break
            total *= node.count
            handle = node.target
            if total > _SIZE_MAX:
                break
        if total > _SIZE_MAX:
            raise FactInvalid(f"{self.detail}: a type of {total} bytes", name="types")
        return total
