"""Windows of struct pages as structured arrays, for whoever wants to ask something of their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.pages.kinds import Kind
from vmemmap.pages.struct_pages import ROWS_IN_CACHE

if TYPE_CHECKING:
    from vmemmap.pages.array import PageArray, Scanned

ScanField = Literal[
    "pfn",
    "kind",
    "why",
    "order",
    "node",
    "zone",
    "flags",
    "refcount",
    "mapcount",
    "mapping",
    "private",
    "head",
]
SCAN_FIELDS: tuple[ScanField, ...] = get_args(ScanField)
_DTYPES: dict[ScanField, str] = {
    "pfn": "u8",
    "kind": "u1",
    "why": "u1",
    "order": "i1",
    "node": "i2",
    "zone": "i1",
    "flags": "u8",
    "refcount": "i4",
    "mapcount": "i4",
    "mapping": "u8",
    "private": "u8",
    "head": "u8",
}
NO_PFN = (1 << 64) - 1
_MOSTLY = {"why": np.uint8(0), "order": np.int8(-1), "head": np.uint64(NO_PFN)}
"""What most pages have in the members that only few have: read, no order, no head."""


def records(pages: PageArray, scanned: Scanned, fields: tuple[ScanField, ...]) -> NDArray[np.void]:
    """Give the pages of a window that have a section as a structured array; see `PageArray.scan`.

    ``order`` is that of the free block or compound that a page heads, and -1 for all others;
    ``node`` and ``zone`` are -1 where they cannot be known; ``head`` is the pfn of the head that a
    tail names, and 2**64 - 1 for other pages.
    """
    window = scanned.window
    # Aligned, since that makes copying a column twice as fast, here and for whoever uses it.
    dtype = np.dtype([(name, _DTYPES[name]) for name in fields], align=True)
    out = np.empty(window.count, dtype=dtype)
    columns = {name: out[name] for name in fields}
    for first in range(0, window.count, ROWS_IN_CACHE):
        # All columns of some rows before the next rows, since the rows as a whole fill no cache.
        _fill(pages, scanned, columns, first, min(first + ROWS_IN_CACHE, window.count))
    for gap in window.missing:
        for name, column in columns.items():
            if name in ("why", "node", "zone"):
                column[gap.start : gap.end] = gap.why if name == "why" else -1
    spread = scanned.spread
    if "order" in fields:
        columns["order"][spread.free_rows] = spread.free_orders
        columns["order"][spread.head_rows] = spread.head_orders
    if "head" in fields:
        tails = np.flatnonzero(scanned.marks.tail & (scanned.columns.kind != Kind.UNKNOWN))
        if len(tails):
            columns["head"][tails] = named_heads(pages, scanned, tails)
    if window.valid == [(0, window.count)]:
        return out
    return np.concatenate([out[start:end] for start, end in window.valid])


def _fill(
    pages: PageArray,
    scanned: Scanned,
    columns: Mapping[ScanField, NDArray[Any]],
    first: int,
    end: int,
) -> None:
    """Fill some rows of the columns, but for what only few rows have."""
    window, layout = scanned.window, pages.layout
    members = {
        "flags": (layout.flags, 8),
        "refcount": (layout.refcount, 4),
        "mapcount": (layout.mapcount, 4),
        "mapping": (layout.mapping, 8),
        "private": (layout.private, 8),
    }
    wanted: list[tuple[int, NDArray[np.generic]]] = []
    for name, column in columns.items():
        if name in members:
            offset, width = members[name]
            if offset is None or not window.complete:
                column[first:end] = np.full(1, -1).astype(f"u{width}").view(_DTYPES[name])[0]
            if offset is not None:
                # The bytes as they are; if they are the wrong way round they are turned below.
                wanted.append((offset, column.view(f"u{width}")))
        elif name == "pfn":
            at = window.first_pfn
            column[first:end] = np.arange(at + first, at + end, dtype=np.uint64)
        elif name == "kind":
            column[first:end] = scanned.columns.kind[first:end]
        elif name in ("node", "zone"):
            column[first:end] = _node_or_zone(pages, scanned, name, first, end)
        else:
            column[first:end] = _MOSTLY[name]
    window.columns(wanted, first, end)
    if numpy_prefix(layout.order) != numpy_prefix(sys.byteorder):
        for _, column in wanted:
            column[first:end].byteswap(inplace=True)


def named_heads(pages: PageArray, scanned: Scanned, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Give the pfn that each of some tails names as its head."""
    layout, window = pages.layout, scanned.window
    offset = layout.head if layout.head is not None else layout.first_page
    if offset is None:
        return np.full(len(rows), NO_PFN, dtype=np.uint64)
    words = window.gather(offset, 8, rows) & ~np.uint64(1)
    pfn, rest = np.divmod(words - np.uint64(pages.struct_pages.base), np.uint64(layout.size))
    return np.where(rest == 0, pfn, np.uint64(NO_PFN))


def _node_or_zone(
    pages: PageArray, scanned: Scanned, name: Literal["node", "zone"], first: int, end: int
) -> NDArray[np.uint32] | int:
    fields = pages.fields
    if fields is None:
        return -1
    shift = fields.node_shift if name == "node" else fields.zone_shift
    bits = fields.node_bits if name == "node" else fields.zone_bits
    if not bits:
        return 0
    high = scanned.columns.high[first:end].view(f"{numpy_prefix(pages.layout.order)}u4")
    return np.asarray((high >> np.uint32(shift - 32)) & np.uint32((1 << bits) - 1))
