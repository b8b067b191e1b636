"""Counts of set bits against a plain Python model: from both ends, near and far, taken up again."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from breadth import examples
from vmemmap.source.far_bytes import FarBytes
from vmemmap.source.file_object import FileObject
from vmemmap.source.ranges import RangeView
from vmemmap.source.ranks import CHUNK_BITS, MapBytes, Ranks

BITS = 20 * CHUNK_BITS + 777
BEFORE = 1000
"""Of another part of the file, in front of the map."""


@cache
def random_map(seed: int) -> NDArray[np.uint8]:
    """Bits of a map: stretches that are full, empty, and mixed."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, BITS // 8192 + 1).repeat(8192)[:BITS]
    return np.where(kinds == 2, rng.integers(0, 2, BITS), kinds).astype(np.uint8)


def as_bytes(bits: NDArray[np.uint8], *, far: bool) -> MapBytes:
    data = np.packbits(bits, bitorder="little")
    if not far:
        return data
    file = io.BytesIO(bytes(BEFORE) + data.tobytes() + b"\xff" * 5000)
    return FarBytes(RangeView(FileObject(file)), BEFORE, len(data))


places = st.integers(0, BITS)


@settings(max_examples=examples(40))
@given(
    seed=st.integers(0, 5),
    ends=st.tuples(places, places),
    asked=st.lists(places, min_size=1, max_size=12),
    far=st.booleans(),
    told=st.booleans(),
)
def test_counts_are_those_of_a_model(
    seed: int, ends: tuple[int, int], asked: list[int], far: bool, told: bool
) -> None:
    """In whatever order they are asked for; whether or not the number of all is known before."""
    bits = random_map(seed)
    first, end = min(ends), max(ends)
    found = first + np.flatnonzero(bits[first:end])
    ranks = Ranks(as_bytes(bits, far=far), first, end)
    if told:
        ranks.anchor(len(found))
    for place in asked:
        expected = int(np.searchsorted(found, min(max(place, first), end)))
        assert ranks.below(place) == expected
        if expected < len(found):
            assert ranks.nth(expected) == found[expected]
    again = Ranks(as_bytes(bits, far=False), first, end)
    assert again.take(**ranks.known())
    for place in asked[::-1]:
        assert again.below(place) == int(np.searchsorted(found, min(max(place, first), end)))


def test_from_the_end_only_the_end_is_fetched() -> None:
    bits = np.ones(64 * CHUNK_BITS * 16, dtype=np.uint8)
    bits[::7] = 0
    data = np.packbits(bits, bitorder="little")
    view = RangeView(FileObject(io.BytesIO(data.tobytes())))
    ranks = Ranks(FarBytes(view, 0, len(data)), 0, len(bits))
    ranks.anchor(int(bits.sum()))
    place = len(bits) - 5 * CHUNK_BITS
    assert ranks.below(place) == int(bits[:place].sum())
    assert view.traffic.bytes <= 3 * 65536 < len(data) // 16


@pytest.mark.parametrize("rest", [0, 1])
def test_between_counts_that_leave_one_answer_nothing_is_fetched(rest: int) -> None:
    """All of memory but holes at its beginning; or none but what is there."""
    bits = np.full(64 * CHUNK_BITS * 64, rest, dtype=np.uint8)
    bits[: 90 * CHUNK_BITS] = np.resize(random_map(3), 90 * CHUNK_BITS)
    data = np.packbits(bits, bitorder="little")
    view = RangeView(FileObject(io.BytesIO(data.tobytes())))
    ranks = Ranks(FarBytes(view, 0, len(data)), 0, len(bits))
    ranks.anchor(int(bits.sum()))
    for place in (len(bits) // 2 + 5, len(bits) // 3, 100 * CHUNK_BITS + 7):
        assert ranks.below(place) == int(bits[:place].sum())
    assert view.traffic.bytes <= 1 << 20 < len(data) // 8
    taken = Ranks(FarBytes(view, 0, len(data)), 0, len(bits))
    assert taken.take(**ranks.known())
    assert taken.below(len(bits) // 4) == int(bits[: len(bits) // 4].sum())


def test_a_number_that_is_not_true_is_dropped_where_the_counts_meet() -> None:
    bits = random_map(1)
    ranks = Ranks(as_bytes(bits, far=True), 0, BITS)
    ranks.anchor(int(bits.sum()) + 3)
    ranks.below(BITS - 2 * CHUNK_BITS)
    for _ in range(2):
        for place in range(0, BITS, CHUNK_BITS):
            ranks.below(place)
    assert not ranks.anchored
    assert ranks.below(BITS) == int(bits.sum())
    ranks.anchor(7)
    assert ranks.below(BITS - 9) == int(bits[: BITS - 9].sum())


@pytest.mark.parametrize(
    ("low", "high"),
    [([], []), ([0, 5, 4], []), ([0, 40000], []), ([0], [-1]), ([0, 1], [9] * 21), ([0] * 22, [])],
    ids=str,
)
def test_what_cannot_be_true_is_not_taken_up(low: list[int], high: list[int]) -> None:
    bits = random_map(2)
    ranks = Ranks(as_bytes(bits, far=False), 0, BITS)
    assert not ranks.take(np.array(low, dtype=np.int64), np.array(high, dtype=np.int64))
    assert ranks.below(BITS) == int(bits.sum())
