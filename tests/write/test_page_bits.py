"""A set of pages in a file, against a plain set of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmemmap.intervals import groups, join, numbers, total
from vmemmap.write import page_bits
from vmemmap.write.page_bits import PageBits, bitmap_of

CHUNK = 64


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(page_bits, "CHUNK_PAGES", CHUNK)


def intervals_of(pfns: set[int]) -> np.ndarray:
    starts = np.array(sorted(pfns), dtype=np.int64)
    return join(starts, starts + 1)


@given(
    pfns=st.sets(st.integers(0, 5 * CHUNK - 4)),
    full=st.sets(st.integers(0, 4)),
    size=st.integers(1, 40),
    start=st.integers(0, 5 * CHUNK),
    length=st.integers(0, 3 * CHUNK),
)
def test_against_a_set(pfns, full, size, start, length) -> None:
    end = 5 * CHUNK - 3
    for chunk in full:
        pfns |= set(range(chunk * CHUNK, min(chunk * CHUNK + CHUNK, end)))
    wanted = intervals_of(pfns)
    bits = PageBits(end)
    for group in groups(wanted, size):
        bits.add(group)
    bits.finish()
    inside = {pfn for pfn in pfns if start <= pfn < start + length}
    assert bits.count() == len(pfns)
    assert bits.count(start, start + length) == len(inside)
    found = [numbers(part) for part in bits.intervals(start, start + length)]
    assert np.concatenate([*found, np.empty(0, np.int64)]).tolist() == sorted(inside)
    assert list(bitmap_of(wanted, end)) == list(bits.pieces())
    assert bits.rank(start) == sum(pfn < start for pfn in pfns)
    for rank, pfn in enumerate(sorted(pfns)):
        assert bits.select(rank) == pfn
    assert bits.select(len(pfns)) == end
    whole = bytearray(5 * CHUNK // 8)
    for at, piece in bits.pieces():
        whole[at : at + len(piece)] = piece
    packed = np.unpackbits(np.frombuffer(whole, np.uint8), bitorder="little")
    assert np.flatnonzero(packed).tolist() == sorted(pfns)
    bits.close()


def test_groups_hold_all_numbers_in_order() -> None:
    intervals = np.array([[0, 5], [6, 9], [100, 131]])
    made = groups(intervals, 4)
    assert numbers(np.concatenate(made)).tolist() == numbers(intervals).tolist()
    assert [group.tolist() for group in made[:2]] == [[[0, 4], [4, 5]], [[6, 9]]]
    assert max(total(group) for group in made) <= 8
    assert groups(intervals[:0], 4) == []
