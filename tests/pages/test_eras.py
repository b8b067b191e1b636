"""Every era of struct page, in both byte orders and page sizes: each page is what it was made."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from breadth import singles
from pages.machines import ERAS, Built, one_of_everything, pfns_of
from pages.makedumpfile_model import Model
from vmemmap import Kind

CASES = [
    pytest.param(case.values, id=str(case.values), marks=case.marks)
    for case in singles(product(ERAS, ("little", "big"), (65536, 4096)))
]


@pytest.fixture(scope="module", params=CASES)
def built(request, tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("eras")
    return one_of_everything(folder / "vmcore", *request.param)


def test_every_page_is_what_it_was_made(built: Built) -> None:
    expected = {pfn: built.pages.kinds.get(pfn, "other") for pfn in pfns_of(built.machine)}
    if not built.pages.knows_hugetlb:
        assert "hugetlb" not in expected.values()
    with built.open() as core:
        rows = np.concatenate(list(core.pages.scan()))
        found = {int(row["pfn"]): Kind(int(row["kind"])).word for row in rows}
        usage = core.usage()
    assert found == expected
    counted = {kind: count for kind, count in usage.kinds.items() if count}
    assert counted == Counter(expected.values())
    assert {kind for kind in Kind if usage.kinds.get(kind)} == {Kind[k.upper()] for k in counted}
    assert usage.kinds[Kind.FREE] == usage.kinds["free"]
    assert ("hugetlb" in usage.kinds) is built.pages.knows_hugetlb
    assert usage.untold == (() if built.pages.knows_hugetlb else ("hugetlb",))
    assert ("hugetlb_unknown" in {f.code for f in usage.findings}) is bool(usage.untold)
    assert usage.damaged == 0
    assert usage.pages == len(expected)
    assert usage.managed == len(expected) - 2


def test_makedumpfile_view_is_that_of_the_model(built: Built) -> None:
    model = Model(built.machine)
    end_pfn = max(built.machine.pages) + 1
    with built.open() as core:
        usage = core.usage()
    for level in range(32):
        expected = model.counts(pfns_of(built.machine), level, end_pfn)
        found = usage.makedumpfile[level]
        if level & 16 and not model.reads_free_marks():
            assert found is None or found["free"] == 0  # the synthetic free lists are empty
            continue
        assert found == expected, level


def test_one_page_says_the_same_as_the_scan(built: Built) -> None:
    with built.open() as core:
        rows = {int(row["pfn"]): row for row in np.concatenate(list(core.pages.scan()))}
        for pfn in sorted(built.pages.kinds)[:64]:
            info, row = core.pages[pfn], rows[pfn]
            assert info.kind == row["kind"], pfn
            assert info.flags_raw == row["flags"]
            assert info.refcount == row["refcount"]
            assert info.mapping == row["mapping"]
            assert info.private == row["private"]
            assert (info.node, info.zone) == (row["node"], row["zone"])
            tail = info.head is not None and info.head != pfn
            assert row["head"] == (info.head if tail else (1 << 64) - 1)
