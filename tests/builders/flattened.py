"""Wraps a dump into makedumpfile's flattened format, the way ``makedumpfile -F`` and QEMU do.

Reference: dump-formats.md section 2. All fields are big-endian whatever is inside.
"""

from __future__ import annotations

import random
import struct

SIGNATURE = b"makedumpfile\0\0\0\0"
HEADER_BYTES = 4096
END_MARK = struct.pack(">qq", -1, -1)


def build_record(offset: int, data: bytes) -> bytes:
    """Return one record: target *offset* in the inner file, size, bytes."""
    return struct.pack(">qq", offset, len(data)) + data


def build_flattened(
    inner: bytes,
    *,
    record_bytes: int = 4096,
    shuffle_seed: int | None = 1,
    skip_zero: bool = False,
    end_mark: bool = True,
    format_type: int = 1,
    format_version: int = 1,
) -> bytes:
    """Return *inner* as a flattened file.

    Args:
        inner: The whole kdump or ELF file.
        record_bytes: Size of each record but the last.
        shuffle_seed: Order of the records; ``None`` keeps them ascending.
        skip_zero: Leave all-zero records out, so that the inner file has gaps.
        end_mark: Close with the end record.
        format_type: Type field of the header; 1 in real files.
        format_version: Version field of the header; 1 in real files.
    """
    starts = list(range(0, len(inner), record_bytes))
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(starts)
    header = SIGNATURE + struct.pack(">qq", format_type, format_version)
    parts = [header.ljust(HEADER_BYTES, b"\0")]
    for start in starts:
        data = inner[start : start + record_bytes]
        if skip_zero and not any(data):
            continue
        parts.append(build_record(start, data))
    if end_mark:
        parts.append(END_MARK)
    return b"".join(parts)
