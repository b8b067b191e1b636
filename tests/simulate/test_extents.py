"""Extents against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vmemmap.simulate.memory.extents import Extents

TOP = 40
ranges = st.tuples(st.integers(0, TOP), st.integers(0, TOP))
changes = st.lists(st.tuples(st.booleans(), ranges), max_size=25)


def built(history: list[tuple[bool, tuple[int, int]]]) -> tuple[Extents, set[int]]:
    extents, numbers = Extents(), set()
    for adding, (start, end) in history:
        if adding:
            extents.add(start, end)
            numbers |= set(range(start, end))
        else:
            extents.remove(start, end)
            numbers -= set(range(start, end))
    return extents, numbers


@given(changes, ranges)
def test_every_answer_is_that_of_a_set(
    history: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    extents, numbers = built(history)
    parts = list(extents)
    assert {n for start, end in parts for n in range(start, end)} == numbers
    assert extents.total == len(numbers)
    assert len(extents) == len(parts)
    assert list(extents.from_top()) == parts[::-1]
    assert extents.as_array().tolist() == [list(part) for part in parts]
    start, end = asked
    inside = set(range(start, end))
    assert {n for a, b in extents.within(start, end) for n in range(a, b)} == inside & numbers
    assert all(low < high for low, high in extents.within(start, end))
    assert extents.covers(start, end) is (inside <= numbers)
    assert extents.touches(start, end) is bool(inside & numbers)


@given(changes)
def test_ranges_are_joined_ascending_and_never_empty(
    history: list[tuple[bool, tuple[int, int]]],
) -> None:
    parts = list(built(history)[0])
    assert all(start < end for start, end in parts)
    assert all(before[1] < after[0] for before, after in pairwise(parts))


@given(st.lists(ranges, max_size=10))
def test_built_from_ranges(parts: list[tuple[int, int]]) -> None:
    assert list(Extents(parts)) == list(built([(True, part) for part in parts])[0])


def test_an_empty_one() -> None:
    assert Extents().as_array().shape == (0, 2)
    assert not Extents().touches(0, 1 << 63)
    assert not Extents().covers(0, 1)
