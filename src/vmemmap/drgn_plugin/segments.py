"""What drgn calls to read memory: a dump's bytes, a page at a time from a bounded cache.

drgn calls back once for every read, mostly for a few bytes, so the common case has to be short: one
look-up and one slice. It knows nothing of which addresses are whose; see ``attaching`` and
``program``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import drgn

from vmemmap.errors import FactError, ReadError, TranslateError, VmemmapError
from vmemmap.translate.regions import Method
from vmemmap.vmcore import Vmcore

CACHE_BYTES = 64 << 20
"""How much of decoded pages a reader keeps. Pages of an uncompressed dump are views of the file."""
SCRATCH_BYTES = 1 << 20
"""Up to this size reads of several pages are put together in a place of their own."""

Buffer = bytes | memoryview

ReadSegment = Callable[[int, int, int, bool], Buffer]
"""drgn's callback: ``(address, count, offset, physical)`` to exactly *count* bytes."""

logger = logging.getLogger("vmemmap.drgn_plugin")


def virtual_reader(core: Vmcore) -> ReadSegment:
    """Make the callback for segments of kernel virtual addresses."""
    physical = _page_getter(core)

    def page(virt: int, size: int) -> Buffer:
        return physical(core.vtop(virt).phys, size)

    def large(virt: int, size: int) -> Buffer:
        try:
            first, last = core.vtop(virt), core.vtop(virt + size - 1)
            alike = first.method == last.method != Method.PAGE_TABLE
            if alike and first.entry == last.entry:  # one block, or the linear map
                return physical(first.phys, size)
        except VmemmapError:
            pass  # what can be read ends at the first byte that cannot, and it is named
        return core.read(virt, size)

    return _PageReader(page, large, _page_bytes(core), _pages_at_once(core)).callback()


def physical_reader(core: Vmcore) -> ReadSegment:
    """Make the callback for segments of physical addresses."""
    physical, pages = _page_getter(core), _pages_at_once(core)
    return _PageReader(physical, physical, _page_bytes(core), pages).callback()


def _page_getter(core: Vmcore) -> Callable[[int, int], Buffer]:
    """Give the way to a piece of physical memory: of an uncompressed dump without a copy.

    Of a compressed one as bytes: small pieces of those are had a little faster.
    """
    return core.source.read if core.source.block_size else core.source.view


def fault(error: VmemmapError | ValueError, address: int) -> drgn.FaultError:
    """Give drgn's error for an address that cannot be read, with the reason.

    drgn's helpers expect this type from memory that is not there, and go on.
    """
    where = error.virt if isinstance(error, TranslateError) else address
    return drgn.FaultError(str(error), where)


def _page_bytes(core: Vmcore) -> int:
    """Give the largest size of which aligned pieces surely lie in one piece of memory."""
    page_bytes = core.kernel.page_size.value
    try:
        block_bytes = core.backing.block_size or page_bytes
    except FactError:
        return page_bytes  # no list: then the vmemmap is unreadable, and the rest need not be
    return min(page_bytes, block_bytes)


def _pages_at_once(core: Vmcore) -> int:
    """Give how many pages are best put together from single ones; more are read as a whole.

    Of a compressed dump as many as possible: a whole read would decode them again.
    """
    return SCRATCH_BYTES // _page_bytes(core) if core.source.block_size else 4


class _PageReader:
    """Reads by pages, which it keeps.

    Args:
        page: Gives the bytes at an address, for a whole page.
        read: Gives the bytes at an address, for any size.
        page_bytes: Size of a page, a power of two.
        pages_at_once: Up to how many pages a read is put together from pages.
    """

    def __init__(
        self,
        page: Callable[[int, int], Buffer],
        read: Callable[[int, int], Buffer],
        page_bytes: int,
        pages_at_once: int,
    ) -> None:
        self._get_page = page
        self._read = read
        self._page_bytes = page_bytes
        self._bytes_at_once = pages_at_once * page_bytes
        self._most = max(CACHE_BYTES // page_bytes, 1)
        self._pages: dict[int, Buffer] = {}
        self._scratch = memoryview(bytearray())
        self._logged: set[type[Exception]] = set()

    def callback(self) -> ReadSegment:
        """Give the function for drgn: short for what lies in the same page as the last read."""
        pages, page_bytes, read_slowly = self._pages, self._page_bytes, self._read_slowly
        shift, mask = page_bytes.bit_length() - 1, page_bytes - 1
        start, page = -page_bytes, cast(Buffer, b"")  # the page of the last read: none

        def read_segment(address: int, count: int, offset: int, physical: bool) -> Buffer:
            nonlocal start, page
            into = address - start
            end = into + count
            if into >= 0 and end <= page_bytes:
                return page[into:end]
            into = address & mask
            end = into + count
            if end <= page_bytes and (found := pages.get(address >> shift)) is not None:
                start, page = address - into, found
                return page[into:end]
            return read_slowly(address, count)

        return read_segment

    def _read_slowly(self, address: int, count: int) -> Buffer:
        try:
            if count > self._bytes_at_once:
                return self._read(address, count)
            try:
                return self._from_pages(address, count)
            except VmemmapError:
                return self._read(address, count)  # a page may be there in part
        except (ReadError, TranslateError) as error:
            raise fault(error, address) from None
        except Exception as error:
            text = _in_one_line(error)
            if type(error) not in self._logged:  # once: the same may be read a million times
                self._logged.add(type(error))
                logger.error("cannot read %#x: %s", address, text)
            raise drgn.FaultError(text, address) from None

    def _from_pages(self, address: int, count: int) -> Buffer:
        size = self._page_bytes
        number, into = divmod(address, size)
        if into + count <= size:
            return self._page(number)[into : into + count]
        if len(self._scratch) < count:
            self._scratch = memoryview(bytearray(self._bytes_at_once))
        # drgn copies what it is given before anything else runs, so the place can be used again.
        out = self._scratch[:count]
        done = 0
        while done < count:
            part = self._page(number)[into : into + count - done]
            out[done : done + len(part)] = part
            done += len(part)
            number, into = number + 1, 0
        return out

    def _page(self, number: int) -> Buffer:
        page = self._pages.get(number)
        if page is None:
            page = self._get_page(number * self._page_bytes, self._page_bytes)
            while len(self._pages) >= self._most:
                self._pages.pop(next(iter(self._pages)))  # the oldest
            self._pages[number] = page
        return page


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, VmemmapError) else f"{type(error).__name__}: {text}"
