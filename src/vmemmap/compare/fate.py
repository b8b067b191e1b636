"""What becomes of a block between two dumps: the words, which need no arrays."""

from __future__ import annotations

from enum import IntEnum


class Fate(IntEnum):
    """What became of the block at a virtual address."""

    SAME = 0
    """It is backed by the same memory."""
    MOVED = 1
    """It is backed by other memory."""
    NEW = 2
    """It was not backed."""
    GONE = 3
    """It is backed no more."""

    @property
    def word(self) -> str:
        """The fate as programs see it."""
        return self.name.lower()
