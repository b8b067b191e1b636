"""The parts of a kdump-compressed file that tell which pages it has, read by the format alone."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class KdumpTable(NamedTuple):
    """Which pages a file has.

    ``ram`` and ``kept`` are pfns; ``rows`` the descriptors of the kept ones as (offset, size,
    flags); ``level`` the dump level; ``header`` what stands before the bitmaps.
    """

    ram: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    rows: list[tuple[int, int, int]]
    level: int
    header: bytes

    @property
    def zero(self) -> set[int]:
        """The pfns that share one plain page."""
        places = np.array([row[0] for row in self.rows], dtype=np.uint64)
        once, counts = np.unique(places, return_counts=True)
        return set(self.kept[np.isin(places, once[counts > 1])].tolist())


def read_table(path: Path) -> KdumpTable:
    data = path.read_bytes()
    word = "<" if struct.unpack_from("<i", data, 8)[0] == 6 else ">"
    block, sub_blocks, map_blocks = struct.unpack_from(word + "iiI", data, 428)
    sub = struct.unpack_from(word + "QiiQQqQqQqQQQQ", data, block)
    first = (1 + sub_blocks) * block
    found = []
    for at in (first, first + map_blocks // 2 * block):
        bits = np.unpackbits(np.frombuffer(data, np.uint8, -(-sub[-1] // 8), at), bitorder="little")
        found.append(np.flatnonzero(bits))
    at = first + map_blocks * block
    start, end = (sub[-3], sub[-2]) if sub[2] else (0, sub[-1])
    here = found[1][(found[1] >= start) & (found[1] < end)]
    rows = [struct.unpack_from(word + "QII", data, at + 24 * i) for i in range(len(here))]
    return KdumpTable(found[0], here, rows, sub[1], data[:first])
