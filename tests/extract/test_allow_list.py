"""What is on no list does not come through: of struct pages, zones, sections and page tables.

Here the bytes of a machine are changed where nothing of them may be shown, and looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import vmemmap
from extract.painted import PaintedSource
from oracles.simulated import crash, spec_of
from vmemmap import Vmcore
from vmemmap.extract.extract import write_extract
from vmemmap.extract.reduced_pages import PageReducer
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

ERAS: dict[str, dict[str, Any]] = {
    "2.6.38": {"release": "2.6.38"},
    "3.7 big": {"release": "3.7", "byte_order": "big"},
    "4.4": {"release": "4.4"},
    "4.18 big": {"release": "4.18", "byte_order": "big"},
    "6.1": {"release": "6.1"},
    "7.3": {"release": "7.3"},
}
SECRET = b"pass:hun"
BASE, END_PFN = 0xC00C_0000_0000_0000, 1 << 20


@pytest.fixture(scope="module", params=list(ERAS))
def core(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Vmcore]:
    """A machine of each era."""
    more = dict(ERAS[request.param])
    folder = tmp_path_factory.mktemp("era")
    dump = crash(spec_of(more.pop("release"), **more), folder / "vmcore")
    dump.machine.write_symbols(folder / "vmlinux")
    with vmemmap.open(dump.path, vmlinux=folder / "vmlinux") as core:
        yield core


def reducer_of(core: Vmcore) -> PageReducer:
    pages = core.page_model
    return PageReducer(pages.layout, pages.fields[0], BASE, END_PFN, lru=None)


def longest_run(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> int:
    """Give the most bytes in a row that came through and are not zero."""
    longest = 0
    for row, shown in zip(before, after, strict=True):
        run = 0
        for same in ((row == shown) & (row != 0)).tolist():
            run = run + 1 if same else 0
            longest = max(longest, run)
    return longest


@given(data=st.data())
def test_of_anything_less_than_eight_bytes_in_a_row_come_through(
    core: Vmcore, data: st.DataObject
) -> None:
    """A list that is damaged may name as struct pages what is memory of a process."""
    size = core.page_model.layout.size
    content = st.one_of(
        st.binary(min_size=8 * size, max_size=8 * size),
        st.lists(st.sampled_from(b"aeiostpw!\xe9\xff\x01"), min_size=8 * size, max_size=8 * size),
    )
    rows = np.frombuffer(bytes(data.draw(content)), dtype=np.uint8).reshape(-1, size)
    assert longest_run(rows, reducer_of(core).reduce(64, rows)) < 8


def page_of(core: Vmcore, **members: int) -> NDArray[np.uint8]:
    """Make a struct page of which every byte is a secret but for some members, 4 or 8 bytes."""
    layout = core.page_model.layout
    raw = bytearray((SECRET * 32)[: layout.size])
    widths = {"refcount": 4, "mapcount": 4}
    for name, value in members.items():
        at, width = getattr(layout, name), widths.get(name, 8)
        assert at is not None
        raw[at : at + width] = value.to_bytes(width, layout.order)
    return np.frombuffer(bytes(raw), dtype=np.uint8).reshape(1, -1)


def shown(core: Vmcore, page: NDArray[np.uint8], name: str, width: int = 8) -> int:
    layout = core.page_model.layout
    out = reducer_of(core).reduce(1000, page).tobytes()
    at = getattr(layout, name)
    return int.from_bytes(out[at : at + width], layout.order)


def test_members_are_shown_as_their_tests_see_them(core: Vmcore) -> None:
    fields = core.page_model.fields[0]
    assert fields is not None
    high = fields.mask & (1 << fields.zone_shift)
    page = page_of(
        core,
        flags=high | 0x5A5A << 33 | 0x20,
        refcount=3,
        mapcount=0xFFFF_FFFF,
        mapping=0xC000_0000_1234_5679,
        private=0xC000_0000_5555_0000,
    )
    assert shown(core, page, "flags") == high | 0x20, "the last CPU and process are no flags"
    assert shown(core, page, "refcount", 4) == 3
    assert shown(core, page, "mapcount", 4) == 0xFFFF_FFFF
    assert shown(core, page, "mapping") == 0xC000_0000_0000_1001
    assert shown(core, page, "private") == 0
    assert shown(core, page_of(core, mapping=0), "mapping") == 0
    assert shown(core, page_of(core, refcount=0x7265_7473), "refcount", 4) == 1 << 24


def test_all_else_of_a_struct_page_is_hidden(core: Vmcore) -> None:
    """Of a page that is no tail and not free: by the members that are zero in the extract."""
    layout = core.page_model.layout
    page = page_of(core, flags=0, refcount=1, mapcount=0, mapping=0, private=2 << 40)
    if layout.head is not None:
        page = page_of(core, flags=0, refcount=1, mapcount=0, mapping=0, head=BASE)
    out = reducer_of(core).reduce(1000, page).reshape(-1)
    told = {layout.refcount, layout.mapcount}
    places = {at + byte for at in told if at is not None for byte in range(4)}
    assert set(np.flatnonzero(out).tolist()) <= places


def test_a_tail_names_a_struct_page_or_nothing(core: Vmcore) -> None:
    layout = core.page_model.layout
    if layout.head is None:
        pytest.skip("tails are known by a flag")
    head = BASE + 992 * layout.size
    for word, kept in (
        (head | 1, True),
        (head + 8 | 1, False),
        (BASE + END_PFN * layout.size | 1, False),
        (BASE - layout.size | 1, False),
        (int.from_bytes(SECRET, "big") | 1, False),
        (head, False),
    ):
        found = shown(core, page_of(core, mapcount=0, flags=0, head=word), "head")
        assert found == (word if kept else 0), hex(word)


class Changed(PaintedSource):
    """Another source's memory with some bytes changed.

    Args:
        inner: The source.
        bytes_at: What is where instead.
    """

    def __init__(self, inner: PhysicalSource, bytes_at: dict[int, bytes]) -> None:
        super().__init__(inner, np.empty(0, dtype=np.int64))
        self._bytes_at = bytes_at

    def paint(self, phys: int, data: bytes | memoryview) -> bytes:
        out = bytearray(data)
        for at, new in self._bytes_at.items():
            low, high = max(at, phys), min(at + len(new), phys + len(out))
            if low < high:
                out[low - phys : high - phys] = new[low - at : high - at]
        return bytes(out)


def extracted(path: Path, bytes_at: dict[int, bytes], out: Path) -> dict[int, bytes]:
    """Extract a dump in which some bytes are others; give what the extract has there."""
    with Vmcore(Changed(open_source(path), bytes_at)) as core:
        write_extract(core._dump, out)
    source, found = open_source(out), {}
    for at, new in bytes_at.items():
        there = source.is_present(at)
        found[at] = source.read(at, len(new)) if there else bytes(len(new))
    source.close()
    return found


@pytest.fixture(scope="module")
def newest(tmp_path_factory: Any) -> Path:
    return crash(spec_of("6.1"), tmp_path_factory.mktemp("newest") / "vmcore").path


def linear(virt: int) -> int:
    return virt - 0xC000_0000_0000_0000


def test_words_of_a_zone_that_are_none_are_hidden(newest: Path, tmp_path: Path) -> None:
    with vmemmap.open(newest) as core:
        layout, nodes = core.page_model.pgdat_layout, core.page_model.nodes
        zones = [zone for node in nodes for zone in node.zones]
    places = [linear(zone.address) + layout.zone_size - 8 for zone in zones]
    found = extracted(newest, dict.fromkeys(places, SECRET), tmp_path / "out")
    assert len(found) > 1
    assert set(found.values()) == {bytes(8)}


def test_words_of_mem_section_that_are_none_are_hidden(newest: Path, tmp_path: Path) -> None:
    with vmemmap.open(newest) as core:
        table = core._dump.mem_section
        layout, root = table.layout, core.kernel.memory.word(table.roots.value)
        used = {number for run in core.page_model.sections for number in range(run.start, run.end)}
    empty = next(number for number in range(layout.per_root) if number not in used)
    places = [linear(root) + empty * layout.size + at for at in range(0, layout.size, 8)]
    places += [linear(root) + min(used) * layout.size + at for at in range(16, layout.size, 8)]
    root_array = linear(table.roots.value) + 8 * (layout.root_count - 1)
    found = extracted(newest, dict.fromkeys([*places, root_array], SECRET), tmp_path / "out")
    assert len(found) > 2
    assert set(found.values()) == {bytes(8)}


def test_a_table_that_is_none_is_hidden(newest: Path, tmp_path: Path) -> None:
    """An entry of the root is text; another leads to text with a word here and there that could be.

    Words that could be entries would be shown in a table, so that it matters whether it is one.
    """
    with vmemmap.open(newest) as core:
        root, order = core.kernel.root_table_phys, core.kernel.order
        form = core._dump.tables.format[0]
        bits = form.levels[0].bits
        entries = np.frombuffer(core.read_phys(root, 8 << bits), dtype="<u8")
        free = np.flatnonzero(entries == 0)[-2:].tolist()
        text, user = root + 8 * free[0], 24 << 20
        pointer = (0xC000_0000_0000_0000 + user if form.virtual_pointers else user).to_bytes(
            8, form.order(order)
        )
        assert core.source.is_present(user)
    page = (SECRET * 7 + pointer) * (65536 // 64)
    bytes_at = {text: SECRET, user: page, root + 8 * free[1]: pointer}
    found = extracted(newest, bytes_at, tmp_path / "out")
    assert found[text] == bytes(8)
    assert found[user] == bytes(len(page))
