"""How broad a run is: what of a product of cases, and how many examples of a property, it tries.

``make test`` tries every pair of two values that the cases of a product have, and a quarter of the
examples; ``make test-full`` tries everything. What only that runs is marked ``full``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import settings

PROFILES = {
    # The same examples every time: a run without a change is a run without a surprise.
    "fast": settings(max_examples=25, deadline=None, derandomize=True),
    "full": settings(max_examples=100, deadline=None, derandomize=False, print_blob=True),
}


def examples(full: int) -> int:
    """Give how many examples this run tries, where the profile ``full`` tries *full*."""
    return -(-full * settings().max_examples // PROFILES["full"].max_examples)


def pairs(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Choose from cases so that every two values which come together in one are tried together.

    Args:
        rows: The cases, mostly a product; each has as many values as the others, at least two.

    Returns:
        All cases in their order, for ``pytest.mark.parametrize``; those that add no pair to the
        ones chosen are marked ``full``.
    """
    cases = list(rows)
    assert all(len(case) > 1 for case in cases), "a value alone makes no pair"
    kept = _needed([_pairs_of(case) for case in cases])
    marks = [() if row in kept else (pytest.mark.full,) for row in range(len(cases))]
    return [pytest.param(*case, marks=mark) for case, mark in zip(cases, marks, strict=True)]


def _pairs_of(case: tuple[Any, ...]) -> set[tuple[int, int, str]]:
    """Name the pairs of a case by two columns and the values in them."""
    columns = combinations(range(len(case)), 2)
    return {(a, b, f"{case[a]!r} {case[b]!r}") for a, b in columns}


def _needed(pairs_of: list[set[tuple[int, int, str]]]) -> set[int]:
    """Choose rows, each time the first that has most of the pairs that are missing."""
    missing = set().union(*pairs_of)
    chosen: set[int] = set()
    while missing:
        best = max(range(len(pairs_of)), key=lambda row: len(pairs_of[row] & missing))
        chosen.add(best)
        missing -= pairs_of[best]
    return chosen
