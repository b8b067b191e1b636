"""Stretches of page frames with one owner, beside each frame looked at by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from vmemmap.simulate.mm.owners import Owners
from vmemmap.simulate.mm.stretches import Owner, Stretches

END = 40

borders = st.lists(st.integers(0, END), max_size=8, unique=True).map(sorted)


def pairs(edges: list[int]) -> np.ndarray:
    """Make ascending ranges of an even number of edges."""
    return np.array(edges[: len(edges) // 2 * 2], np.int64).reshape(-1, 2)


def inside(ranges: np.ndarray, frame: int) -> bool:
    return any(start <= frame < end for start, end in ranges.tolist())


@given(borders, borders, borders, st.integers(0, END), st.integers(1, 10))
@settings(max_examples=examples(60))
def test_every_frame_is_in_the_stretch_of_its_owner(homes, reserved, free, first, count) -> None:
    of_nodes = {node: pairs(homes)[node::2] for node in (0, 1)}
    owners = Owners(of_nodes, [], pairs(reserved), pairs(free), {}, {}, [])
    stretches = Stretches(owners)
    found: list[Owner] = []
    for low, high, kind in stretches.within(first, first + count):
        assert low < high
        assert low == first + len(found), "they follow one another"
        found += [stretches.kinds[kind]] * (high - low)
    assert found == [
        Owner(
            next((node for node, home in of_nodes.items() if inside(home, frame)), -1),
            inside(owners.reserved, frame),
            inside(owners.free, frame),
        )
        for frame in range(first, first + count)
    ]
