"""Numbers as they lie in the dumped memory, so that columns need not be turned around to be tested.

A bit test and a comparison give the same answer on swapped bytes if the constant is swapped too.
"""

from __future__ import annotations

import sys

import numpy as np

from vmemmap.address import ByteOrder


def raw32(value: int, order: ByteOrder) -> np.uint32:
    """Give the number that 4 bytes of memory in *order* with this value read as on this machine."""
    return np.uint32(int.from_bytes((value & 0xFFFF_FFFF).to_bytes(4, order), sys.byteorder))


def raw64(value: int, order: ByteOrder) -> np.uint64:
    """Give the number that 8 bytes of memory in *order* with this value read as on this machine."""
    return np.uint64(int.from_bytes(value.to_bytes(8, order), sys.byteorder))


def low_half(order: ByteOrder) -> int:
    """Give where in an 8-byte word its low 4 bytes are."""
    return 0 if order == "little" else 4


def low_byte(order: ByteOrder) -> int:
    """Give where in an 8-byte word its lowest byte is."""
    return 0 if order == "little" else 7
