"""Page data of a kdump-compressed file, decoded a page at a time, and what may be wrong with it."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CodecUnavailable, CorruptPage, PageLost
from vmemmap.formats import kdump as layout
from vmemmap.source.codecs import (
    IntoDecoder,
    PagesDecoder,
    decoder,
    decoder_into,
    pages_decoder,
    zlib_head,
)
from vmemmap.source.kdump_descriptors import cut_off
from vmemmap.source.kdump_file import KdumpFile


class PageDecoder:
    """Makes pages of what the file has of them.

    Args:
        file: The file.

    Attributes:
        into: Decoders to a given place, by flag, of the pages met so far; see `knows`.
    """

    into: dict[int, IntoDecoder]

    def __init__(self, file: KdumpFile) -> None:
        self._file, self._view = file, file.view
        self._block_size = file.main.block_size
        self.into = {}

    def decode(self, phys: int, offset: int, size: int, flags: int) -> bytes:
        """Decode a page, with all that its descriptor says put to the proof.

        Args:
            phys: The physical address that an error names.
            offset: Where the file has the page, as its descriptor says.
            size: How many bytes it has there, likewise.
            flags: How it is compressed, likewise.

        Raises:
            PageLost: Its writer never wrote it.
            Truncated: The file ends before.
            CorruptPage: The descriptor or the data are damaged.
            CodecUnavailable: Its codec is not installed.
        """
        if offset == 0:
            raise PageLost(
                f"physical address {phys:#x} is lost: {self._why_unwritten}",
                phys=phys,
            )
        try:
            if offset < self._file.descriptors_end:
                raise ValueError("its offset lies inside the headers or the descriptors")
            if not 1 <= size <= self._block_size:
                raise ValueError(
                    f"expected 1 to {self._block_size} bytes, the descriptor says {size}"
                )
            if not self._view.holds(offset, size):
                raise cut_off(self._view, phys, f"the page should be at {offset:#x}")
            data = self._view.view(offset, size)
            if flags == 0:
                if size != self._block_size:
                    raise ValueError(f"a raw page has {self._block_size} bytes, this one {size}")
                return bytes(data)
            codec = layout.CODEC_OF_FLAG.get(flags)
            if codec is None:
                raise ValueError(
                    f"expected the flag of one codec (1, 2, 4 or 32), found {flags:#x}"
                )
            return decoder(codec)(data, self._block_size)
        except ValueError as error:
            raise CorruptPage(
                f"cannot decode the page of physical address {phys:#x} (file offset "
                f"{offset:#x}): {error}",
                phys=phys,
            ) from error

    def head(self, phys: int, offset: int, size: int, flags: int, length: int) -> bytes:
        """Decode the first *length* bytes of a page, and no more than these where that is cheap.

        Args and errors as for `decode`.
        """
        if (
            flags == layout.FLAG_ZLIB
            and length < self._block_size
            and self._view.holds(offset, size)
        ):
            try:
                return zlib_head(self._view.view(offset, size), length)
            except ValueError as error:
                raise CorruptPage(str(error), phys=phys) from error
        return self.decode(phys, offset, size, flags)[:length]

    def knows(self, flags: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Tell which pages are in a codec that is here, and have its decoder for the threads."""
        known = np.zeros(len(flags), dtype=np.bool_)
        for flag in {0, *layout.CODEC_OF_FLAG}:
            of_it = flags == flag
            if of_it.any() and self._has(flag):
                known |= of_it
        return known

    def _has(self, flag: int) -> bool:
        """Tell whether the codec of a flag is installed."""
        if flag not in self.into:
            with suppress(CodecUnavailable):
                self.into[flag] = decoder_into(layout.CODEC_OF_FLAG.get(flag, "raw"))
        return flag in self.into

    def many(self, flag: int) -> PagesDecoder | None:
        """Give the decoder of many pages in one call, where there is one for a codec's flag."""
        codec = layout.CODEC_OF_FLAG.get(flag)
        return None if codec is None else pages_decoder(codec)

    @property
    def _why_unwritten(self) -> str:
        if self._file.marked_incomplete:
            return layout.MARKED_INCOMPLETE
        return "the dump's writer never wrote its page (the page's descriptor is empty)"
