"""Long reads of kdump files, which several threads decode: the same bytes, the same errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.content import address_words
from builders.kdump import LOST, PageContent, build_kdump, plan_kdump
from builders.kdump_codecs import Codec
from vmemmap.errors import (
    CorruptPage,
    NotInDump,
    PageExcluded,
    PageLost,
    ReadError,
    Truncated,
)
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
CODECS: list[Codec] = ["raw", "zlib", "lzo", "snappy", "zstd"]
BLOCK = 4096
COUNT = 300  # 1.2 MiB, well above the size from which reads are shared out


def page(pfn: int) -> bytes:
    return bytes(BLOCK) if pfn % 7 == 3 else address_words(pfn * BLOCK, BLOCK, "big")


WHOLE = b"".join(page(pfn) for pfn in range(COUNT))


def all_pages() -> dict[int, PageContent]:
    return {pfn: page(pfn) for pfn in range(COUNT)}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("block", [4096, 65536])
def test_every_codec(open_bytes: Open, codec: Codec, block: int) -> None:
    count = len(WHOLE) // block
    pages: dict[int, PageContent] = {
        pfn: WHOLE[pfn * block : (pfn + 1) * block] for pfn in range(count)
    }
    source = open_bytes(build_kdump(pages, block_size=block, codec=codec))
    assert source.read(0, count * block) == WHOLE[: count * block]
    assert source.read(17, count * block - 18) == WHOLE[17 : count * block - 1]
    assert isinstance(source.read(0, count * block), bytes)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, len(WHOLE)), size=st.integers(0, len(WHOLE)))
def test_any_read_is_the_join_of_page_reads(open_bytes: Open, start: int, size: int) -> None:
    codecs = {pfn: CODECS[pfn % 5] for pfn in range(COUNT)}
    source = open_bytes(build_kdump(all_pages(), block_size=BLOCK, page_codecs=codecs))
    size = min(size, len(WHOLE) - start)
    assert source.read(start, size) == WHOLE[start : start + size]


def reasons() -> dict[str, tuple[type[ReadError], PageContent, dict[str, int]]]:
    """What is wrong with the page in the middle: the error, its content, its descriptor."""
    return {
        "excluded": (PageExcluded, None, {}),
        "lost": (PageLost, LOST, {}),
        "corrupt": (CorruptPage, page(150), {"flags": 0x40}),
        "undecodable": (CorruptPage, page(150), {"flags": 1}),
        "past the end": (Truncated, page(150), {"offset": 1 << 40}),
    }


@pytest.mark.parametrize("reason", reasons())
@pytest.mark.parametrize("start", [0, 100 * BLOCK + 5, 150 * BLOCK, 150 * BLOCK + 9])
def test_the_first_bad_byte_is_named(open_bytes: Open, reason: str, start: int) -> None:
    kind, content, descriptor = reasons()[reason]
    data = build_kdump(
        all_pages() | {150: content},
        block_size=BLOCK,
        codec="raw",
        share_zero=False,
        descriptors={150: descriptor},
    )
    source = open_bytes(data)
    for size in (len(WHOLE) - start, 151 * BLOCK - start):
        with pytest.raises(ReadError) as caught:
            source.read(start, size)
        assert type(caught.value) is kind
        assert caught.value.phys == max(start, 150 * BLOCK)
    assert source.read(0, 150 * BLOCK) == WHOLE[: 150 * BLOCK]
    assert source.read(151 * BLOCK, 149 * BLOCK) == WHOLE[151 * BLOCK :]


def test_of_several_bad_pages_the_first_is_named(open_bytes: Open) -> None:
    bad = {pfn: {"flags": 0x40} for pfn in (299, 290, 160, 7, 150)}
    data = build_kdump(
        all_pages(), block_size=BLOCK, codec="raw", share_zero=False, descriptors=bad
    )
    source = open_bytes(data)
    for start, first in ((0, 7), (8, 150), (151, 160), (161, 290)):
        with pytest.raises(CorruptPage) as caught:
            source.read(start * BLOCK, len(WHOLE) - start * BLOCK)
        assert caught.value.phys == first * BLOCK


@pytest.mark.parametrize("pfn", [41, 149, 151, 257])
@pytest.mark.parametrize("change", [{"flags": 0x40}, {"flags": 1}, {"size": 5}, {"size": 0}])
def test_a_damaged_descriptor_beside_a_sound_one(
    open_bytes: Open, change: dict[str, int], pfn: int
) -> None:
    """Two pages in a row have one offset, and only the first a size and flags that fit."""
    _, plan = plan_kdump(all_pages(), block_size=BLOCK, codec="raw", share_zero=False)
    borrowed = {"offset": plan.data_offset + (pfn - 1) * BLOCK} | change
    data = build_kdump(
        all_pages(), block_size=BLOCK, codec="raw", share_zero=False, descriptors={pfn: borrowed}
    )
    source = open_bytes(data)
    with pytest.raises(CorruptPage) as caught:
        source.read(0, len(WHOLE))
    assert caught.value.phys == pfn * BLOCK


def test_file_cut_off(open_bytes: Open) -> None:
    data, plan = plan_kdump(all_pages(), block_size=BLOCK, codec="raw", share_zero=False)
    source = open_bytes(data[: plan.data_offset + 200 * BLOCK + 1])
    with pytest.raises(Truncated) as caught:
        source.read(0, len(WHOLE))
    assert caught.value.phys == 200 * BLOCK
    assert source.read(0, 200 * BLOCK) == WHOLE[: 200 * BLOCK]
    headless = open_bytes(data[: plan.descriptors_offset + 24 * 10])
    with pytest.raises(Truncated) as caught:
        headless.read(0, len(WHOLE))
    assert caught.value.phys == 0


@pytest.mark.parametrize("address", [COUNT * BLOCK, 1 << 40, (1 << 63) + 1, 2**64 - 1])
def test_where_no_memory_is(open_bytes: Open, address: int) -> None:
    source = open_bytes(build_kdump(all_pages(), block_size=BLOCK))
    with pytest.raises(NotInDump) as caught:
        source.read(address, 1 << 20)
    assert caught.value.phys == address
    with pytest.raises(NotInDump) as caught:
        source.read(0, 1 << 40)
    assert caught.value.phys == COUNT * BLOCK
