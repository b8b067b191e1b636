"""Addresses on the command line: hex numbers, or symbols of the kernel and offsets in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}", re.ASCII)
# An oops prints name+0x1c/0x40; the size behind the slash says nothing new.
_SYMBOL = re.compile(
    r"([A-Za-z_.$][\w.$]*)(?:\+((?:0[xX])?[0-9a-fA-F]{1,16})(?:/0[xX][0-9a-fA-F]{1,16})?)?",
    re.ASCII,
)
EXPECTED = "up to 16 hex digits, as in 0xc00c000000000000"


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """An address as the user gave it.

    Attributes:
        text: The argument.
        address: Kernel virtual address; for a symbol that of its offset.
        symbol: ``name+0x10`` where the user named a symbol, else None.
    """

    text: str
    address: int
    symbol: str | None = None


def may_be_address(argument: str) -> bool:
    """Tell whether an argument has the form of an address or of a symbol."""
    return bool(_HEX.fullmatch(argument) or _SYMBOL.fullmatch(argument))


def may_be_symbol(argument: str) -> bool:
    """Tell whether an argument can only be a symbol: it is no hex number."""
    return bool(_SYMBOL.fullmatch(argument)) and not _HEX.fullmatch(argument)


def resolve(core: Vmcore, argument: str) -> NamedAddress:
    """Turn an argument into an address; only a symbol needs the kernel's symbol table.

    What is a hex number as it stands is an address, also where a symbol has the same letters.

    Raises:
        click.BadParameter: It is neither an address nor a symbol of this kernel.
    """
    from vmemmap.address import U64_MAX
    from vmemmap.errors import FactError

    if _HEX.fullmatch(argument):
        return NamedAddress(argument, int(argument, 16))
    match = _SYMBOL.fullmatch(argument)
    if match is None:
        raise click.BadParameter(f"{argument!r} is no address: expected {EXPECTED}")
    name, offset = match[1], int(match[2] or "0", 16)
    try:
        address = core.symbol(name).address + offset
    except FactError as error:
        raise click.BadParameter(
            f"{argument!r} is no address ({EXPECTED}), and as a symbol: {error}"
        ) from None
    if address > U64_MAX:
        raise click.BadParameter(f"{argument!r} lies beyond the end of the address space")
    return NamedAddress(argument, address, f"{name}+{offset:#x}" if offset else name)
