"""Pages full of zeros, told by their bytes in a file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vmemmap.errors import UnreadableFile
from vmemmap.memory import OpenFile
from vmemmap.pages import zero_filled
from vmemmap.pages.zero_filled import zero_pages
from vmemmap.source.base import Located


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_zero_pages_of_a_file(tmp_path, page_size) -> None:
    """Pages with a byte anywhere, read from the file; a file cut meanwhile is an error."""
    path = tmp_path / "pages"
    content = np.zeros((9, page_size), dtype=np.uint8)
    for page, byte in ((1, 0), (3, 511), (4, 512), (6, page_size - 1)):
        content[page, byte] = 1
    path.write_bytes(content.tobytes())
    spans = np.array([[0, 5, 0], [7, 2, 7], [9, 3, 5]], dtype=np.int64) * page_size
    rows = np.r_[0:5, 7:9, 5:8]
    with path.open("rb") as file:
        file_of = Located(memoryview(content.tobytes()), spans, OpenFile(file.fileno(), str(path)))
        assert zero_pages(file_of, page_size).tolist() == (~content[rows].any(axis=1)).tolist()
        os.truncate(path, 8 * page_size + 1000)
        if zero_filled.compiled is not None:
            with pytest.raises(UnreadableFile, match="shorter"):
                zero_pages(file_of, page_size)
