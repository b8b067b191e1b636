"""The number of descriptors that a file tells, against what builders and other tools know."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breadth import singles
from builders.byte_order import Order
from builders.flattened import build_flattened
from builders.kdump import LOST, PageContent, plan_kdump
from vmemmap.source import kdump_file
from vmemmap.source.file_object import FileObject
from vmemmap.source.file_view import ByteView
from vmemmap.source.flattened import FlattenedView
from vmemmap.source.kdump import KdumpSource
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.opening import open_bytes
from vmemmap.source.ranges import RangeView

BLOCK = 4096


@pytest.fixture(autouse=True)
def of_small_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kdump_file, "_LARGE_BYTES", 0)


def told(view: ByteView) -> int | None:
    file = KdumpFile(view)
    count = (file.descriptors_end - file.descriptors_at) // 24
    assert file._told_count in (None, count)
    return file._told_count


def told_of(data: bytes) -> int | None:
    return told(RangeView(FileObject(io.BytesIO(data))))


def some_pages(kind: str, count: int = 900) -> dict[int, PageContent]:
    """Pages of which every third is not stored; what the others hold depends on the kind."""
    rng = np.random.default_rng(count)
    pages: dict[int, PageContent] = {pfn: rng.bytes(64) * (BLOCK // 64) for pfn in range(count)}
    zero = {"no zeros": 0, "a few zeros": 7, "zeros at the end": count // 2, "all zeros": count}
    for pfn in range(count - zero.get(kind, 7), count):
        pages[pfn if kind != "a few zeros" else pfn // 2] = bytes(BLOCK)
    if kind == "lost":
        pages |= dict.fromkeys(range(count - 9, count - 3), LOST)
    return {pfn: None if pfn % 3 == 1 else data for pfn, data in pages.items()}


KINDS = ("no zeros", "a few zeros", "zeros at the end", "all zeros", "lost")


@pytest.mark.parametrize(
    ("kind", "order", "share", "more"),
    singles(
        (kind, order, share, more)
        for kind in KINDS
        for order in ("little", "big")
        for share in (True, False)
        for more in ({}, {"eraseinfo": b"erase"}, {"split": (30, 850)}, {"version": 4})
    ),
)
def test_it_is_that_of_the_builder(
    kind: str, order: Order, share: bool, more: dict[str, Any]
) -> None:
    pages = some_pages(kind)
    data, plan = plan_kdump(
        pages, block_size=BLOCK, order=order, share_zero=share, codec="zlib", **more
    )
    assert told_of(data) == len(plan.descriptor_pfns)


@pytest.mark.parametrize(("cut", "more"), [(0, b""), (0, b"more"), (1, b""), (5000, b"")])
def test_a_file_that_is_cut_off_or_has_more_behind_it_tells_nothing(cut: int, more: bytes) -> None:
    data, plan = plan_kdump(some_pages("a few zeros"), block_size=BLOCK)
    expected = None if cut or more else len(plan.descriptor_pfns)
    assert told_of(data[: len(data) - cut] + more) == expected


def test_a_bitmap_with_more_bits_is_not_followed() -> None:
    data, plan = plan_kdump(some_pages("no zeros"), block_size=BLOCK)
    image = bytearray(data)
    image[plan.bitmap2_offset + 10] = 0xFF
    file = KdumpFile(RangeView(FileObject(io.BytesIO(bytes(image)))))
    assert file._told_count == len(plan.descriptor_pfns)
    assert file.stored.rank(900) == len(plan.descriptor_pfns) + 2  # of these eight


@pytest.mark.parametrize("left_out", [0, 1])
def test_a_map_of_as_many_bits_as_descriptors_is_full(left_out: int) -> None:
    pages = some_pages("no zeros")
    pages = {pfn: data or b"x" * BLOCK for pfn, data in pages.items()}
    pages |= dict.fromkeys(range(left_out))
    data, _ = plan_kdump(pages, block_size=BLOCK, codec="zlib")
    source = KdumpSource(RangeView(FileObject(io.BytesIO(data))))
    assert source.file.ram_as_told.full == (not left_out)
    assert source.ranges_cost() == (len(pages) + 7) // 8 * left_out
    assert source.ranges().tolist() == [[0, len(pages) * BLOCK]]
    assert (source.ranges_cost(), source.memory_end()) == (0, len(pages) * BLOCK)


DUMPS = Path(__file__).resolve().parents[2] / ".." / "shared" / "dumps"


@pytest.mark.skipif(not DUMPS.is_dir(), reason="the real dumps are absent")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        # What makedumpfile said that it wrote, and 3 GiB of pages of 64 KiB that QEMU did.
        ("hash-64k-6.1/vmcore.d31.lzo", 1220),
        ("hash-64k-6.1/vmcore.d31.zstd", 1220),
        ("qemu-hash-64k-6.1/dump.kdump-zlib", 3 << 30 >> 16),
    ],
)
def test_it_is_that_of_the_tools(name: str, count: int) -> None:
    view = open_bytes(DUMPS / name)
    if bytes(view.view(0, 12)) == b"makedumpfile":
        view = FlattenedView(view)
    assert told(view) == count
    view.close()


def test_in_a_flattened_file() -> None:
    data, plan = plan_kdump(some_pages("a few zeros"), block_size=BLOCK)
    flat = FlattenedView(RangeView(FileObject(io.BytesIO(build_flattened(data)))))
    assert told(flat) == len(plan.descriptor_pfns)
