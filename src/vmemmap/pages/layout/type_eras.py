"""Values of ``_mapcount`` that say what type a page is, by kernel era.

Source: Linux include/linux/page-flags.h of the versions named at each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_WORD = 0xFFFF_FFFF
_NAMES = ("buddy", "offline", "hugetlb", "slab")


@dataclass(frozen=True, slots=True)
class TypeEra:
    """The page types of one range of kernels.

    Attributes:
        since: The first release with this table (major, minor, patch).
        values: Value of ``_mapcount`` by name, as a 32-bit number.
    """

    since: tuple[int, int, int]
    values: Mapping[str, int]


def _era(since: tuple[int, int, int], *values: int) -> TypeEra:
    return TypeEra(since, {n: v & _WORD for n, v in zip(_NAMES, values, strict=False)})


TYPE_ERAS = (
    TypeEra((0, 0, 0), {}),
    # Since Linux commit 5f24ce5fd34c ("thp: remove PG_buddy") (in v2.6.38).
    _era((2, 6, 38), -2),
    _era((2, 6, 39), -128),
    _era((4, 18, 0), ~0x80),
    _era((5, 1, 0), ~0x80, ~0x100),
    _era((6, 9, 0), ~0x80, ~0x100, ~0x800),
    _era((6, 10, 0), ~0x80, ~0x100, ~0x800, ~0x1000),
    _era((6, 11, 0), ~0x4000_0000, ~0x2000_0000, ~0x0400_0000, ~0x0200_0000),
    _era((6, 12, 0), 0xF0 << 24, 0xF1 << 24, 0xF4 << 24, 0xF5 << 24),
)
BUDDY_VALUES = frozenset(era.values["buddy"] for era in TYPE_ERAS if "buddy" in era.values)
"""All that a kernel has ever marked free blocks by."""
