"""The page array as Python sees it: iteration, length, membership, slices."""

from __future__ import annotations

from itertools import islice

import pytest

from pages.machines import Built, one_of_everything, pfns_of
from vmemmap.report import page as report_page


@pytest.fixture
def built(tmp_path) -> Built:
    return one_of_everything(tmp_path / "vmcore", "6.1.0", "little")


def test_iteration_gives_each_page_once_and_ends(built: Built) -> None:
    pfns = pfns_of(built.machine)
    with built.open() as core:
        found = list(islice(core.pages, 2 * len(pfns)))
        assert [page.pfn for page in found] == list(pfns)
        assert len(core.pages) == len(found)
        assert found[5] == core.pages[pfns[5]]
        assert {page.kind.word for page in found} >= set(built.pages.kinds.values())


def test_other_pages_may_be_asked_for_on_the_way(built: Built) -> None:
    pfns = pfns_of(built.machine)
    some = pfns[:1200]
    with built.open() as core:
        alone = [core.pages[pfn].kind for pfn in some]
        between = [(page.kind, core.pages[pfns[-1]])[0] for page in islice(core.pages, len(some))]
    assert between == alone


def test_membership_is_having_a_struct_page(built: Built) -> None:
    pfns = pfns_of(built.machine)
    with built.open() as core:
        assert pfns[0] in core.pages
        assert pfns[-1] + 1 not in core.pages
        assert "0" not in core.pages


def test_a_slice_is_refused_in_words(built: Built) -> None:
    with built.open() as core, pytest.raises(TypeError, match=r"scan\(\)"):
        core.pages[slice(0, 4)]  # type: ignore[index]


@pytest.mark.parametrize(("release", "early"), [("4.18.0", None), ("5.4.0", True)])
def test_early_is_said_where_there_is_such_a_mark(tmp_path, release, early) -> None:
    """Since Linux commit 326e1b8f83a4 (in v5.3)."""
    with one_of_everything(tmp_path / "vmcore", release, "little").open() as core:
        assert all(page.early is early for page in islice(core.pages, 3))
        text = "".join(report_page.lines([report_page.record(core, "pfn", 0)]))
    assert ("early" in text) is bool(early)
