"""A cache of decoded pages, bounded in bytes, oldest use dropped first."""

from __future__ import annotations

from collections import OrderedDict

DEFAULT_BYTES = 32 << 20


class PageCache:
    """Decoded pages by file offset, so that pages sharing one copy in the file share it here.

    Args:
        limit_bytes: The sum of page sizes kept, at most.
    """

    def __init__(self, limit_bytes: int = DEFAULT_BYTES) -> None:
        self._limit = limit_bytes
        self._used = 0
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def get(self, file_offset: int) -> bytes | None:
        """Give the page decoded from *file_offset*, or None."""
        page = self._pages.get(file_offset)
        if page is not None:
            self._pages.move_to_end(file_offset)
        return page

    def put(self, file_offset: int, page: bytes) -> None:
        """Keep *page*, and drop the pages unused for longest to stay within the bound."""
        old = self._pages.pop(file_offset, None)
        self._used += len(page) - (len(old) if old is not None else 0)
        self._pages[file_offset] = page
        while self._used > self._limit and len(self._pages) > 1:
            self._used -= len(self._pages.popitem(last=False)[1])
