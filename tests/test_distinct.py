"""Numbers as sets, by sorting, against plain Python that looks at one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmemmap.distinct import distinct, is_among, repeats

NUMBER = st.one_of(
    st.integers(0, 9), st.sampled_from([1 << 63, 2**64 - 1]), st.integers(0, 2**64 - 1)
)
NUMBERS = st.lists(NUMBER, max_size=40)


def array(values: list[int], kind: Any = np.uint64) -> Any:
    return np.array(values, dtype=kind)


@given(NUMBERS)
def test_each_value_once_and_ascending(values: list[int]) -> None:
    assert distinct(array(values)).tolist() == sorted(set(values))


@given(NUMBERS)
def test_what_came_before_is_a_repeat(values: list[int]) -> None:
    before = [value in values[:at] for at, value in enumerate(values)]
    assert repeats(array(values)).tolist() == before


@given(NUMBERS, NUMBERS)
def test_which_are_among_others(values: list[int], others: list[int]) -> None:
    found = [value in others for value in values]
    assert is_among(array(values), array(others)).tolist() == found


def test_the_example_in_the_docstring() -> None:
    values = array([7, 3, 7, 5, 3])
    assert distinct(values).tolist() == [3, 5, 7]
    assert repeats(values).tolist() == [False, False, True, False, True]
    assert is_among(values, array([5, 7, 9])).tolist() == [True, False, True, True, False]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.dtype(">u8")])
def test_the_element_type_stays(kind: Any) -> None:
    assert distinct(array([2, 1, 2], kind)).dtype == kind
    assert distinct(array([2, 1, 1, 3], kind).reshape(2, 2)).tolist() == [1, 2, 3]


def test_negative_numbers_come_first() -> None:
    assert distinct(array([3, -1, 3, -9], np.int64)).tolist() == [-9, -1, 3]
    assert is_among(array([-1, 1], np.int64), array([-1], np.int64)).tolist() == [True, False]
