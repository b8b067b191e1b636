"""kdump-compressed files: find a page's descriptor by its rank in the bitmap, and decode the page.

Opening reads the headers only; bitmaps and descriptors stay in the mapped file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, is_power_of_two
from vmemmap.errors import (
    CorruptDump,
    CorruptPage,
    NotInDump,
    PageExcluded,
    PageLost,
    Truncated,
)
from vmemmap.formats import kdump as layout
from vmemmap.formats.notes import (
    NOTES_MAX_BYTES,
    VMCOREINFO_MAX_BYTES,
    Note,
    find_vmcoreinfo,
    walk_notes,
)
from vmemmap.source.base import PhysicalSource
from vmemmap.source.bitmap import Bitmap
from vmemmap.source.codecs import decoder
from vmemmap.source.file_view import FileView
from vmemmap.source.page_cache import PageCache

RANGES_LIMIT = 65536
TAIL_DESCRIPTORS = 16384


class KdumpSource(PhysicalSource):
    """A kdump-compressed dump, header versions 0 to 6, any codec.

    Args:
        file: The mapped file; closed with this source.

    Raises:
        CorruptDump: Headers that contradict themselves or the file.
    """

    format = "kdump"
    block_size: int

    def __init__(self, file: FileView) -> None:
        self._file = file
        self.path = file.path
        self.warnings: list[str] = []
        main = _read_main_header(file)
        self.container_byte_order = main.order
        self.block_size = main.block_size
        self.machine = main.machine
        self._shift = main.block_size.bit_length() - 1
        if main.header_version > layout.VERSION_MAX_KNOWN:
            self.warnings.append(
                f"header version {main.header_version} is newer than any known (6); read as 6"
            )
        sub = layout.decode_sub(file.view(main.block_size, layout.SUB_HEADER_BYTES), main)
        self.dump_level = sub.dump_level
        self._marked_incomplete = bool(main.status & layout.STATUS_INCOMPLETE)
        if self._marked_incomplete:
            self.warnings.append("the dump is marked incomplete: its writer ran out of space")
        self.notes = self._read_notes(sub)
        self.vmcoreinfo = self._read_vmcoreinfo(sub)
        self._map_pages(main, sub)
        self._cache = PageCache()

    def read(self, address: int, size: int) -> bytes:
        """Read *size* bytes at physical *address*; see `PhysicalSource.read`."""
        first = address & (self.block_size - 1)
        if size <= self.block_size - first:
            return self._page(address >> self._shift, address)[first : first + size]
        out: list[bytes] = []
        while size > 0:
            into = address & (self.block_size - 1)
            part = self._page(address >> self._shift, address)[into : into + size]
            out.append(part)
            address += len(part)
            size -= len(part)
        return b"".join(out)

    def is_ram(self, address: int) -> bool:
        """Tell whether the first bitmap has the page of physical *address*."""
        return self._ram.test(address >> self._shift)

    def is_present(self, address: int) -> bool:
        """Tell whether the second bitmap has the page of physical *address*."""
        pfn = address >> self._shift
        here = not self._split or self._first_pfn <= pfn < self._end_pfn
        return here and self._stored.test(pfn)

    def present_many(self, addresses: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which bytes are stored; see `PhysicalSource.present_many`."""
        pfns = addresses >> np.uint64(self._shift)
        present = self._stored.test_many(pfns)
        if self._split:
            present &= (pfns >= np.uint64(self._first_pfn)) & (pfns < np.uint64(self._end_pfn))
        return present

    def ranges(self) -> NDArray[np.uint64]:
        """Give the ranges of the first bitmap; see `PhysicalSource.ranges`."""
        runs, cut = self._ram.runs(RANGES_LIMIT)
        if cut:
            self.warnings.append(f"only the first {RANGES_LIMIT} memory ranges are shown")
        return runs << np.uint64(self._shift)

    def is_incomplete(self) -> bool:
        """Tell whether the header says so, a split member is alone, or the data is cut off.

        Looks at the last descriptors only: writers append page data in the order of pfns.
        """
        if self._marked_incomplete or self._split:
            return True
        count = self._stored.rank(self._end_pfn)
        end = self._descriptors_at + count * layout.DESCRIPTOR_BYTES
        if end > self._file.size:
            return True
        tail = min(count, TAIL_DESCRIPTORS) * layout.DESCRIPTOR_BYTES
        last = self._descriptor.iter_unpack(self._file.view(end - tail, tail))
        return any(offset + size > self._file.size for offset, size, _, _ in last)

    def close(self) -> None:
        """Release the file."""
        del self._ram, self._stored
        self._file.close()

    def _page(self, pfn: int, phys: int) -> bytes:
        """Give the decoded page *pfn*; *phys* is the address to blame."""
        if not self._stored.test(pfn):
            raise self._absent(pfn, phys)
        if self._split and not self._first_pfn <= pfn < self._end_pfn:
            raise PageLost(
                f"physical address {phys:#x} is in another member of this split dump", phys=phys
            )
        index = self._stored.rank(pfn) - self._rank_before
        at = self._descriptors_at + index * layout.DESCRIPTOR_BYTES
        if not self._file.holds(at, layout.DESCRIPTOR_BYTES):
            raise self._cut_off(phys, f"the page's descriptor should be at {at:#x}")
        offset, size, flags, _ = self._descriptor.unpack(
            self._file.view(at, layout.DESCRIPTOR_BYTES)
        )
        if offset == 0:
            raise PageLost(
                f"physical address {phys:#x} is lost: the dump's writer had no space left for it",
                phys=phys,
            )
        page = self._cache.get(offset)
        if page is None:
            page = self._decode(phys, offset, size, flags)
            self._cache.put(offset, page)
        return page

    def _decode(self, phys: int, offset: int, size: int, flags: int) -> bytes:
        where = f"cannot decode the page of physical address {phys:#x} (file offset {offset:#x}): "
        if offset < self._descriptors_at:
            raise CorruptPage(where + "its offset lies inside the headers", phys=phys)
        if not 1 <= size <= self.block_size:
            raise CorruptPage(
                where + f"expected 1 to {self.block_size} bytes, the descriptor says {size}",
                phys=phys,
            )
        if not self._file.holds(offset, size):
            raise self._cut_off(phys, f"the page should be at {offset:#x}")
        data = self._file.view(offset, size)
        if flags == 0:
            if size != self.block_size:
                raise CorruptPage(
                    where + f"a raw page has {self.block_size} bytes, this one {size}", phys=phys
                )
            return bytes(data)
        codec = layout.CODEC_OF_FLAG.get(flags)
        if codec is None:
            raise CorruptPage(
                where + f"expected the flag of one codec (1, 2, 4 or 32), found {flags:#x}",
                phys=phys,
            )
        try:
            return decoder(codec)(data, self.block_size)
        except ValueError as error:
            raise CorruptPage(where + str(error), phys=phys) from error

    def _absent(self, pfn: int, phys: int) -> NotInDump | PageExcluded:
        if self._ram.test(pfn):
            return PageExcluded(
                f"physical address {phys:#x} was excluded from this dump when it was written "
                f"(dump level {self.dump_level})",
                phys=phys,
            )
        return NotInDump(
            f"physical address {phys:#x} is not in the dump: no memory there", phys=phys
        )

    def _cut_off(self, phys: int, what: str) -> Truncated:
        return Truncated(
            f"physical address {phys:#x} cannot be read: {what}, but the file ends at "
            f"{self._file.size:#x}: the dump is cut off, copy it again",
            phys=phys,
        )

    def _read_notes(self, sub: layout.SubHeader) -> list[Note]:
        if not sub.size_note:
            return []
        if not self._file.holds(sub.offset_note, sub.size_note):
            self.warnings.append(
                f"the notes at {sub.offset_note:#x} ({sub.size_note} bytes) lie outside the file"
            )
            return []
        size = min(sub.size_note, NOTES_MAX_BYTES)
        return list(walk_notes(self._file.view(sub.offset_note, size), self.container_byte_order))

    def _read_vmcoreinfo(self, sub: layout.SubHeader) -> bytes | None:
        """Take the text where the sub-header says, or from the note; readers differ in which."""
        note = find_vmcoreinfo(self.notes)
        if not sub.size_vmcoreinfo:
            return note
        good = self._file.holds(sub.offset_vmcoreinfo, sub.size_vmcoreinfo)
        if not good or sub.size_vmcoreinfo > VMCOREINFO_MAX_BYTES:
            self.warnings.append(
                f"offset_vmcoreinfo {sub.offset_vmcoreinfo:#x} with size {sub.size_vmcoreinfo} "
                "lies outside the file; the note is used"
            )
            return note
        text = bytes(self._file.view(sub.offset_vmcoreinfo, sub.size_vmcoreinfo)).rstrip(b"\0")
        if note is not None and note != text:
            self.warnings.append(
                "the VMCOREINFO at offset_vmcoreinfo and the note differ; the former is used"
            )
        return text

    def _map_pages(self, main: layout.MainHeader, sub: layout.SubHeader) -> None:
        """Place the bitmaps and the descriptors."""
        block = main.block_size
        half_blocks = main.bitmap_blocks // 2
        map_bytes = -(-sub.max_mapnr // 8)
        two_maps = main.bitmap_blocks >= 2 * -(-map_bytes // block)
        have_bits = (half_blocks if two_maps else main.bitmap_blocks) * block * 8
        if not 1 <= sub.max_mapnr <= min(have_bits, layout.MAX_MAPNR_LIMIT):
            raise CorruptDump(
                "max_mapnr",
                file_offset=block + 96 if main.header_version >= 6 else 440,
                expected=f"1 to {min(have_bits, layout.MAX_MAPNR_LIMIT)} (the size of the bitmaps)",
                found=str(sub.max_mapnr),
            )
        first_at = (1 + main.sub_hdr_size_blocks) * block
        second_at = first_at + (half_blocks * block if two_maps else 0)
        self._descriptors_at = first_at + main.bitmap_blocks * block
        # A writer may leave out the blocks' unused tail, so only the bits themselves must be there.
        if not self._file.holds(second_at, map_bytes):
            raise CorruptDump(
                "the page bitmap",
                file_offset=second_at,
                expected=f"{map_bytes} bytes",
                found=f"the file's end at {self._file.size:#x}; the dump is cut off: copy it again",
            )
        self._ram = Bitmap(self._file.view(first_at, map_bytes), sub.max_mapnr)
        self._stored = Bitmap(self._file.view(second_at, map_bytes), sub.max_mapnr)
        self._descriptor = layout.descriptor_struct(main.order)
        self._split = sub.split
        self._first_pfn = min(sub.start_pfn, sub.max_mapnr) if sub.split else 0
        self._end_pfn = min(sub.end_pfn, sub.max_mapnr) if sub.split else sub.max_mapnr
        self._rank_before = self._stored.rank(self._first_pfn)
        if self._split:
            self.warnings.append(
                f"this is one member of a split dump (pfns {self._first_pfn:#x} to "
                f"{self._end_pfn:#x}); several files together are not read yet"
            )


def _read_main_header(file: FileView) -> layout.MainHeader:
    """Decode the main header in the byte order in which it makes sense."""
    data = file.view(0, layout.MAIN_HEADER_BYTES)
    if len(data) < layout.MAIN_HEADER_BYTES:
        raise CorruptDump(
            "the kdump header",
            file_offset=0,
            expected=f"{layout.MAIN_HEADER_BYTES} bytes",
            found=f"a file of {file.size} bytes; the dump is cut off: copy it again",
        )
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    headers = [layout.decode_main(data, order) for order in orders]
    faults = [layout.main_header_fault(header, file.size) for header in headers]
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
