"""kdump files that are sound: every version, byte order, codec and block size."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from builders.byte_order import Order
from builders.content import address_words
from builders.kdump import PageContent, build_kdump, plan_kdump
from builders.kdump_codecs import CODEC_FLAGS, Codec
from builders.machine import build_machine
from builders.notes import kernel_notes
from vmemmap.errors import NotInDump
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
CODECS: list[Codec] = ["raw", "zlib", "lzo", "snappy", "zstd"]
BLOCK = 4096


def page(pfn: int, block: int = BLOCK) -> bytes:
    return address_words(pfn * block, block, "big")


def pages(pfns: list[int], block: int = BLOCK) -> dict[int, PageContent]:
    return {pfn: page(pfn, block) for pfn in pfns}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("version", range(7))
def test_versions(open_bytes: Open, version: int, order: Order) -> None:
    notes = kernel_notes(order, vmcoreinfo=b"OSRELEASE=x\n", cpus=2)
    source = open_bytes(
        build_kdump(
            pages([0, 7, 8]),
            block_size=BLOCK,
            version=version,
            order=order,
            notes=notes,
            dump_level=17,
            beyond_version=0xEE,
            utsname={"machine": "ppc64le"},
        )
    )
    assert source.format == "kdump"
    assert (source.container_byte_order, source.block_size) == (order, BLOCK)
    assert source.machine == "ppc64le"
    assert source.dump_level == (17 if version >= 1 else None)
    assert source.vmcoreinfo == (b"OSRELEASE=x\n" if version >= 3 else None)
    assert len(source.notes) == (3 if version >= 4 else 0)
    assert source.warnings == []
    assert not source.is_incomplete()
    for pfn in (0, 7, 8):
        assert source.read(pfn * BLOCK, BLOCK) == page(pfn)
    with pytest.raises(NotInDump):
        source.read(9 * BLOCK, 1)


@pytest.mark.parametrize("version", [7, 9, 16])
def test_a_newer_version_is_read_as_six_with_a_warning(open_bytes: Open, version: int) -> None:
    source = open_bytes(
        build_kdump(pages([3]), block_size=BLOCK, header={"header_version": version})
    )
    assert source.read(3 * BLOCK, BLOCK) == page(3)
    assert [str(version) in warning for warning in source.warnings] == [True]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("block", [4096, 8192, 16384, 32768, 65536])
def test_codecs_and_block_sizes(open_bytes: Open, block: int, codec: Codec, order: Order) -> None:
    """Compressible pages, one that does not shrink, and zero pages, read across every border."""
    noise = random.Random(block).randbytes(block)
    content: dict[int, bytes] = {
        **{pfn: page(pfn, block) for pfn in range(5, 9)},
        9: noise,
        10: bytes(block),
        11: page(11, block),
    }
    data, plan = plan_kdump(dict(content), block_size=block, codec=codec, order=order)
    if codec != "raw":  # the codec was indeed used
        assert len(data) - plan.data_offset < 4 * block + block
    source = open_bytes(data)
    whole = b"".join(content[pfn] for pfn in range(5, 12))
    assert source.read(5 * block, 7 * block) == whole
    for border in range(1, 7):
        at = border * block - 3
        assert source.read(5 * block + at, 6) == whole[at : at + 6]
    for into in (0, 1, block - 1):
        assert source.read(5 * block + into, 1) == whole[into : into + 1]
    assert source.ranges().tolist() == [[5 * block, 12 * block]]


def test_codecs_mixed_in_one_file(open_bytes: Open) -> None:
    codecs = {pfn: CODECS[pfn % 5] for pfn in range(40)}
    data, plan = plan_kdump(pages(list(range(40))), block_size=BLOCK, page_codecs=codecs)
    flags = {data[plan.descriptors_offset + 24 * index + 12] for index in range(40)}
    assert flags == set(CODEC_FLAGS.values())
    source = open_bytes(data)
    for pfn in random.Random(1).sample(range(40), 40):
        assert source.read(pfn * BLOCK, BLOCK) == page(pfn)


@pytest.mark.parametrize("block", [4096, 8192, 65536])
@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("order", ORDERS)
def test_block_size_differs_from_the_kernels_page_size(
    open_bytes: Open, page_size: int, block: int, order: Order
) -> None:
    machine = build_machine(page_size=page_size, byte_order="little", blocks=4)
    source = open_bytes(machine.kdump(order=order, block_size=block))
    assert source.block_size == block
    for pfn, content in machine.pages.items():
        assert source.read(pfn * page_size, page_size) == content
    assert source.vmcoreinfo is not None
    assert b"PAGESIZE=%d\n" % page_size in source.vmcoreinfo


@pytest.mark.parametrize("share", [True, False])
def test_zero_pages(open_bytes: Open, share: bool) -> None:
    content: dict[int, PageContent] = dict.fromkeys(range(1, 50), bytes(BLOCK))
    content[25] = page(25)
    data, plan = plan_kdump(content, block_size=BLOCK, share_zero=share)
    assert len(data) < plan.data_offset + 2 * BLOCK  # shared, or packed
    source = open_bytes(data)
    assert source.read(BLOCK, 49 * BLOCK) == b"".join(
        page(25) if pfn == 25 else bytes(BLOCK) for pfn in range(1, 50)
    )
    assert not source.is_incomplete()


@pytest.mark.parametrize("order", ORDERS)
def test_pages_far_apart(open_bytes: Open, order: Order) -> None:
    """Ranks over bitmaps of several chunks; the highest pfn is the last bit of the map."""
    far = [0, 7, 8, 32767, 32768, 100_000, 262_143, 262_144, 400_001, 524_287]
    data = build_kdump(pages(far), block_size=BLOCK, order=order)
    for sequence in (far, far[::-1]):
        source = open_bytes(data)
        assert [source.read(pfn * BLOCK, BLOCK) for pfn in sequence] == [
            page(pfn) for pfn in sequence
        ]
    runs = [[0, 1], [7, 9], [32767, 32769], [100_000, 100_001]]
    runs += [[262_143, 262_145], [400_001, 400_002], [524_287, 524_288]]
    assert source.ranges().tolist() == [[a * BLOCK, b * BLOCK] for a, b in runs]


def test_single_bitmap(open_bytes: Open) -> None:
    """What is not in the only map is absent: nothing says that it was excluded."""
    content: dict[int, PageContent] = {2: page(2), 3: None, 40: page(40)}
    source = open_bytes(build_kdump(content, block_size=BLOCK, single_bitmap=True))
    assert source.read(2 * BLOCK, BLOCK) == page(2)
    assert source.read(40 * BLOCK, BLOCK) == page(40)
    with pytest.raises(NotInDump):
        source.read(3 * BLOCK, 1)
    assert source.is_ram(2 * BLOCK)


@pytest.mark.parametrize("single", [True, False])
def test_single_bitmap_of_more_than_one_block(open_bytes: Open, single: bool) -> None:
    far = [1, 40_000, 70_000]
    source = open_bytes(build_kdump(pages(far), block_size=BLOCK, single_bitmap=single))
    for pfn in far:
        assert source.read(pfn * BLOCK, BLOCK) == page(pfn)


def test_present_many_agrees_with_reads_and_bitmaps(open_bytes: Open) -> None:
    content: dict[int, PageContent] = {pfn: page(pfn) for pfn in (0, 3, 4, 63, 64, 90)}
    content |= {5: None, 91: None}
    source = open_bytes(build_kdump(content, block_size=BLOCK))
    addresses = np.arange(0, 100 * BLOCK, BLOCK // 2, dtype=np.uint64)
    expected = [content.get(int(address) // BLOCK) is not None for address in addresses]
    assert source.present_many(addresses).tolist() == expected
    assert [source.is_present(int(address)) for address in addresses] == expected
    ram = [int(address) // BLOCK in content for address in addresses]
    assert [source.is_ram(int(address)) for address in addresses] == ram
    high = np.array([1 << 40, 1 << 63, 2**64 - 1], dtype=np.uint64)
    assert source.present_many(high).tolist() == [False] * 3
    assert source.present_many(addresses.reshape(4, -1)).shape == (4, 50)


@pytest.mark.parametrize("address", [-1, -(1 << 62), 1 << 60, 2**64 - 1, 1 << 64, 1 << 80])
def test_addresses_that_no_machine_has(open_bytes: Open, address: int) -> None:
    source = open_bytes(build_kdump(pages([0]), block_size=BLOCK))
    with pytest.raises(NotInDump):
        source.read(address, 1)
    assert not source.is_ram(address)
    assert not source.is_present(address)


@pytest.mark.parametrize("address", [0, 5, BLOCK, 9 * BLOCK, 1 << 50])
def test_reading_nothing_gives_nothing(open_bytes: Open, address: int) -> None:
    """Also where no memory is: that is what `Memory.read` promises."""
    source = open_bytes(build_kdump(pages([0]), block_size=BLOCK))
    assert source.read(address, 0) == b""


def test_ranges_warn_once_when_there_are_too_many(open_bytes: Open) -> None:
    content: dict[int, PageContent] = dict.fromkeys(range(0, 140_000, 2))
    source = open_bytes(build_kdump(content, block_size=BLOCK))
    first = source.ranges()
    assert first.tolist() == [[n * 2 * BLOCK, (n * 2 + 1) * BLOCK] for n in range(65536)]
    assert source.ranges().tolist() == first.tolist()
    assert [warning for warning in source.warnings if "65536" in warning] == source.warnings
    assert len(source.warnings) == 1


def test_closing_twice_is_harmless(open_bytes: Open) -> None:
    source = open_bytes(build_kdump(pages([0]), block_size=BLOCK))
    source.close()
    source.close()
