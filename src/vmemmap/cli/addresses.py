"""Addresses and pages on the command line: numbers, or the kernel's symbols and offsets in them.

One rule for all commands, and what one of them prints the others take:

- an address has ``0x``, or all its 16 digits; one with letters among its digits needs neither;
- a pfn is a decimal number, or ``pfn:`` and a number (decimal, or hex with ``0x``);
- a size is a decimal number of bytes, or hex with ``0x``, or has a unit (4K, 1M);
- the offset behind a symbol is in hex, as an oops prints it.

What could be the one or the other where it stands (``vtop DUMP 4096``) is refused, and not guessed.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from vmemmap.cli.output import complain
from vmemmap.source.urls import shown

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

_Meant = TypeVar("_Meant")
_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}", re.ASCII)
# An oops prints name+0x1c/0x40; the size behind the slash says nothing new.
_SYMBOL = re.compile(
    r"([A-Za-z_.$][\w.$]*)(?:\+((?:0[xX])?[0-9a-fA-F]{1,16})(?:/0[xX][0-9a-fA-F]{1,16})?)?",
    re.ASCII,
)
_PAGE_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9a-fA-F]{16}", re.ASCII)
_PFN = re.compile(r"[0-9]{1,15}|pfn:(?:0[xX][0-9a-fA-F]{1,13}|[0-9]{1,15})", re.ASCII)
"""How a page is named: a number alone is a pfn, so an address needs 0x or all its digits."""
_EXPECTED = "up to 16 hex digits, as in 0xc00c000000000000"
_SIZE = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})(?:([KMGTkmgt])(?:i?B)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """An address as the user gave it.

    Attributes:
        address: Kernel virtual address; for a symbol that of its offset.
        symbol: ``name+0x10`` where the user named a symbol, else None.
    """

    address: int
    symbol: str | None = None


def split_addresses(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from addresses: the first is a dump, the rest what they read as.

    Raises:
        click.BadParameter: One cannot be an address, a symbol or a file, or there is no address.
    """
    _refuse_reversed("vtop", arguments)
    dumps, addresses = [arguments[0]], list[str]()
    for argument in arguments[1:]:
        # A member of a split dump may be called b or c0de; an address has 16 digits, or 0x.
        plainly_address = argument[:2] in ("0x", "0X") or len(argument) == 16
        if not addresses and not plainly_address and _is_file(argument):
            dumps.append(argument)
        elif _HEX.fullmatch(argument) or _SYMBOL.fullmatch(argument):
            _refuse_ambiguous(argument)
            addresses.append(argument)
        else:
            raise click.BadParameter(f"{shown(argument)!r} is no address: expected {_EXPECTED}")
    if not addresses:
        raise click.BadParameter(
            "there is no address to translate: name one or more after the dump, as in "
            f"vmemmap vtop {_as_typed(dumps[0])} 0xc00c000000000000"
        )
    return dumps, addresses


def _refuse_reversed(command: str, arguments: list[str]) -> None:
    """Refuse what is plainly the wrong way round: an address first, and the dump last."""
    first, last = arguments[0], arguments[-1]
    if not (_PFN.fullmatch(first) or _HEX.fullmatch(first) or _SYMBOL.fullmatch(first)):
        return
    if os.path.isfile(last) and not os.path.exists(first):  # noqa: PTH110, PTH113 (any text)
        right = " ".join(map(_as_typed, [last, *arguments[:-1]]))
        raise click.BadParameter(
            f"{first!r} is no file: the dump comes first, as in vmemmap {command} {right}"
        )


def _as_typed(argument: str) -> str:
    """Give an argument as the shell takes it, a URL without its secrets."""
    return shlex.quote(shown(argument))


def _refuse_ambiguous(argument: str) -> None:
    """Refuse a short number that is decimal as well as hex, where an address is wanted."""
    if argument.isdecimal() and len(argument) < 16 and int(argument) > 9:
        raise click.BadParameter(
            f"{argument!r} can be hex or decimal: write 0x{argument} for the address in hex, or "
            f"{int(argument):#x} if it is decimal"
        )


def split_physical(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from physical addresses and pfns.

    Raises:
        click.BadParameter: One is neither a physical address, a pfn nor a file, or there is none.
    """
    _refuse_reversed("ptov", arguments)
    dumps, wanted = [arguments[0]], list[str]()
    for argument in arguments[1:]:
        if _PAGE_HEX.fullmatch(argument) or argument.startswith("pfn:"):
            wanted.append(argument)
        elif not wanted and _is_file(argument):
            dumps.append(argument)
        else:
            _refuse_ambiguous(argument)
            raise click.BadParameter(
                f"{argument!r} is no physical address: expected hex with 0x, as in 0x14a0000, or a "
                "page as pfn:23552"
            )
    if not wanted:
        raise click.BadParameter(
            "there is no physical address: name one or more after the dump, as in "
            f"vmemmap ptov {_as_typed(dumps[0])} 0x14a0000"
        )
    return dumps, wanted


def split_read(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from what is to be read: an address, and perhaps a size.

    Raises:
        click.BadParameter: There is no address, or more than a size behind it.
    """
    _refuse_reversed("read", arguments)
    dumps, wanted = [arguments[0]], list[str]()
    for argument in arguments[1:]:
        named = _PAGE_HEX.fullmatch(argument) or argument.startswith("pfn:")
        if not wanted and not named and _is_file(argument):
            dumps.append(argument)
        else:
            wanted.append(argument)
    if not 1 <= len(wanted) <= 2:
        what = "there is no address to read at" if not wanted else f"{wanted[2]!r} is one too many"
        raise click.BadParameter(
            f"{what}: after the dump comes an address, then a size, as in "
            f"vmemmap read {_as_typed(dumps[0])} 0xc00c000000000000 256"
        )
    _refuse_ambiguous(wanted[0])
    return dumps, wanted


def byte_count(argument: str) -> int:
    """Read a size.

    Raises:
        click.BadParameter: It is none.
    """
    match = _SIZE.fullmatch(argument)
    if match is None:
        raise click.BadParameter(
            f"{argument!r} is no size: expected a number of bytes, as 256, 0x100, 4K or 1M"
        )
    return int(match[1], 0 if match[1][:2] in ("0x", "0X") else 10) << (
        10 * (" KMGT".index(match[2].upper()) if match[2] else 0)
    )


def pfn_number(argument: str) -> int:
    """Read a pfn: a decimal number, or after ``pfn:`` also hex with 0x.

    Raises:
        click.BadParameter: It is none.
    """
    if not _PFN.fullmatch(argument):
        raise click.BadParameter(
            f"{argument!r} is no pfn: expected a decimal number, or pfn:0x5c00 for one in hex"
        )
    digits = argument.removeprefix("pfn:")
    return int(digits, 16 if digits[:2] in ("0x", "0X") else 10)  # 0 would refuse 007


def physical(core: Vmcore, argument: str) -> int:
    """Give the physical address that an argument names, of a page its start.

    Raises:
        click.BadParameter: It is none.
    """
    if argument.startswith("pfn:"):
        return pfn_number(argument) * core.kernel.page_size.value
    if not _PAGE_HEX.fullmatch(argument):
        raise click.BadParameter(f"{argument!r} is no physical address: expected hex with 0x")
    return int(argument, 16)


def _is_file(argument: str) -> bool:
    """Tell a member of a split dump, also one that is missing, as far as its name tells."""
    is_path = os.sep in argument and not _SYMBOL.fullmatch(argument)
    return is_path or os.path.isfile(argument)  # noqa: PTH113


def split_pages(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from pages: the first is a dump, the rest what they read as.

    Returns:
        The dumps, and the pages as they were named.

    Raises:
        click.BadParameter: One is neither a page nor a file, or there is no page.
    """
    _refuse_reversed("page", arguments)
    dumps, wanted = [arguments[0]], list[str]()
    for argument in arguments[1:]:
        if _PFN.fullmatch(argument) or _PAGE_HEX.fullmatch(argument):
            wanted.append(argument)
        elif not wanted and _is_file(argument):
            dumps.append(argument)
        elif _SYMBOL.fullmatch(argument) and not _HEX.fullmatch(argument):
            wanted.append(argument)
        else:
            raise click.BadParameter(
                f"{shown(argument)!r} is no page: expected a pfn in decimal or as pfn:0x5c00, or "
                "an address with 0x, or a symbol"
            )
    if not wanted:
        raise click.BadParameter(
            "there is no page to decode: name one or more after the dump, as in "
            f"vmemmap page {_as_typed(dumps[0])} 23552"
        )
    return dumps, wanted


def resolve_each(
    core: Vmcore, arguments: list[str], resolve_one: Callable[[Vmcore, str], _Meant]
) -> tuple[list[_Meant], int]:
    """Turn arguments into what they name; one that names nothing is told and left out.

    Args:
        core: The dump.
        arguments: As the user gave them.
        resolve_one: `resolve` or `page_number`.

    Returns:
        What the others name, and how many name nothing.

    Raises:
        click.BadParameter: None of them names anything.
    """
    found, wrong = list[_Meant](), list[click.BadParameter]()
    for argument in arguments:
        try:
            found.append(resolve_one(core, argument))
        except click.BadParameter as error:
            wrong.append(error)
    if not found:
        raise wrong[0]
    for nothing in wrong:
        complain(core.source.path, f"error: {nothing.message}")
    return found, len(wrong)


def resolve(core: Vmcore, argument: str) -> NamedAddress:
    """Turn an argument into an address; only a symbol needs the kernel's symbol table.

    What is a hex number as it stands is an address, also where a symbol has the same letters.

    Raises:
        click.BadParameter: It is neither an address nor a symbol of this kernel.
    """
    from vmemmap.address import U64_MAX
    from vmemmap.errors import FactError

    if _HEX.fullmatch(argument):
        return NamedAddress(int(argument, 16))
    match = _SYMBOL.fullmatch(argument)
    if match is None:
        raise click.BadParameter(f"{shown(argument)!r} is no address: expected {_EXPECTED}")
    name, offset = match[1], int(match[2] or "0", 16)
    try:
        address = core.symbol(name).address + offset
    except FactError as error:
        raise click.BadParameter(
            f"{shown(argument)!r} is no address ({_EXPECTED}) and no file, and as a symbol: {error}"
        ) from None
    if address > U64_MAX:
        raise click.BadParameter(f"{argument!r} lies beyond the end of the address space")
    return NamedAddress(address, f"{name}+{offset:#x}" if offset else name)


def page_number(core: Vmcore, argument: str) -> tuple[Literal["pfn", "virt"], int]:
    """Give what an argument names, and the number.

    Raises:
        click.BadParameter: It is a symbol that this kernel has not.
    """
    if _PFN.fullmatch(argument):
        return "pfn", pfn_number(argument)
    if _PAGE_HEX.fullmatch(argument):
        return "virt", int(argument, 16)
    return "virt", resolve(core, argument).address
