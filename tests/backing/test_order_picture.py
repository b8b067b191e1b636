"""The picture of a long list: what is odd in it is in the picture, however few points there are."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from vmemmap.backing.order_picture import draw_order

BASE, BLOCK, COUNT = 0xC00C_0000_0000_0000, 65536, 50_000


class Long(SimpleNamespace):
    """A list whose length is that of its columns."""

    def __len__(self) -> int:
        return len(self.virt)


def listed(**odd: int) -> Long:
    """Give a list as boot leaves it, newest first, but for one entry in each named column."""
    places = np.arange(COUNT, dtype=np.uint64)
    virt = np.uint64(BASE) + (np.uint64(COUNT - 1) - places) * np.uint64(BLOCK)
    made = Long(
        virt=virt,
        usable=np.ones(COUNT, dtype=np.bool_),
        rescued=np.zeros(COUNT, dtype=np.bool_),
        outdated=np.zeros(COUNT, dtype=np.bool_),
        in_region=np.ones(COUNT, dtype=np.bool_),
        block_size=BLOCK,
    )
    for name, at in odd.items():
        getattr(made, name)[at] ^= True
    return made


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("usable", "not used"),
        ("rescued", "rescued"),
        ("outdated", "a newer entry has its place"),
    ],
)
def test_one_odd_entry_of_many_is_drawn(column, title) -> None:
    made = listed(**{column: 31_337})
    if column == "outdated":
        made.usable[31_337] = False
    legend = draw_order(made, BASE).legend
    assert [name for name, _ in legend] == ["in the list", title]


def test_both_sides_of_a_step_are_drawn() -> None:
    """Two blocks that changed places: more points than without, and at most so many."""
    plain, stepped = listed(), listed()
    stepped.virt[[20_001, 20_002]] = stepped.virt[[20_002, 20_001]]
    pictures = [draw_order(each, BASE) for each in (plain, stepped)]
    words = [re.findall(r"([\d,]+) of them", each.words) for each in pictures]
    more = [int(each[0].replace(",", "")) for each in words]
    assert more[0] == COUNT - 3000
    assert 2 <= more[0] - more[1] <= 4
