"""Opens built bytes as a file, and closes what it opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source


@pytest.fixture
def open_bytes(tmp_path: Path) -> Iterator[Callable[[bytes], PhysicalSource]]:
    """Give a function that writes bytes to a file and opens it as a dump."""
    opened: list[PhysicalSource] = []
    number = count()

    def open_it(data: bytes) -> PhysicalSource:
        path = tmp_path / f"dump{next(number)}"
        path.write_bytes(data)
        opened.append(open_source(path))
        return opened[-1]

    yield open_it
    for source in opened:
        source.close()
