"""What callers give, taken as what it is meant to be, or refused with what would be right."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import TextIOBase
from operator import index
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import U64_MAX


def address_of(virt: int) -> int:
    """Take an address of 64 bits, be it numpy's, which would overflow in what follows.

    Raises:
        TypeError: It is no number.
        ValueError: It has more bits, or is below 0.
    """
    try:
        virt = index(virt)
    except TypeError:
        many = "; vtop_many() takes many" if isinstance(virt, (Sequence, np.ndarray)) else ""
        raise TypeError(f"expected an address as an integer, found {virt!r}{many}") from None
    if not 0 <= virt <= U64_MAX:
        raise ValueError(f"expected an address of 64 bits, found {virt:#x}")
    return virt


def addresses_of(given: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Take many addresses.

    Raises:
        ValueError: They are no uint64, or not one-dimensional; says how they become that.
    """
    virt = np.asarray(given)
    if virt.dtype.newbyteorder("=") == np.uint64 and virt.ndim == 1:
        return np.ascontiguousarray(virt, dtype=np.uint64)
    found = f"found {virt.dtype} of shape {virt.shape}"
    hint = ""
    if not isinstance(given, np.ndarray):
        found = f"found a {type(given).__name__}"
        hint = ": np.array(addresses, dtype=np.uint64) makes one"
    elif virt.dtype == np.int64:
        hint = ": addresses.view(np.uint64) makes one"
    raise ValueError(f"expected a one-dimensional uint64 array, {found}{hint}")


def symbol_and_offset(text: str) -> tuple[str, int]:
    """Take a symbol with a hexadecimal offset or without, such as ``schedule+0x10``.

    Raises:
        ValueError: The offset is no number.
    """
    name, plus, offset = text.partition("+")
    try:
        return name, int(offset, 16) if plus else 0
    except ValueError:
        raise ValueError(f"expected a symbol as in 'schedule+0x10', found {text!r}") from None


def files_of(paths: Sequence[Any]) -> list[Any]:
    """Give the files of a dump that were named, one by one or as lists.

    Raises:
        TypeError: There is none, or one is a number, which is the name of nothing.
    """
    found: list[Any] = []
    for path in paths:
        if isinstance(path, (list, tuple)):
            found += files_of(path)
        elif path is None or isinstance(path, (int, float)):
            raise TypeError(
                "expected the path or URL of a dump, an object with read and seek, or a list of "
                f"these, found {path!r}"
            )
        else:
            found.append(path)
    if not found:
        raise TypeError("expected the path of a dump: vmemmap.open('vmcore')")
    return found


def outputs_of(
    out: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | BinaryIO,
) -> tuple[Sequence[str | os.PathLike[str]], BinaryIO | None]:
    """Take where something is to be written: the paths of files, or a stream.

    Raises:
        TypeError: It is neither, or the stream takes texts.
    """
    if isinstance(out, (str, os.PathLike)):
        return (out,), None
    if isinstance(out, Sequence):
        return out, None
    if isinstance(out, TextIOBase):
        raise TypeError(f"{out!r} takes texts, not bytes: open it in binary mode")
    if not hasattr(out, "write"):
        raise TypeError(f"expected the path of the output, or several, or a stream; found {out!r}")
    return (), out
