"""A window of struct pages, read and understood page by page: the way that takes whatever comes.

Sound windows are counted faster by the compiled pass (``count/one_pass.py``); this is for those
that are not, and for whoever wants a word for every page.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmemmap.mmzone.flag_fields import FlagFields
from vmemmap.pages.blocks import BlockReader
from vmemmap.pages.heads import Blocks
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.members import Mask, MemberReader, Members
from vmemmap.pages.rules import Judged, judge
from vmemmap.pages.struct_pages import StructPages, Window

_NODE_AND_ZONE = np.uint64(0xFFFF_FFFF_0000_0000)
"""The half of the flags that no flag is in."""
_POISON = np.uint64((1 << 64) - 1)
"""PAGE_POISON_PATTERN."""


@dataclass(slots=True)
class Scanned:
    """A window of struct pages, read and understood. Its members are good until the next one.

    Attributes:
        window: Where the struct pages are.
        members: What they say.
        judged: What each page is; ``judged.kind`` is the answer.
        blocks: Free blocks, compounds and damage.
        unused: Rows ``[start, end)`` of RAM that is not online, whose struct pages mean nothing.
        raw: Where there are such, what they say all the same, for tools that go by it.
    """

    window: Window
    members: Members
    judged: Judged
    blocks: Blocks
    unused: list[tuple[int, int]] = field(default_factory=list)
    raw: Members | None = None


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
        devices, unused = self._idle(window, members.flags)
        raw = None
        if unused:
            raw = Members(
                members.flags.copy(),
                members.mapping.copy(),
                members.mapcount.copy(),
                members.tail.copy(),
            )
        for start, end in unused:  # nobody has initialised them
            members.flags[start:end] = 0
        for start, end in window.offline:  # nor more of a device's than node and zone
            members.flags[start:end] &= _NODE_AND_ZONE
            for column in (members.mapping, members.mapcount, members.tail):
                column[start:end] = 0
        judged = judge(self._layout, members)
        blocks = self.blocks.complete(window, members, judged, usable)
        kind = judged.kind
        for start, end in unused:
            kind[start:end] = Kind.OFFLINE
        for start, end in devices:
            kind[start:end] = Kind.DEVICE
        for gap in window.missing:
            kind[gap.start : gap.end] = Kind.UNKNOWN
        at = 0
        for start, end in [*window.valid, (window.count, window.count)]:
            kind[at:start] = Kind.ABSENT
            at = end
        return Scanned(window, members, judged, blocks, unused, raw)

    def _idle(
        self, window: Window, flags: NDArray[np.uint64]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Part the rows of sections that are not online: those of devices, and those of RAM."""
        devices, unused = list(window.device), list[tuple[int, int]]()
        per = self._struct_pages.sections.pages_per_section
        there = window.readable(np.arange(window.count)) if window.offline else None
        for start, end in window.offline:
            if (start, end) in window.device:
                continue
            first = window.first_pfn + start
            cuts = range((first // per + 1) * per, window.first_pfn + end, per)
            edges = [start, *(cut - window.first_pfn for cut in cuts), end]
            for low, high in pairwise(edges):
                read = flags[low:high] if there is None else flags[low:high][there[low:high]]
                (devices if self._names_device(read) else unused).append((low, high))
        return devices, unused

    def _names_device(self, flags: NDArray[np.uint64]) -> bool:
        """Tell whether the pages of a section are a device's, by the zone that they name.

        What nobody has initialised names zones, too, but never the same node and zone again and
        again; a poison has all bits set. Of a device's compound pages only the first struct pages
        may be initialised, an eighth of them at least.
        """
        if self._fields is None or self._device_zone is None or not len(flags):
            return False
        named = (self._fields.zone(flags) == self._device_zone) & (flags != _POISON)
        if not named.any():
            return False
        _places, counts = np.unique(flags[named] & np.uint64(self._fields.mask), return_counts=True)
        return int(counts.max()) * 8 >= len(flags)

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
