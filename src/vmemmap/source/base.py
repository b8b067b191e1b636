"""What every dump source offers: bytes at physical addresses, and what the container says.

A source knows nothing of virtual addresses, nor of what the kernel is; see ``vmemmap.facts``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from vmemmap.absence import Absence
from vmemmap.address import ByteOrder
from vmemmap.errors import ReadError
from vmemmap.formats.notes import Note
from vmemmap.intervals import Intervals, intersect
from vmemmap.memory import OpenFile
from vmemmap.source.losses import Loss
from vmemmap.source.traffic import Traffic

PHYS_END = 1 << 64
_PREFETCH_BYTES = 8 << 20
CHEAP_BYTES = 6 << 20
"""Whoever only shows the ranges of memory fetches no more of a far file for them unasked."""


@dataclass(frozen=True, slots=True)
class PageHeads:
    """The beginnings of some stored pages.

    Attributes:
        phys: Physical address of each page, uint64, shape (n,).
        data: Its first bytes, uint8, shape (n, head_bytes).
        done: How far the search has come, 0 to 1.
    """

    phys: NDArray[np.uint64]
    data: NDArray[np.uint8]
    done: float


@dataclass(frozen=True, slots=True)
class Located:
    """Stretches of physical memory as places in one buffer.

    Attributes:
        data: The buffer.
        spans: int64, shape (n, 3): position as it was given, bytes, offset in *data*; sorted like
            what was asked for. What cannot be had is left out.
        file: The file of which *data* is all the bytes, if it is one.
    """

    data: memoryview
    spans: NDArray[np.int64]
    file: OpenFile | None = None


@dataclass(frozen=True, slots=True)
class StoredForms:
    """Pages as a file has them, compressed or not.

    Attributes:
        data: The file's bytes.
        offset: Where each page is stored: int64, shape (n,), bytes.
        size: How many bytes it has there, likewise.
        flags: How it is compressed, as kdump descriptors say it, likewise.
        sound: Which of them can be what the descriptor says; their content is not looked at.
        status: The codecs that the file's writer was asked for, as flags.
        file: The file of which *data* is all the bytes, if it is one.
    """

    data: memoryview
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    flags: NDArray[np.int64]
    sound: NDArray[np.bool_]
    status: int
    file: OpenFile | None = None


class PhysicalSource(ABC):
    """An opened dump as physical memory.

    Attributes:
        path: The file, as the user named it.
        format: ``elf`` or ``kdump``.
        container_byte_order: Order of the container's own fields, not of the memory in it.
        block_size: The container's page size in bytes, or None where it has none (ELF).
        dump_level: makedumpfile's level 0..31, or None when the container does not record it.
        machine: utsname's machine if the container carries it, else an empty string.
        release: utsname's release, likewise.
        utsname: All six texts of it, 65 bytes each, likewise; empty bytes without.
        codec: The codec that the container's writer was asked for, or None where there is none.
        header_version: The version of a kdump-compressed file's header; None for ELF.
        notes: The ELF notes.
        vmcoreinfo: The VMCOREINFO text, or None.
        warnings: One line each about what is odd in the container but not fatal.
        moves: It is the memory of a running kernel, of which nothing may be kept.
    """

    path: str
    format: str
    container_byte_order: ByteOrder
    block_size: int | None = None
    dump_level: int | None = None
    machine: str = ""
    release: str = ""
    utsname: bytes = b""
    codec: str | None = None
    header_version: int | None = None
    notes: list[Note]
    vmcoreinfo: bytes | None = None
    warnings: list[str]
    moves: bool = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    def __reduce__(self) -> NoReturn:
        """Say what to do instead of pickling an opened dump, or what reads from it."""
        raise TypeError(
            f"an opened dump ({self.path}) cannot be pickled, nor can what reads from it: hand its "
            "path over, and open it there"
        )

    @abstractmethod
    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*.

        Returns:
            Exactly *size* bytes. Pages are joined; nothing is ever filled in.

        Raises:
            NotInDump, PageExcluded, PageLost, Truncated, CorruptPage: The first byte that cannot
                be had, and why.
            CodecUnavailable: The page is compressed and its library is not installed.
        """

    def view(self, address: int, size: int) -> memoryview:
        """Give the bytes at physical *address*, without a copy where the file has them so.

        Args and errors as for `read`. The view stays valid after `close`.
        """
        return memoryview(self.read(address, size))

    def read_into(self, address: int, out: NDArray[np.uint8]) -> None:
        """Fill *out* with the bytes from physical *address* on; for much at a time.

        Args:
            address: Physical address of the first byte.
            out: Contiguous, writable, one dimension. What is in it after an error is undefined.

        Raises:
            ReadError: As for `read`.
        """
        out[:] = np.frombuffer(self.read(address, len(out)), dtype=np.uint8)

    def locate(self, runs: NDArray[np.int64]) -> Located:
        """Find many stretches of memory at once, without a copy where the file has them so.

        Args:
            runs: int64, shape (n, 3): a position of the caller's, which grows with the address
                inside a stretch, the physical address and the length in bytes.

        Returns:
            The parts of the stretches that can be had, in their order.
        """
        ends = np.cumsum(runs[:, 2])
        out = np.empty(int(runs[:, 2].sum()), dtype=np.uint8)
        spans, at, fetched = [], 0, 0
        for row, (position, phys, size) in enumerate(runs.tolist()):
            if row >= fetched:
                fetched = max(int(np.searchsorted(ends, ends[row] + _PREFETCH_BYTES)), row + 1)
                self.prefetch(runs[row:fetched])
            try:
                self.read_into(phys, out[at : at + size])
            except ReadError:
                continue
            spans.append((position, size, at))
            at += size
        return Located(out.data, np.array(spans, dtype=np.int64).reshape(-1, 3))

    @property
    def gives_file(self) -> bool:
        """Whether `locate` finds memory as the file has it, all of it in no time."""
        return self.locate(np.empty((0, 3), dtype=np.int64)).file is not None

    def prefetch(self, runs: NDArray[np.int64]) -> None:
        """Fetch stretches of memory that will be read soon, where reading costs requests.

        Args:
            runs: As for `locate`; some megabytes together.
        """
        return

    @property
    def traffic(self) -> Traffic | None:
        """What reading it over a network cost so far; None if it is on this machine."""
        return None

    @abstractmethod
    def is_ram(self, address: int) -> bool:
        """Tell whether a memory range of the dump covers physical *address*, stored or not."""

    @abstractmethod
    def is_present(self, address: int) -> bool:
        """Tell whether the container claims the byte at physical *address*."""

    def is_stored(self, address: int) -> bool:
        """Tell whether the byte at physical *address* is really in the file.

        Unlike `is_present` it looks where the container says that the page is: the file may be cut
        off before, or the page never have been written.
        """
        return self.is_present(address)

    def why_absent(self, address: int) -> Absence:
        """Say why the byte at physical *address* cannot be read; ``Absence.READ`` where it can."""
        try:
            self.read(address, 1)
        except ReadError as error:
            return error.code
        return Absence.READ

    @abstractmethod
    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell for each physical address whether the container claims its byte.

        Args:
            addresses: Physical addresses (bytes), any shape and order.

        Returns:
            Booleans of the same shape. Where the file is cut off, or a page cannot be decoded, a
            byte that is claimed can still not be read; see `is_stored`.
        """

    def stored_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell for each physical address whether its byte is really in the file.

        Args:
            addresses: As for `present_many`.

        Returns:
            Booleans of the same shape, as `is_stored` gives them one by one.
        """
        return self.present_many(addresses)

    def present_runs(self, start: int, end: int) -> Intervals:
        """Give the parts of ``[start, end)`` that the container claims, as `is_present` does.

        Args:
            start: A physical address (bytes).
            end: Another, not below.

        Returns:
            Intervals of physical addresses.
        """
        wanted = np.array([[start, end]], dtype=np.int64)
        return intersect(self.ranges().astype(np.int64), wanted)

    def cut_off_runs(self, start: int, end: int) -> Intervals:
        """Give the parts of ``[start, end)`` that would lie behind the end of the file.

        They are not among the `present_runs`, in whose form they are. Where each page is claimed by
        itself there are none: `read` tells of such a page.
        """
        return np.empty((0, 2), dtype=np.int64)

    def stored_forms(self, pfns: NDArray[np.int64]) -> StoredForms | None:
        """Give pages as the file has them, so that they can be copied without being decoded.

        Args:
            pfns: Numbers of the container's pages (`block_size`), sorted, all of them present.

        Returns:
            None where the container does not have its memory by pages, or not in one file.
        """
        return None

    def file_offset(self, address: int) -> int | None:
        """Give where the file has the byte at physical *address*.

        Returns:
            The offset of the byte, or of the compressed page that holds it; None if it is in no one
            place of one file.
        """
        return None

    @abstractmethod
    def heads(self, unit_bytes: int, head_bytes: int, until: int = PHYS_END) -> Iterator[PageHeads]:
        """Look at the beginning of every stored page without reading the rest where that is cheap.

        Args:
            unit_bytes: Where pages begin: multiples of this, a power of two.
            head_bytes: How much of each to give, at most *unit_bytes*.
            until: Look only below this physical address.

        Yields:
            Batches by rising address. A page that cannot be decoded is left out, and so is one that
            shares its copy in the file with a page already seen.
        """

    @abstractmethod
    def ranges(self) -> NDArray[np.uint64]:
        """Give the memory ranges of the dump, stored or not.

        Returns:
            Shape (n, 2), native byte order: start and end of each range (bytes, half-open), sorted,
            touching ranges merged.
        """

    def ranges_cost(self) -> int:
        """Tell how many bytes of a far file `ranges` fetches; 0 where they are at hand."""
        return 0

    def cheap_ranges(self, most_bytes: int = CHEAP_BYTES) -> NDArray[np.uint64] | None:
        """Give what `ranges` does, for those who only show it: None where it fetches more.

        Args:
            most_bytes: How much may be fetched for it.
        """
        return self.ranges() if self.ranges_cost() <= most_bytes else None

    def memory_end(self) -> int:
        """Give the end of the last memory range (physical, bytes); 0 if there is none.

        Of a far file it takes less than `ranges` does.
        """
        return int(self.ranges()[-1:, 1].max(initial=0))

    def stored_bytes(self) -> int | None:
        """Tell how much memory the container claims to have, lost or not; None if it is unknown."""
        return None

    def losses(self, *, everywhere: bool = False) -> tuple[Loss, ...]:
        """Tell what the file lacks of the memory that its writer meant to keep, and why.

        They come first among the `warnings` from then on.

        Args:
            everywhere: Look at all that the container says of its pages, which takes longer the
                larger it is, and not only where writers stop.

        Returns:
            A loss for each cause; none of a file that is whole.
        """
        return ()

    def is_incomplete(self) -> bool:
        """Tell whether the container says, or its size shows, that the writer did not finish."""
        return bool(self.losses())

    def trim(self) -> None:
        """Let go of memory that holds what was read, where that is easily had again."""
        return

    def expect_scattered(self, scattered: bool) -> None:
        """Say whether reads to come lie far apart, as those of a sample do; False as it begins."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release the file; reads afterwards fail."""
