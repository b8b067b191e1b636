"""Layouts: the table against the fact sheet, and the choice of a row by what a dump says."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.kernel_era import VMALLOC_BASES, VMEMMAP_BASES
from vmemmap.linear_map import PAGE_OFFSET
from vmemmap.translate.regions import (
    BOOK3E,
    CERTAIN_LINEAR,
    DEFAULT_RADIX_LAYOUT,
    LAYOUTS,
    AddressLayout,
    Method,
    find_layout,
    mmus_of,
)

# Fact sheet section 3: vmemmap start and end, vmalloc start, MMUs by page size.
SHEET: dict[str, tuple[int, int, int, dict[int, set[str]]]] = {
    "0xc00c": (
        0xC00C000000000000,
        0xC00E000000000000,
        0xC008000000000000,
        {4096: {"radix"}, 65536: {"hash", "radix"}},
    ),
    "0xc0003f": (0xC0003F0000000000, 0xC000400000000000, 0xC0003D0000000000, {4096: {"hash"}}),
    "0xc00030": (0xC000300000000000, 0xC000400000000000, 0xC000100000000000, {4096: {"hash"}}),
    "0xc00a": (
        0xC00A000000000000,
        0xC00C000000000000,
        0xC008000000000000,
        {4096: {"radix"}, 65536: {"radix"}},
    ),
    "0xf": (
        0xF000000000000000,
        0xF002000000000000,
        0xD000000000000000,
        {4096: {"hash"}, 65536: {"hash"}},
    ),
    "book3e 0x8000": (
        0x8000040000000000,
        0x8000080000000000,
        0x8000000000000000,
        {4096: {"book3e"}, 65536: {"book3e"}},
    ),
    "book3e 0xc00014": (
        0xC000140000000000,
        0xC000180000000000,
        0xC000100000000000,
        {4096: {"book3e"}, 65536: {"book3e"}},
    ),
}
CASES = [(name, size) for name, row in SHEET.items() for size in row[3]]
BY_NAME = {row.name: row for row in LAYOUTS}
NONE = np.array([], dtype=np.uint64)


def virts_of(name: str, count: int, *, seed: int = 0) -> list[int]:
    """Give block addresses from the start of the vmemmap on, as a machine has them."""
    start = SHEET[name][0]
    numbers = random.Random(seed).sample(range(count * 2), count)
    return [start + number * 0x10000 for number in numbers]


def column(virts: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(virts, dtype=np.uint64)


def numbers_for(name: str, page_size: int) -> list[bool | None]:
    """Give the values of RADIX_MMU that a kernel of this layout can have."""
    mmus = SHEET[name][3][page_size]
    return [None] + [word == "radix" for word in ("hash", "radix") if word in mmus]


def test_the_rows_are_those_of_the_fact_sheet() -> None:
    assert set(BY_NAME) == set(SHEET)
    for name, (start, end, vmalloc, mmus) in SHEET.items():
        row = BY_NAME[name]
        assert (row.vmemmap.start, row.vmemmap.end) == (start, end)
        found = row.find(vmalloc)
        assert found is not None
        assert (found.start, found.method) == (vmalloc, Method.PAGE_TABLE)
        assert row.page_sizes == set(mmus)
        for size, words in mmus.items():
            assert mmus_of(row, size) == words
    assert {row.vmemmap.start for row in LAYOUTS} >= set(VMEMMAP_BASES.values())
    for name, start in VMEMMAP_BASES.items():
        region = BY_NAME["0xf" if name == "f000" else f"0x{name}"].find(VMALLOC_BASES[name])
        assert region is not None, start
    assert DEFAULT_RADIX_LAYOUT.name == "0xc00c"


@pytest.mark.parametrize("row", LAYOUTS, ids=lambda row: row.name)
def test_regions_are_sorted_disjoint_and_found_to_the_byte(row: AddressLayout) -> None:
    for region in row.regions:
        assert 0 < region.start < region.end < 1 << 64
        assert row.find(region.start) is row.find(region.end - 1) is region
        assert region.start - 1 not in region
        assert region.end not in region
    for lower, upper in itertools.pairwise(row.regions):
        assert lower.end <= upper.start
        if lower.end < upper.start:
            assert row.find(lower.end) is row.find(upper.start - 1) is None
    assert row.find(0) is row.find(row.regions[-1].end) is row.find((1 << 64) - 1) is None
    assert [r.method for r in row.regions].count(Method.VMEMMAP) == 1
    (linear,) = (r for r in row.regions if r.method is Method.LINEAR)
    assert linear.start == PAGE_OFFSET == CERTAIN_LINEAR.start
    assert linear.end >= CERTAIN_LINEAR.end


@pytest.mark.parametrize(("name", "page_size"), CASES)
def test_a_sound_list_chooses_its_row(name: str, page_size: int) -> None:
    for radix in numbers_for(name, page_size):
        for count in (1, 50):
            virts = column(virts_of(name, count))
            choice = find_layout(page_size, virts, vmemmap_symbol=None, radix=radix)
            assert choice is not None
            assert choice[0].name == name
            assert choice[1] == f"{count} of {count} list entries lie in its vmemmap"


@pytest.mark.parametrize(("name", "page_size"), CASES)
@pytest.mark.parametrize(
    "damage", ["zero", "ones", "user", "linear", "other vmemmaps", "bit flips"]
)
def test_a_few_damaged_addresses_do_not_sway_the_choice(
    name: str, page_size: int, damage: str
) -> None:
    good = virts_of(name, 50)
    bad = {
        "zero": [0, 0, 0],
        "ones": [(1 << 64) - 1] * 3,
        "user": [0x10000, 0x7FFFF0000000, 0xABCDEF],
        "linear": [PAGE_OFFSET, PAGE_OFFSET + (5 << 30), 0xC000000001234568],
        "other vmemmaps": [row[0] + 0x30000 for other, row in SHEET.items() if other != name],
        "bit flips": [good[0] ^ 1 << bit for bit in range(30, 64, 3)],
    }[damage]
    if name == "0xc0003f":  # lies inside 0xc00030; see the next test
        bad = [virt for virt in bad if not SHEET["0xc00030"][0] <= virt < SHEET["0xc00030"][1]]
    mixed = good + bad
    random.Random(1).shuffle(mixed)
    for radix in numbers_for(name, page_size):
        choice = find_layout(page_size, column(mixed), vmemmap_symbol=None, radix=radix)
        assert choice is not None
        assert choice[0].name == name, radix


@pytest.mark.parametrize("bit", range(40, 44))
def test_one_flipped_bit_does_not_turn_0xc0003f_into_0xc00030(bit: int) -> None:
    # The vmemmap of 0xc0003f lies inside that of 0xc00030, so an address that leaves it stays in
    # the other. No kernel of the other layout reaches that far (960 TiB of RAM).
    virts = virts_of("0xc0003f", 50)
    virts[7] ^= 1 << bit
    choice = find_layout(4096, column(virts), vmemmap_symbol=None, radix=None)
    assert choice is not None
    assert choice[0].name == "0xc0003f"


@pytest.mark.parametrize(("name", "page_size"), CASES)
def test_the_symbol_decides_without_or_against_a_list(name: str, page_size: int) -> None:
    start = SHEET[name][0]
    others = [other for other, row in SHEET.items() if other != name and page_size in row[3]]
    for radix in numbers_for(name, page_size):
        for virts in (NONE, column(virts_of(name, 4)), column(virts_of(others[0], 4))):
            choice = find_layout(page_size, virts, vmemmap_symbol=start, radix=radix)
            assert choice is not None
            assert (choice[0].name, choice[1]) == (name, "SYMBOL(vmemmap)")


@pytest.mark.parametrize("symbol", [0, 1, PAGE_OFFSET, 0xC00C000000010000, (1 << 64) - 1])
def test_a_symbol_of_no_row_leaves_the_choice_to_the_list(symbol: int) -> None:
    assert find_layout(65536, NONE, vmemmap_symbol=symbol, radix=None) is None
    choice = find_layout(65536, column(virts_of("0xf", 4)), vmemmap_symbol=symbol, radix=None)
    assert choice is not None
    assert choice[0].name == "0xf"


@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("radix", [None, True, False])
def test_nothing_decides_without_evidence(page_size: int, radix: bool | None) -> None:
    for virts in (NONE, column([0, 1, PAGE_OFFSET, (1 << 64) - 1])):
        assert find_layout(page_size, virts, vmemmap_symbol=None, radix=radix) is None


@pytest.mark.parametrize(("name", "page_size"), CASES)
def test_rows_of_the_other_mmu_and_page_size_are_never_chosen(name: str, page_size: int) -> None:
    mmus = SHEET[name][3][page_size]
    for size, radix in itertools.product((4096, 65536), (True, False)):
        word = "radix" if radix else "hash"
        choice = find_layout(size, column(virts_of(name, 4)), vmemmap_symbol=None, radix=radix)
        if choice is not None:
            assert size in choice[0].page_sizes
            if name not in ("0xc0003f", "0xc00014"):
                assert choice[0].name == name
            assert word in mmus_of(choice[0], size)
        elif size == page_size:
            assert word not in mmus
    assert BY_NAME[name].mmus == BOOK3E or "book3e" not in mmus


@given(
    st.lists(st.integers(0, (1 << 64) - 1), max_size=30),
    st.sampled_from([4096, 65536]),
    st.sampled_from([None, True, False]),
)
def test_the_row_chosen_has_an_address_that_lies_in_it(
    virts: list[int], page_size: int, radix: bool | None
) -> None:
    choice = find_layout(page_size, column(virts), vmemmap_symbol=None, radix=radix)
    if choice is not None:
        inside = sum(choice[0].vmemmap.start <= virt < choice[0].vmemmap.end for virt in virts)
        assert choice[1].startswith(f"{inside} of {len(virts)} ")
        assert inside > 0
