"""Writes a kdump file of a machine with terabytes of memory, as a sparse file.

The pages of a `Machine` are stored at their pfns, compressed; all others that the file claims to
have are raw pages of zeros, each with a place of its own in the file, where it has a hole. So the
file is as large as it says, and takes some 50 MB of disk for 100 GB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .byte_order import prefix
from .kdump import MAIN_HEADER_BYTES, plan_kdump
from .kdump_codecs import CODEC_FLAGS, compress
from .machine_state import Machine


def write_huge_kdump(
    path: Path,
    machine: Machine,
    *,
    ram_bytes: int,
    file_bytes: int,
    split: tuple[int, int] | None = None,
) -> int:
    """Write the dump.

    Args:
        path: The file.
        machine: Whose pages, VMCOREINFO and names are in it; all within *ram_bytes*.
        ram_bytes: Memory, all of it RAM.
        file_bytes: About how large the file is; pages are stored all over the memory until it is.
        split: The pfns whose pages this member of a split dump has; all of them if None.

    Returns:
        How many pages are in it.
    """
    block, order = machine.page_size, machine.byte_order
    max_mapnr = ram_bytes // block
    empty, plan = plan_kdump(
        {},
        block_size=block,
        order=order,
        max_mapnr=max_mapnr,
        notes=machine.notes(order),
        utsname=machine.utsname,
        split=split,
    )
    assert len(empty) > MAIN_HEADER_BYTES
    step = max(ram_bytes // file_bytes, 1)
    stored = np.zeros(max_mapnr, dtype=np.bool_)
    stored[::step] = True
    stored[list(machine.pages)] = True
    start, end = split or (0, max_mapnr)
    pfns = start + np.flatnonzero(stored[start:end])
    table = np.zeros(len(pfns), dtype=[(name, prefix(order) + kind) for name, kind in _DESCRIPTOR])
    table["size"] = block
    packed = {
        pfn: compress("zlib", bytes(page))
        for pfn, page in machine.pages.items()
        if start <= pfn < end
    }
    rows = np.searchsorted(pfns, list(packed))
    table["size"][rows] = [len(data) for data in packed.values()]
    table["flags"][rows] = CODEC_FLAGS["zlib"]
    data_at = plan.descriptors_offset + table.nbytes
    sizes = table["size"].astype(np.uint64)
    table["offset"] = data_at + np.cumsum(sizes) - sizes
    with path.open("wb") as file:
        file.write(empty)
        file.seek(plan.bitmap1_offset)
        file.write(np.packbits(np.ones(max_mapnr, np.bool_), bitorder="little").tobytes())
        file.seek(plan.bitmap2_offset)
        file.write(np.packbits(stored, bitorder="little").tobytes())
        file.seek(plan.descriptors_offset)
        file.write(table.tobytes())
        for row, data in zip(rows.tolist(), packed.values(), strict=True):
            file.seek(int(table["offset"][row]))
            file.write(data)
        file.truncate(int(table["offset"][-1] + table["size"][-1]))
    return len(pfns)


_DESCRIPTOR = (("offset", "u8"), ("size", "u4"), ("flags", "u4"), ("page_flags", "u8"))
