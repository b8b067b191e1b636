"""Reads values about ``struct page``: of VMCOREINFO, then of the kernel's types, with checks.

Each value that VMCOREINFO does not have itself is noted as a fact with its origin.
"""

from __future__ import annotations

from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.kernel_types import KernelTypes
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo


class PageReader:
    """VMCOREINFO and the kernel's types, with the checks and notes that a page's layout needs.

    Args:
        info: VMCOREINFO.
        size: Size of a struct page in bytes.
        types: The kernel's types.

    Attributes:
        facts: What VMCOREINFO does not have itself.
    """

    def __init__(self, info: Vmcoreinfo, size: int, types: KernelTypes) -> None:
        self.info = info
        self.size = size
        self.types = types
        self.facts: list[Fact[int]] = []

    def offset(self, *members: str, width: int = 8) -> int | None:
        """Give the offset of the first of several members that is there, in bytes.

        Raises:
            FactInvalid: It does not lie inside a struct page.
        """
        for known in (lambda key: key in self.info, self._is_typed):
            for member in members:
                key = f"OFFSET({member})"
                if known(key):
                    return self._inside(member, key, width)
        return None

    def _is_typed(self, key: str) -> bool:
        return self.types.value(key) is not None

    def _inside(self, member: str, key: str, width: int) -> int:
        value = self.integer(member, key)
        if value % width or value + width > self.size:
            raise FactInvalid(
                f"VMCOREINFO has {key}={value}; expected a multiple of {width} inside the "
                f"{self.size} bytes of a struct page",
                name=key,
            )
        return value

    def integer(self, name: str, key: str) -> int:
        """Give a key's value by VMCOREINFO or, noted as the fact *name*, by the types.

        Raises:
            FactMissing: Neither has it.
        """
        given = None if key in self.info else self.types.value(key)
        if given is None:
            return self.info.integer(key)
        self.facts.append(self.types.note(name, given.value))
        return given.value

    def required(self, *members: str, width: int = 8) -> int:
        """Give the offset of the first of several members that is there.

        Raises:
            FactMissing: None is.
        """
        value = self.offset(*members, width=width)
        if value is not None:
            return value
        why = f"; {self.types.lacking}" if self.types.lacking else ""
        raise FactMissing(
            f"VMCOREINFO has no OFFSET({members[0]}){why}", name=f"OFFSET({members[0]})"
        )

    def number(self, name: str) -> int | None:
        """Give NUMBER(name), or None."""
        key = f"NUMBER({name})"
        return self.integer(name, key) if key in self.info or self._is_typed(key) else None

    def exported_number(self, name: str) -> int | None:
        """Give NUMBER(name) if VMCOREINFO itself has it."""
        return self.info.number(name) if f"NUMBER({name})" in self.info else None

    def type_value(self, name: str) -> int | None:
        """Give a value of ``_mapcount`` as the 32-bit number in memory, or None."""
        value = self.number(f"PAGE_{name}_MAPCOUNT_VALUE")
        return None if value is None else value & 0xFFFF_FFFF

    def type_by_types(self, name: str) -> int | None:
        """Give the same as the types alone have it: since 6.11, when it became an enumerator."""
        fact = self.types.compared(f"NUMBER(PAGE_{name}_MAPCOUNT_VALUE)")
        return None if fact is None else fact.value & 0xFFFF_FFFF

    def derive_offset(self, name: str, value: int, width: int, why: str) -> int | None:
        """Note an offset that is assumed; None if that cannot be one."""
        if value < 0 or value + width > self.size:
            return None
        return self.derive(name, value, why, Origin.ASSUMED)

    def derive(self, name: str, value: int | None, why: str, origin: Origin) -> int | None:
        """Note where a value comes from that VMCOREINFO does not have."""
        if value is not None:
            self.facts.append(Fact(name, value, origin, why))
        return value
