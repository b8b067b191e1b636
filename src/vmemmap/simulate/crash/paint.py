"""Fills memory that holds no structure of the kernel's with words that say where they lie.

With it a test sees whether anything of a process, a cache or free memory comes through where it
must not: in a smaller dump, a report, an upload. Each word of eight bytes is ``~`` and seven
letters that are its address divided by eight, to the base of 64::

    ~AAAQAAA ~AAAQAAB ~AAAQAAC ...        from 0x2000000 on
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

WORD_BYTES = 8
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_DIGITS = 7
PAINT = re.compile(rb"~[A-Za-z0-9_-]{7}")
"""What a painted word looks like."""


def paint(phys: int, size: int) -> bytes:
    """Give what is painted at an address.

    Args:
        phys: Physical address, a multiple of 8, up to 32 TiB.
        size: How many bytes, a multiple of 8.
    """
    first, count = phys // WORD_BYTES, size // WORD_BYTES
    # The last two letters are the same for every 4096 words, and these have the others in common.
    blocks = np.arange(first >> 12, ((first + count - 1) >> 12) + 1)
    words = np.full((len(blocks), 1 << 12, WORD_BYTES), ord("~"), dtype=np.uint8)
    words[:, :, 1:-2] = _letters(blocks, _DIGITS - 2)[:, None]
    words[:, :, -2:] = _letters(np.arange(1 << 12), 2)
    return words.reshape(-1, WORD_BYTES)[first % (1 << 12) :][:count].tobytes()


def _letters(numbers: npt.NDArray[np.int64], digits: int) -> npt.NDArray[np.uint8]:
    """Give so many letters for each number: (n, digits)."""
    shifts = np.arange(6 * (digits - 1), -1, -6)
    return np.asarray(np.frombuffer(_LETTERS, dtype=np.uint8)[numbers[:, None] >> shifts & 63])


def painted_at(word: bytes) -> int:
    """Give the physical address at which a painted word was."""
    number = 0
    for letter in word[1:]:
        number = number << 6 | _LETTERS.index(letter)
    return number * WORD_BYTES


def without_frames(runs: npt.NDArray[np.int64], taken: list[int], size: int) -> list[list[int]]:
    """Give the parts of stretches of memory, sorted rows (start, end), where no frame is taken."""
    found = []
    for start, end in runs.tolist():
        low, high = np.searchsorted(taken, [start, end])
        edges = [start, *(edge for at in taken[low:high] for edge in (at, at + size)), end]
        found += [
            list(part) for part in zip(edges[::2], edges[1::2], strict=True) if part[0] < part[1]
        ]
    return found
