"""kdump files against the offsets of dump-formats.md section 1, decoded with ``struct`` alone."""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable

import pytest

from builders.kdump import LOST, PageContent, build_kdump, plan_kdump
from builders.machine import build_machine
from builders.notes import kernel_notes

BLOCK = 4096
MARK = {"little": "<", "big": ">"}
TEXT = bytes(range(64)) * 64
NOISE = bytes((i * i * 31 + i // 7) % 251 for i in range(BLOCK))


def decoders() -> dict[int, Callable[[bytes], bytes]]:
    def lzo(data: bytes) -> bytes:
        return bytes(importlib.import_module("lzallright").LZOCompressor.decompress(data, BLOCK))

    def snappy(data: bytes) -> bytes:
        return bytes(importlib.import_module("cramjam").snappy.decompress_raw(data))

    def zstd(data: bytes) -> bytes:
        return bytes(importlib.import_module("zstandard").ZstdDecompressor().decompress(data))

    return {0: bytes, 1: zlib.decompress, 2: lzo, 4: snappy, 0x20: zstd}


def read_back(data: bytes, mark: str) -> tuple[set[int], dict[int, bytes | None]]:
    """Return the RAM PFNs, and PFN -> bytes (``None`` for a lost page), by the file plan."""
    block, sub_blocks, bitmap_blocks = struct.unpack_from(mark + "iiI", data, 428)
    max_mapnr = struct.unpack_from(mark + "Q", data, block + 96)[0]
    split = struct.unpack_from(mark + "i", data, block + 12)[0]
    start, end = struct.unpack_from(mark + "QQ", data, block + 80)
    bitmap1 = (1 + sub_blocks) * block
    half = bitmap_blocks // 2 * block

    def bits(at: int) -> set[int]:
        return {pfn for pfn in range(max_mapnr) if data[at + pfn // 8] >> pfn % 8 & 1}

    ram, listed = bits(bitmap1), bits(bitmap1 + half)
    table, found = bitmap1 + 2 * half, dict[int, bytes | None]()
    for pfn in sorted(listed):
        if split and not start <= pfn < end:
            continue
        offset, size, flags, page_flags = struct.unpack_from(mark + "QIIQ", data, table)
        table += 24
        assert page_flags == 0
        found[pfn] = decoders()[flags](data[offset : offset + size]) if offset else None
    return ram, found


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("codec", ["raw", "zlib", "lzo", "snappy", "zstd"])
def test_pages_come_back(order: str, codec: str) -> None:
    module = {"lzo": "lzallright", "snappy": "cramjam", "zstd": "zstandard"}.get(codec)
    if module:
        pytest.importorskip(module)
    pages: dict[int, PageContent] = {
        0: TEXT,
        5: bytes(BLOCK),
        7: None,
        9: NOISE,
        40000: bytes(BLOCK),
        40001: LOST,
    }
    data = build_kdump(pages, block_size=BLOCK, order=order, codec=codec)
    ram, found = read_back(data, MARK[order])
    assert ram == set(pages)
    assert found == {0: TEXT, 5: bytes(BLOCK), 9: NOISE, 40000: bytes(BLOCK), 40001: None}
    status = struct.unpack_from(MARK[order] + "I", data, 424)[0]
    assert status == {"raw": 0, "zlib": 1, "lzo": 2, "snappy": 4, "zstd": 0x20}[codec] | 0x8


def test_main_header_offsets() -> None:
    notes = kernel_notes("big", vmcoreinfo=b"OSRELEASE=x\n", cpus=3)
    uts = {"release": "6.1.0", "version": "#1", "machine": "ppc64", "nodename": b"n" * 65}
    data = build_kdump(
        {17: TEXT}, block_size=BLOCK, order="big", notes=notes, utsname=uts, timestamp=77
    )
    assert data[:8] == b"KDUMP   "
    assert struct.unpack_from(">i", data, 8)[0] == 6
    fields = [data[at : at + 65].rstrip(b"\0") for at in (12, 77, 142, 207, 272, 337)]
    assert fields == [b"Linux", b"n" * 65, b"6.1.0", b"#1", b"ppc64", b"(none)"]
    assert data[402:408] == bytes(6)
    assert struct.unpack_from(">qq", data, 408) == (77, 0)
    assert struct.unpack_from(">IiiII", data, 424) == (1, BLOCK, 1, 2, 18)
    assert struct.unpack_from(">4Ii", data, 444) == (0, 0, 0, 0, 3)
    assert not any(data[464:BLOCK])
    sub = struct.unpack_from(">QiiQQqQqQqQQQQ", data, BLOCK)
    offset, size = sub[5:7]
    assert data[offset : offset + size] == b"OSRELEASE=x\n"
    assert sub[7:9] == (BLOCK + 104, len(notes.data))
    assert sub[1] == 31
    assert sub[13] == 18
    assert data[BLOCK + 104 :].startswith(notes.data)
    # PFN 17 is bit 1 of byte 2 in both bitmaps.
    assert data[2 * BLOCK + 2] == data[3 * BLOCK + 2] == 0x02


def test_first_data_slot_is_the_shared_zero_page() -> None:
    data, plan = plan_kdump({3: bytes(BLOCK), 8: TEXT, 9: bytes(BLOCK)}, block_size=BLOCK)
    rows = [struct.unpack_from("<QIIQ", data, plan.descriptors_offset + 24 * i) for i in range(3)]
    assert plan.descriptor_pfns == (3, 8, 9)
    assert plan.data_offset == plan.descriptors_offset + 3 * 24
    assert rows[0] == rows[2] == (plan.data_offset, BLOCK, 0, 0)
    assert rows[1][0] == plan.data_offset + BLOCK
    alone = build_kdump({3: bytes(BLOCK), 9: bytes(BLOCK)}, block_size=BLOCK, share_zero=False)
    assert read_back(alone, "<")[1] == {3: bytes(BLOCK), 9: bytes(BLOCK)}


@pytest.mark.parametrize("version", range(7))
def test_sub_header_ends_where_the_version_does(version: int) -> None:
    valid = (8, 12, 32, 48, 64, 80, 104)[version]
    data = build_kdump(
        {3: TEXT},
        block_size=BLOCK,
        version=version,
        notes=kernel_notes("little", vmcoreinfo=b"OSRELEASE=x\n"),
        eraseinfo=b"erase x size 8\n",
        beyond_version=0xEE,
    )
    assert struct.unpack_from("<i", data, 8)[0] == version
    assert data[BLOCK + valid : BLOCK + 104] == b"\xee" * (104 - valid)
    if version >= 5:
        offset, size = struct.unpack_from("<qQ", data, BLOCK + 64)
        assert data[offset : offset + size] == b"erase x size 8\n" == data[-size:]


def test_split_member_describes_its_range_only() -> None:
    pages = {pfn: bytes([pfn]) * BLOCK for pfn in range(1, 30)}
    members = [build_kdump(pages, block_size=BLOCK, split=span) for span in ((0, 12), (12, 30))]
    read = [read_back(member, "<") for member in members]
    assert read[0][0] == read[1][0] == set(pages)
    assert set(read[0][1]) == set(range(1, 12))
    assert read[0][1] | read[1][1] == pages
    assert members[0][:464] == members[1][:464]


def test_every_field_can_be_falsified() -> None:
    data, plan = plan_kdump(
        {3: TEXT},
        block_size=BLOCK,
        version=3,
        header={"block_size": -1, "header_version": 100, "status": 0},
        sub_header={"max_mapnr_64": 1 << 62, "offset_note": 1 << 40},
        descriptors={3: {"size": 0xFFFFFFFF, "flags": 0x40}},
    )
    assert struct.unpack_from("<i", data, 8)[0] == 100
    assert struct.unpack_from("<Ii", data, 424) == (0, -1)
    assert struct.unpack_from("<qQ", data, BLOCK + 48) == (1 << 40, 0)
    assert struct.unpack_from("<Q", data, BLOCK + 96)[0] == 1 << 62
    assert struct.unpack_from("<II", data, plan.descriptors_offset + 8) == (0xFFFFFFFF, 0x40)
    with pytest.raises(ValueError, match="typo"):
        build_kdump({}, block_size=BLOCK, header={"typo": 1})
    with pytest.raises(ValueError, match="typo"):
        build_kdump({}, block_size=BLOCK, sub_header={"typo": 1})


@pytest.mark.parametrize("memory", ["little", "big"])
@pytest.mark.parametrize("container", ["little", "big"])
def test_machine_pages_are_all_there(memory: str, container: str) -> None:
    machine = build_machine(byte_order=memory)  # type: ignore[arg-type]
    data = machine.kdump(order=container)  # type: ignore[arg-type]
    block = struct.unpack_from(MARK[container] + "i", data, 428)[0]
    assert block == 65536
    _, found = read_back(data, MARK[container])
    assert found == machine.pages
    assert data[272:279] == (b"ppc64le" if memory == "little" else b"ppc64\0\0")
    text_at = struct.unpack_from(MARK[container] + "q", data, 65536 + 32)[0]
    assert data[text_at : text_at + 16] == b"OSRELEASE=6.1.0-"
