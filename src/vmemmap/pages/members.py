"""The members of struct pages that their rules look at, as columns of numbers.

How the bytes are found is in ``struct_pages.py``, what the numbers mean in ``rules.py``.

Eight struct pages (a free block of two pages, two pages of a file, a compound of four)::

    pfn              8           9      10        11        12         13   14   15
    flags        ..000       ..000   ..028     ..028     ..040      ..000 ..000 ..000
    mapping          0           0  c0..10    c0..10         0          0    0    0
    mapcount  ffffff7f    ffffffff       0         2  ffffffff   ffffffff   ..   ..
    tail             -           -       -         -         -       tail tail tail
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.struct_pages import Window

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Members:
    """What some struct pages say; arrays of one length, in native byte order.

    Attributes:
        flags: The flags (uint64).
        mapping: The mapping (uint64).
        mapcount: ``_mapcount``, which is also the page type (uint32).
        tail: It is the tail of a compound.
    """

    flags: NDArray[np.uint64]
    mapping: NDArray[np.uint64]
    mapcount: NDArray[np.uint32]
    tail: Mask

    def __len__(self) -> int:
        return len(self.flags)

    def none(self) -> Mask:
        """Give a test that holds for no page."""
        return np.zeros(len(self), dtype=np.bool_)

    def with_flag(self, bit: int | None) -> Mask:
        """Tell which have a bit of the flags; none if there is no such bit."""
        if bit is None:
            return self.none()
        found: Mask = (self.flags & np.uint64(1 << bit)) != 0
        return found

    def of_type(self, value: int | None) -> Mask:
        """Tell which have a page type; none if there is no such type."""
        if value is None:
            return self.none()
        found: Mask = self.mapcount == np.uint32(value)
        return found

    def with_any_flag(self, mask: int) -> Mask:
        """Tell which have any bit of a mask in the flags."""
        found: Mask = (self.flags & np.uint64(mask)) != 0
        return found

    def of_any_type(self, values: Collection[int]) -> Mask:
        """Tell which have one of several page types."""
        found: Mask = np.isin(self.mapcount, np.array(sorted(values), dtype=np.uint32))
        return found

    def of_other_type(self, values: Collection[int]) -> Mask:
        """Tell which have a page type, and none of these.

        A count is -1 or more; below that stands what type of page it is.
        """
        typed: Mask = self.mapcount >> np.uint32(31) != 0
        return typed & ~self.of_any_type({0xFFFF_FFFF, *values})

    def mapping_is(self, mask: int, value: int) -> Mask:
        """Tell in which the bits of *mask* of the mapping are *value*."""
        found: Mask = (self.mapping & np.uint64(mask)) == np.uint64(value)
        return found


class MemberReader:
    """Reads the members of a window's struct pages into columns that are used again.

    Not for use by several threads at a time.

    Args:
        layout: The kernel's struct page.
    """

    def __init__(self, layout: PageLayout) -> None:
        self._layout = layout
        self._room = _columns(0)

    def read(self, window: Window) -> Members:
        """Give the members of a window, good until the next call; 0 where they cannot be read."""
        layout, count = self._layout, window.count
        if len(self._room.flags) < count:
            self._room = _columns(count)
        room = self._room
        found = Members(
            room.flags[:count], room.mapping[:count], room.mapcount[:count], room.tail[:count]
        )
        if not window.complete:
            for column in (found.flags, found.mapping, found.mapcount, found.tail):
                column[:] = 0  # what the window before left there must not count
        members: list[tuple[int, NDArray[np.generic]]] = [
            (layout.flags, found.flags),
            (layout.mapping, found.mapping),
        ]
        if layout.mapcount is not None:
            members.append((layout.mapcount, found.mapcount))
        tail = found.tail.view(np.uint8)
        if layout.head is not None:
            members.append((layout.head + _low_byte(layout.order), tail))
        window.columns(members)
        if layout.order != sys.byteorder:
            for column in (found.flags, found.mapping, found.mapcount):
                column.byteswap(inplace=True)
        if layout.head is not None:
            np.bitwise_and(tail, np.uint8(1), out=tail)
        elif "tail" in layout.bits:
            np.not_equal(found.flags & np.uint64(1 << layout.bits["tail"]), 0, out=found.tail)
        return found


def _columns(count: int) -> Members:
    return Members(
        np.zeros(count, dtype=np.uint64),
        np.zeros(count, dtype=np.uint64),
        np.zeros(count, dtype=np.uint32),
        np.zeros(count, dtype=np.bool_),
    )


def _low_byte(order: ByteOrder) -> int:
    """Give where in an 8-byte word its lowest byte is."""
    return 0 if order == "little" else 7
