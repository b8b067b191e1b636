"""The search for lost entries ends by the work it has done: the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from check.damaged import SHAPES, Crashed, crash
from vmemmap.address import Run
from vmemmap.backing.rescue import Rescued, rescue_list
from vmemmap.backing.rescue_nodes import guess_block_size
from vmemmap.backing.rescue_search import DEFAULT_EFFORT, Effort
from vmemmap.backing.table import BackingTable
from vmemmap.backing.walk import EMPTY_WALK, Walk
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.source.file_view import ByteView, FileView

CHUNK_BYTES = 4 << 20
"""In pieces of this size memory is read for blocks."""


class Watched:
    """A dump that takes note of what is looked at.

    Attributes:
        heads_seen: Pages whose beginnings were given.
        viewed: Bytes that were given whole after those, so without the tables of sections.
        stop: Raise KeyboardInterrupt at the next look, as ctrl-C does.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.heads_seen = 0
        self.viewed = 0
        self.stop = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def heads(self, *arguments: int) -> Iterator[Any]:
        self.viewed = 0
        for batch in self._source.heads(*arguments):
            if self.stop:
                raise KeyboardInterrupt
            self.heads_seen += len(batch.phys)
            yield batch

    def view(self, phys: int, size: int) -> memoryview:
        self.viewed += size
        part: memoryview = self._source.view(phys, size)
        return part


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    """A machine with several pages of nodes and a list whose head is lost."""
    return crash(SHAPES[0].spec, tmp_path_factory.mktemp("headless") / "dump", "head_zero")


@pytest.fixture
def core(headless: Crashed) -> Iterator[vmemmap.Vmcore]:
    """The dump, opened so that the vmemmap's place is told by mem_section."""
    with vmemmap.open(headless.path, rescue=True) as core:
        yield core


def rescue(core: vmemmap.Vmcore, source: Any, effort: Effort = DEFAULT_EFFORT) -> Rescued:
    """Search with nothing known of the list."""
    region = Run(core.layout.vmemmap.start, core.layout.vmemmap.end)
    block_size = core.list_facts.block_size.value
    nothing = BackingTable(
        EMPTY_WALK,
        block_size=block_size,
        region=region,
        struct_page_size=64,
        node_size=24,
        page_size=4096,
        duplicates_legal=False,
    )
    base = int(core.vmemmap_base.value)
    sections = MemSection(core.kernel)
    places = nothing.places
    return rescue_list(
        sections, source, nothing, EMPTY_WALK, places, base, region, block_size, effort
    )


def entries(found: Rescued) -> dict[int, int]:
    return dict(zip(found.walk.virt.tolist(), found.walk.phys.tolist(), strict=True))


def limits(found: Rescued) -> list[str]:
    return [f.message for f in found.walk.findings if f.code == "rescue_limited"]


def test_nothing_of_a_usual_dump_is_beyond_the_default(
    core: vmemmap.Vmcore, headless: Crashed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast the clock goes."""
    hours = iter(range(0, 1 << 40, 3600))
    monkeypatch.setattr("time.monotonic", lambda: float(next(hours)))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(hours)))
    monkeypatch.setattr("time.process_time", lambda: float(next(hours)))
    found = rescue(core, core.source)
    assert entries(found) == headless.truth
    assert limits(found) == []


@pytest.mark.parametrize("heads", [0, 1, 0x14B0, 0x14B1, 0xB600])
def test_pages_are_looked_at_up_to_the_limit(
    core: vmemmap.Vmcore, headless: Crashed, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where the file system knows of no holes: in those nobody looks, and nothing is counted.
    monkeypatch.setattr(FileView, "next_data", ByteView.next_data)
    monkeypatch.setattr(FileView, "data_end", ByteView.data_end)
    watched = Watched(core.source)
    found = rescue(core, watched, Effort(page_heads=heads, block_bytes=0))
    end = 4096 * heads  # all memory from 0 on is stored; the first page of nodes is 0x14b0
    (message,) = limits(found)
    assert f"memory from {end:#x} on was not looked at for pages of nodes" in message
    assert watched.viewed == 0
    whole = rescue(core, core.source).walk.node & np.uint64((1 << 60) - 1)
    seen = bool((whole < end).any())
    assert (len(found.walk.node) > 0) == seen
    assert seen or "memory from 0x0 on was not read for blocks" in message
    assert entries(found).items() <= headless.truth.items()


def test_memory_is_read_for_blocks_up_to_the_limit(core: vmemmap.Vmcore, headless: Crashed) -> None:
    everything = rescue(core, core.source, Effort(page_heads=0))
    assert "was not read for blocks" not in limits(everything)[0]
    assert set(everything.how.tolist()) == {2}, "by their struct pages alone"
    before = 0
    for pieces in (1, 5, 20):
        watched = Watched(core.source)
        found = rescue(core, watched, Effort(page_heads=0, block_bytes=pieces * CHUNK_BYTES))
        assert watched.viewed == pieces * CHUNK_BYTES
        read_to = f"memory from {pieces * CHUNK_BYTES:#x} on was not read for blocks"
        assert read_to in limits(found)[0]
        assert before <= len(entries(found)) < len(entries(everything))
        assert entries(found).items() <= headless.truth.items()
        before = len(entries(found))
    assert before > 0


def test_claims_are_kept_up_to_the_limit(core: vmemmap.Vmcore) -> None:
    everything = rescue(core, core.source, Effort(page_heads=0))
    found = rescue(core, core.source, Effort(page_heads=0, claims=10))
    assert "on was not read for blocks" in limits(found)[0]
    assert 0 < len(entries(found)) < len(entries(everything))


def test_pages_of_nodes_are_read_up_to_the_limit(core: vmemmap.Vmcore, headless: Crashed) -> None:
    found = rescue(core, core.source, Effort(node_pages=1, block_bytes=0))
    assert "pages that may hold nodes were not read" in limits(found)[0]
    assert len(entries(found)) < len(headless.truth)


def test_more_effort_is_more_of_everything() -> None:
    assert Effort(1, 2, 3, 4).times(5) == Effort(5, 10, 15, 20)


def test_the_same_effort_finds_the_same(core: vmemmap.Vmcore) -> None:
    for effort in (
        Effort(page_heads=1000),
        Effort(0, 0, 5 * CHUNK_BYTES),
        Effort(0, 0, 1 << 30, 9),
    ):
        first, second = rescue(core, core.source, effort), rescue(core, core.source, effort)
        assert entries(first) == entries(second)
        assert limits(first) == limits(second) != []


def test_the_block_size_is_guessed_within_the_limit(core: vmemmap.Vmcore) -> None:
    region = Run(core.layout.vmemmap.start, core.layout.vmemmap.end)
    block_size = core.list_facts.block_size.value
    for heads, expected in ((DEFAULT_EFFORT.page_heads, block_size), (3, None)):
        watched: Any = Watched(core.source)
        layout = core.list_facts.node_layout
        found = guess_block_size(watched, layout, 4096, region, Effort(page_heads=heads))
        assert found == expected


def test_ctrl_c_ends_it(core: vmemmap.Vmcore) -> None:
    watched = Watched(core.source)
    watched.stop = True
    with pytest.raises(KeyboardInterrupt):
        rescue(core, watched)


def test_blocks_that_are_in_use_are_not_read(tmp_path: Path) -> None:
    """What has an entry that makes sense is no block that was lost; all other memory is read."""
    dump = crash(SHAPES[0].spec, tmp_path / "dump", "virt_duplicate")
    with vmemmap.open(dump.path) as core:
        table, walk = (
            core.backing,
            Walk(core.backing.node, core.backing.phys, core.backing.virt, ()),
        )
        watched: Any = Watched(core.source)
        region = Run(core.layout.vmemmap.start, core.layout.vmemmap.end)
        found = rescue_list(
            *(MemSection(core.kernel), watched, table, walk, table.places),
            *(int(core.vmemmap_base.value), region, table.block_size, Effort(page_heads=0)),
        )
        stored = sum(end - start for start, end in core.source.ranges().tolist())
        in_use = int(table.usable.sum()) * table.block_size
        assert 0 < in_use < stored
        assert watched.viewed == stored - in_use
        assert "was not read for blocks" not in "".join(limits(found))
