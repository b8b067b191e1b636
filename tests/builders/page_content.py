"""Struct pages by the gigabyte, for benchmarks: a plausible mix, array-wise, of a 6.1 kernel.

64 KiB pages and 64-byte struct pages, so a block of 64 KiB has 1024 of them. Each block is complete
in itself: no free block and no compound crosses its border.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .byte_order import Order, u64_dtype
from .kernel_era import VMEMMAP_BASES

PER_BLOCK = 1024
WORDS = 8
_NODE_ZONE = 0
_LRU, _SLAB, _RESERVED, _HEAD, _SWAPBACKED, _PRIVATE = (1 << bit for bit in (4, 9, 12, 16, 19, 13))
_MAPPING = 0xC000_0001_2345_6700
_NO_TYPE, _BUDDY = 0xFFFF_FFFF, 0xFFFF_FF7F


def write_content(
    path: Path, blocks: int, *, byte_order: Order = "little", compounds: bool = True, seed: int = 1
) -> dict[str, int]:
    """Write the struct pages of *blocks* blocks and give how many pages there are of each kind.

    Args:
        path: The file to make: 64 KiB a block.
        blocks: How many.
        byte_order: Of the memory.
        compounds: With tails. Those name their head by its address, so such blocks can stand in one
            place only: block n holds pfns from 1024 n on.
        seed: Of the mix.
    """
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys(("free", "cache", "anon", "slab", "reserved", "other"), 0)
    with path.open("wb") as file:
        for first in range(0, blocks, 256):
            batch = min(256, blocks - first)
            pages = _batch(rng, first, batch, compounds, counts)
            file.write(
                pages.astype(u64_dtype(byte_order)).tobytes()
                if byte_order == "little"
                else _big(pages).tobytes()
            )
    return counts


def _big(pages: np.ndarray) -> np.ndarray:
    """Turn the words around, but the halves of word 6 and the bytes of word 2 each alone."""
    swapped = pages.byteswap()
    swapped[..., 2] = pages[..., 2]
    word = pages[..., 6]
    low, high = word & np.uint64(0xFFFFFFFF), word >> np.uint64(32)
    swapped[..., 6] = (low << np.uint64(32) | high).byteswap()
    return swapped


def _batch(
    rng: np.random.Generator, first: int, blocks: int, compounds: bool, counts: dict[str, int]
) -> np.ndarray:
    """Make some blocks: runs of 32 pages, each of one kind, and some blocks free as a whole."""
    pages = np.zeros((blocks, PER_BLOCK, WORDS), dtype=np.uint64)
    pages[..., 6] = _NO_TYPE  # _mapcount, and _refcount above it
    runs = pages.reshape(blocks * PER_BLOCK // 32, 32, WORDS)
    kind = rng.integers(0, 8, len(runs))
    kind[np.repeat(rng.random(blocks) < 0.3, PER_BLOCK // 32)] = 7
    lru = _LRU | (np.uint64(_SWAPBACKED) * (kind == 1).astype(np.uint64))
    for number, name in ((0, "cache"), (1, "anon")):
        mine = kind == number
        runs[mine, :, 0] = lru[mine][:, None]
        runs[mine, :, 3] = _MAPPING | number
        runs[mine, :, 6] = (2 << 32) | (_NO_TYPE if number == 0 else 0)
        counts[name] += int(mine.sum()) * 32
    mine = kind == 2
    runs[mine, :, 0] = _SLAB
    counts["slab"] += int(mine.sum()) * 32
    if compounds:
        # Slabs of four pages: a head, three tails that name it; the order in the second page.
        base = np.uint64(VMEMMAP_BASES["c00c"])
        pfn = np.arange(len(runs), dtype=np.uint64) * np.uint64(32)
        pfn += np.uint64(first * PER_BLOCK)
        slabs = runs[mine].reshape(-1, 8, 4, WORDS)
        head = base + (pfn[mine][:, None] + np.arange(0, 32, 4, dtype=np.uint64)) * np.uint64(64)
        slabs[:, :, 0, 0] |= np.uint64(_HEAD)
        slabs[:, :, 1:, 0] = 0
        slabs[:, :, 1:, 1] = (head | np.uint64(1))[:, :, None]
        slabs[:, :, 1, 2] = 2 << 8 | 1
        runs[mine] = slabs.reshape(-1, 32, WORDS)
    mine = kind == 3
    runs[mine, :, 0] = _RESERVED
    counts["reserved"] += int(mine.sum()) * 32
    mine = (kind == 4) | (kind == 5)
    runs[mine, :, 6] = (1 << 32) | _NO_TYPE
    counts["other"] += int(mine.sum()) * 32
    mine = kind == 6  # free blocks of 8 pages
    free = runs[mine].reshape(-1, 4, 8, WORDS)
    free[:, :, 0, 5], free[:, :, 0, 6] = 3, _BUDDY
    runs[mine] = free.reshape(-1, 32, WORDS)
    counts["free"] += int(mine.sum()) * 32
    mine = kind == 7  # free blocks of 32 pages, or of 256 where the whole block is free
    runs[mine, 0, 5], runs[mine, 0, 6] = 5, _BUDDY
    counts["free"] += int(mine.sum()) * 32
    whole = np.flatnonzero((kind.reshape(blocks, -1) == 7).all(axis=1))
    pages[whole, :, 5], pages[whole, :, 6] = 0, _NO_TYPE
    pages[whole, ::256, 5], pages[whole, ::256, 6] = 8, _BUDDY
    return pages
