"""What drgn calls to read memory: a dump's bytes, a page at a time from a bounded cache.

drgn calls back once for every read, mostly for a few bytes, so the common case has to be short: one
look-up and one slice. It knows nothing of which addresses are whose; see ``attaching`` and
``program``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import drgn

from vmemmap.errors import ReadError, TranslateError, VmemmapError
from vmemmap.vmcore import Vmcore

CACHE_BYTES = 64 << 20
"""How much of decoded pages a reader keeps. Pages of an uncompressed dump are views of the file."""

ReadSegment = Callable[[int, int, int, bool], bytes | memoryview]
"""drgn's callback: ``(address, count, offset, physical)`` to exactly *count* bytes."""

logger = logging.getLogger("vmemmap.drgn_plugin")


def virtual_reader(core: Vmcore) -> ReadSegment:
    """Make the callback for segments of kernel virtual addresses."""

    def view(virt: int, size: int) -> memoryview:
        return core.source.view(core.vtop(virt).phys, size)

    return _make_reader(view, core.read, _page_bytes(core))


def physical_reader(core: Vmcore) -> ReadSegment:
    """Make the callback for segments of physical addresses."""
    return _make_reader(core.source.view, core.read_phys, _page_bytes(core))


def fault(error: VmemmapError, address: int) -> drgn.FaultError:
    """Give drgn's error for an address that cannot be read, with the reason.

    drgn's helpers expect this type from memory that is not there, and go on.
    """
    where = error.virt if isinstance(error, TranslateError) else address
    return drgn.FaultError(str(error), where)


def _page_bytes(core: Vmcore) -> int:
    """Give the largest size of which aligned pieces surely lie in one piece of memory."""
    page_bytes = int(core.kernel.page_size.value)
    block_bytes = core.backing.block_size
    return min(page_bytes, block_bytes) if block_bytes else page_bytes


def _make_reader(
    view: Callable[[int, int], memoryview], read: Callable[[int, int], bytes], page_bytes: int
) -> ReadSegment:
    """Make a callback.

    Args:
        view: Gives the bytes at an address, for a whole page.
        read: Gives the bytes at an address, for any size.
        page_bytes: Size of a page, a power of two.
    """
    shift, mask = page_bytes.bit_length() - 1, page_bytes - 1
    most = max(CACHE_BYTES >> shift, 1)
    pages: dict[int, memoryview] = {}
    told: set[type[Exception]] = set()

    def read_segment(address: int, count: int, offset: int, physical: bool) -> bytes | memoryview:
        into = address & mask
        end = into + count
        if end <= page_bytes:
            try:
                return pages[address >> shift][into:end]
            except KeyError:
                pass
        return read_slowly(address, count)

    def read_slowly(address: int, count: int) -> bytes | memoryview:
        try:
            into = address & mask
            if into + count > page_bytes:
                return read(address, count)
            try:
                page = view(address - into, page_bytes)
            except VmemmapError:
                return read(address, count)  # a page may be there in part
            while len(pages) >= most:
                pages.pop(next(iter(pages)))  # the oldest
            pages[address >> shift] = page
            return page[into : into + count]
        except (ReadError, TranslateError) as error:
            raise fault(error, address) from None
        except Exception as error:
            if type(error) not in told:  # once: a session may read the same place a million times
                told.add(type(error))
                logger.error("cannot read %#x: %s", address, _in_one_line(error))
            raise drgn.FaultError(_in_one_line(error), address) from None

    return read_segment


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, VmemmapError) else f"{type(error).__name__}: {text}"
