"""The page bitmap against a plain Python model of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from vmemmap.source.bitmap import Bitmap

CHUNK_BITS = 4096 * 8


def pack(pfns: set[int], size_bytes: int) -> bytes:
    data = bytearray(size_bytes)
    for pfn in pfns:
        data[pfn // 8] |= 1 << pfn % 8
    return bytes(data)


def model_runs(pfns: set[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for pfn in sorted(pfns):
        if runs and runs[-1][1] == pfn:
            runs[-1][1] += 1
        else:
            runs.append([pfn, pfn + 1])
    return runs


def check(data: bytes, bits: int, points: list[int]) -> None:
    """Compare every question with the answer counted one bit at a time."""
    have = {p for p in range(min(bits, len(data) * 8)) if data[p // 8] >> p % 8 & 1}
    bitmap = Bitmap(memoryview(data), bits)
    ordered = sorted(have)
    for point in points:
        assert bitmap.test(point) is (point in have)
        below = int(np.searchsorted(np.array(ordered, dtype=np.int64), point))
        assert bitmap.rank(point) == below
    array = np.array(points, dtype=np.uint64)
    assert bitmap.test_many(array).tolist() == [point in have for point in points]
    inside = np.array(sorted(p for p in points if p < min(bits, len(data) * 8)), dtype=np.int64)
    counted = np.searchsorted(np.array(ordered, dtype=np.int64), inside)
    assert Bitmap(memoryview(data), bits).rank_many(inside).tolist() == counted.tolist()
    runs, cut = bitmap.runs(1 << 30)
    assert runs.tolist() == model_runs(have)
    assert not cut


@given(data=st.binary(max_size=40), beyond=st.integers(-9, 70))
def test_small_maps(data: bytes, beyond: int) -> None:
    bits = max(len(data) * 8 + beyond, 0)
    check(data, bits, list(range(len(data) * 8 + 80)))


@settings(max_examples=examples(40))
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 3 * CHUNK_BITS), st.integers(1, CHUNK_BITS + 99)), max_size=6
    ),
    bits=st.integers(0, 4 * CHUNK_BITS),
    short=st.integers(0, 5000),
    points=st.lists(st.integers(0, 5 * CHUNK_BITS), max_size=30),
)
def test_maps_of_several_chunks(
    spans: list[tuple[int, int]], bits: int, short: int, points: list[int]
) -> None:
    """Runs that cross, fill and end at chunk borders; the file may end before the map does."""
    size = 4 * CHUNK_BITS // 8
    have = {p for start, length in spans for p in range(start, min(start + length, size * 8))}
    edges = [bits + step for step in (-1, 0, 1) if bits + step >= 0]
    borders = [CHUNK_BITS * n + step for n in (1, 2, 3, 4) for step in (-1, 0, 1)]
    check(pack(have, size)[: size - short], bits, points + edges + borders)


@pytest.mark.parametrize("first", [0, 1, 5, 7, CHUNK_BITS - 1, CHUNK_BITS, 300 * CHUNK_BITS + 3])
def test_rank_far_up_then_down(first: int) -> None:
    """Ranks counted lazily must not depend on the order of the questions."""
    step = 12345
    have = set(range(first, 520 * CHUNK_BITS, step))
    bitmap = Bitmap(memoryview(pack(have, 520 * 4096)), 520 * CHUNK_BITS)
    for index in (len(have) - 1, 0, len(have) // 2, 1, len(have) - 2):
        pfn = first + index * step
        assert (bitmap.rank(pfn), bitmap.rank(pfn + 1)) == (index, index + 1)
        assert bitmap.test(pfn)
        assert not bitmap.test(pfn + 1)
    assert bitmap.rank(1 << 60) == len(have)


def test_bits_are_counted_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(1).integers(0, 256, 3 * 4096, dtype=np.uint8).tobytes()
    points = [0, CHUNK_BITS - 1, CHUNK_BITS, 2 * CHUNK_BITS + 77, 3 * CHUNK_BITS]
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    check(data, 3 * CHUNK_BITS, points)
    check(b"\xff" * 8192, 2 * CHUNK_BITS, points)


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("tail", [0, 1])
def test_runs_are_limited(limit: int, tail: int) -> None:
    """Four runs, the last one open at the end of the map when *tail* is set."""
    have = {1, 2, 10, 20, 21} | ({30, 31} if tail else {30})
    runs, cut = Bitmap(memoryview(pack(have, 4)), 32).runs(limit)
    assert runs.tolist() == model_runs(have)[:limit]
    assert cut is (limit < 4)


def test_runs_stop_looking_when_the_limit_is_reached() -> None:
    every_second = b"\x55" * (64 * 4096)
    runs, cut = Bitmap(memoryview(every_second), 64 * CHUNK_BITS).runs(10)
    assert runs.tolist() == [[2 * n, 2 * n + 1] for n in range(10)]
    assert cut


@pytest.mark.parametrize("pfn", [-1, -8, -(1 << 40)])
def test_negative_pfns_are_clear(pfn: int) -> None:
    assert not Bitmap(memoryview(b"\xff" * 8), 64).test(pfn)


@pytest.mark.parametrize("pfn", [64, 65, 1 << 47, (1 << 64) - 1])
def test_pfns_beyond_the_map_are_clear(pfn: int) -> None:
    bitmap = Bitmap(memoryview(b"\xff" * 16), 64)
    assert not bitmap.test(pfn)
    assert bitmap.test_many(np.array([63, pfn], dtype=np.uint64)).tolist() == [True, False]
    assert bitmap.rank(pfn) == 64


def test_shape_is_kept() -> None:
    bitmap = Bitmap(memoryview(b"\x0f"), 8)
    grid = np.arange(12, dtype=np.uint64).reshape(3, 4)
    assert bitmap.test_many(grid).tolist() == [[True] * 4, [False] * 4, [False] * 4]
    assert Bitmap(memoryview(b""), 0).test_many(grid).shape == (3, 4)
