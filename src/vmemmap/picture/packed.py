"""Arrays as a page carries them: by planes of bytes, deflated, in base64.

The page's script unpacks them again (``page/unpack.js``). Numbers that grow evenly are kept as
differences, which are nearly all the same and so pack to next to nothing. By example, three
32-bit numbers as differences, then all lowest bytes, all second bytes, and so on::

    1000 1004 1008  ->  1000 4 4  ->  e8 04 04  03 00 00  00 00 00  00 00 00
"""

from __future__ import annotations

import base64
import zlib
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

_LEVEL = 6


class Packed(TypedDict):
    """A packed array.

    Attributes:
        bytes: Bytes in a number: 1, 2 or 4; they are unsigned.
        count: How many numbers.
        grows: They are kept as differences, modulo what fits.
        data: The planes, lowest byte first, deflated without a header, in base64.
    """

    bytes: int
    count: int
    grows: bool
    data: str


def pack(values: NDArray[np.integer], *, grows: bool = False) -> Packed:
    """Pack numbers.

    Args:
        values: One dimension, none negative, below 2**32.
        grows: Keep differences.
    """
    highest = int(values.max(initial=0))
    width = 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4
    assert highest < 1 << 32
    plain = values.astype(np.dtype(f"<u{width}"))
    if grows and len(plain):
        plain = np.diff(plain, prepend=plain.dtype.type(0))
    planes = np.ascontiguousarray(plain.view(np.uint8).reshape(-1, width).T)
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    pressed = press.compress(planes.tobytes()) + press.flush()
    data = base64.b64encode(pressed).decode("ascii")
    return {"bytes": width, "count": len(plain), "grows": grows, "data": data}
