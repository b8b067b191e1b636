"""Which pages are filled with zeros, told by the compiled module, or by numpy where that is not."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmemmap.source.base import Located

compiled: Any = None
"""The compiled module; None where there is none."""
with suppress(ImportError):
    compiled = import_module("vmemmap._compiled")


def zero_pages(located: Located, page_size: int) -> NDArray[np.bool_]:
    """Tell which pages are filled with zeros.

    Args:
        located: Where they are; every span has whole pages.
        page_size: The size of a page in bytes.

    Returns:
        A value for each page, in their order.

    Raises:
        UnreadableFile: They are in a file that cannot be read, or that has become shorter.
    """
    counts = located.spans[:, 1] // page_size
    out = np.zeros(int(counts.sum()), dtype=np.bool_)
    if compiled is not None:
        file, failed = located.file, None
        try:
            if compiled.zero_pages(
                located.data, located.spans, page_size, out.view(np.uint8), file.fd if file else -1
            ):
                return out
        except OSError as error:
            failed = error
        assert file is not None, "only of a file something can be lost"
        raise file.unreadable(failed) from failed
    at = 0
    for (_, size, offset), count in zip(located.spans.tolist(), counts.tolist(), strict=True):
        words = np.frombuffer(located.data[offset : offset + size], np.uint64).reshape(count, -1)
        # Most pages that are not zero show it in their first words.
        maybe = np.flatnonzero(~words[:, :64].any(axis=1))
        out[at + maybe] = ~words[maybe].any(axis=1)
        at += count
    return out


def zero_pages_at(
    data: memoryview, offsets: NDArray[np.int64], page_size: int
) -> NDArray[np.bool_]:
    """Tell which pages of a buffer are filled with zeros.

    Args:
        data: The buffer.
        offsets: Where each page begins in it (bytes).
        page_size: The size of a page in bytes.
    """
    spans = np.empty((len(offsets), 3), dtype=np.int64)
    spans[:, 0], spans[:, 1] = np.arange(len(offsets)) * page_size, page_size
    spans[:, 2] = offsets
    return zero_pages(Located(data, spans), page_size)
