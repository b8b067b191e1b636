"""BlockTable against a plain dict, on its dense and on its search path."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from breadth import examples
from vmemmap.translate.lookup import NOT_MAPPED, BlockTable

TOP = 1 << 64
SHIFTS = [12, 16, 21, 24]
BASE = 0xC00C000000000000
NONE = int(NOT_MAPPED)


def u64(values: list[int]) -> NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


@dataclass
class Model:
    """Blocks by number (virt >> shift), the first of each number only."""

    shift: int
    blocks: dict[int, tuple[int, int]]

    def find(self, virt: int) -> tuple[int, int] | None:
        found = self.blocks.get(virt >> self.shift)
        return found and (found[0], found[1] + virt % (1 << self.shift))

    def neighbours(self, virt: int) -> tuple[int | None, int | None]:
        starts = [number << self.shift for number in self.blocks]
        below = max((start for start in starts if start <= virt), default=None)
        return below, min((start for start in starts if start > virt), default=None)


def build(shift: int, numbers: list[int], seed: int = 0) -> tuple[BlockTable, Model]:
    """Make a table of blocks with random, aligned physical addresses below 2**53."""
    rng = random.Random(seed)
    phys = [rng.randrange(1 << 53 - shift) << shift for _ in numbers]
    blocks: dict[int, tuple[int, int]] = {}
    for row, number in enumerate(numbers):
        blocks.setdefault(number, (row, phys[row]))
    virt = u64([number << shift for number in numbers])
    return BlockTable(virt, u64(phys), 1 << shift), Model(shift, blocks)


def borders(shift: int, numbers: list[int]) -> list[int]:
    """Give addresses at and around the borders of blocks, and at the ends of the space."""
    size = 1 << shift
    near = {0, 1, size - 1, size, TOP - 1, TOP - size, TOP - size - 1, 1 << 63, (1 << 63) - 1}
    for number in numbers:
        start = number << shift
        steps = (-size, -1, 0, 1, 7, size // 2, size - 1, size, size + 1)
        near |= {start + step for step in steps}
    return sorted(address for address in near if 0 <= address < TOP)


def check(table: BlockTable, model: Model, queries: list[int]) -> None:
    assert len(table) == len(model.blocks)
    for virt in queries:
        hit = table.find(virt)
        assert (hit and (hit.row, hit.phys)) == model.find(virt), hex(virt)
        assert table.neighbours(virt) == model.neighbours(virt), hex(virt)
    found = [model.find(virt) for virt in queries]
    expected = [answer[1] if answer else NONE for answer in found]
    many = table.translate_many(u64(queries))
    assert many.dtype == np.uint64
    assert many.tolist() == expected
    backwards = table.translate_many(u64(queries[::-1]))
    assert backwards.tolist() == expected[::-1]


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize(
    "numbers",
    [
        [0],
        [1],
        [5, 4, 3],
        [0, 2, 4, 1],
        [7, 7, 7],
        [3, 9, 3, 8, 9, 3],
        list(range(40, 0, -1)),
    ],
)
@pytest.mark.parametrize("place", ["bottom", "usual", "top"])
def test_dense_sets(shift: int, numbers: list[int], place: str) -> None:
    last = (TOP >> shift) - 1
    base = {"bottom": 0, "usual": BASE >> shift, "top": last - max(numbers)}[place]
    numbers = [base + number for number in numbers]
    table, model = build(shift, numbers)
    check(table, model, borders(shift, numbers))


@pytest.mark.parametrize("shift", SHIFTS)
def test_sparse_sets_with_both_ends_of_the_address_space(shift: int) -> None:
    last = (TOP >> shift) - 1
    usual = BASE >> shift
    for numbers in ([0, last], [last, 0, usual, last], [usual, usual + (1 << 21), usual + 1]):
        table, model = build(shift, numbers)
        check(table, model, borders(shift, numbers))


@pytest.mark.parametrize("shift", SHIFTS)
def test_one_block_far_away_changes_no_answer(shift: int) -> None:
    # It makes the table too sparse for slots, so the same addresses take the other path.
    usual = BASE >> shift
    numbers = [usual + n for n in random.Random(2).sample(range(300), 120)]
    near, model = build(shift, numbers, seed=3)
    far, _ = build(shift, [*numbers, usual - (1 << 26)], seed=3)
    queries = borders(shift, numbers)
    check(near, model, queries)
    assert near.translate_many(u64(queries)).tolist() == far.translate_many(u64(queries)).tolist()


@pytest.mark.parametrize("gap", [(1 << 20) - 2, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 1 << 23])
def test_both_sides_of_the_border_between_the_paths(gap: int) -> None:
    usual = BASE >> 16
    table, model = build(16, [usual, usual + gap])
    check(table, model, borders(16, [usual, usual + gap, usual + gap // 2]))


@pytest.mark.parametrize("shift", SHIFTS)
def test_an_empty_table(shift: int) -> None:
    table, model = build(shift, [])
    check(table, model, borders(shift, []))
    assert table.neighbours(BASE) == (None, None)


def test_no_addresses_at_all() -> None:
    for numbers in ([], [5], [0, 1 << 40]):
        table, _ = build(16, numbers)
        assert table.translate_many(u64([])).tolist() == []


@pytest.mark.parametrize("extra", [0, 1 << 30])
@pytest.mark.parametrize("count", [(1 << 15) - 1, 1 << 15, (1 << 15) + 1, 100_003])
def test_more_addresses_than_are_handled_at_a_time(extra: int, count: int) -> None:
    usual = BASE >> 16
    numbers = [usual + n for n in range(0, 500, 2)] + [usual + extra]
    table, model = build(16, numbers)
    rng = np.random.default_rng(4)
    start = np.uint64(BASE - (10 << 16))
    queries = start + rng.integers(0, 600 << 16, count, dtype=np.uint64)
    got = table.translate_many(queries)
    answers = [model.find(virt) for virt in queries.tolist()]
    assert got.tolist() == [answer[1] if answer else NONE for answer in answers]


def test_an_input_that_is_not_contiguous_or_not_writable() -> None:
    usual = BASE >> 16
    table, model = build(16, [usual, usual + 1, usual + 5])
    queries = np.array(borders(16, [usual + 1]), dtype=np.uint64)
    queries.setflags(write=False)
    expected = [model.find(v) for v in queries[::2].tolist()]
    got = table.translate_many(queries[::2]).tolist()
    assert got == [answer[1] if answer else NONE for answer in expected]


@st.composite
def block_sets(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A shift and block numbers: near one another, far apart, or both."""
    shift = draw(st.sampled_from(SHIFTS))
    last = (TOP >> shift) - 1
    base = draw(st.sampled_from([0, BASE >> shift, last - 64]))
    near = draw(st.lists(st.integers(base, base + 64), max_size=20))
    far = draw(st.lists(st.integers(0, last), max_size=4))
    return shift, draw(st.permutations(near + far))


@settings(max_examples=examples(150))
@given(block_sets(), st.integers(0, 99), st.lists(st.integers(0, TOP - 1), max_size=8))
@example((16, [(TOP >> 16) - 1]), 0, [0, TOP - 1])
@example((24, [0, (TOP >> 24) - 1]), 0, [0, TOP - 1])
def test_any_set_of_blocks_follows_the_model(
    blocks: tuple[int, list[int]], seed: int, anywhere: list[int]
) -> None:
    shift, numbers = blocks
    table, model = build(shift, numbers, seed)
    check(table, model, sorted({*borders(shift, numbers), *anywhere}))
