"""Real dumps: the same memory in four codecs and as an ELF file reads the same, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard

from vmemmap.errors import NotInDump, PageExcluded
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

DUMPS = Path(__file__).resolve().parents[2] / ".." / "shared" / "dumps"
HASH = DUMPS / "hash-64k-6.1"
CODECS = ["zlib", "lzo", "snappy", "zstd"]
BLOCK = 65536
# From dump-formats.md 1.1: what makedumpfile -d 31 stored of this vmcore, counted without us.
PAGES_STORED = 1220

pytestmark = pytest.mark.skipif(
    not HASH.is_dir(), reason="the real dumps (../shared/dumps beside the repository) are absent"
)


def unpacked(path: Path, folder: Path) -> Path:
    target = folder / path.stem
    with path.open("rb") as packed, target.open("wb") as out:
        zstandard.ZstdDecompressor().copy_stream(packed, out)
    return target


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhysicalSource]:
    path = unpacked(HASH / "vmcore.d31.elf.zst", tmp_path_factory.mktemp("elf"))
    source = open_source(path)
    yield source
    source.close()
    path.unlink()


@pytest.fixture(scope="module", params=CODECS)
def kdump(request: pytest.FixtureRequest) -> Iterator[PhysicalSource]:
    source = open_source(HASH / f"vmcore.d31.{request.param}")
    yield source
    source.close()


def stored_blocks(source: PhysicalSource) -> list[int]:
    """Physical address of every block that the container claims to have."""
    starts = np.arange(0, 1 << 30, BLOCK, dtype=np.uint64)
    return [int(start) for start in starts[source.present_many(starts)]]


def digests(source: PhysicalSource, blocks: list[int]) -> dict[int, bytes]:
    return {start: hashlib.sha256(source.read(start, BLOCK)).digest() for start in blocks}


@pytest.fixture(scope="module")
def elf_digests(elf: PhysicalSource) -> dict[int, bytes]:
    return digests(elf, stored_blocks(elf))


def test_same_bytes_as_the_elf_file(kdump: PhysicalSource, elf_digests: dict[int, bytes]) -> None:
    blocks = stored_blocks(kdump)
    assert len(blocks) == PAGES_STORED
    # The ELF file lacks longer runs of zero pages, which kdump files keep as one shared page. (And
    # it has more: runs of fewer than 256 excluded pages.)
    in_both = [start for start in blocks if start in elf_digests]
    assert len(in_both) >= PAGES_STORED - 20
    zero = hashlib.sha256(bytes(BLOCK)).digest()
    expected = {start: elf_digests.get(start, zero) for start in blocks}
    assert digests(kdump, blocks) == expected


def test_same_vmcoreinfo_and_no_warnings(kdump: PhysicalSource, elf: PhysicalSource) -> None:
    assert kdump.vmcoreinfo == elf.vmcoreinfo
    assert kdump.vmcoreinfo is not None
    assert kdump.vmcoreinfo.startswith(b"OSRELEASE=6.1.0-50-powerpc64le\n")
    assert [note.name for note in kdump.notes] == [note.name for note in elf.notes]
    assert kdump.warnings == elf.warnings == []
    assert not kdump.is_incomplete()
    assert not elf.is_incomplete()
    assert kdump.machine == "ppc64le"
    assert (kdump.block_size, kdump.dump_level) == (BLOCK, 31)


def test_ranges_are_those_of_the_machine(kdump: PhysicalSource, elf: PhysicalSource) -> None:
    """dump-formats.md 3.1: the crash kernel's 384 MiB are missing, but for RTAS inside them."""
    expected = [[0, 0x20000000], [0x2FFF0000, 0x30000000], [0x38000000, 0x40000000]]
    assert kdump.ranges().tolist() == expected
    assert elf.ranges().tolist() == expected


def test_memory_added_after_boot_is_absent_not_excluded(kdump: PhysicalSource) -> None:
    for address in (0x20000000, 0x37FFFFFF, 0x40000000, 0x5FFF0000):
        with pytest.raises(NotInDump):
            kdump.read(address, 1)


def test_a_read_over_many_pages(kdump: PhysicalSource, elf: PhysicalSource) -> None:
    blocks = stored_blocks(kdump)
    run = next(
        start
        for start in blocks
        if all(start + step * BLOCK in blocks for step in range(8)) and elf.is_present(start)
    )
    assert kdump.read(run + 5, 7 * BLOCK + 9) == elf.read(run + 5, 7 * BLOCK + 9)


def test_excluded_pages_are_excluded_in_both(kdump: PhysicalSource, elf: PhysicalSource) -> None:
    starts = np.arange(0, 0x20000000, BLOCK, dtype=np.uint64)
    missing = starts[~elf.present_many(starts) & ~kdump.present_many(starts)]
    assert len(missing) > 4096
    for address in (int(missing[0]), int(missing[-1])):
        for source in (kdump, elf):
            with pytest.raises(PageExcluded):
                source.read(address, 1)
