"""Which pages a level keeps, page by page, against makedumpfile's model; zero pages."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from breadth import singles
from pages.machines import pfns_of
from pages.makedumpfile_model import Model
from pages.test_quick_and_slow import RELEASES, build
from vmemmap import Vmcore
from vmemmap.pages import kept as kept_module
from vmemmap.pages import one_pass
from vmemmap.pages.kept import decided
from vmemmap.progress import no_progress
from vmemmap.simulate import Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.crash.vmcore import write_vmcore

LEVELS = (0, 1, 2, 4, 8, 16, 6, 10, 18, 24, 30, 31)


def sets(core: Vmcore, level: int) -> tuple[set[int], set[int]]:
    """The pages that stay, and those of the dump's memory that go."""
    kept: list[int] = []
    gone: set[int] = set()
    for stretch in decided(core.pages, core.page_model.exclusions, level):
        for start, end in stretch.kept.tolist():
            kept += range(start, end)
        for start, end, _ in stretch.gone.tolist():
            gone.update(range(start, end))
    assert kept == sorted(set(kept))  # each once, in order
    return set(kept), gone


@pytest.mark.parametrize(
    ("release", "byte_order", "damage"), singles(product(RELEASES, ("little", "big"), (0, 60)))
)
def test_what_goes_is_what_the_model_lets_go(tmp_path, release, byte_order, damage) -> None:
    built = build(tmp_path / "vmcore", release, byte_order, seed=damage + 11, damage=damage)
    model, memory = Model(built.machine), set(built.machine.pages)
    with built.open() as core:
        for level in LEVELS:
            kept, gone = sets(core, level)
            expected = model.left_out(pfns_of(built.machine), level)
            assert gone & memory == expected & memory, level
            assert kept == memory - expected, level


def test_memory_without_struct_pages_stays(tmp_path) -> None:
    """What cannot be classified is kept, before, between and behind what can."""
    built = build(tmp_path / "vmcore", "6.1.0", "little", seed=2)
    per = (1 << 24) // built.machine.page_size
    beyond = (max(built.machine.sections) + 2) * per
    built.machine.pages[beyond] = built.machine.pages[beyond + 1] = b"x" * built.machine.page_size
    with built.saved().open() as core:
        kept, gone = sets(core, 31)
    assert {beyond, beyond + 1} <= kept
    assert not {beyond, beyond + 1} & gone


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """A machine whose dump has all of its memory, with pages of every kind scattered over it."""
    plan = PagePlan(
        *(300, 80, 250, 120), huge=4096, hwpoison=3, offline=4, vmalloc=4
    )  # cache, with private data, anonymous, slab
    memory = (MemoryRange(0, 0, 256 << 20), MemoryRange(1, 512 << 20, 64 << 20))
    machine = Machine(MachineSpec(memory=memory, page_size=4096, pages=plan)).boot().run_events()
    path: Path = tmp_path_factory.mktemp("kept") / "vmcore"
    write_vmcore(machine.snapshot(), str(path), no_progress)
    return path


def test_both_ways_let_the_same_pages_go_at_every_level(simulated, way, monkeypatch) -> None:
    if way == "careful":
        pytest.skip("there is but one way to compare")
    with vmemmap.open(simulated) as core:
        usage = core.usage()
        for level in range(32):
            kept, gone = sets(core, level)
            monkeypatch.setattr(one_pass, "compiled", None)
            assert (kept, gone) == sets(core, level), level
            monkeypatch.undo()
            counted = usage.makedumpfile[level]
            assert counted is not None
            assert len(gone) == sum(counted.values())
            assert len(kept) + len(gone) == usage.pages
    assert usage.makedumpfile[31] is not None
    assert all(usage.makedumpfile[31].values())  # every class had something to lose


def test_a_block_that_reaches_over_a_stretch_is_gone_there_too(simulated, monkeypatch) -> None:
    with vmemmap.open(simulated) as core:
        whole = sets(core, 31)
        monkeypatch.setattr(kept_module, "_BATCH_BYTES", 1)
        core.pages.window_pages = 256  # half a huge page, and less than a free block
        assert sets(core, 31) == whole


def test_zero_pages_are_counted_by_their_bytes(tmp_path) -> None:
    built = build(tmp_path / "vmcore", "6.1.0", "little", seed=4)
    with built.open() as core:
        for level in (1, 3, 17, 31):
            kept, _ = sets(core, level)
            zero = sum(not any(built.machine.pages[pfn]) for pfn in kept)
            assert core.zero_pages(level) == zero
    assert np.count_nonzero([not any(page) for page in built.machine.pages.values()]) > 0
