"""Split kdump files: several members, each a dump of its own over a range of pfns, read as one.

``makedumpfile --split`` writes members that all carry the same headers, bitmaps and notes; each
holds the pages of its range only, and may be empty. A missing member loses its pages, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CorruptDump, PageLost, UnsupportedDump
from vmemmap.intervals import Intervals
from vmemmap.source.base import PHYS_END, PageHeads, PhysicalSource, StoredForms
from vmemmap.source.kdump import KdumpSource
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.losses import Loss, tell_of
from vmemmap.source.traffic import Traffic


class SplitSource(PhysicalSource):
    """The members of one split dump, in any order.

    Args:
        members: Opened members; closed with this source.

    Raises:
        UnsupportedDump: A file is not a member of a split dump.
        CorruptDump: The members are not of one dump, or overlap.
    """

    format = "kdump"
    block_size: int

    def __init__(self, members: list[KdumpSource]) -> None:
        for member in members:
            if not member.file.sub.split:
                raise UnsupportedDump(
                    "this file is not a member of a split dump, so it cannot be read together "
                    "with others: name it alone",
                    path=member.path,
                )
        # Empty members have start = end = max_mapnr; sorted by both, they cannot hide another.
        ordered = sorted(members, key=lambda member: member.file.pfn_range)
        first = ordered[0]
        for member in ordered[1:]:
            if member.file.identity != first.file.identity:
                raise CorruptDump(
                    "the main header of a split dump's member",
                    file_offset=0,
                    expected=f"the same as in {first.path}",
                    found="another: it belongs to another dump",
                    path=member.path,
                )
        self._members = [member for member in ordered if range(*member.file.pfn_range)]
        self._all = members
        self.path = first.path
        self.container_byte_order = first.container_byte_order
        self.block_size = first.block_size
        self.dump_level = first.dump_level
        self.machine = first.machine
        self.release = first.release
        self.utsname = first.utsname
        self.codec = first.codec
        self.header_version = first.header_version
        self.notes = first.notes
        self.vmcoreinfo = next((m.vmcoreinfo for m in ordered if m.vmcoreinfo), None)
        self.warnings = list(dict.fromkeys(w for m in ordered for w in m.warnings))
        times = {member.file.time for member in ordered}
        if len(times) > 1:
            self.warnings.append(
                f"the members of this split dump were written at {len(times)} different times; all "
                "else in their headers agrees, so they are read as one dump"
            )
        self._shift = first.block_size.bit_length() - 1
        self._check_ranges(first.file)
        tell_of(self._missing_members(), self.warnings)

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*; see `PhysicalSource.read`."""
        out: list[bytes] = []
        while size > 0:
            member = self._member_of(address)
            room = (member.file.pfn_range[1] << self._shift) - address
            out.append(member.read(address, min(size, room)))
            address += len(out[-1])
            size -= len(out[-1])
        return b"".join(out)

    def is_ram(self, address: int) -> bool:
        """Tell whether the first bitmap has the page of physical *address*."""
        return self._all[0].is_ram(address)

    def is_present(self, address: int) -> bool:
        """Tell whether one of the members has the page of physical *address*."""
        return any(member.is_present(address) for member in self._members)

    def is_stored(self, address: int) -> bool:
        """Tell whether one of the members has the page's data too."""
        return any(member.is_stored(address) for member in self._members)

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes are stored; see `PhysicalSource.present_many`."""
        present = np.zeros(addresses.shape, dtype=np.bool_)
        for member in self._members:
            present |= member.present_many(addresses)
        return present

    def present_runs(self, start: int, end: int) -> Intervals:
        """Give what the members have of memory; see `PhysicalSource.present_runs`."""
        parts = [member.present_runs(start, end) for member in self._members]
        return np.concatenate([np.empty((0, 2), dtype=np.int64), *parts])

    def stored_forms(self, pfns: NDArray[np.int64]) -> StoredForms | None:
        """Give pages of one member as its file has them; see `PhysicalSource.stored_forms`."""
        for member in self._members:
            first, end = member.file.pfn_range
            if len(pfns) and first <= pfns[0] and pfns[-1] < end:
                return member.stored_forms(pfns)
        return None

    def stored_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes the members' files have; see `PhysicalSource.stored_many`."""
        stored = np.zeros(addresses.shape, dtype=np.bool_)
        for member in self._members:
            stored |= member.stored_many(addresses)
        return stored

    def heads(self, unit_bytes: int, head_bytes: int, until: int = PHYS_END) -> Iterator[PageHeads]:
        """Look at the beginning of every stored page of every member."""
        for member in self._members:
            yield from member.heads(unit_bytes, head_bytes, until)

    def ranges(self) -> NDArray[np.uint64]:
        """Give the ranges of the first bitmap, which every member has whole."""
        return self._knows_ranges.ranges()

    def ranges_cost(self) -> int:
        """Tell what fetching the first bitmap takes; see `PhysicalSource.ranges_cost`."""
        return self._knows_ranges.ranges_cost()

    @property
    def _knows_ranges(self) -> KdumpSource:
        """The member whose first bitmap takes least to be read: one that has been, if any has."""
        return min(self._all, key=KdumpSource.ranges_cost)

    def memory_end(self) -> int:
        """Give the end of the last page of RAM; see `PhysicalSource.memory_end`."""
        return self._all[0].memory_end()

    def stored_bytes(self) -> int:
        """Tell how much memory the members have descriptors of."""
        return sum(member.stored_bytes() for member in self._members)

    def losses(self, *, everywhere: bool = False) -> tuple[Loss, ...]:
        """Tell which members are missing, and what each that is there lacks."""
        found = list(self._missing_members())
        for member in self._members:
            found += [
                replace(loss, cause=f"member {member.path}: {loss.cause}")
                for loss in member.losses(everywhere=everywhere)
            ]
        tell_of(tuple(found), self.warnings)
        return tuple(found)

    def _missing_members(self) -> tuple[Loss, ...]:
        file, found = self._all[0].file, []
        total = file.stored.count(0, file.sub.max_mapnr) if self._missing else 0
        for start, end in self._missing:
            count = file.stored.count(start, end)
            cause = f"a member of this split dump is missing, the one with pfns {start} to {end}"
            lost = f"its pages are lost, {count} of {total}"
            first = int(file.stored.within(start, end)[0, 0])
            found.append(Loss(cause, lost, first << self._shift))
        return tuple(found)

    @property
    def identity(self) -> bytes:
        """What the members of one dump have in common, and no other dump's."""
        return self._all[0].file.identity

    @property
    def traffic(self) -> Traffic | None:
        """What reading the members cost; see `PhysicalSource.traffic`."""
        parts = [traffic for member in self._all if (traffic := member.traffic) is not None]
        return Traffic.together(parts) if parts else None

    def close(self) -> None:
        """Release all members."""
        for member in self._all:
            member.close()

    def _check_ranges(self, file: KdumpFile) -> None:
        """Refuse overlapping members, and name the ranges with pages that no member has."""
        self._missing: list[tuple[int, int]] = []
        reached = 0
        for member in self._members:
            start, end = member.file.pfn_range
            if start < reached:
                raise CorruptDump(
                    "start_pfn of a split dump's member",
                    file_offset=member.block_size + 80,
                    expected=f"{reached:#x} or more, where the member before it ends",
                    found=f"{start:#x}: the same member is named twice, or they are of two dumps",
                    path=member.path,
                )
            self._missing.append((reached, start))
            reached = end
        self._missing.append((reached, file.sub.max_mapnr))
        count = file.stored.count
        self._missing = [(start, end) for start, end in self._missing if count(start, end)]

    def _member_of(self, address: int) -> KdumpSource:
        pfn = address >> self._shift
        for member in self._members:
            if pfn in range(*member.file.pfn_range):
                return member
        first = self._all[0]
        if not first.file.stored.test(pfn):
            first.read(address, 1)  # says why: excluded, or no memory there
        raise PageLost(
            f"physical address {address:#x} is in a member of this split dump that was not given",
            phys=address,
        )
