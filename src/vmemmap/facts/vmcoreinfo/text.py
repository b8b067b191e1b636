"""VMCOREINFO: the kernel's own notes for dump tools, as checked key=value lines.

A key that is missing and a key whose value is garbage are different errors, and both name the key.
What the values mean for the vmemmap is in ``vmemmap.facts.kernel``.

Source: Linux kernel/vmcore_info.c, arch/powerpc/kernel/vmcore_info.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmemmap.address import U64_MAX
from vmemmap.errors import FactConflict, FactInvalid, FactMissing
from vmemmap.facts.fact import Fact, Origin

_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]{1,16}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,20}|0x[0-9a-fA-F]{1,16}", re.ASCII)


class Vmcoreinfo:
    """The parsed text.

    Args:
        text: The text as the dump has it: ASCII lines ``KEY=value``. Lines of another form are
            passed over.
    """

    def __init__(self, text: bytes) -> None:
        self._values: dict[str, str] = {}
        self._conflicts: dict[str, str] = {}
        for line in text.decode("latin-1").split("\n"):
            key, equals, value = line.partition("=")
            if not equals:
                continue
            if self._values.setdefault(key, value) != value:
                self._conflicts[key] = value

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        """Give the value of *key* as it stands.

        Raises:
            FactMissing: There is no such key.
            FactConflict: It is there twice with different values.
        """
        if key in self._conflicts:
            raise FactConflict(
                f"VMCOREINFO has {key} twice: {self._values[key]!r} and {self._conflicts[key]!r}",
                name=key,
            )
        if key not in self._values:
            other = "" if self._values else ", nor any line KEY=value: the text is no VMCOREINFO"
            raise FactMissing(f"VMCOREINFO has no {key}{other}", name=key)
        return self._values[key]

    def symbol(self, name: str) -> int:
        """Give SYMBOL(name): an address (or, for a few, the variable's value), 0 to 2**64 - 1."""
        return self._integer(f"SYMBOL({name})", _HEX, 16, "a hexadecimal address")

    def size(self, name: str) -> int:
        """Give SIZE(name) in bytes."""
        return self._integer(f"SIZE({name})", _DECIMAL, 10, "a decimal size")

    def offset(self, member: str) -> int:
        """Give OFFSET(struct.member) in bytes."""
        return self._integer(f"OFFSET({member})", _DECIMAL, 10, "a decimal offset")

    def length(self, name: str) -> int:
        """Give LENGTH(name): how many elements an array has."""
        return self._integer(f"LENGTH({name})", _DECIMAL, 10, "a decimal number of elements")

    def number(self, name: str) -> int:
        """Give NUMBER(name): signed decimal, or hexadecimal with 0x."""
        return self._integer(f"NUMBER({name})", _NUMBER, 0, "a number")

    def page_size(self) -> int:
        """Give PAGESIZE in bytes: 4096 or 65536, the only ones that ppc64 kernels have."""
        value = self._integer("PAGESIZE", _DECIMAL, 10, "4096 or 65536")
        if value not in (4096, 65536):
            raise FactInvalid(
                f"VMCOREINFO has PAGESIZE={value}; ppc64 kernels have 4096 or 65536 only",
                name="PAGESIZE",
            )
        return value

    def integer(self, key: str) -> int:
        """Give the value of a whole key, such as ``SIZE(page)``, by the method for its kind."""
        kind, _, name = key.removesuffix(")").partition("(")
        kinds = {
            "SYMBOL": self.symbol,
            "SIZE": self.size,
            "OFFSET": self.offset,
            "LENGTH": self.length,
            "NUMBER": self.number,
        }
        return kinds[kind](name)

    def fact(self, name: str, key: str) -> Fact[int]:
        """Give the value of a whole key as the fact *name*, with its origin."""
        return Fact(name, self.integer(key), Origin.VMCOREINFO, key)

    def _integer(self, key: str, form: re.Pattern[str], base: int, expected: str) -> int:
        text = self.text(key)
        if form.fullmatch(text):
            value = int(text, base if base or text.startswith("0x") else 10)
            if -(1 << 63) <= value <= U64_MAX:
                return value
        raise FactInvalid(f"VMCOREINFO has {key}={text!r}; expected {expected}", name=key)
