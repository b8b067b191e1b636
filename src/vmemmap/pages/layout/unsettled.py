"""What is not established of the marks that a page can have, as far as it can be narrowed down.

A mark (reserved, slab, hwpoison, ...) is a bit of the flags, or a value of ``_mapcount``. Where a
kernel is known to have none of a name, nothing is unsettled: no page has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FLAG_BITS = 32
"""Flags have numbers below this; above stand node, zone and what else shares the word."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A mark of which it is not known what it is, or whether there is any.

    A page that has none of the following does not carry it.

    Attributes:
        bits: The bits of the flags that may be it, as a mask.
        types: The values of ``_mapcount`` that may be it, as 32-bit numbers.
        any_type: Whatever page type no other mark is known to have may be it.
    """

    bits: int = 0
    types: frozenset[int] = frozenset()
    any_type: bool = False

    def narrowed(self, bits: int) -> Unsettled:
        """Give the same with no bits but those of a mask."""
        return Unsettled(self.bits & bits, self.types, self.any_type)


def mask_of(bits: Iterable[int | None]) -> int:
    """Give bits as a mask; None is none."""
    mask = 0
    for bit in bits:
        mask |= 0 if bit is None else 1 << bit
    return mask


def only_bit(mask: int) -> int | None:
    """Give the number of a mask's only bit; None if it has none or several."""
    return mask.bit_length() - 1 if mask and not mask & (mask - 1) else None
