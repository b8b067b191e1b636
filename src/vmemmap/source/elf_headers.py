"""How many program headers an ELF vmcore has, and where: also where the header's count is cut.

e_phnum has 16 bits. A file with more program headers says PN_XNUM there, and the true count in
section 0; makedumpfile before 2019 wrote the low 16 bits of the count instead::

    e_phnum = 25 566 (0x63de)                    91 102 = 0x163de program headers
    0x40  [NOTE][LOAD][LOAD] ... [LOAD][LOAD] ... [LOAD]  zeros, or the first segment's bytes
                                 ^ the count ends here   ^ the table ends here
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.errors import CorruptDump
from vmemmap.formats import elf64
from vmemmap.source.file_view import ByteView

_WRAP = 1 << 16
_ROWS_AT_MOST = 1 << 24


def read_program_headers(
    file: ByteView, header: elf64.ElfHeader, warnings: list[str]
) -> NDArray[np.void]:
    """Read the table of program headers.

    Args:
        file: The file.
        header: Its ELF header.
        warnings: A count that was cut is added here.

    Raises:
        CorruptDump: The table is not wholly in the file, or the count cannot be had.
    """
    count = header.e_phnum
    if count == elf64.PN_XNUM:
        count = _extended_count(file, header)
    table_bytes = count * elf64.PROGRAM_HEADER_BYTES
    if header.e_phoff < elf64.HEADER_BYTES or not file.holds(header.e_phoff, table_bytes):
        raise CorruptDump(
            f"the table of {count} program headers",
            file_offset=header.e_phoff,
            expected=f"it to lie between byte 64 and the file's end at {file.size:#x}",
            found=f"it ends at {header.e_phoff + table_bytes:#x}; the dump is cut off or damaged: "
            "copy it again",
        )
    if count == header.e_phnum:
        more = _count_behind(file, header)
        if more >= _WRAP and more % _WRAP == 0:
            warnings.append(
                f"e_phnum is {count}, but a table of {count + more} program headers follows: the "
                "count was cut to 16 bits, and all of them are used"
            )
            count += more
        elif more:
            warnings.append(
                f"e_phnum is {count}, but {more} more program headers follow, which is not what a "
                f"count cut to 16 bits leaves: only the first {count} are used"
            )
    return _rows(file, header, 0, count)


def _extended_count(file: ByteView, header: elf64.ElfHeader) -> int:
    at = header.e_shoff + elf64.SH_INFO_OFFSET
    if not file.holds(at, 4) or header.e_shentsize != elf64.SECTION_HEADER_BYTES:
        raise CorruptDump(
            "section header 0, which has to hold the number of program headers,",
            file_offset=header.e_shoff,
            expected="64 bytes inside the file",
            found=f"size {header.e_shentsize} in a file of {file.size} bytes",
        )
    return int.from_bytes(file.view(at, 4), header.order)


def _count_behind(file: ByteView, header: elf64.ElfHeader) -> int:
    """Count what follows the table and can only be more program headers."""
    size, start = elf64.PROGRAM_HEADER_BYTES, header.e_phnum
    first = _rows(file, header, start, 1)
    if not len(first) or int(first["p_type"][0]) not in (elf64.PT_LOAD, elf64.PT_NOTE):
        return 0  # as nearly always
    room = min((file.size - header.e_phoff) // size - start, _ROWS_AT_MOST)
    rows = _rows(file, header, start, room)
    table_end = np.uint64(header.e_phoff + (start + _WRAP) * size)
    load = (rows["p_type"] == elf64.PT_LOAD) & (rows["p_memsz"] > 0)
    load &= rows["p_filesz"] <= rows["p_memsz"]
    note = (rows["p_type"] == elf64.PT_NOTE) & (rows["p_filesz"] > 0)
    sound = (load | note) & ((rows["p_filesz"] == 0) | (rows["p_offset"] >= table_end))
    return len(sound) if sound.all() else int(np.argmin(sound))


def _rows(file: ByteView, header: elf64.ElfHeader, start: int, count: int) -> NDArray[np.void]:
    """Give some rows of the table, as far as the file has them."""
    size = elf64.PROGRAM_HEADER_BYTES
    data = file.view(header.e_phoff + start * size, max(count, 0) * size)
    return np.frombuffer(
        data[: len(data) // size * size], dtype=elf64.program_header_dtype(header.order)
    )
