"""``vmemmap simulate --explain-era``: what holds in a release, and that nothing is overclaimed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from itertools import pairwise
from pkgutil import walk_packages
from typing import Any

import pytest

import vmemmap.simulate
from simulate.kernel_history import (
    ALTMAP,
    COMPOUND,
    DEVICE_HOTPLUG_LOCK,
    EARLY_MARK,
    ENTRIES,
    FAILED_MAPPING,
    FLAG_BITS,
    HASH_REGIONS,
    HOTPLUG_LOCK,
    INDEX_BITS,
    MAP_PRINTED,
    MAX_PHYSMEM_BITS,
    MMU_PAGE_16M,
    MMU_PSIZE_DEF_BYTES,
    MOVABLE_LIST,
    NODE_ALLOCATOR,
    ONLINE_MARK,
    PARTS,
    POPULATED,
    RADIX_BLOCKS,
    RADIX_LIST,
    RADIX_REGIONS,
    RELEASES_READ,
    REMOVED_SECTION,
    RESIZE_LOCK,
    SECTION_ROOTS,
    SLAB_IN_MAPPING,
    SMALL_KERNEL_64K_BLOCKS,
    STRUCT_PAGE,
    STRUCT_PAGE_BYTES,
    TYPE_VALUES,
    VMEMMAP_FREE,
    WARNING_FORM,
    WARNINGS,
    WITHOUT_A_NODE,
    ZEROED,
    ZONES,
    History,
    Span,
    ascending,
    numbers_of,
)
from vmemmap.errors import SpecError
from vmemmap.simulate.eras import OLDEST, Bracket, at, doubts
from vmemmap.simulate.explain import TOPICS, EraRow, explain_era

HISTORIES: dict[str, History[Any]] = {
    "regions_hash_64k": HASH_REGIONS[65536],
    "regions_hash_4k": HASH_REGIONS[4096],
    "regions_radix": RADIX_REGIONS,
    "physmem_bits_64k": MAX_PHYSMEM_BITS[65536],
    "physmem_bits_4k": MAX_PHYSMEM_BITS[4096],
    "psize_shifts": MMU_PAGE_16M,
    "psize_def_bytes": MMU_PSIZE_DEF_BYTES,
    "nodes": NODE_ALLOCATOR,
    "mapping_failure": FAILED_MAPPING,
    "populated": POPULATED,
    "altmap": ALTMAP,
    "struct_page": STRUCT_PAGE,
    "struct_page_bytes": STRUCT_PAGE_BYTES,
    "page_flags": FLAG_BITS,
    "page_types": TYPE_VALUES,
    "radix_2m_blocks": RADIX_BLOCKS,
    "stale_section": REMOVED_SECTION,
    "pgdat_resize_lock": RESIZE_LOCK,
    "zones": ZONES,
    "migrate_types": MOVABLE_LIST,
    "warnings": WARNINGS,
    "warning_form": WARNING_FORM,
    "map_lines": MAP_PRINTED,
    "index_bits_64k": INDEX_BITS[65536],
    "index_bits_4k": INDEX_BITS[4096],
    "entry_format": ENTRIES,
    "block_64k_in_4k": SMALL_KERNEL_64K_BLOCKS,
    "radix_list": RADIX_LIST,
    "node_failure": WITHOUT_A_NODE,
    "vmemmap_free": VMEMMAP_FREE,
    "zeroed_blocks": ZEROED,
    "parts_of_sections": PARTS,
    "hotplug_lock": HOTPLUG_LOCK,
    "device_hotplug_lock": DEVICE_HOTPLUG_LOCK,
    "section_roots": SECTION_ROOTS,
    "section_online": ONLINE_MARK,
    "section_early": EARLY_MARK,
    "compound": COMPOUND,
    "slabs_in_mapping": SLAB_IN_MAPPING,
}
LAST_MINOR = {3: 19, 4: 20, 5: 19, 6: 19, 7: 3}
MINORS = [
    *(f"2.6.{patch}" for patch in range(35, 40)),
    *(f"{major}.{minor}" for major, last in LAST_MINOR.items() for minor in range(last + 1)),
]
READ = [release for release in RELEASES_READ if numbers_of(release) <= (7, 3, 0)]


def known_of(span: Span[Any]) -> list[str]:
    """The releases of a span that were read or end it, ascending."""
    ends = [span.first, span.last] if span.holds(span.last) else [span.first]
    return ascending(filter(span.holds, (*RELEASES_READ, *ends)))


@cache
def rows_of(release: str) -> dict[str, EraRow]:
    return {row.name: row for row in explain_era(release)}


@pytest.mark.parametrize("name", HISTORIES)
def test_what_the_history_does_not_know_the_model_does_not_claim(name: str) -> None:
    """Of every release between two that were read, the row has to carry a doubt."""
    history = HISTORIES[name]
    first = numbers_of(history.spans[0].first)
    for release in ascending((*MINORS, *READ, *history.edges)):
        row = rows_of(release).get(name)
        if numbers_of(release) < first:
            assert row is None, "there is no such MMU yet"
        else:
            assert row is not None
            assert row.doubts or release in history, release


@pytest.mark.parametrize("name", sorted({*TOPICS} - {*HISTORIES}))
def test_of_what_no_history_tells_every_boundary_is_a_bracket(name: str) -> None:
    """The facts are silent there: each row but the oldest says how sure it is."""
    _what, table, _say = TOPICS[name]
    for row in table[1:]:
        assert len(row) == 3, row[0]


def test_every_table_is_explained() -> None:
    """No module of the model has a boundary that --explain-era does not tell."""
    told = {id(table) for _what, table, _say in TOPICS.values()}
    missed = [
        f"{module.name}.{name}"
        for module in walk_packages(vmemmap.simulate.__path__, "vmemmap.simulate.")
        for name, value in vars(import_module(module.name)).items()
        if is_table(value) and id(value) not in told
    ]
    assert missed == []


def is_table(value: object) -> bool:
    """Tell an `eras.Table`: rows that begin with a release, the oldest first."""
    if not isinstance(value, tuple) or not value:
        return False
    first = value[0]
    return isinstance(first, tuple) and len(first) in (2, 3) and first[0] in (OLDEST, (4, 7))


@pytest.mark.parametrize("name", HISTORIES)
def test_the_answer_changes_where_the_history_does(name: str) -> None:
    """Two known releases have one answer just when the history has one value of them."""
    for low, high in pairwise(HISTORIES[name].spans):
        before, after = known_of(low)[-1], known_of(high)[0]
        same = rows_of(before)[name].value == rows_of(after)[name].value
        assert same is (low.value == high.value), (before, after)


@pytest.mark.parametrize("release", ascending((*MINORS, *READ)))
def test_a_row_names_the_releases_where_it_begins_and_ends(release: str) -> None:
    for row in rows_of(release).values():
        if row.since is not None:
            assert numbers_of(row.since) <= numbers_of(release)
            assert rows_of(row.since)[row.name].value == row.value
        if row.until is not None:
            assert numbers_of(row.until) > numbers_of(release)
            assert rows_of(row.until)[row.name].value != row.value


@pytest.mark.parametrize("name", TOPICS)
def test_every_bracket_holds_the_release_that_its_row_names(name: str) -> None:
    """The row's own release may lie at the bracket's end, where the change is known to be in."""
    _what, table, _say = TOPICS[name]
    for row in table:
        if len(row) == 3:
            since, bracket = ".".join(map(str, row[0])), row[2]
            assert numbers_of(bracket.after) < numbers_of(since) <= numbers_of(bracket.by), since


def test_a_bracket_is_open_at_both_ends() -> None:
    table = (((2, 6), "old"), ((4, 13), "new", Bracket("4.12.0", "4.14.0")))
    held = {}
    for release in GRID:
        major, minor, patch = numbers_of(release)
        numbers = (major, minor, patch)
        held[release] = at(table, numbers), bool(doubts(table, numbers))
    assert held == {
        "4.12.0": ("old", False),
        "4.12.1": ("old", True),
        "4.13": ("new", True),
        "4.13.9": ("new", True),
        "4.14": ("new", False),
    }


GRID = ("4.12.0", "4.12.1", "4.13", "4.13.9", "4.14")


@pytest.mark.parametrize("release", ["2.6.34", "7.4", "six", ""])
def test_what_is_no_release_is_refused(release: str) -> None:
    with pytest.raises(SpecError):
        explain_era(release)
