"""Windows of struct pages as structured arrays, for whoever wants to ask something of their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.blocks import BlockReader
from vmemmap.pages.heads import NO_PFN
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.one_pass import Sound, copy_members
from vmemmap.pages.rules import Mark
from vmemmap.pages.scanned import Scanned
from vmemmap.pages.struct_pages import ROWS_IN_CACHE

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
_MOSTLY = {"why": np.uint8(0), "order": np.int8(-1), "head": np.uint64(NO_PFN)}
"""What most pages have in the members that only few have: read, no order, no head."""


class RecordMaker:
    """Makes structured arrays of windows.

    Args:
        layout: The kernel's struct page.
        fields: Which bits of the flags have node and zone, or None.
        blocks: Reads the heads that tails name.
    """

    def __init__(self, layout: PageLayout, fields: FlagFields | None, blocks: BlockReader) -> None:
        self._layout, self._fields, self._blocks = layout, fields, blocks
        self._members: dict[ScanField, tuple[int | None, int]] = {
            "flags": (layout.flags, 8),
            "refcount": (layout.refcount, 4),
            "mapcount": (layout.mapcount, 4),
            "mapping": (layout.mapping, 8),
            "private": (layout.private, 8),
        }

    def make(self, scanned: Scanned, wanted: tuple[ScanField, ...]) -> NDArray[np.void]:
        """Give the pages of a window that have a section; see `PageArray.scan`.

        ``order`` is that of the free block or compound that a page heads, and -1 for all others;
        ``node`` and ``zone`` are -1 where they cannot be known; ``head`` is the pfn of the head
        that a tail names, and 2**64 - 1 for other pages.
        """
        window = scanned.window
        # Aligned, since that makes copying a column twice as fast, here and for whoever uses it.
        dtype = np.dtype([(name, _DTYPES[name]) for name in wanted], align=True)
        out = np.empty(window.count, dtype=dtype)
        columns = {name: out[name] for name in wanted}
        for first in range(0, window.count, ROWS_IN_CACHE):
            # All columns of some rows before the next ones: the rows as a whole fill no cache.
            self._fill(scanned, columns, first, min(first + ROWS_IN_CACHE, window.count))
        for gap in window.missing:
            for name, column in columns.items():
                if name in ("why", "node", "zone"):
                    column[gap.start : gap.end] = gap.why if name == "why" else -1
        for start, end in scanned.unused:
            for name in ("node", "zone"):
                if name in columns:
                    columns[name][start:end] = -1
        if "order" in wanted:
            for heads in (scanned.blocks.free, scanned.blocks.compounds):
                columns["order"][heads.rows] = heads.orders
        if "head" in wanted:
            readable = scanned.judged.kind != Kind.UNKNOWN
            tails = np.flatnonzero(scanned.judged.has(Mark.TAIL) & readable)
            if len(tails):
                columns["head"][tails] = self._blocks.named_heads(window, tails)
        if window.valid == [(0, window.count)]:
            return out
        return np.concatenate([out[start:end] for start, end in window.valid])

    def make_sound(self, sound: Sound, wanted: tuple[ScanField, ...]) -> NDArray[np.void]:
        """The same for a window that the compiled pass has looked at."""
        dtype = np.dtype([(name, _DTYPES[name]) for name in wanted], align=True)
        lengths = sound.stretches[:, 1] - sound.stretches[:, 0]
        out = np.empty(int(lengths.sum()), dtype=dtype)
        self._copy_members(sound, out, [name for name in wanted if name in self._members])
        flags = None
        if self._fields is not None and {"node", "zone"} & set(wanted):
            flags = np.empty(len(out), dtype=[("flags", "u8")])
            self._copy_members(sound, flags, ["flags"])
        whole = len(sound.stretches) == 1
        at = sound.stretches[:, 0] - sound.first_pfn
        # The rows of the window that there are; all of them, mostly.
        rows: slice | NDArray[np.intp] = slice(int(at[0]), int(at[0] + lengths[0]))
        if not whole:
            rows = np.concatenate([np.arange(a, a + n) for a, n in zip(at, lengths, strict=True)])
        for name in wanted:
            if name == "pfn":
                first = sound.first_pfn
                out[name] = np.arange(first, first + len(sound.kind), dtype=np.uint64)[rows]
            elif name in ("kind", "order", "head"):
                out[name] = getattr(sound, name)[rows]
            elif name in ("node", "zone"):
                out[name] = -1 if flags is None else self._node_or_zone(flags["flags"], name)
            elif name == "why":
                out[name] = _MOSTLY[name]
        return out

    def _copy_members(
        self, sound: Sound, out: NDArray[np.void], names: Sequence[ScanField]
    ) -> None:
        """Copy members of struct pages into the fields of records."""
        places: Mapping[str, Any] = out.dtype.fields or {}
        members = []
        for name in names:
            offset, width = self._members[name]
            if offset is None:
                out[name] = -1 if _DTYPES[name][0] == "i" else np.iinfo(_DTYPES[name]).max
            else:
                members.append((offset, width, places[name][1]))
        copy_members(sound, self._layout, out, members)

    def _fill(
        self, scanned: Scanned, columns: Mapping[ScanField, NDArray[Any]], first: int, end: int
    ) -> None:
        """Fill some rows of the columns, but for what only few rows have."""
        window, layout, members = scanned.window, self._layout, self._members
        from_page: list[tuple[int, NDArray[np.generic]]] = []
        for name, column in columns.items():
            if name in members:
                offset, width = members[name]
                if offset is None or not window.complete:
                    column[first:end] = np.full(1, -1).astype(f"u{width}").view(_DTYPES[name])[0]
                if offset is not None:
                    # The bytes as they are; if they are the wrong way round they are turned below.
                    from_page.append((offset, column.view(f"u{width}")))
            elif name == "pfn":
                at = window.first_pfn
                column[first:end] = np.arange(at + first, at + end, dtype=np.uint64)
            elif name == "kind":
                column[first:end] = scanned.judged.kind[first:end]
            elif name in ("node", "zone"):
                column[first:end] = self._node_or_zone(scanned.members.flags[first:end], name)
            else:
                column[first:end] = _MOSTLY[name]
        window.columns(from_page, first, end)
        if layout.order != sys.byteorder:
            for _, column in from_page:
                column[first:end].byteswap(inplace=True)

    def _node_or_zone(
        self, flags: NDArray[np.uint64], name: Literal["node", "zone"]
    ) -> NDArray[np.uint64] | int:
        fields = self._fields
        if fields is None:
            return -1
        shift = fields.node_shift if name == "node" else fields.zone_shift
        bits = fields.node_bits if name == "node" else fields.zone_bits
        if not bits:
            return 0
        return (flags >> np.uint64(shift)) & np.uint64((1 << bits) - 1)
