"""Struct pages as an extract shows them: each member on a list, reduced to what its tests look at.

Of three struct pages (a page of a file, the head of a free block of order 3, a tail)::

    member      in memory                          shown
    flags       node, zone, last CPU, flags        node, zone, flags
    refcount    1                0           0     the same, if no count is as large
    mapcount    0         f000_0000  ffff_ffff     the same
    mapping     c0..5e10         0   dead_0400     its top three and lowest two bits, and whether
                                                   there is more of it
    lru.next    the list         -   head | 1      only a head's address
    private     buffer_head      3           -     only the order of a free block

Whatever stands in memory, no eight bytes in a row of the rest come through: a block that is none
(the list is damaged) shows nothing that anybody could read.

Source: Linux include/linux/mm_types.h; what is looked at: ``pages/rules.py`` and
``pages/exclusion_rules.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.extract.words import is_kernel_data
from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.layout.compound_words import Word
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.rules import MAPPING_MASK

_U64 = np.uint64
_FLAGS = (1 << 32) - 1
"""The flags proper: above them are fields, of which last_cpupid names a process."""
_SOME_MAPPING = 1 << 12
"""Stands for all bits of a mapping that no test looks at, where any is set."""
_COUNT_MAX = 1 << 24
"""No real count is as large. What is, is something else, of which three bytes come through."""
_MINUS_ONE = _U64((1 << 32) - 1)
"""A count that went below 0, or of a poison: all its bits say the same."""
_ORDER_MAX = 64
"""No block has such an order. It stands for all that are none."""
_POISON = _U64((1 << 64) - 1)
"""In struct pages that nobody has initialised, where the kernel debugs them; it names no device."""


class PageReducer:
    """Reduces struct pages.

    Args:
        layout: The kernel's struct page.
        fields: Which bits of the flags have node and zone; None if that is not known.
        base: Virtual address of the struct page of pfn 0.
        end_pfn: The pfn after the last that has one.
        lru: OFFSET(page.lru) in bytes, to keep the links of free pages too, for a kernel whose
            free pages are told by its lists; else None.

    Attributes:
        astray: How many tails named no struct page: what is shown of them is no tail.
    """

    def __init__(
        self,
        layout: PageLayout,
        fields: FlagFields | None,
        base: int,
        end_pfn: int,
        *,
        lru: int | None,
    ) -> None:
        self._layout, self._base, self._lru = layout, base, lru
        self._flag_mask = _FLAGS | (fields.mask if fields else 0)
        self._end = base + end_pfn * layout.size
        self._prefix = numpy_prefix(layout.order)
        self.astray = 0

    def reduce(self, first_pfn: int, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give what is shown of some struct pages.

        Args:
            first_pfn: The pfn of the first.
            rows: uint8, shape (n, size), contiguous: their bytes.

        Returns:
            The same shape.
        """
        layout, out = self._layout, np.zeros_like(rows)
        flags = self._get(rows, layout.flags)
        shown = np.where(flags == _POISON, flags, flags & _U64(self._flag_mask))
        self._put(out, layout.flags, shown)
        if layout.refcount is not None:
            count = self._get(rows, layout.refcount, 4)
            count = np.where(count == _MINUS_ONE, count, np.minimum(count, _U64(_COUNT_MAX)))
            self._put(out, layout.refcount, count, 4)
        if layout.mapcount is not None:
            self._put(out, layout.mapcount, self._get(rows, layout.mapcount, 4), 4)
        mapping = self._get(rows, layout.mapping)
        tested = mapping & _U64(MAPPING_MASK)
        more = (mapping != tested).astype(np.uint64) * _U64(_SOME_MAPPING)
        self._put(out, layout.mapping, tested | more)
        self._put_tails(first_pfn, rows, out, flags)
        self._put_free(rows, out, flags)
        return out

    def _put_tails(
        self,
        first_pfn: int,
        rows: NDArray[np.uint8],
        out: NDArray[np.uint8],
        flags: NDArray[np.uint64],
    ) -> None:
        """Show where a tail's head is, and what the second page of a compound says of it."""
        layout = self._layout
        if layout.head is not None:
            word = self._get(rows, layout.head)
            tail = (word & _U64(1) != 0) & (self._is_page(word - _U64(1)) | _is_mask(word))
            self._put(out, layout.head, word, where=tail)
            self.astray += int(np.count_nonzero((word & _U64(1) != 0) & ~tail))
            named = word - _U64(1)
        elif "tail" in layout.bits and layout.first_page is not None:
            tail = flags & _U64(1 << layout.bits["tail"]) != 0
            named = self._get(rows, layout.first_page)
            self._put(out, layout.first_page, named, where=tail & self._is_page(named))
        else:
            return
        # Only the second page says more: in the others the same bytes are something else.
        pfns = np.arange(first_pfn, first_pfn + len(rows), dtype=np.uint64)
        second = tail & (named == _U64(self._base) + (pfns - _U64(1)) * _U64(layout.size))
        order, kind = layout.compound_order, layout.compound_dtor
        if order is not None and order.offset != layout.flags:
            value = self._word(rows, order)
            value = np.minimum(value, _U64(_ORDER_MAX))
            self._put(out, order.offset, value, order.width, where=second)
        if kind is not None and kind.offset != layout.flags and layout.hugetlb_dtor is not None:
            value = self._word(rows, kind)
            huge = second & (value == _U64(layout.hugetlb_dtor))
            self._put(out, kind.offset, value, kind.width, where=huge)

    def _put_free(
        self, rows: NDArray[np.uint8], out: NDArray[np.uint8], flags: NDArray[np.uint64]
    ) -> None:
        """Show the order of a free block, and on kernels that need it how it is linked."""
        layout = self._layout
        if layout.buddy is not None and layout.mapcount is not None:
            free = self._get(rows, layout.mapcount, 4) == _U64(layout.buddy)
        elif "buddy" in layout.bits:
            free = flags & _U64(1 << layout.bits["buddy"]) != 0
        else:
            return
        if layout.private is not None:
            order = self._get(rows, layout.private)
            self._put(out, layout.private, np.minimum(order, _U64(_ORDER_MAX)), where=free)
        if self._lru is not None:
            for offset in (self._lru, self._lru + 8):
                word = self._get(rows, offset)
                self._put(out, offset, word, where=free & is_kernel_data(word))

    def _is_page(self, virt: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which addresses are those of struct pages."""
        inside = (virt >= _U64(self._base)) & (virt < _U64(self._end))
        whole = (virt - _U64(self._base)) % _U64(self._layout.size) == 0
        return np.asarray(inside & whole)

    def _word(self, rows: NDArray[np.uint8], word: Word) -> NDArray[np.uint64]:
        return self._get(rows, word.offset, word.width) & _U64(word.mask)

    def _get(self, rows: NDArray[np.uint8], offset: int, width: int = 8) -> NDArray[np.uint64]:
        size = self._layout.size
        return np.ndarray(len(rows), f"{self._prefix}u{width}", rows.data, offset, (size,)).astype(
            np.uint64
        )

    def _put(
        self,
        out: NDArray[np.uint8],
        offset: int,
        values: NDArray[np.uint64],
        width: int = 8,
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        size = self._layout.size
        column = np.ndarray(len(out), f"{self._prefix}u{width}", out.data, offset, (size,))
        if where is None:
            column[:] = values
        else:
            column[where] = values[where]


def _is_mask(word: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which words are masks, by which tails find their heads since 7.1: ones, then zeros."""
    zeros = ~(word - _U64(1)) + _U64(1)  # of a mask, the power of two where its ones begin
    return np.asarray((zeros != 0) & (zeros & (zeros - _U64(1)) == 0))
