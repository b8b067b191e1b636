"""Finds struct pages of which it is known what they are, in a dump whose flags are not known yet.

What they show is in ``layout/witnesses.py``. A few of each sort will do, so that this costs nothing
on a machine of any size; what cannot be read is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from vmemmap.absence import Absence
from vmemmap.address import numpy_prefix
from vmemmap.established import established
from vmemmap.pages.count.free_lists import FreeLists
from vmemmap.pages.layout.witnesses import FreeHead
from vmemmap.pages.struct_pages import StructPages, Window

_HEADS = 64
_WINDOW_PAGES = 1 << 12
_WINDOWS = 64
"""How many windows are searched for tails of compounds, and for page types."""
_SIGN, _NO_COUNT = 1 << 31, 0xFFFF_FFFF


class PagesToWitness:
    """Known pages of one dump; see `layout.witnesses.KnownPages`.

    Args:
        struct_pages: Where the struct pages are.
        image: Pages that are the kernel's own since boot, as pfns.
        lists: Gives the free lists, or None where they cannot be followed.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        image: Sequence[int],
        lists: Callable[[], FreeLists | None],
    ) -> None:
        self._struct_pages, self._image, self._lists = struct_pages, image, lists

    @established
    def image(self) -> list[tuple[int, bytes]]:
        """The pfns and struct pages of some pages of the kernel's image."""
        return [(pfn, data) for pfn in self._image if (data := self._read(pfn)) is not None]

    @established
    def free_heads(self) -> list[FreeHead]:
        """The heads of some blocks on the free lists: the first of as many lists as there are."""
        lists = self._lists()
        found = [] if lists is None else islice(lists.first_blocks(), _HEADS)
        heads = ((block.order, self._read(block.pfn)) for block in found)
        return [FreeHead(order, data) for order, data in heads if data is not None]

    def compound_heads(self, head: int) -> list[bytes]:
        """Give some struct pages that the tails of compounds name."""
        pages = {pfn: self._read(pfn) for pfn in islice(self._named(head), _HEADS)}
        return [data for data in pages.values() if data is not None]

    def types_at(self, at: int) -> frozenset[int] | None:
        """Give the page types that stand at an offset in some pages of all kinds."""
        pages, found = self._struct_pages, set()
        dtype = np.dtype(f"{numpy_prefix(pages.order)}u4")
        for window in self._windows():
            for piece in window.pieces:
                words = np.ndarray(piece.end - piece.start, dtype, piece.data, at, (pages.size,))
                found.update(np.unique(words[words >= _SIGN]).tolist())
        return frozenset(found - {_NO_COUNT})

    def are_unlisted(self, lru: int) -> bool:
        """Tell whether ``lru`` of a page of the kernel's image links itself, as on no list."""
        pages = self._struct_pages
        for pfn, data in self.image:
            own = pages.base + pfn * pages.size + lru
            words = [data[at : at + 8] for at in (lru, lru + 8)]
            if all(int.from_bytes(word, pages.order) == own for word in words):
                return True
        return False

    @property
    def free_orders(self) -> int:
        """How many orders have free lists in a zone."""
        lists = self._lists()
        return 0 if lists is None else lists.orders

    def _named(self, head: int) -> Iterator[int]:
        """Yield the pfns that tails right behind them name as their heads."""
        pages = self._struct_pages
        dtype = np.dtype(f"{numpy_prefix(pages.order)}u8")
        for window in self._windows():
            for piece in window.pieces:
                first, count = window.first_pfn, piece.end - piece.start
                words = np.ndarray(count, dtype, piece.data, head, (pages.size,)).astype(np.uint64)
                pfns = np.arange(first + piece.start, first + piece.end, dtype=np.uint64)
                before = np.uint64(pages.base) + (pfns - np.uint64(1)) * np.uint64(pages.size)
                yield from (pfns[words == before + np.uint64(1)] - np.uint64(1)).tolist()

    def _windows(self) -> Iterator[Window]:
        pages = self._struct_pages
        for first in islice(pages.windows(_WINDOW_PAGES), _WINDOWS):
            yield pages.window(first, _WINDOW_PAGES)

    def _read(self, pfn: int) -> bytes | None:
        pages = self._struct_pages
        data = pages.read(pfn) if pages.sections.find(pfn) is not None else Absence.NO_MEMORY
        return None if isinstance(data, Absence) else data
