"""Compound pages of simulated dumps, decoded release by release as the kernel facts have them.

The rules here are written from ppc64-kernel.md 5.9, with widths, for both byte orders: makedumpfile
reads little-endian dumps only, and 16 bits of what is 32 bits wide in some releases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vmemmap
from oracles.simulated import RELEASES, Dump, crash, numbers, spec_of
from vmemmap.simulate.mm.usage import PageRun, Use

TOLD = [release for release in RELEASES if numbers(release) >= (3, 13)]
HUGETLB_PAGE_DTOR = 2


class Pages:
    """Struct pages read through the project's reader, and the keys of the dump's VMCOREINFO."""

    def __init__(self, core: vmemmap.Vmcore, dump: Dump) -> None:
        self.core = core
        self.order = dump.machine.spec.byte_order
        self.base = dump.machine.kernel.vmemmap_base
        text = dump.machine.snapshot().vmcoreinfo.decode()
        self.keys = dict(line.split("=", 1) for line in text.splitlines())
        self.size = int(self.keys["SIZE(page)"])

    def at(self, pfn: int) -> int:
        return self.base + pfn * self.size

    def word(self, pfn: int, offset: int, size: int = 8) -> int:
        return int.from_bytes(self.core.read(self.at(pfn) + offset, size), self.order)

    def offset(self, name: str) -> int:
        return int(self.keys[f"OFFSET({name})"])

    def number(self, name: str) -> int:
        return int(self.keys[f"NUMBER({name})"])


def order_and_huge(pages: Pages, head: int, release: tuple[int, ...]) -> tuple[int, bool | None]:
    """Decode a compound page's order, and whether it is hugetlb; None where nothing tells."""
    second = head + 1
    if release >= (6, 9):
        mapcount = pages.word(head, pages.offset("page._mapcount"), 4)
        huge = mapcount == pages.number("PAGE_HUGETLB_MAPCOUNT_VALUE") & 0xFFFFFFFF
        return pages.word(second, 0) & 0xFF, huge
    if release >= (6, 6):
        flags = pages.word(second, 0)
        return flags & 0xFF, bool(flags >> pages.number("PG_hugetlb") & 1)
    if release >= (6, 3):
        dtor = pages.word(head, pages.offset("folio._folio_dtor"), 1)
        return pages.word(head, pages.offset("folio._folio_order"), 1), dtor == HUGETLB_PAGE_DTOR
    if release >= (4, 6):
        width = 1 if release >= (4, 16) else 4
        dtor = pages.word(second, pages.offset("page.compound_dtor"), width)
        order = pages.word(second, pages.offset("page.compound_order"), width)
        return order, dtor == pages.number("HUGETLB_PAGE_DTOR")
    if release >= (4, 4):
        return pages.word(second, 44, 4), None
    lru = pages.offset("page.lru")
    symbol = pages.keys.get("SYMBOL(free_huge_page)")
    huge_or_unknown = None if symbol is None else pages.word(second, lru) == int(symbol, 16)
    return pages.word(second, lru + 8), huge_or_unknown


def head_of(pages: Pages, tail: int, release: tuple[int, ...]) -> int | None:
    """Decode which page a tail belongs to, as the address of its struct page."""
    if release >= (4, 4):
        if release >= (7, 1):
            at = pages.offset("page.compound_info")
        else:
            at = pages.offset("page.compound_head") if release >= (4, 6) else 32
        word = pages.word(tail, at)
        return word - 1 if word & 1 else None
    if not pages.word(tail, 0) >> 15 & 1:  # PG_tail
        return None
    return pages.word(tail, pages.offset("page.private"))  # first_page shares its place


def check(pages: Pages, run: PageRun, release: tuple[int, ...]) -> None:
    mask = pages.number("PG_head_mask") if release >= (3, 16) else 1 << 14
    assert pages.word(run.start, 0) & mask
    order, huge = order_and_huge(pages, run.start, release)
    assert order == run.order
    assert 1 << order == run.end - run.start
    if huge is not None:
        assert huge == (run.use is Use.HUGE)
    assert head_of(pages, run.start, release) is None
    for tail in (run.start + 1, run.start + (run.end - run.start) // 2, run.end - 1):
        assert head_of(pages, tail, release) == pages.at(run.start)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("release", TOLD)
def test_compound_pages(tmp_path: Path, release: str, order: Any) -> None:
    dump = crash(spec_of(release, byte_order=order), tmp_path / "vmcore")
    runs = [run for run in dump.machine.usage.runs if run.order]
    assert {run.use for run in runs} == {Use.HUGE, Use.SLAB}
    with vmemmap.open(dump.path) as core:
        pages = Pages(core, dump)
        for run in runs:
            check(pages, run, numbers(release))
        for run in dump.machine.usage.of(Use.ANONYMOUS):
            assert head_of(pages, run.start, numbers(release)) is None
