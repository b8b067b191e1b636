"""Damaged containers: a page reads right or fails with a reason; nothing else ever happens.

Where the damage leaves a page's bytes, its descriptor and all headers alone, the page must read
right. Where it may change what a page is, the page must still be of full length or a ReadError.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.byte_order import Order
from builders.kdump import KdumpPlan, PageContent, plan_kdump
from builders.kdump_codecs import Codec
from builders.machine import build_machine
from builders.notes import Notes
from vmemmap.errors import DumpError, ReadError
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

ORDERS: list[Order] = ["little", "big"]
CODECS: list[Codec] = ["raw", "zlib", "lzo", "snappy", "zstd"]
RUN = settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
Damage = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Sample:
    """A sound file and what it holds. Extents are ``(start, end)`` file offsets."""

    data: bytes
    page_size: int
    pages: dict[int, bytes]
    extents: dict[int, tuple[int, int]]
    descriptors: dict[int, tuple[int, int]]
    headers: list[tuple[int, int]]


@cache
def elf_sample(order: Order) -> Sample:
    machine = build_machine(byte_order="little", blocks=2)
    machine.exclude(machine.blocks[0].virt)
    data = machine.elf(order=order)
    mark = "<" if order == "little" else ">"
    (count,) = struct.unpack_from(mark + "H", data, 56)
    extents = {}
    for index in range(count):
        kind, _, offset, _, paddr, filesz = struct.unpack_from(
            mark + "IIQQQQ", data, 64 + 56 * index
        )
        for into in range(0, filesz if kind == 1 else 0, machine.page_size):
            pfn = (paddr + into) // machine.page_size
            extents[pfn] = (offset + into, offset + into + machine.page_size)
    pages = {pfn: bytes(machine.pages[pfn]) for pfn in extents}
    assert all(data[a:b] == pages[pfn] for pfn, (a, b) in extents.items())
    return Sample(data, machine.page_size, pages, extents, {}, [(0, 64 + 56 * count)])


@cache
def kdump_sample(order: Order, codec: Codec) -> Sample:
    machine = build_machine(byte_order="little", blocks=2)
    machine.exclude(machine.blocks[0].virt)
    machine.lose(machine.node_pages[0])
    notes: Notes = machine.notes(order)
    content: dict[int, PageContent] = machine.kdump_pages()
    block = machine.page_size
    data, plan = plan_kdump(content, block_size=block, order=order, codec=codec, notes=notes)
    pages = {pfn: bytes(c) for pfn, c in content.items() if isinstance(c, bytes | bytearray)}
    descriptors, extents = _extents(data, plan, order)
    headers = [
        (0, 464),
        (block, plan.notes_offset),
        (plan.bitmap1_offset, plan.bitmap1_offset + 64),
        (plan.bitmap2_offset, plan.bitmap2_offset + 64),
        (plan.descriptors_offset, plan.data_offset),
    ]
    stored = {pfn: extents[pfn] for pfn in pages}
    return Sample(data, block, pages, stored, descriptors, headers)


def _extents(
    data: bytes, plan: KdumpPlan, order: Order
) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    mark = "<" if order == "little" else ">"
    descriptors, extents = {}, {}
    for index, pfn in enumerate(plan.descriptor_pfns):
        at = plan.descriptors_offset + 24 * index
        offset, size = struct.unpack_from(mark + "QI", data, at)
        descriptors[pfn] = (at, at + 24)
        extents[pfn] = (offset, offset + size)
    return descriptors, extents


@contextmanager
def opened(data: bytes) -> Iterator[PhysicalSource | None]:
    """Open the bytes as a dump; None if that fails as it may."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        source: PhysicalSource | None = None
        try:
            source = open_source(file.name)
        except DumpError as caught:
            error = caught
        if source is None:
            assert error.path == file.name
            assert str(error)
            yield None
            return
        yield source
        source.close()


def read_page(source: PhysicalSource, phys: int, size: int) -> bytes | None:
    """Read a page; None if that fails as it may."""
    page, blamed = None, phys
    try:
        page = source.read(phys, size)
    except ReadError as error:
        blamed = error.phys
    assert page is None or len(page) == size
    assert phys <= blamed < phys + size
    return page


def exercise(source: PhysicalSource, sample: Sample) -> None:
    """Ask everything that can be asked; the answers must at least be of the right shape."""
    ranges = source.ranges()
    assert ranges.ndim == 2
    assert bool((ranges[:, 0] < ranges[:, 1]).all())
    source.is_incomplete()
    starts = np.arange(0, 64 * sample.page_size, sample.page_size, dtype=np.uint64)
    present = source.present_many(starts)
    assert [source.is_present(int(start)) for start in starts] == present.tolist()
    for start, there in zip(starts.tolist(), present.tolist(), strict=True):
        page = read_page(source, start, sample.page_size)
        assert there or page is None
    for start, end in ranges[:50].tolist():
        read_page(source, start, min(end - start, 1 << 22))


def damage_of(data: bytes, changes: Damage) -> tuple[bytes, list[tuple[int, int]]]:
    """Give the damaged bytes, and the extents that now differ."""
    out = bytearray(data)
    touched = []
    for at, new in changes:
        at = min(at, len(out) - 1)
        new = new[: len(out) - at]
        out[at : at + len(new)] = new
        touched.append((at, at + len(new)))
    return bytes(out), touched


def hits(extent: tuple[int, int], touched: list[tuple[int, int]]) -> bool:
    return any(start < extent[1] and extent[0] < end for start, end in touched)


values = st.one_of(
    st.binary(min_size=1, max_size=9),
    st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\xff" * 4, b"\x7f" + b"\xff" * 7, b"\0" * 4]),
)


def anywhere(size: int) -> st.SearchStrategy[Damage]:
    return st.lists(st.tuples(st.integers(0, size - 1), values), min_size=1, max_size=6)


def inside(extents: list[tuple[int, int]]) -> st.SearchStrategy[Damage]:
    offset = st.sampled_from(extents).flatmap(lambda e: st.integers(e[0], e[1] - 1))
    return st.lists(st.tuples(offset, values), min_size=1, max_size=4)


@RUN
@given(st.data(), st.sampled_from(ORDERS))
def test_elf_damage_anywhere_but_in_the_headers(data: st.DataObject, order: Order) -> None:
    """ELF data is raw, so the answer is known for every byte, damaged or not."""
    sample = elf_sample(order)
    table_end = sample.headers[0][1]
    changes = data.draw(anywhere(len(sample.data)))
    changed, _ = damage_of(sample.data, [(max(at, table_end), new) for at, new in changes])
    with opened(changed) as source:
        assert source is not None
        for pfn, (start, end) in sample.extents.items():
            phys = pfn * sample.page_size
            assert source.read(phys, sample.page_size) == changed[start:end]


@RUN
@given(st.data(), st.sampled_from(ORDERS))
def test_elf_headers_damaged(data: st.DataObject, order: Order) -> None:
    sample = elf_sample(order)
    changed, _ = damage_of(sample.data, data.draw(inside(sample.headers)))
    with opened(changed) as source:
        if source is not None:
            exercise(source, sample)


@RUN
@given(st.data(), st.sampled_from(ORDERS), st.sampled_from(CODECS))
def test_kdump_damage_to_pages_and_descriptors_stays_local(
    data: st.DataObject, order: Order, codec: Codec
) -> None:
    """A page whose bytes and descriptor are untouched reads right, in any order of reading."""
    sample = kdump_sample(order, codec)
    targets = [*sample.extents.values(), *sample.descriptors.values()]
    changed, touched = damage_of(sample.data, data.draw(inside(targets)))
    pfns = data.draw(st.permutations(list(sample.pages)))
    with opened(changed) as source:
        assert source is not None
        for pfn in pfns:
            page = read_page(source, pfn * sample.page_size, sample.page_size)
            if hits(sample.descriptors[pfn], touched):
                continue
            if not hits(sample.extents[pfn], touched):
                assert page == sample.pages[pfn]
            elif codec == "zlib" and len(sample.pages[pfn]) != _length(sample, pfn):
                assert page in (None, sample.pages[pfn])  # zlib has a checksum
        exercise(source, sample)


def _length(sample: Sample, pfn: int) -> int:
    start, end = sample.extents[pfn]
    return end - start


@RUN
@given(st.data(), st.sampled_from(ORDERS))
def test_kdump_damage_to_what_means_nothing_changes_nothing(
    data: st.DataObject, order: Order
) -> None:
    """Names, times, counters, unused parts of blocks, notes: no page depends on them."""
    sample = kdump_sample(order, "zlib")
    block = sample.page_size
    unused = [
        (12, 424),
        (444, 464),
        (464, block),
        (block, block + 12),  # phys_base, dump_level
        (block + 104, 2 * block),  # notes
        (2 * block + 64, 3 * block),
        (3 * block + 64, 4 * block),
    ]
    assert min(start for start, _ in sample.descriptors.values()) == 4 * block
    changes = data.draw(inside(unused))
    limits = [next(end for start, end in unused if start <= at < end) for at, _ in changes]
    kept = [(at, new[: end - at]) for (at, new), end in zip(changes, limits, strict=True)]
    changed, _ = damage_of(sample.data, kept)
    with opened(changed) as source:
        assert source is not None
        for pfn, page in sample.pages.items():
            assert source.read(pfn * block, block) == page


@RUN
@given(st.data(), st.sampled_from(ORDERS), st.sampled_from(CODECS))
def test_kdump_headers_damaged(data: st.DataObject, order: Order, codec: Codec) -> None:
    sample = kdump_sample(order, codec)
    changed, _ = damage_of(sample.data, data.draw(inside(sample.headers)))
    with opened(changed) as source:
        if source is not None:
            exercise(source, sample)


@RUN
@given(st.data(), st.sampled_from(ORDERS), st.sampled_from(["elf", *CODECS]))
def test_truncated_anywhere(data: st.DataObject, order: Order, kind: str) -> None:
    """What the file still has reads right; the rest fails; no page is half right."""
    sample = elf_sample(order)
    for codec in CODECS:
        if codec == kind:
            sample = kdump_sample(order, codec)
    first = min(start for start, _ in sample.extents.values())
    size = len(sample.data)
    length = data.draw(st.one_of(st.integers(1, size - 1), st.integers(first, size - 1)))
    with opened(sample.data[:length]) as source:
        if source is None:
            assert length < first
            return
        for pfn, page in sample.pages.items():
            found = read_page(source, pfn * sample.page_size, sample.page_size)
            _, end = sample.extents[pfn]
            described = pfn not in sample.descriptors or sample.descriptors[pfn][1] <= length
            assert found == (page if end <= length and described else None)
        assert source.is_incomplete()
        exercise(source, sample)
