"""Arrays of numbers as sets, by sorting: which there are, which come again, which are in another.

``np.unique`` and ``np.isin`` answer the same. But where they hash (numpy 2.3 and later) a million
numbers take 70 times as long as sorting them, and the first call loads ``numpy.ma``. By example::

    values                    7 3 7 5 3
    distinct  ->  3 5 7
    repeats   ->              - - x - x
    is_among  [5 7 9]  ->     x - x x -
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.integer[Any])

_FEW = 8
"""With so few others every value is compared with each of them sooner than it is searched for."""


def distinct(values: NDArray[Number]) -> NDArray[Number]:
    """Give the values that there are, ascending, each once."""
    ordered = np.sort(values, axis=None)
    return ordered[_begins(ordered)]


def repeats(values: NDArray[Number]) -> NDArray[np.bool_]:
    """Tell for each value whether one before it is the same."""
    ordered = np.sort(values)
    again = ordered[~_begins(ordered)]
    if not len(again):
        return np.zeros(len(values), dtype=np.bool_)
    # What comes once is most of it; only the rest has to be kept in order, which is slow to sort.
    rows = np.flatnonzero(is_among(values, again))
    rows = rows[np.argsort(values[rows], kind="stable")]
    found = np.zeros(len(values), dtype=np.bool_)
    found[rows[~_begins(values[rows])]] = True
    return found


def is_among(values: NDArray[Number], others: NDArray[Number]) -> NDArray[np.bool_]:
    """Tell for each value whether it is one of *others*, which may be in any order.

    The better sorted *values* are, the faster.
    """
    if len(others) <= _FEW:
        found = np.zeros(values.shape, dtype=np.bool_)
        for other in others:
            found |= values == other
        return found
    ordered = np.sort(others)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[at] == values)


def _begins(ordered: NDArray[Number]) -> NDArray[np.bool_]:
    """Tell for each of sorted values whether it is the first of its kind."""
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
