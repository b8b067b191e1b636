"""The beginnings of all stored pages of a kdump-compressed file, each copy in it looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import ReadError
from vmemmap.source.base import PageHeads
from vmemmap.source.kdump_descriptors import Descriptors
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.kdump_pages import PageDecoder

_AT_A_TIME = 512
_SHARED_MAX = 1024


def walk_heads(
    file: KdumpFile,
    descriptors: Descriptors,
    pages: PageDecoder,
    unit_bytes: int,
    head_bytes: int,
    until: int,
) -> Iterator[PageHeads]:
    """Look at the beginning of every stored page; see `PhysicalSource.heads`.

    With units as large as the file's pages only the first bytes of each are decoded.

    Args:
        file: The file.
        descriptors: Those of its pages.
        pages: What decodes them.
        unit_bytes: As for `PhysicalSource.heads`, and so are the next two.
        head_bytes: How much of each.
        until: Where to end.
    """
    shared: set[int] = set()  # pages in the file that several have: the zero page, mostly
    first_pfn, end_pfn = file.pfn_range
    end_pfn = min(end_pfn, until // file.main.block_size)
    for start, batch in file.stored.set_bits(first_pfn, end_pfn):
        for first in range(0, len(batch), _AT_A_TIME):
            pfns = batch[first : first + _AT_A_TIME]
            found = descriptors.before_the_end(int(pfns[0]), len(pfns))
            # Offset, size and flags in one word: a damaged one must not hide a sound one.
            size, flags = (found[name].astype(np.uint64) for name in ("size", "flags"))
            key = found["offset"] ^ size << np.uint64(44) ^ flags << np.uint64(61)
            _, once, times = np.unique(key, return_index=True, return_counts=True)
            new = [i for i in once.tolist() if int(key[i]) not in shared]
            shared.update(key[once[times > 1]].tolist()[:_SHARED_MAX])
            if file.view.far:
                descriptors.prefetch(found[new])
            rows = zip(pfns[new].tolist(), found[new].tolist(), strict=True)
            phys, data = _heads_of(pages, file.main.block_size, rows, unit_bytes, head_bytes)
            yield PageHeads(phys, data, start / max(end_pfn, 1))
            if len(found) < len(pfns):
                return  # the file ends inside the descriptors


def _heads_of(
    pages: PageDecoder,
    page_bytes: int,
    rows: Iterable[tuple[int, tuple[int, int, int, int]]],
    unit_bytes: int,
    head_bytes: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Decode the beginnings of some pages, given as pfn and descriptor: where, and which bytes."""
    whole = unit_bytes < page_bytes
    addresses: list[int] = []
    parts: list[bytes] = []
    for pfn, (offset, size, flags, _) in rows:
        phys = pfn * page_bytes
        if phys % unit_bytes and not whole:
            continue
        try:
            length = page_bytes if whole else head_bytes
            page = pages.head(phys, offset, size, flags, length)
        except ReadError:
            continue
        for into in range(0, len(page), unit_bytes):
            addresses.append(phys + into)
            parts.append(page[into : into + head_bytes])
    data = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, head_bytes)
    return np.array(addresses, dtype=np.uint64), data
