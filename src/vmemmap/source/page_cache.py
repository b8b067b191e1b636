"""A cache of decoded pages, bounded in bytes, oldest use dropped first."""

from __future__ import annotations

from collections import OrderedDict

DEFAULT_BYTES = 32 << 20

PageKey = tuple[int, int, int]
"""File offset, size and flags of a page, as its descriptor gives them."""


class PageCache:
    """Decoded pages by where they lie in the file, so that pages sharing one copy share it here.

    Args:
        limit_bytes: The sum of page sizes kept, at most.
    """

    def __init__(self, limit_bytes: int = DEFAULT_BYTES) -> None:
        self._limit = limit_bytes
        self._used = 0
        self._pages: OrderedDict[PageKey, bytes] = OrderedDict()

    def get(self, key: PageKey) -> bytes | None:
        """Give the page decoded from there, or None."""
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: PageKey, page: bytes) -> None:
        """Keep *page*, and drop the pages unused for longest to stay within the bound."""
        old = self._pages.pop(key, None)
        self._used += len(page) - (len(old) if old is not None else 0)
        self._pages[key] = page
        while self._used > self._limit and len(self._pages) > 1:
            self._used -= len(self._pages.popitem(last=False)[1])
