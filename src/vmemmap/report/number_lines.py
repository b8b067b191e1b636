"""Many lines of numbers at once, made column by column: a list can have a million entries.

A line is put together from parts, each a matrix of characters with a row for each line, in which
NUL (here -) stands for no character. Three values in hex, right-aligned in four columns::

    padding  digits   end     together
    _ _ _    - - - a  ;       ___a;
    - - -    b e e f  ;       beef;
    _ _ -    - - 1 f  ;       __1f;
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Characters = NDArray[np.uint8]
"""Shape (lines, columns): ASCII, or 0 for no character."""

_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
_DECIMAL = np.frombuffer(b"".join(b"%04d" % n for n in range(10_000)), dtype=np.uint32)
"""Two hex digits for each byte, and four decimal ones for each number below 10,000."""


def in_hex(values: NDArray[np.uint64]) -> Characters:
    """Give numbers in hex, without leading zeros or 0x."""
    octets = np.ascontiguousarray(values, dtype=">u8").view(np.uint8).reshape(-1, 8)
    used = max((int(values.max(initial=0)).bit_length() + 7) // 8, 1)
    digits = _HEX.take(octets[:, 8 - used :]).view(np.uint8)
    return _without_zeros(digits)


def in_decimal(values: NDArray[np.uint64]) -> Characters:
    """Give numbers in decimal."""
    used = (len(str(int(values.max(initial=0)))) + 3) // 4
    groups = np.empty((len(values), used), dtype=np.intp)
    left = values
    for group in reversed(range(1, used)):
        left, groups[:, group] = np.divmod(left, np.uint64(10_000))
    groups[:, 0] = left
    return _without_zeros(_DECIMAL.take(groups).view(np.uint8))


def literal(text: str, lines: int) -> Characters:
    """Give a text that stands in every line."""
    return np.broadcast_to(np.frombuffer(text.encode("ascii"), np.uint8), (lines, len(text)))


def padding(width: int, *parts: Characters) -> Characters:
    """Give the spaces that some parts lack of a width."""
    if all(part.all() for part in parts):  # each has one width, as addresses mostly do
        lacks = max(width - sum(part.shape[1] for part in parts), 0)
        return literal(" " * lacks, len(parts[0]))
    length = sum(np.count_nonzero(part, axis=1) for part in parts)
    room: NDArray[np.bool_] = np.arange(width) < (width - length)[:, np.newaxis]
    return room.view(np.uint8) * np.uint8(ord(" "))


def joined(parts: Sequence[Characters]) -> str:
    """Put parts together, a line behind the other."""
    lines = np.concatenate(parts, axis=1)
    text: bytes = lines[lines != 0].tobytes()
    return text.decode("ascii")


def _without_zeros(digits: Characters) -> Characters:
    """Take away the zeros that numbers begin with, but for the last digit."""
    some = digits != ord("0")
    first = int(np.argmax(some.any(axis=0))) if some.any() else digits.shape[1] - 1
    digits, some = digits[:, first:], some[:, first:]
    if some[:, 0].all():
        return digits
    shown = np.maximum.accumulate(some, axis=1)
    shown[:, -1] = True
    return digits * shown
