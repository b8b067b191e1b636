"""A crash without a file: a snapshot as what `vmemmap.open` takes in place of a path."""

from __future__ import annotations

from collections.abc import Iterator

from vmemmap.address import ByteOrder
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.crash.vmcore import dump_notes, pack_symbols
from vmemmap.write.notes import pack_notes


class SnapshotDump:
    """A snapshot, read in place: the same bytes as in the vmcore that it would be written to.

    Attributes:
        snapshot: The snapshot. Damage that is done to it shows.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def dumped(self) -> SnapshotDump:
        """Give itself: a snapshot has only one moment."""
        return self

    @property
    def name(self) -> str:
        """What it is called where a dump has its path."""
        return f"simulated {self.snapshot.machine.kernel.release}"

    @property
    def byte_order(self) -> ByteOrder:
        """Order of its memory and its notes."""
        return self.snapshot.machine.kernel.byte_order

    @property
    def notes(self) -> bytes:
        """The notes of its vmcore."""
        return pack_notes(self.byte_order, dump_notes(self.snapshot))

    @property
    def symbols(self) -> bytes | None:
        """A vmlinux, for a kernel that does not say where its list is: before 3.13."""
        kernel = self.snapshot.machine.kernel
        if kernel.version >= (3, 13):
            return None
        return pack_symbols(self.snapshot.machine)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The memory that the dump covers, as (start, end) in bytes."""
        return self.snapshot.ranges

    def contents(self, start: int, end: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield what lies in ``[start, end)``; the rest is zero; see `Snapshot.contents`."""
        return self.snapshot.contents(start, end)
