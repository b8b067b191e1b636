"""A window of struct pages, read and understood page by page: the way that takes whatever comes.

Sound windows are counted faster by the compiled pass (``count/one_pass.py``); this is for those
that are not, and for whoever wants a word for every page.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.blocks import BlockReader, Blocks
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask, MemberReader, Members
from vmemmap.pages.rules import Judged, judge
from vmemmap.pages.struct_pages import StructPages, Window

_NODE_AND_ZONE = np.uint64(0xFFFF_FFFF_0000_0000)
"""The half of the flags that no flag is in."""


@dataclass(slots=True)
class Scanned:
    """A window of struct pages, read and understood. Its members are good until the next one.

    Attributes:
        window: Where the struct pages are.
        members: What they say.
        judged: What each page is; ``judged.kind`` is the answer.
        blocks: Free blocks, compounds and damage.
    """

    window: Window
    members: Members
    judged: Judged
    blocks: Blocks


class Scanner:
    """Understands windows; may be used by several threads.

    Args:
        struct_pages: Where the struct pages are.
        layout: How one is laid out.
        fields: Which bits of the flags have node and zone, or None.
        device_zone: Index of the zone of device memory, or None.
    """

    def __init__(
        self,
        struct_pages: StructPages,
        layout: PageLayout,
        fields: FlagFields | None = None,
        device_zone: int | None = None,
    ) -> None:
        self._fields, self._device_zone = fields, device_zone
        self.blocks = BlockReader(layout, struct_pages)
        self._struct_pages, self._layout = struct_pages, layout
        self._locals = threading.local()

    def scan(self, first_pfn: int, count: int) -> Scanned:
        """Read and understand the struct pages of *count* pages from *first_pfn* on."""
        return self.understand(self._struct_pages.window(first_pfn, count))

    def understand(self, window: Window) -> Scanned:
        """Say what every page of a window is."""
        members = self._reader.read(window)
        usable = _usable(window)
        for start, end in window.offline:  # nobody has initialised more of these than their zone
            members.flags[start:end] &= _NODE_AND_ZONE
            for column in (members.mapping, members.mapcount, members.tail):
                column[start:end] = 0
        judged = judge(self._layout, members)
        blocks = self.blocks.complete(window, members, judged, usable)
        kind = judged.kind
        for start, end in window.offline:
            kind[start:end] = Kind.OFFLINE
            kind[start:end][self._in_device_zone(members.flags[start:end])] = Kind.DEVICE
        for start, end in window.device:
            kind[start:end] = Kind.DEVICE
        for gap in window.missing:
            kind[gap.start : gap.end] = Kind.UNKNOWN
        at = 0
        for start, end in [*window.valid, (window.count, window.count)]:
            kind[at:start] = Kind.ABSENT
            at = end
        return Scanned(window, members, judged, blocks)

    def _in_device_zone(self, flags: NDArray[np.uint64]) -> Mask:
        """Tell which pages name the zone of device memory as theirs."""
        if self._fields is None or self._device_zone is None:
            return np.zeros(len(flags), dtype=np.bool_)
        return np.asarray(self._fields.zone(flags) == self._device_zone)

    @property
    def _reader(self) -> MemberReader:
        """This thread's room for columns."""
        kept: MemberReader | None = getattr(self._locals, "reader", None)
        if kept is None:
            kept = self._locals.reader = MemberReader(self._layout)
        return kept


def _usable(window: Window) -> Mask | None:
    """Give the rows whose struct page can be read and counts; None for all of them."""
    if window.complete and not window.offline:
        return None
    usable = np.zeros(window.count, dtype=np.bool_)
    for piece in window.pieces:
        usable[piece.start : piece.end] = True
    for start, end in window.offline:
        usable[start:end] = False
    return usable
