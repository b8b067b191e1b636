"""Dumps from one container to another: the same bytes, whatever they were and become."""

from __future__ import annotations

import random
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from breadth import pairs, trying
from builders.byte_order import Order
from builders.elf_core import Segment, build_elf
from builders.flattened import build_flattened
from builders.kdump import LOST, PageContent, build_kdump
from builders.kdump_codecs import CODEC_FLAGS
from builders.notes import Notes, kernel_notes, qemu_notes
from filter.kdump_table import read_table
from vmemmap.errors import PageExcluded, PageLost, ReadError, Truncated, UnwritableFile
from vmemmap.filter.verify import verify
from vmemmap.progress import no_progress
from vmemmap.write.page_bits import PageBits

PAGES = [*range(30), *range(40, 61), 700, 701, 702]
EXCLUDED = (5, 6, 50)
LOST_PFN = 9
ORDERS: list[Order] = ["little", "big"]
SOURCES = ("elf", "raw", "zlib", "lzo", "snappy", "zstd")
CODECS = ("none", "zlib", "lzo", "snappy", "zstd")
FORMS = ("kdump", "elf", "flat", "flat elf")


def page_of(pfn: int, size: int) -> bytes:
    if pfn % 4 == 0:
        return bytes(size)
    if pfn % 4 == 1:
        return random.Random(pfn).randbytes(size)
    return struct.pack(">Q", pfn) * (size // 8)


def notes_of(order: Order, size: int) -> Notes:
    text = f"OSRELEASE=6.1.0\nPAGESIZE={size}\nCRASHTIME=1795335881\n".encode()
    return kernel_notes(order, vmcoreinfo=text, cpus=2)


def build(source: str, order: Order, size: int) -> bytes:
    if source == "elf":
        runs = [(0, 30), (40, 61), (700, 703)]
        segments = [
            Segment(a * size, b"".join(page_of(pfn, size) for pfn in range(a, b))) for a, b in runs
        ]
        return build_elf(segments, notes_of(order, size), order=order)
    pages: dict[int, PageContent] = {pfn: page_of(pfn, size) for pfn in PAGES}
    pages |= dict.fromkeys(EXCLUDED)
    pages[LOST_PFN] = LOST
    name = {"ppc64le" if order == "little" else "ppc64"}.pop()
    return build_kdump(
        pages,
        block_size=size,
        order=order,
        codec=source,
        notes=notes_of(order, size),
        dump_level=16,
        utsname={"machine": name, "release": "6.1.0", "nodename": "box"},
    )


def check_same(whole: Path, made: Path, size: int, *, lost_as: type[ReadError]) -> None:
    with vmemmap.open(whole) as one, vmemmap.open(made) as other:
        assert other.source.ranges().tolist() == one.source.ranges().tolist()
        assert other.source.notes == one.source.notes
        assert other.vmcoreinfo_text == one.vmcoreinfo_text
        for pfn in PAGES:
            with trying(f"pfn {pfn}"):
                try:
                    expected = one.read_phys(pfn * size, size)
                except PageExcluded:
                    with pytest.raises(PageExcluded):
                        other.read_phys(pfn * size, size)
                except PageLost:
                    if lost_as is PageLost:
                        with pytest.raises(PageLost):
                            other.read_phys(pfn * size, size)
                else:
                    assert other.read_phys(pfn * size, size) == expected


@pytest.mark.parametrize(
    ("source", "codec", "form", "order", "size"),
    pairs(product(SOURCES, CODECS, FORMS, ORDERS, (4096, 65536))),
)
def test_every_container_into_every_other(
    tmp_path, source: str, codec: str, form: str, order: Order, size: int
) -> None:
    whole, made = tmp_path / "whole", tmp_path / "made"
    whole.write_bytes(build(source, order, size))
    with vmemmap.open(whole) as core:
        result = core.filter(
            *(made, 0, codec),
            form="elf" if "elf" in form else "kdump",
            flattened=form.startswith("flat"),
            verify=True,
        )
        assert core.source.dump_level == (None if source == "elf" else 16)
    left_out = 0 if source == "elf" else len(EXCLUDED)
    lost = 0 if source == "elf" else 1
    assert (result.pages, result.absent, result.lost) == (len(PAGES), left_out, lost)
    assert result.kept == len(PAGES) - left_out
    assert result.level == (0 if source == "elf" else 16)  # what it was filtered by stays
    assert result.lost_pfns == ((LOST_PFN,) if lost else ())
    assert (result.gone, result.unclassified, result.partial) == ({}, {}, 0)
    check_same(whole, made, size, lost_as=PageLost if "elf" not in form else ReadError)
    if form == "kdump":
        table = read_table(made)
        assert result.size_bytes == made.stat().st_size
        assert struct.unpack_from("<q" if order == "little" else ">q", table.header, 408) == (
            1795335881,
        )
        if source != "elf":
            assert table.header[12:402] == whole.read_bytes()[12:402]
        same = codec == {"raw": "none"}.get(source, source)
        # All but the lost one and those of zeros.
        copied = sum(pfn % 4 != 0 for pfn in PAGES if pfn not in (*EXCLUDED, LOST_PFN))
        assert result.copied == (copied if same else 0)


def test_zeros_that_elf_leaves_out_read_back_as_they_should(tmp_path) -> None:
    """A long run of zeros is left out at level 1; at level 0 it would be missed."""
    memory = b"x" * 4096 + bytes(300 * 4096) + b"y" * 4096
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    (tmp_path / "whole").write_bytes(build_elf([Segment(0, memory)], notes))
    with vmemmap.open(tmp_path / "whole") as core, PageBits(302) as kept:
        result = core.filter(tmp_path / "made", 1, form="elf", verify=True)
        assert (result.kept, result.zero) == (2, 300)
        kept.add(np.array([[0, 302]]))
        made = str(tmp_path / "made")
        with pytest.raises(UnwritableFile, match=r"does not read back: .*0x1000 was excluded"):
            verify(core.source, [made], kept.finish(), [(0, 302)], 4096, no_progress)


@pytest.mark.parametrize("size", [4096, 65536])
def test_elf_that_leaves_memory_out_has_no_segment_at_whole_pages(tmp_path, size: int) -> None:
    """makedumpfile would map more of the file than the segment has, and take that for memory."""
    for name, pages in (("in part", 300), ("whole", 0)):
        memory = b"x" * size + bytes(pages * size) + b"y" * size
        notes = kernel_notes("little", vmcoreinfo=f"PAGESIZE={size}\n".encode())
        (tmp_path / "input").write_bytes(build_elf([Segment(0, memory)], notes))
        with vmemmap.open(tmp_path / "input") as core:
            core.filter(tmp_path / name, 1, form="elf", verify=True)
        data = (tmp_path / name).read_bytes()
        count = struct.unpack_from("<H", data, 56)[0]
        heads = [struct.unpack_from("<IIQQQQQ", data, 64 + 56 * at) for at in range(1, count)]
        stored = [(head[2] % size, head[5], head[6]) for head in heads]
        expected = [(size // 2, size, 301 * size), (size // 2, size, size)]
        assert stored == (expected if pages else [(0, 2 * size, 2 * size)])


def test_forms_are_copied_bit_by_bit(tmp_path) -> None:
    """A page that is compressed as wanted is not compressed again: the same bytes are stored."""
    whole, made = tmp_path / "whole", tmp_path / "made"
    whole.write_bytes(build("zlib", "little", 4096))
    with vmemmap.open(whole) as core:
        core.filter(made, None, None)
    stored = []
    for path in (whole, made):
        table, data = read_table(path), path.read_bytes()
        assert table.level == 16
        stored.append(
            {
                pfn: (size, flags, data[offset : offset + size])
                for pfn, (offset, size, flags) in zip(table.kept.tolist(), table.rows, strict=True)
            }
        )
    assert stored[0] == stored[1]


@pytest.mark.parametrize("codec", ["raw", "lzo"])
def test_forms_are_copied_from_wherever_they_are(tmp_path, codec: str) -> None:
    """Of the inside of a flattened file, and of a file read by ranges, as of a plain one."""
    data = build(codec, "little", 4096)
    (tmp_path / "plain").write_bytes(data)
    (tmp_path / "flat").write_bytes(build_flattened(data, record_bytes=5000))
    made, copied = {}, set()
    with (tmp_path / "plain").open("rb") as file:
        for name, dump in (("plain", None), ("flat", None), ("object", file)):
            with vmemmap.open(dump or tmp_path / name) as core:
                result = core.filter(tmp_path / "made", 1, None, verify=dump is None)
            made[name] = (tmp_path / "made").read_bytes()
            copied.add(result.copied)
    assert made["flat"] == made["plain"] == made["object"]
    assert len(copied) == 1
    assert min(copied) > 20


def test_flattened_forms_that_are_in_no_record_are_lost(tmp_path) -> None:
    data = build("lzo", "little", 4096)
    stream = build_flattened(data, record_bytes=500, shuffle_seed=None, end_mark=False)
    (tmp_path / "cut").write_bytes(stream[: -516 * 9])  # and without its last records
    with vmemmap.open(tmp_path / "cut") as core:
        result = core.filter(tmp_path / "made", 0, "lzo", verify=True)
    lost = 0
    with vmemmap.open(tmp_path / "cut") as core, vmemmap.open(tmp_path / "made") as made:
        for pfn in PAGES:
            try:
                assert core.read_phys(pfn * 4096, 4096) == page_of(pfn, 4096)
            except (PageLost, Truncated):
                lost += 1
                with pytest.raises(PageLost):
                    made.read_phys(pfn * 4096, 4096)
            except PageExcluded:
                continue
            else:
                assert made.read_phys(pfn * 4096, 4096) == page_of(pfn, 4096)
    assert result.lost == lost > 1


@pytest.mark.parametrize("codec", ["zlib", "lzo", "snappy", "zstd"])
@pytest.mark.parametrize("size", [4096, 65536])
def test_compressed_zero_pages_are_found(tmp_path, codec: str, size: int) -> None:
    """A writer that does not share the zero page leaves it compressed, many times."""
    pages: dict[int, PageContent] = {pfn: page_of(pfn, size) for pfn in PAGES}
    data = build_kdump(
        pages,
        block_size=size,
        codec=codec,
        notes=notes_of("little", size),
        dump_level=0,
        share_zero=False,
    )
    (tmp_path / "whole").write_bytes(data)
    with vmemmap.open(tmp_path / "whole") as core:
        result = core.filter(tmp_path / "made", 1, codec, verify=True)
    zero = {pfn for pfn in PAGES if pfn % 4 == 0}
    table = read_table(tmp_path / "made")
    assert table.zero == zero
    assert result.zero == len(zero)
    assert result.copied == len(PAGES) - len(zero)
    flags = {row[2] for pfn, row in zip(PAGES, table.rows, strict=True) if pfn % 4 > 1}
    assert flags == {CODEC_FLAGS[codec]}  # type: ignore[index]


@pytest.mark.parametrize("codec", CODECS)
def test_members_and_back(tmp_path, codec: str) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(build("elf", "little", 4096))
    members = [tmp_path / f"member{i}" for i in range(3)]
    with vmemmap.open(whole) as core:
        result = core.filter(members, 1, codec, verify=True)
        core.filter(tmp_path / "one", 1, codec)
        for number, path in enumerate(members):
            core.filter(tmp_path / "alone", 1, codec, member=(number, 3))
            assert (tmp_path / "alone").read_bytes() == path.read_bytes()
    assert [file.pages for file in result.files] == [18, 18, 18]
    assert [file.pfn_start for file in result.files[1:]] == [
        file.pfn_end for file in result.files[:-1]
    ]
    with vmemmap.open(*reversed(members)) as core:
        core.filter(tmp_path / "joined", None, None, verify=True)
    check_same(whole, tmp_path / "joined", 4096, lost_as=PageLost)
    one, joined = read_table(tmp_path / "one"), read_table(tmp_path / "joined")
    assert joined.header == one.header
    assert joined.kept.tolist() == one.kept.tolist()
    assert [row[1:] for row in joined.rows] == [row[1:] for row in one.rows]


def test_more_members_than_pages(tmp_path) -> None:
    data = build_kdump({3: page_of(3, 4096)}, block_size=4096, notes=notes_of("little", 4096))
    (tmp_path / "whole").write_bytes(data)
    members = [tmp_path / f"member{i}" for i in range(4)]
    with vmemmap.open(tmp_path / "whole") as core:
        result = core.filter(members, 0)
    assert sum(file.pages for file in result.files) == 1
    with vmemmap.open(*members) as core:
        assert core.read_phys(3 * 4096, 4096) == page_of(3, 4096)


def test_same_bytes_by_any_number_of_threads(tmp_path) -> None:
    (tmp_path / "whole").write_bytes(build("zlib", "big", 4096))
    made = []
    with vmemmap.open(tmp_path / "whole") as core:
        for threads in (1, 2, 5):
            core.filter(tmp_path / "made", 0, "zstd", threads=threads)
            made.append((tmp_path / "made").read_bytes())
    assert made[0] == made[1] == made[2]


def test_flattened_input_and_a_stream(tmp_path) -> None:
    plain = build("zstd", "little", 4096)
    (tmp_path / "flat").write_bytes(build_flattened(plain))
    with vmemmap.open(tmp_path / "flat") as core, (tmp_path / "out").open("wb") as stream:
        result = core.filter(stream, 0, "zstd")
        assert result.files[0].path == "-"
    (tmp_path / "whole").write_bytes(plain)
    check_same(tmp_path / "whole", tmp_path / "out", 4096, lost_as=PageLost)


def test_page_that_the_input_has_in_part(tmp_path) -> None:
    """A segment of 4 KiB pages ends within a page of 64 KiB: the rest is zeros, and counted."""
    size, part = 65536, 3 * 4096
    body = random.Random(1).randbytes(size + part)
    data = build_elf([Segment(0, body), Segment(4 * size, body[:size])], notes_of("little", size))
    (tmp_path / "whole").write_bytes(data)
    with vmemmap.open(tmp_path / "whole") as core:
        result = core.filter(tmp_path / "made", 0, "zstd", verify=True)
        elf = core.filter(tmp_path / "elf", 0, form="elf", verify=True)
        assert core.source.ranges().tolist() == [[0, size + part], [4 * size, 5 * size]]
    assert (result.pages, result.kept, result.partial) == (3, 3, 1)
    with vmemmap.open(tmp_path / "made") as core:
        assert core.read_phys(0, size + part) == body
        assert core.read_phys(size + part, size - part) == bytes(size - part)
    assert elf.partial == 0  # ELF has ranges of any length
    with vmemmap.open(tmp_path / "elf") as core:
        assert core.source.ranges().tolist() == [[0, size + part], [4 * size, 5 * size]]
        assert core.read_phys(0, size + part) == body


@pytest.mark.parametrize(("block", "size"), [(65536, 4096), (4096, 65536)])
def test_blocks_of_another_size_than_pages(tmp_path, block: int, size: int) -> None:
    """QEMU's blocks are 64 KiB, or 4 KiB, whatever the kernel's pages are."""
    pages: dict[int, PageContent] = {pfn: page_of(pfn, block) for pfn in range(48)}
    pages[17] = None
    data = build_kdump(pages, block_size=block, notes=notes_of("little", size), dump_level=0)
    (tmp_path / "whole").write_bytes(data)
    with vmemmap.open(tmp_path / "whole") as core:
        result = core.filter(tmp_path / "made", 0, "zlib", verify=True)
    assert result.page_size == size
    assert result.absent == (16 if block > size else 0)
    assert result.partial == (1 if block < size else 0)
    with vmemmap.open(tmp_path / "made") as core:
        assert core.source.block_size == size
        for pfn in range(48):
            if pfn == 17:
                continue
            assert core.read_phys(pfn * block, block) == page_of(pfn, block)


def test_container_in_the_other_order(tmp_path) -> None:
    """QEMU's big-endian container of a little-endian machine: readers want the machine's order."""
    notes = qemu_notes("big", cpus=2, memory_order="little")
    pages: dict[int, PageContent] = {pfn: page_of(pfn, 65536) for pfn in range(8)}
    data = build_kdump(
        pages, block_size=65536, order="big", notes=notes, utsname={"machine": "ppc64le"}
    )
    (tmp_path / "whole").write_bytes(data)
    text = tmp_path / "text"
    text.write_bytes(b"OSRELEASE=6.1.0\nPAGESIZE=65536\n")
    with vmemmap.open(tmp_path / "whole", vmcoreinfo=text) as core:
        given = [note.desc for note in core.source.notes if note.kind == 1]
        core.filter(tmp_path / "made", 0, "zstd", verify=True)
    with vmemmap.open(tmp_path / "made") as core:
        assert core.source.container_byte_order == "little"
        # VMCOREINFO that was given is in the output.
        assert core.vmcoreinfo_text == text.read_bytes().rstrip(b"\0")
        turned = [note.desc for note in core.source.notes if note.kind == 1]
    for before, after in zip(given, turned, strict=True):
        assert (np.frombuffer(before[112:496], ">u8") == np.frombuffer(after[112:496], "<u8")).all()
        assert any(before[112:496])
