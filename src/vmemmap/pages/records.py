"""Windows of struct pages as structured arrays, for whoever wants to ask something of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.pages.kinds import Kind

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


def records(pages: PageArray, scanned: Scanned, fields: tuple[ScanField, ...]) -> NDArray[np.void]:
    """Give the pages of a window that have a section as a structured array; see `PageArray.scan`.

    ``order`` is that of the free block or compound that a page heads, and -1 for all others;
    ``node`` and ``zone`` are -1 where they cannot be known; ``head`` is the pfn of the head that a
    tail names, and 2**64 - 1 for other pages.
    """
    window, layout = scanned.window, pages.layout
    out = np.empty(window.count, dtype=[(name, _DTYPES[name]) for name in fields])
    members = {
        "flags": (layout.flags, 8),
        "refcount": (layout.refcount, 4),
        "mapcount": (layout.mapcount, 4),
        "mapping": (layout.mapping, 8),
        "private": (layout.private, 8),
    }
    wanted: list[tuple[int, NDArray[np.generic]]] = []
    for name in fields:
        if name in members:
            offset, width = members[name]
            if offset is None or not window.complete:
                out[name] = np.full(1, -1).astype(f"u{width}").view(_DTYPES[name])[0]
            if offset is not None:
                # The bytes as they are; if they are the wrong way round they are turned below.
                wanted.append((offset, out[name].view(f"u{width}")))
    window.columns(wanted)
    if numpy_prefix(layout.order) != numpy_prefix(sys.byteorder):
        for _, column in wanted:
            column.byteswap(inplace=True)
    if "pfn" in fields:
        out["pfn"] = np.arange(window.first_pfn, window.first_pfn + window.count, dtype=np.uint64)
    if "kind" in fields:
        out["kind"] = scanned.columns.kind
    if "why" in fields:
        out["why"] = 0
        for gap in window.missing:
            out["why"][gap.start : gap.end] = gap.why
    if "order" in fields:
        out["order"] = -1
        out["order"][scanned.spread.free_rows] = scanned.spread.free_orders
        out["order"][scanned.spread.head_rows] = scanned.spread.head_orders
    if "node" in fields or "zone" in fields:
        _node_and_zone(pages, scanned, out, fields)
    if "head" in fields:
        out["head"] = NO_PFN
        tails = np.flatnonzero(scanned.marks.tail & (scanned.columns.kind != Kind.UNKNOWN))
        if len(tails):
            out["head"][tails] = named_heads(pages, scanned, tails)
    if window.valid == [(0, window.count)]:
        return out
    return np.concatenate([out[start:end] for start, end in window.valid])


def named_heads(pages: PageArray, scanned: Scanned, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Give the pfn that each of some tails names as its head."""
    layout, window = pages.layout, scanned.window
    offset = layout.head if layout.head is not None else layout.first_page
    if offset is None:
        return np.full(len(rows), NO_PFN, dtype=np.uint64)
    words = window.gather(offset, 8, rows) & ~np.uint64(1)
    pfn, rest = np.divmod(words - np.uint64(pages.struct_pages.base), np.uint64(layout.size))
    return np.where(rest == 0, pfn, np.uint64(NO_PFN))


def _node_and_zone(
    pages: PageArray,
    scanned: Scanned,
    out: NDArray[np.void],
    names: tuple[ScanField, ...],
) -> None:
    fields, window = pages.fields, scanned.window
    for name in ("node", "zone"):
        if name not in names:
            continue
        if fields is None:
            out[name] = -1
            continue
        shift = fields.node_shift if name == "node" else fields.zone_shift
        bits = fields.node_bits if name == "node" else fields.zone_bits
        memory = scanned.columns.high.view(f"{numpy_prefix(pages.layout.order)}u4")
        out[name] = (memory >> np.uint32(shift - 32)) & np.uint32((1 << bits) - 1) if bits else 0
        for gap in window.missing:
            out[name][gap.start : gap.end] = -1
