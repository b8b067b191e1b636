"""Byte orders by name, and the ``struct`` and numpy spellings of them.

A dump has up to three independent byte orders (container, EI_DATA, memory), so every builder
takes the order as an argument and none ever uses the host's.
"""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np

Order = Literal["little", "big"]


def prefix(order: Order) -> str:
    """Return the ``struct`` / numpy prefix of *order*: ``<`` or ``>``."""
    return {"little": "<", "big": ">"}[order]


def other(order: Order) -> Order:
    """Return the opposite byte order."""
    return "big" if order == "little" else "little"


def u64(value: int, order: Order) -> bytes:
    """Pack *value* as 8 bytes in *order*."""
    return struct.pack(prefix(order) + "Q", value)


def u32(value: int, order: Order) -> bytes:
    """Pack *value* as 4 bytes in *order*."""
    return struct.pack(prefix(order) + "I", value)


def u64_dtype(order: Order) -> np.dtype[np.uint64]:
    """Return the numpy type of a 64-bit word stored in *order*."""
    return np.dtype(np.uint64).newbyteorder("<" if order == "little" else ">")
