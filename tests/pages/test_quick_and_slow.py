"""Two ways to count and one model of makedumpfile, on random struct pages, sound and damaged."""

from __future__ import annotations

import random
from collections import Counter as Tallies
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from breadth import singles
from builders.byte_order import Order
from builders.struct_pages import FREE_HUGE_PAGE, StructPages
from pages.machines import Built, machine_of, pfns_of
from pages.makedumpfile_model import Model
from vmemmap import Vmcore
from vmemmap.pages import one_pass
from vmemmap.pages.count.tally import Counter, Tally, tally_of
from vmemmap.pages.one_pass import OnePass, applies

RELEASES = ("3.18.19", "4.9.232", "4.18.0", "6.1.0", "6.4.6", "6.6.9", "6.10.0", "7.2.13")


def random_pages(pages: StructPages, seed: int, pfns: range) -> None:
    """Fill pfns with whatever a kernel can have, block after block."""
    rng = random.Random(seed)
    pages.clear(pfns)
    at = pfns.start
    while at < pfns.stop:
        order = rng.choice((0, 0, 0, 0, 1, 2, 3, 5))
        if at % (1 << order) or at + (1 << order) > pfns.stop:
            order = 0
        make_one(pages, rng, at, order)
        at += 1 << order


def make_one(pages: StructPages, rng: random.Random, at: int, order: int) -> None:
    """Make one page, or the pages of one block or compound."""
    if order:
        kinds = ["free", "slab", "thp", "kernel_compound"]
        kinds += ["hugetlb"] if pages.knows_hugetlb else []
        getattr(pages, rng.choice(kinds))(at, order)
        return
    kind = rng.choice(("free", "cache", "anon", "reserved", "hwpoison", "offline", ""))
    if kind == "free":
        pages.free(at, 0)
    elif kind == "cache":
        pages.cache(at, private=rng.random() < 0.5)
    elif kind:
        getattr(pages, kind)(at)


def build(path: Path, release: str, byte_order: Order, seed: int, damage: int = 0) -> Built:
    machine = machine_of(release, byte_order)
    pages = StructPages(machine, zone_bits=1)
    if pages.version < (4, 4) and pages.knows_hugetlb:
        machine.vmcoreinfo["SYMBOL(free_huge_page)"] = format(FREE_HUGE_PAGE, "x")
    random_pages(pages, seed, pfns_of(machine))
    rng = random.Random(seed)
    for _ in range(damage):
        pfn = rng.choice(pfns_of(machine))
        word = rng.randrange(machine.struct_page_size // 8) * 8
        if rng.random() < 0.3:
            pages.poke(pfn, 0, rng.randbytes(machine.struct_page_size))
        else:
            pages.poke_number(pfn, word, 8, rng.choice((1, 1 << rng.randrange(64), 2**64 - 1)))
    return Built(machine, pages, path).saved()


def tallies(
    core: Vmcore, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Tally | None], list[Tally]]:
    """Count every window both ways; None where the compiled pass leaves it to the other.

    The pass compares members one by one in every other window, as where no processor has AVX2.
    """
    model = core.page_model
    array, exclusions = model.array, model.exclusions
    firsts = list(array.struct_pages.windows(256))
    quickly: list[Tally | None] = []
    for number, first in enumerate(firsts if applies(array.layout) else ()):
        monkeypatch.setattr(one_pass, "WIDE", bool(number % 2))
        quick = OnePass(array.struct_pages, array.layout, array.fields, exclusions)
        left = quick.count([first], 256)
        quickly.append(None if left else tally_of(quick))
    careful = Counter(array.layout, array.fields, exclusions)
    slowly = list(array.each(careful.count, threads=1, chunk_pages=256))
    return quickly or [None] * len(firsts), slowly


def levels(tally: Tally) -> list[list[int]]:
    return [tally.exclusions.at_level(level).tolist() for level in range(32)]


@pytest.mark.parametrize(
    ("release", "byte_order", "damage"), singles(product(RELEASES, ("little", "big"), (0, 3, 200)))
)
def test_quick_and_slow_agree(tmp_path, release, byte_order, damage, way, monkeypatch) -> None:
    if way == "careful":
        pytest.skip("there is but one way to compare")
    built = build(tmp_path / "vmcore", release, byte_order, seed=damage + 7, damage=damage)
    with built.open() as core:
        quickly, slowly = tallies(core, monkeypatch)
    assert len(quickly) == len(slowly) > 3
    compared = 0
    for fast, slow in zip(quickly, slowly, strict=True):
        if fast is None:
            continue
        compared += 1
        assert slow.damaged == 0  # the quick way must not pass over damage
        nonzero = {key: counts.tolist() for key, counts in slow.zones.items() if counts.any()}
        assert {key: counts.tolist() for key, counts in fast.zones.items()} == nonzero
        for name in ("heads", "tails", "slab_tails", "reserved"):
            assert getattr(fast, name) == getattr(slow, name), name
        assert fast.free_blocks.tolist() == slow.free_blocks.tolist()
        assert levels(fast) == levels(slow)
    if not damage and release != "3.18.19":
        # A window in which the dump's memory ends may cut a block, and is left to the slow way.
        assert compared >= len(quickly) - 4


@pytest.mark.parametrize(
    ("release", "byte_order", "damage"), singles(product(RELEASES, ("little", "big"), (0, 100)))
)
def test_makedumpfile_view_is_that_of_the_model(tmp_path, release, byte_order, damage) -> None:
    built = build(tmp_path / "vmcore", release, byte_order, seed=damage + 31, damage=damage)
    # Some struct pages describe memory that the dump does not have.
    model = Model(built.machine)
    with built.open() as core:
        usage = core.usage()
    assert usage.pages == sum(usage.kinds.values())
    end_pfn = max(built.machine.pages) + 1
    for level in (0, 1, 2, 4, 8, 16, 6, 10, 18, 24, 30, 31):
        expected = model.counts(pfns_of(built.machine), level, end_pfn)
        assert usage.makedumpfile[level] == expected, level


@pytest.mark.parametrize("release", RELEASES)
def test_sound_pages_are_what_they_were_made(tmp_path, release) -> None:
    built = build(tmp_path / "vmcore", release, "big", seed=5)
    made = Tallies(built.pages.kinds.get(pfn, "other") for pfn in pfns_of(built.machine))
    with built.open() as core:
        usage = core.usage()
        rows = np.concatenate(list(core.pages.scan(("pfn", "kind"), chunk_pages=1)))
    assert {kind: count for kind, count in usage.kinds.items() if count} == made
    assert len(rows) == usage.pages
    assert (np.diff(rows["pfn"]) == 1).all()
    assert usage.damaged == 0


def test_garbage_is_counted_and_stops_nothing(tmp_path) -> None:
    machine = machine_of("6.12.107", "little")
    pages = StructPages(machine)
    rng = random.Random(3)
    for pfn in pfns_of(machine):
        pages.poke(pfn, 0, rng.randbytes(64))
    with Built(machine, pages, tmp_path / "vmcore").saved().open() as core:
        usage = core.usage()
        assert usage.pages == sum(usage.kinds.values()) == len(pfns_of(machine))
        assert usage.damaged > len(pfns_of(machine)) // 10
        assert usage.damage
        for damage in usage.damage[:5]:
            assert core.pages[damage.pfn].reason, damage
