"""Intervals against sets of the numbers in them."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from vmemmap.intervals import Intervals, groups, intersect, join, numbers, subtract, touched

ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


def intervals(rows: list[tuple[int, int]]) -> Intervals:
    """Join intervals given by start and length; some are empty, and they overlap."""
    start, length = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return join(start, start + length)


def members(rows: list[tuple[int, int]]) -> set[int]:
    return {number for start, length in rows for number in range(start, start + length)}


def check(found: Intervals, expected: set[int]) -> None:
    """Check the numbers, and that they are in as few intervals as there can be of sets."""
    assert found.shape[1:] == (2,)
    assert found.dtype == np.int64
    assert set(numbers(found).tolist()) == expected
    assert (found[:, 0] < found[:, 1]).all()
    assert (found[1:, 0] >= found[:-1, 1]).all()


@given(ROWS)
@example([(5, 2), (3, 2)])
@example([(3, 0)])
def test_join(rows) -> None:
    found = intervals(rows)
    check(found, members(rows))
    assert (found[1:, 0] > found[:-1, 1]).all()


@given(ROWS, ROWS)
@example([(0, 9), (20, 5)], [(3, 30)])
@example([(3, 30)], [(0, 9), (20, 5)])
@example([(0, 3)], [(3, 3)])
def test_both_and_one_alone(left, right) -> None:
    check(intersect(intervals(left), intervals(right)), members(left) & members(right))
    check(subtract(intervals(left), intervals(right)), members(left) - members(right))


@given(ROWS, st.integers(1, 9))
def test_units_and_groups(rows, unit: int) -> None:
    found = intervals(rows)
    check(touched(found, unit), {number // unit for number in members(rows)})
    parts = groups(found, unit)
    assert [n for part in parts for n in numbers(part).tolist()] == sorted(members(rows))
    assert all(len(numbers(part)) < 2 * unit for part in parts)
