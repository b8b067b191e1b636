"""The dumps of one moment of a machine beside one another.

Whoever wrote them and in which format, they tell the same, except for what a dump level leaves
out; and each level leaves out the very pages that we say it does.
"""

from __future__ import annotations

import numpy as np
import pytest

from lab.checks import page_sets
from lab.checks.guest_kernel import capture_room
from lab.checks.machine_facts import loses_tails
from lab.checks.opened import Opened
from lab.results import Result

TELL_OF_THE_CONTAINER = {"vmcoreinfo"}


def test_list_is_the_same(further: Opened, reference: Opened) -> None:
    assert list(further.core.backing) == list(reference.core.backing)
    assert further.core.backing.block_size == reference.core.backing.block_size


def test_facts_are_the_same(further: Opened, reference: Opened) -> None:
    ours, theirs = further.core.facts, reference.core.facts
    assert set(ours) == set(theirs)
    for name in set(ours) - TELL_OF_THE_CONTAINER:
        assert ours[name].shown == theirs[name].shown, name


def test_census_is_the_same(further: Opened, reference: Opened) -> None:
    ours, theirs = further.usage, reference.usage
    for name in ("kinds", "free_blocks", "zones", "managed", "pages", "sections", "damaged"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if ours.original_pages == theirs.original_pages:
        assert ours.makedumpfile == theirs.makedumpfile


def test_log_is_the_same(further: Opened, reference: Opened) -> None:
    assert list(further.core.dmesg()) == list(reference.core.dmesg())


def test_addresses_translate_the_same(machine: Result, further: Opened, reference: Opened) -> None:
    symbols = np.array(
        [symbol.address for symbol in further.kallsyms if symbol.address],
        dtype=np.uint64,
    )
    vmemmap_virts = np.concatenate(
        [
            np.arange(start, end, further.page_size, dtype=np.uint64)
            for start, end in further.struct_pages
        ]
    )
    for virts in (symbols, vmemmap_virts):
        ours, known = further.core.vtop_many(virts)
        theirs, known_there = reference.core.vtop_many(virts)
        if not loses_tails(machine, further.dump.level):
            assert (known == known_there).all()
        assert not (known & ~known_there).any()
        assert (ours[known] == theirs[known]).all()


def test_pages_have_the_same_bytes(further: Opened, reference: Opened) -> None:
    """All that both have, but for the firmware's (RTAS), which the capture kernel uses too.

    It lies where the capture kernel ran, of which the dump has nothing else, and the dumps were
    written one after the other.
    """
    page = further.page_size
    both = np.intersect1d(
        page_sets.stored(further.core.source, page), page_sets.stored(reference.core.source, page)
    )
    assert len(both) > 100
    room = capture_room(further.said_then("dmesg"))
    if further.dump.moment == "crash" and room is not None:
        both = both[(both < room[0] // page) | (both >= room[1] // page)]
    assert page_sets.first_difference(further.core, reference.core, both, page) is None


def test_level_leaves_out_what_we_say(machine: Result, further: Opened, reference: Opened) -> None:
    """Page by page, by the struct pages; of those that stay, at odd levels, those of zeros.

    In a kdump-compressed file pages of zeros are there, all in one place.
    """
    page, level = further.page_size, further.dump.level
    have = page_sets.stored(further.core.source, page)
    had = page_sets.stored(reference.core.source, page)
    missing = np.setdiff1d(had, have)
    assert not len(np.setdiff1d(have, had)), "it has more than the dump that it was made from"
    decided = np.intersect1d(page_sets.left_out(reference.core, level), had)
    if level & 1 and further.core.source.format == "elf":
        stay = np.setdiff1d(had, decided)
        decided = np.union1d(decided, page_sets.zero_pages(reference.core, stay, page))
    assert not len(np.setdiff1d(decided, missing)), "it has pages that we say are left out"
    extra = np.setdiff1d(missing, decided)
    if why := loses_tails(machine, level):
        assert (page_sets.first_tails(reference.core, extra) == extra).all()
        pytest.skip(f"{len(extra)} pages more are left out, all first tails: {why}")
    assert not len(extra), f"it lacks pages that we say are kept: {extra[:10]}"
