"""makedumpfile's flattened form, as data: a dump as a stream of records, written front to back.

::

    0        signature (16) | type = 1 (i64) | version = 1 (i64) | zeros up to 4096
    4096     record: target offset (i64) | size (i64) | size bytes
             record ...
    end      target offset = -1 | size = -1

Everything is big-endian, whatever the dump inside is. Records may come in any order and overlap;
the later one wins. Ranges of the target that no record covers are holes and read as zero.

Source: makedumpfile.h (struct makedumpfile_header, makedumpfile_data_header), -F and -R.
"""

from __future__ import annotations

import struct

SIGNATURE = b"makedumpfile\0\0\0\0"
HEADER_BYTES = 4096
TYPE = 1
VERSION = 1
RECORD = struct.Struct(">qq")
END_OFFSET = -1
TARGET_LIMIT = 1 << 50
"""A record for a target offset beyond this is damage: no dump is a petabyte long."""


def header_fault(data: bytes | memoryview) -> tuple[int, str, str] | None:
    """Say what is wrong with the first 32 bytes: (file offset, expected, found), or None."""
    if len(data) < 32:
        return 0, "a header of 4096 bytes", f"{len(data)} bytes"
    kind, version = struct.unpack_from(">qq", data, 16)
    if kind != TYPE:
        return 16, f"type {TYPE}", str(kind)
    if version != VERSION:
        return 24, f"version {VERSION}", str(version)
    return None
