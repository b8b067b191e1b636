"""What the synthetic struct-page blocks contain: a formula of the virtual address.

Every aligned 8-byte word of a backing block holds its own vmemmap virtual address, in memory byte
order. So a read across any block border can be checked without keeping a copy, a word from a wrong
block names the block it came from, and the pages still compress.
"""

from __future__ import annotations

import numpy as np

from .byte_order import Order, u64_dtype


def address_words(virt: int, size: int, order: Order) -> bytes:
    """Return the *size* content bytes at virtual address *virt* (both in bytes, any alignment)."""
    first = virt & ~7
    words = (virt + size - first + 7) // 8
    values = np.arange(words, dtype=np.uint64) * np.uint64(8) + np.uint64(first)
    stream = values.astype(u64_dtype(order)).tobytes()
    return stream[virt - first : virt - first + size]
