"""The parts of a kdump-compressed file: headers, notes, and where bitmaps and descriptors lie.

Everything here is checked against the file before it is believed; pages are read in ``kdump.py``.
"""

from __future__ import annotations

from functools import cached_property
from itertools import islice

from vmemmap.address import ByteOrder, is_power_of_two
from vmemmap.errors import CorruptDump
from vmemmap.formats import kdump as layout
from vmemmap.formats.notes import (
    NOTES_MAX_BYTES,
    NOTES_MAX_COUNT,
    VMCOREINFO_MAX_BYTES,
    Note,
    find_vmcoreinfo,
    walk_notes,
)
from vmemmap.source.bitmap import Bitmap
from vmemmap.source.descriptor_count import count_descriptors
from vmemmap.source.far_bytes import FarBytes
from vmemmap.source.file_view import ByteView
from vmemmap.source.map_counts import MapCounts
from vmemmap.source.ranks import Ranks

_LARGE_BYTES = 1 << 20
"""From this size on a bitmap is not counted where its descriptors tell how many bits are set."""


class KdumpFile:
    """A kdump-compressed file, taken apart.

    Args:
        view: The file's bytes.

    Attributes:
        view: As given.
        main: The main header.
        sub: The sub-header.
        warnings: What is odd, one line each.
        notes: The ELF notes.
        vmcoreinfo: The VMCOREINFO text, or None.
        ram: The first bitmap: pages of RAM.
        stored: The second bitmap: pages in the file.
        descriptors_at: File offset of the page descriptors.

    Raises:
        CorruptDump: Headers that contradict themselves or the file.
    """

    ram: Bitmap
    stored: Bitmap

    def __init__(self, view: ByteView) -> None:
        self.view = view
        self.warnings = view.warnings
        self.main = _read_main_header(view)
        self.sub = self._read_sub_header()
        if self.main.header_version > layout.VERSION_MAX_KNOWN:
            self.warnings.append(
                f"header version {self.main.header_version} is newer than any known (6); read as 6"
            )
        self.marked_incomplete = bool(self.main.status & layout.STATUS_INCOMPLETE)
        self.notes = self._read_notes()
        self.vmcoreinfo = self._read_vmcoreinfo()
        self._place_maps()
        self._counts = MapCounts(view, self.ram, self.stored)

    def _read_sub_header(self) -> layout.SubHeader:
        at, version = self.main.block_size, self.main.header_version
        size = layout.SUB_HEADER_BYTES_OF_VERSION[min(version, layout.VERSION_MAX_KNOWN)]
        if not self.view.holds(at, size):
            raise CorruptDump(
                "the kdump sub-header",
                file_offset=at,
                expected=f"{size} bytes",
                found=f"{self.view.end_text}; the dump is cut off: copy it again",
            )
        return layout.decode_sub(self.view.view(at, size), self.main)

    @property
    def pfn_range(self) -> tuple[int, int]:
        """First pfn that this file holds, and the one after the last; all but for split members."""
        limit = self.sub.max_mapnr
        if not self.sub.split:
            return 0, limit
        return min(self.sub.start_pfn, limit), min(self.sub.end_pfn, limit)

    @property
    def identity(self) -> bytes:
        """The main header without time and status, in which the members of one dump may differ."""
        header = bytes(self.view.view(0, layout.MAIN_HEADER_BYTES))
        return header[: layout.TIME_OFFSET] + header[layout.STATUS_OFFSET + 4 :]

    @property
    def time(self) -> bytes:
        """When the file was begun, as the main header has it."""
        header = self.view.view(0, layout.MAIN_HEADER_BYTES)
        return bytes(header[layout.TIME_OFFSET : layout.STATUS_OFFSET])

    def close(self) -> None:
        """Release the file; the bitmaps must not be asked afterwards."""
        self._counts.keep()
        del self._counts  # it knows the bitmaps, too
        self.__dict__.pop("_ranks", None)
        self.ram = self.stored = Bitmap(memoryview(b""), 0)
        self.view.close()

    @cached_property
    def descriptors_end(self) -> int:
        """File offset behind the last descriptor, where page data can begin."""
        return self.descriptors_at + self.descriptors * layout.DESCRIPTOR_BYTES

    @cached_property
    def descriptors(self) -> int:
        """How many pages the file has a descriptor of."""
        count = self._told_count
        return self.stored.rank(self.pfn_range[1]) if count is None else count

    @cached_property
    def ram_as_told(self) -> Bitmap:
        """The first bitmap; of a far file that has a descriptor of every pfn, known to be full.

        Pages in the file are pages of RAM, so nothing has to be fetched to know that.
        """
        self.ram.full = self.view.far and self._told_count == self.sub.max_mapnr
        return self.ram

    def descriptor_at(self, pfn: int) -> int:
        """Give the file offset of the descriptor of a stored page."""
        return self.descriptors_at + self._ranks.below(pfn) * layout.DESCRIPTOR_BYTES

    @cached_property
    def _ranks(self) -> Ranks:
        """The ranks of stored pages; of a far file they are counted from both ends."""
        if self.view.far and self._told_count is not None:
            self.stored.ranks.anchor(self._told_count)
        return self.stored.ranks

    @cached_property
    def _told_count(self) -> int | None:
        """How many descriptors there are, where the file tells and counting would take long."""
        if not self.view.far and self._map_bytes < _LARGE_BYTES:
            return None
        start, end = self.pfn_range
        data_end = self.sub.offset_eraseinfo or self.view.size
        block, order = self.main.block_size, self.main.order
        most = max(end - start, 0)
        return count_descriptors(self.view, self.descriptors_at, order, block, data_end, most)

    def _read_notes(self) -> list[Note]:
        offset, size = self.sub.offset_note, self.sub.size_note
        if not size:
            return []
        if not self.view.holds(offset, size):
            self.warnings.append(f"the notes at {offset:#x} ({size} bytes) lie outside the file")
            return []
        data = self.view.view(offset, min(size, NOTES_MAX_BYTES))
        return list(islice(walk_notes(data, self.main.order), NOTES_MAX_COUNT))

    def _read_vmcoreinfo(self) -> bytes | None:
        """Take the text where the sub-header says, or from the note; readers differ in which."""
        note = find_vmcoreinfo(self.notes)
        offset, size = self.sub.offset_vmcoreinfo, self.sub.size_vmcoreinfo
        if not size:
            return note
        if not self.view.holds(offset, size) or size > VMCOREINFO_MAX_BYTES:
            self.warnings.append(
                f"offset_vmcoreinfo {offset:#x} with size {size} is outside the file or too long "
                "for a VMCOREINFO; the note is used"
            )
            return note
        text = bytes(self.view.view(offset, size)).rstrip(b"\0")
        if note is not None and note != text:
            self.warnings.append(
                "the VMCOREINFO at offset_vmcoreinfo and the note differ; the former is used"
            )
        return text

    def _place_maps(self) -> None:
        main, max_mapnr = self.main, self.sub.max_mapnr
        block = main.block_size
        half_blocks = main.bitmap_blocks // 2
        self._map_bytes = map_bytes = -(-max_mapnr // 8)
        two_maps = main.bitmap_blocks >= 2 * -(-map_bytes // block)
        have_bits = (half_blocks if two_maps else main.bitmap_blocks) * block * 8
        if not 1 <= max_mapnr <= min(have_bits, layout.MAX_MAPNR_LIMIT):
            raise CorruptDump(
                "max_mapnr",
                file_offset=block + 96 if main.header_version >= 6 else 440,
                expected=f"1 to {min(have_bits, layout.MAX_MAPNR_LIMIT)} (the size of the bitmaps)",
                found=str(max_mapnr),
            )
        first_at = (1 + main.sub_hdr_size_blocks) * block
        second_at = first_at + (half_blocks * block if two_maps else 0)
        self.descriptors_at = first_at + main.bitmap_blocks * block
        # A writer may leave out the blocks' unused tail, so only the bits themselves must be there.
        for at in (first_at, second_at):
            if not self.view.holds(at, map_bytes):
                raise CorruptDump(
                    "the page bitmap",
                    file_offset=at,
                    expected=f"{map_bytes} bytes",
                    found=f"{self.view.end_text}; the dump is cut off: copy it again",
                )
        ram, stored = (
            FarBytes(self.view, at, map_bytes) if self.view.far else self.view.view(at, map_bytes)
            for at in (first_at, second_at)
        )
        self.ram, self.stored = Bitmap(ram, max_mapnr), Bitmap(stored, max_mapnr, *self.pfn_range)


def _read_main_header(view: ByteView) -> layout.MainHeader:
    """Decode the main header in the byte order in which it makes sense."""
    data = view.view(0, layout.MAIN_HEADER_BYTES)
    if len(data) < layout.MAIN_HEADER_BYTES or not view.holds(0, layout.MAIN_HEADER_BYTES):
        raise CorruptDump(
            "the kdump header",
            file_offset=0,
            expected=f"{layout.MAIN_HEADER_BYTES} bytes",
            found=f"a file of {view.size} bytes; the dump is cut off: copy it again",
        )
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    headers = [layout.decode_main(data, order) for order in orders]
    faults = [layout.main_header_fault(header, view.size) for header in headers]
    for header, fault in zip(headers, faults, strict=True):
        if fault is None:
            return header
    # Report against the order in which the block size, or else the version, reads sensibly.
    best = next(
        (
            i
            for i, header in enumerate(headers)
            if is_power_of_two(header.block_size)
            and layout.BLOCK_SIZE_MIN <= header.block_size <= layout.BLOCK_SIZE_MAX
        ),
        0 if 0 <= headers[0].header_version <= layout.VERSION_MAX_PLAUSIBLE else 1,
    )
    fault = faults[best]
    assert fault is not None
    file_offset, field, expected, found = fault
    raise CorruptDump(
        f"kdump header field {field}", file_offset=file_offset, expected=expected, found=found
    )
