"""What drgn calls to read memory: a dump's bytes, from pieces that are kept.

What was read before is lent without a line of Python (``lender``); what is here gets the rest. It
knows nothing of which addresses are whose; see ``attaching`` and ``program``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import drgn
import numpy as np

from vmemmap.drgn_plugin.lender import Buffer, ReadSegment, make_lender
from vmemmap.drgn_plugin.pieces import Piece, Views, Windows
from vmemmap.errors import FactError, ReadError, TranslateError, VmemmapError
from vmemmap.translate.regions import Method
from vmemmap.vmcore import Vmcore

SCRATCH_BYTES = 1 << 20
"""Up to this size reads of several pieces are put together in a place of their own."""
_FEW_PAGES = 3
"""So many in a row are decoded one by one: to begin with all of them at once takes longer."""

logger = logging.getLogger("vmemmap.drgn_plugin")


def virtual_reader(core: Vmcore) -> ReadSegment:
    """Make the callback for segments of kernel virtual addresses."""

    def run(virt: int, size: int) -> int | None:
        first = core.vtop(virt)
        if virt % page_bytes + size <= page_bytes:
            return first.phys
        last = core.vtop(virt + size - 1)
        alike = first.method == last.method != Method.PAGE_TABLE
        # One block, or the linear map.
        return first.phys if alike and first.entry == last.entry else None

    page_bytes = _page_bytes(core)
    return _Reader(core, run, core.read, page_bytes).callback


def physical_reader(core: Vmcore) -> ReadSegment:
    """Make the callback for segments of physical addresses."""
    return _Reader(core, lambda phys, _: phys, core.source.read, _page_bytes(core)).callback


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


class _Reader:
    """Reads what is not kept, and keeps it.

    Args:
        core: The dump.
        run: Gives the physical address of the first byte of some, where all of them lie one behind
            the other, as those of an aligned page surely do; else None.
        read: Gives any bytes, or raises what is wrong with the first that cannot be had.
        page_bytes: Size of a page, a power of two.

    Attributes:
        callback: The function for drgn.
    """

    def __init__(
        self,
        core: Vmcore,
        run: Callable[[int, int], int | None],
        read: Callable[[int, int], bytes],
        page_bytes: int,
    ) -> None:
        self._core, self._run, self._read_any = core, run, read
        self._page_bytes = page_bytes
        self._decodes = bool(core.source.block_size)
        self._lender = make_lender(self._read, page_bytes.bit_length() - 1)
        self.callback = self._lender.read
        forget = self._lender.forget
        self._pieces = (
            Windows(self._decode, page_bytes, forget)
            if self._decodes
            else Views(self._view, page_bytes, forget)
        )
        # Of a compressed dump as much as possible: a whole read would decode it again.
        self._joined_most = SCRATCH_BYTES if self._decodes else 4 * page_bytes
        self._scratch = memoryview(bytearray())
        self._logged: set[type[Exception]] = set()

    def _read(self, address: int, count: int) -> Buffer:
        try:
            try:
                piece = self._pieces.find(address, count)
                if piece is not None:
                    self._lender.keep(piece.start, piece.data, address)
                    return piece.data[address - piece.start :][:count]
                if count <= self._joined_most:
                    return self._joined(address, count)
            except VmemmapError:
                pass  # a page may be there in part
            return self._read_whole(address, count)
        except (ReadError, TranslateError) as error:
            raise fault(error, address) from None
        except Exception as error:
            text = _in_one_line(error)
            if type(error) not in self._logged:  # once: the same may be read a million times
                self._logged.add(type(error))
                logger.error("cannot read %#x: %s", address, text)
            raise drgn.FaultError(text, address) from None

    def _joined(self, address: int, count: int) -> Buffer:
        """Put a read together from the pieces of its pages."""
        if len(self._scratch) < count:
            self._scratch = memoryview(bytearray(self._joined_most))
        # drgn copies what it is given before anything else runs, so the place can be used again.
        out, done, page_bytes = self._scratch[:count], 0, self._page_bytes
        while done < count:
            at = address + done
            size = min(page_bytes - at % page_bytes, count - done)
            start, data = cast(Piece, self._pieces.find(at, size))  # it lies in one page
            part = data[at - start :][: count - done]
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def _read_whole(self, address: int, count: int) -> Buffer:
        try:
            return self._view(address, count)
        except VmemmapError:
            # What can be read ends at the first byte that cannot, and it is named.
            return self._read_any(address, count)

    def _view(self, address: int, size: int) -> memoryview:
        """Give the bytes at an address that lie in one piece; a VmemmapError where they do not."""
        phys = self._run(address, size)
        if phys is None:
            raise VmemmapError(f"{address:#x} (+{size} bytes) lies in several places")
        return self._core.source.view(phys, size)

    def _decode(self, address: int, out: memoryview) -> None:
        """Decode pages to their place, all at once where they lie one behind the other."""
        page_bytes = self._page_bytes
        phys = self._run(address, len(out)) if len(out) > _FEW_PAGES * page_bytes else None
        if phys is not None:
            self._core.source.read_into(phys, np.frombuffer(out, dtype=np.uint8))
            return
        for at in range(0, len(out), page_bytes):
            phys = self._run(address + at, page_bytes)
            assert phys is not None
            out[at : at + page_bytes] = self._core.source.read(phys, page_bytes)


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, VmemmapError) else f"{type(error).__name__}: {text}"
