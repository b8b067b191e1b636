"""How broad a run is: what of a product of cases, and how many examples of a property, it tries.

``make test`` tries every two values of a product together, or every value once, and a quarter of
the examples; ``make test-full`` tries everything. What only that runs is marked ``full``. Both try
the same examples every time, so that a change without a fault never fails; what they have not tried
yet is for ``make test-full EXAMPLES=random``, which draws others each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import pytest
from hypothesis import settings

PROFILES = {
    "fast": settings(max_examples=25, deadline=None, derandomize=True),
    "full": settings(max_examples=100, deadline=None, derandomize=True),
    "random": settings(max_examples=200, deadline=None, derandomize=False, print_blob=True),
}
Part = tuple[tuple[int, str], ...]
"""Some values of a case, each with its column."""


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
    return _chosen(rows, together=2)


def singles(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Choose from cases so that every value is tried, each about as often; otherwise as `pairs`."""
    return _chosen(rows, together=1)


def every(step: int, cases: Iterable[Any]) -> list[Any]:
    """Choose the first of every *step* cases, of which neighbours are much alike.

    Args:
        step: How many are alike.
        cases: Values for ``pytest.mark.parametrize``, or what ``pytest.param`` made of them.

    Returns:
        All cases in their order; those that are not chosen are marked ``full``.
    """
    rows = list(cases)
    return [case if at % step == 0 else full([case])[0] for at, case in enumerate(rows)]


def full(cases: Iterable[Any]) -> list[Any]:
    """Leave all of some cases to ``make test-full``; otherwise as `every`."""
    made = [case if hasattr(case, "marks") else _param(case) for case in cases]
    return [
        pytest.param(*case.values, marks=(*case.marks, pytest.mark.full), id=case.id)
        for case in made
    ]


@contextmanager
def trying(what: object) -> Iterator[None]:
    """Name the case of a loop if it fails."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"while trying {what}")
        raise


def _param(case: Any) -> Any:
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)


def _chosen(rows: Iterable[tuple[Any, ...]], together: int) -> list[Any]:
    cases = list(rows)
    assert all(len(case) >= together for case in cases), "too few values to come together"
    named = [[(column, repr(value)) for column, value in enumerate(case)] for case in cases]
    needed = _needed([set(combinations(values, together)) for values in named])
    marks = [() if row in needed else (pytest.mark.full,) for row in range(len(cases))]
    return [pytest.param(*case, marks=mark) for case, mark in zip(cases, marks, strict=True)]


def _needed(parts: list[set[Part]]) -> set[int]:
    """Choose rows, each time one that has most of what is missing, and least of what is not."""
    # Sets as the bits of a number: there are thousands of cases, and each is looked at every time.
    bits = {part: 1 << bit for bit, part in enumerate(set[Part]().union(*parts))}
    has = [sum(bits[part] for part in row) for row in parts]
    missing = sum(bits.values())
    used = Counter[tuple[int, str]]()
    chosen: set[int] = set()

    def often(row: int) -> int:
        return sum(used[value] for part in parts[row] for value in part)

    while missing:
        new = [(row & missing).bit_count() for row in has]
        most = max(new)
        best = min((row for row, count in enumerate(new) if count == most), key=often)
        chosen.add(best)
        missing &= ~has[best]
        used.update({value for part in parts[best] for value in part})
    return chosen
