"""The columns of a scan, filled some thousand rows at a time, against reads one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from breadth import every, examples
from vmemmap.errors import VmemmapError
from vmemmap.pages.records import SCAN_FIELDS
from vmemmap.pages.struct_pages import ROWS_IN_CACHE

CORPUS = ("hash-64k-6.1", "radix-64k-6.1", "hash-4k-6.12")
MEMBERS = (
    ("flags", "page.flags", 8),
    ("mapping", "page.mapping", 8),
    ("private", "page.private", 8),
)
COUNTS = (("refcount", "page._refcount", 4), ("mapcount", "page._mapcount", 4))


@pytest.mark.parametrize("name", CORPUS)
def test_every_row_is_that_of_its_page(name: str, corpus_dump: Callable[[str], Path]) -> None:
    with vmemmap.open(corpus_dump(name)) as core:
        rows = np.concatenate(list(core.pages.scan()))
        assert len(rows) == len(core.pages) > 2 * ROWS_IN_CACHE
        info, size = core.kernel.vmcoreinfo, core.kernel.struct_page_size.value
        borders = [step + at for step in range(0, len(rows), ROWS_IN_CACHE) for at in (-1, 0, 1)]
        between = range(0, len(rows), 211 * 100 // examples(100) | 1)  # of every alignment
        for row in rows[[*borders[1:], *between]]:
            pfn = int(row["pfn"])
            page = core.pages[pfn]
            assert row["kind"] == page.kind
            try:
                raw = core.read(core.vmemmap_base.value + pfn * size, size)
            except VmemmapError:
                assert row["why"] != 0
                assert row["flags"] == np.uint64(2**64 - 1)
                assert (row["node"], row["zone"]) == (-1, -1)
                continue
            assert row["why"] == 0
            assert (row["node"], row["zone"]) == (page.node, page.zone)
            for column, key, width in (*MEMBERS, *COUNTS):
                at = info.offset(key)
                value = int.from_bytes(raw[at : at + width], "little", signed=width == 4)
                assert int(row[column]) == value, (column, pfn)


@pytest.mark.parametrize("name", every(2, CORPUS))
def test_some_columns_are_as_they_are_among_all(
    name: str, corpus_dump: Callable[[str], Path]
) -> None:
    with vmemmap.open(corpus_dump(name)) as core:
        rows = np.concatenate(list(core.pages.scan()))
        assert rows.dtype.isalignedstruct
        for field in SCAN_FIELDS:
            alone = np.concatenate(list(core.pages.scan((field,), chunk_pages=ROWS_IN_CACHE // 2)))
            assert alone.dtype.names == (field,)
            assert np.array_equal(alone[field], rows[field]), field


def test_a_census_loads_no_library_that_it_does_not_use(
    corpus_dump: Callable[[str], Path],
) -> None:
    """numpy.ma, which np.unique imports, takes as long as counting a million pages."""
    code = "import sys, numpy\nalone = 'numpy.ma' in sys.modules\nimport vmemmap\n"  # 1.26 has it
    code += "with vmemmap.open(sys.argv[1]) as core:\n    core.usage()\n"
    code += "print('numpy.ma' in sys.modules and not alone)"
    command = [sys.executable, "-c", code, str(corpus_dump("hash-64k-6.1"))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
