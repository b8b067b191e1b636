"""Chains of flattened records as the tests want them, and the file that they should stand for.

Written from dump-formats.md section 2, without the package.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from builders.flattened import END_MARK, HEADER_BYTES, SIGNATURE, build_record

Record = tuple[int, bytes]

HEADER = (SIGNATURE + struct.pack(">qq", 1, 1)).ljust(HEADER_BYTES, b"\0")


def chain(records: Sequence[Record], *, end: bytes = END_MARK) -> bytes:
    """Return a flattened file of *records*: (target offset, bytes), in this order."""
    return HEADER + b"".join(build_record(*record) for record in records) + end


def cut(inner: bytes, size: int) -> list[Record]:
    """Return *inner* as records of *size* bytes, ascending."""
    return [(at, inner[at : at + size]) for at in range(0, len(inner), size)]


def unpacked(records: Sequence[Record]) -> tuple[bytes, bytes]:
    """Return the file that *records* make, and a mask of what they cover (1 for each byte).

    Later records win; what none covers is zero.
    """
    size = max((offset + len(data) for offset, data in records), default=0)
    image, mask = bytearray(size), bytearray(size)
    for offset, data in records:
        image[offset : offset + len(data)] = data
        mask[offset : offset + len(data)] = b"\1" * len(data)
    return bytes(image), bytes(mask)
