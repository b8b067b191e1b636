"""Words of the kernel's data that can be shown: which of many are what they should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def only(words: NDArray[np.uint64], known: NDArray[np.bool_]) -> bytes:
    """Give words as they stand in memory, and zeros where it is not known what they are."""
    return np.where(known, words, 0).astype(words.dtype).tobytes()


def is_kernel_data(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which words are addresses of kernel data, 0xc..., or of the vmemmap, 0xf... or 0xc..."""
    top = words >> np.uint64(60)
    return np.asarray((top == 0xC) | (top == 0xF))
