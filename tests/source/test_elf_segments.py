"""ELF vmcores: which segment an address is read from, whatever their order and alignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.byte_order import Order
from builders.content import address_words
from builders.elf_core import NO_ADDRESS, PT_NULL, Segment, build_elf
from builders.notes import kernel_notes, qemu_notes
from vmemmap.absence import Absence
from vmemmap.errors import NotInDump, PageExcluded, ReadError
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
PAGE = 4096


def content(phys: int, size: int) -> bytes:
    """Bytes that memory holds at *phys*: every word is its own address."""
    return address_words(phys, size, "little")


def stored(paddr: int, size: int, memsz: int | None = None, misalign: int = 0) -> Segment:
    return Segment(paddr, content(paddr, size), memsz, misalign=misalign)


def check_present(source: PhysicalSource, addresses: Iterable[int]) -> None:
    """present_many, is_present and why_absent say exactly what reading the byte does."""
    points = list(addresses)
    readable, why = [], []
    for address in points:
        blamed = address
        try:
            readable.append(len(source.read(address, 1)) == 1)
            why.append(Absence.READ)
        except ReadError as error:
            blamed = error.phys
            readable.append(False)
            why.append(error.code)
        assert blamed == address
    assert source.present_many(np.array(points, dtype=np.uint64)).tolist() == readable
    assert [source.is_present(address) for address in points] == readable
    assert [source.why_absent(address) for address in points] == why


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ei_data", [1, 2])
def test_container_order_does_not_depend_on_ei_data(
    open_bytes: Open, order: Order, ei_data: int
) -> None:
    text = b"OSRELEASE=6.1.0\n"
    notes = kernel_notes(order, vmcoreinfo=text, cpus=2)
    source = open_bytes(build_elf([stored(0x10000, PAGE)], notes, order=order, ei_data=ei_data))
    assert source.format == "elf"
    assert source.container_byte_order == order
    assert source.vmcoreinfo == text
    assert [note.name for note in source.notes] == ["CORE", "CORE", "VMCOREINFO"]
    assert source.read(0x10000, PAGE) == content(0x10000, PAGE)
    assert source.warnings == []
    assert not source.is_incomplete()


@pytest.mark.parametrize("order", ORDERS)
def test_kernel_made_order_of_segments(open_bytes: Open, order: Order) -> None:
    """First segment split off, the last one inside an earlier hole, as kexec on ppc64 makes it."""
    ranges = [(0, 0x1000), (0x1000, 0x20000), (0x38000, 0x40000), (0x2F000, 0x30000)]
    segments = [stored(start, end - start) for start, end in ranges]
    source = open_bytes(build_elf(segments, order=order))
    assert source.ranges().tolist() == [[0, 0x20000], [0x2F000, 0x30000], [0x38000, 0x40000]]
    assert source.read(0xFF0, 0x20) == content(0xFF0, 0x20)
    assert source.read(0, 0x20000) == content(0, 0x20000)
    assert source.read(0x2F000, 0x1000) == content(0x2F000, 0x1000)
    with pytest.raises(NotInDump) as caught:
        source.read(0x1FFF8, 16)
    assert caught.value.phys == 0x20000
    edges = [edge + step for pair in ranges for edge in pair for step in (-1, 0, 1) if edge + step]
    check_present(source, [edge for edge in edges if edge >= 0])


def test_qemu_layout_starts_unaligned(open_bytes: Open) -> None:
    notes = qemu_notes("big")
    segments = [
        Segment(paddr, content(paddr, 0x4000), vaddr=paddr) for paddr in (0, 0x4000, 0x80000)
    ]
    data = build_elf(segments, notes, order="big", align=1, sections="qemu")
    # As in the sample: notes at 0xc0 + 4 x 56, and data right behind the 0x710 bytes of notes.
    first = 0xC0 + 4 * 56 + 0x710
    assert data[first : first + 64] == content(0, 64)
    assert first % PAGE
    source = open_bytes(data)
    assert source.container_byte_order == "big"
    assert source.vmcoreinfo is None
    assert len(source.notes) == 5
    assert source.read(0x3FF9, 0x10) == content(0x3FF9, 0x10)
    assert source.ranges().tolist() == [[0, 0x8000], [0x80000, 0x84000]]
    assert not source.is_incomplete()


@pytest.mark.parametrize("misalign", [1, 7, 0x878])
def test_unaligned_file_offset_and_address(open_bytes: Open, misalign: int) -> None:
    source = open_bytes(build_elf([stored(0x12345, 0x1111, misalign=misalign)]))
    assert source.read(0x12345, 0x1111) == content(0x12345, 0x1111)
    check_present(source, [0x12344, 0x12345, 0x12345 + 0x1110, 0x12345 + 0x1111])


def test_first_in_file_wins_where_both_have_bytes(open_bytes: Open) -> None:
    first, second = b"1" * 0x3000, b"2" * 0x6000
    source = open_bytes(build_elf([Segment(0x4000, first), Segment(0x2000, second)]))
    assert source.read(0x2000, 0x6000) == b"2" * 0x2000 + b"1" * 0x3000 + b"2" * 0x1000
    assert source.ranges().tolist() == [[0x2000, 0x8000]]
    assert any("overlap" in warning for warning in source.warnings)


def test_same_range_twice(open_bytes: Open) -> None:
    source = open_bytes(build_elf([Segment(0, b"a" * PAGE), Segment(0, b"b" * PAGE)]))
    assert source.read(0, PAGE) == b"a" * PAGE


@pytest.mark.parametrize("backed_first", [True, False])
def test_file_backed_wins_over_memsz_only(open_bytes: Open, backed_first: bool) -> None:
    backed, bare = stored(0x3000, PAGE), Segment(0, b"", 0x8000)
    source = open_bytes(build_elf([backed, bare] if backed_first else [bare, backed]))
    assert source.read(0x3000, PAGE) == content(0x3000, PAGE)
    for address in (0, 0x2FFF, 0x4000, 0x7FFF):
        with pytest.raises(PageExcluded):
            source.read(address, 1)
    with pytest.raises(NotInDump):
        source.read(0x8000, 1)
    check_present(source, [0, 0x2FFF, 0x3000, 0x3FFF, 0x4000, 0x7FFF, 0x8000])


def test_filesz_below_memsz_is_excluded_not_zero(open_bytes: Open) -> None:
    source = open_bytes(build_elf([stored(0x10000, PAGE, 0x4000), stored(0x14000, PAGE)]))
    with pytest.raises(PageExcluded, match="0x11000 was excluded") as caught:
        source.read(0x10000, 0x5000)
    assert caught.value.phys == 0x11000
    assert source.is_ram(0x13FFF)
    assert not source.is_ram(0x15000)
    assert source.ranges().tolist() == [[0x10000, 0x15000]]
    assert not source.is_incomplete()
    check_present(source, [0x10FFF, 0x11000, 0x13FFF, 0x14000, 0x15000])


def test_filesz_above_memsz_reads_memsz_only(open_bytes: Open) -> None:
    source = open_bytes(build_elf([stored(0, 0x2000, memsz=0x1000)]))
    assert source.read(0, 0x1000) == content(0, 0x1000)
    with pytest.raises(NotInDump):
        source.read(0x1000, 1)


@pytest.mark.parametrize("memsz", [PAGE, 1 << 60, 2**64 - 1])
def test_segment_without_a_physical_address_is_passed_over(open_bytes: Open, memsz: int) -> None:
    vmalloc = Segment(NO_ADDRESS, b"v" * PAGE, memsz, vaddr=0xC008000000000000)
    source = open_bytes(build_elf([vmalloc, stored(0, PAGE)]))
    assert source.read(0, PAGE) == content(0, PAGE)
    assert source.ranges().tolist() == [[0, PAGE]]
    assert source.present_many(np.array([NO_ADDRESS], dtype=np.uint64)).tolist() == [False]


def test_pt_null_and_strange_types_are_passed_over(open_bytes: Open) -> None:
    segments = [
        Segment(0x9000, b"n" * PAGE, p_type=PT_NULL),
        stored(0, PAGE),
        Segment(0x5000, b"x" * PAGE, p_type=0x6474E551),
    ]
    source = open_bytes(build_elf(segments))
    assert source.ranges().tolist() == [[0, PAGE]]


@pytest.mark.parametrize("segments", [[], [Segment(0, b"", 0)], [Segment(8, b"", p_type=PT_NULL)]])
def test_no_memory_at_all(open_bytes: Open, segments: list[Segment]) -> None:
    source = open_bytes(build_elf(segments))
    assert source.ranges().shape == (0, 2)
    assert source.read(0, 0) == b""
    check_present(source, [0, 1, PAGE, 1 << 55])


@pytest.mark.parametrize("address", [-1, -(1 << 63), 1 << 56, (1 << 64) - 1, 1 << 64, 1 << 70])
def test_addresses_that_no_machine_has(open_bytes: Open, address: int) -> None:
    source = open_bytes(build_elf([stored(0, PAGE)]))
    with pytest.raises(NotInDump):
        source.read(address, 1)
    assert not source.is_present(address)


spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(0, 12)), min_size=1, max_size=9
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans)
def test_any_segments_read_as_the_rule_says(
    open_bytes: Open, spans: list[tuple[int, int, int]]
) -> None:
    """Against a byte-by-byte model: file-backed before memsz-only, then first in the file."""
    segments, model = [], dict[int, int | None]()
    for number, (start, size, extra) in enumerate(spans, start=1):
        segments.append(Segment(start, bytes([number]) * size, size + extra))
        for address in range(start, start + size):
            if model.get(address) is None:
                model[address] = number
        for address in range(start + size, start + size + extra):
            model.setdefault(address, None)
    source = open_bytes(build_elf(segments, align=1))
    for address in range(100):
        if address not in model:
            with pytest.raises(NotInDump):
                source.read(address, 1)
        elif model[address] is None:
            with pytest.raises(PageExcluded):
                source.read(address, 1)
        else:
            assert source.read(address, 1) == bytes([model[address] or 0])
    check_present(source, range(100))
    covered = {a for start, end in source.ranges().tolist() for a in range(start, end)}
    assert covered == set(model)
    edges = source.ranges().ravel()
    assert bool((edges[1:] > edges[:-1]).all())  # sorted, not empty, touching ones merged


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("unit", [4096, 65536])
def test_beginnings_in_holes_of_a_sparse_file_are_passed_over(
    tmp_path: Path, order: Order, unit: int
) -> None:
    """They are zeros: all that is anything else is seen, and hardly more than that."""
    base, size, notes = 1 << 30, 64 << 20, kernel_notes(order)
    written = [0, 65536, 9 << 20, (40 << 20) + 8192, size - 65536]
    dump = build_elf([Segment(base, bytes(size), size)], notes, order=order, align=65536)
    start = len(dump) - size
    path = tmp_path / "vmcore"
    with path.open("wb") as file:
        file.write(dump[:start])
        for at in written:
            file.seek(start + at)
            file.write(content(base + at, 4096))
        file.truncate(len(dump))
    if path.stat().st_blocks * 512 > size // 2:
        pytest.skip("the file system of the tests has no holes")
    source = open_source(path)
    heads = {
        phys: head.tobytes()
        for batch in source.heads(unit, 16)
        for phys, head in zip(batch.phys.tolist(), batch.data, strict=True)
    }
    source.close()
    assert all(head == source_bytes(phys, base, written) for phys, head in heads.items())
    assert {base + at for at in written if at % unit == 0} <= heads.keys()
    assert len(heads) * unit < size // 4


def source_bytes(phys: int, base: int, written: list[int]) -> bytes:
    """What the beginning of a page holds: it was written, or is zero."""
    inside = any(at <= phys - base < at + 4096 for at in written)
    return content(phys, 16) if inside else bytes(16)
