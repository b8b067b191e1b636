"""Files that are no dump, or not one that is read: named for what they are, with a way out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from builders.elf_core import Segment, build_elf
from builders.flattened import build_flattened
from builders.kdump import build_kdump
from vmemmap.errors import DumpError, UnknownFormat, UnreadableFile, UnsupportedDump
from vmemmap.source.detect import open_source

PAGE = bytes(range(256)) * 16
ELF = build_elf([Segment(0, PAGE)])
KDUMP = build_kdump({1: PAGE}, block_size=4096)


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("vmcore", data)
    return out.getvalue()


def refused(path: Path, data: bytes, kind: type[DumpError], *words: str) -> str:
    """Open the bytes, which must fail as *kind* with every one of *words* in the message."""
    path.write_bytes(data)
    with pytest.raises(DumpError) as caught:
        open_source(path)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert caught.value.path == str(path)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("data", "expected"), [(ELF, "elf"), (KDUMP, "kdump")])
def test_the_formats_that_are_read(tmp_path: Path, data: bytes, expected: str) -> None:
    """By content alone: the name says nothing."""
    path = tmp_path / "dump.txt"
    path.write_bytes(data)
    for name in (path, str(path)):
        source = open_source(name)
        assert source.format == expected
        assert source.path == str(path)
        assert source.read(0x1000 if expected == "kdump" else 0, 256) == PAGE[:256]
        source.close()


@pytest.mark.parametrize("inner", [ELF, KDUMP])
@pytest.mark.parametrize(
    ("name", "word", "command"),
    [
        ("gz", "gzip", "gunzip"),
        ("xz", "xz", "unxz"),
        ("zst", "zstd", "zstd -d"),
        ("bz2", "bzip2", "bunzip2"),
        ("zip", "zip", "unzip"),
    ],
)
def test_packed_dump(tmp_path: Path, name: str, word: str, command: str, inner: bytes) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "xz": lzma.compress,
        "zst": zstandard.ZstdCompressor().compress,
        "bz2": bz2.compress,
        "zip": zipped,
    }
    path = tmp_path / f"vmcore.{name}"
    refused(path, packers[name](inner), UnsupportedDump, word, f"{command} {path}")


@pytest.mark.parametrize("inner", [ELF, KDUMP])
def test_flattened_twice_over(tmp_path: Path, inner: bytes) -> None:
    path = tmp_path / "vmcore.flat"
    twice = build_flattened(build_flattened(inner))
    refused(path, twice, UnsupportedDump, "flattened twice", "expected a kdump or ELF file")


@pytest.mark.parametrize("inner", [ELF, KDUMP])
def test_flattened_dump_is_read(tmp_path: Path, inner: bytes) -> None:
    plain, flat = tmp_path / "plain", tmp_path / "flat"
    plain.write_bytes(inner)
    flat.write_bytes(build_flattened(inner))
    sources = [open_source(path) for path in (plain, flat)]
    assert sources[0].format == sources[1].format
    assert sources[0].ranges().tolist() == sources[1].ranges().tolist()
    for start, end in sources[0].ranges().tolist():
        assert sources[0].read(start, end - start) == sources[1].read(start, end - start)
    for source in sources:
        source.close()


def test_diskdump(tmp_path: Path) -> None:
    refused(
        tmp_path / "d", b"DISKDUMP" + KDUMP[8:], UnsupportedDump, "diskdump", "expected", "kdump"
    )


@pytest.mark.parametrize(
    ("magic", "word"),
    [
        (0xA8190173618F23ED.to_bytes(8, "big"), "LKCD"),
        (0xA8190173618F23ED.to_bytes(8, "little"), "LKCD"),
        (b"sadump\0\0", "sadump"),
        (b"!<arch>\n", "archive"),
    ],
)
def test_other_formats(tmp_path: Path, magic: bytes, word: str) -> None:
    refused(tmp_path / "d", magic + bytes(8000), UnsupportedDump, word, "expected an ELF vmcore")


@pytest.mark.parametrize(
    ("machine", "order", "word"),
    [
        (62, "little", "x86-64"),
        (183, "little", "AArch64"),
        (22, "big", "s390"),
        (258, "little", "Loong"),
    ],
)
def test_core_of_another_machine(tmp_path: Path, machine: int, order: str, word: str) -> None:
    data = build_elf(
        [Segment(0, PAGE)], machine=machine, order="big" if order == "big" else "little"
    )
    refused(tmp_path / "d", data, UnsupportedDump, word, "expected PowerPC64")


@pytest.mark.parametrize("order", ["big", "little"])
def test_ppc32_core(tmp_path: Path, order: str) -> None:
    data = build_elf(
        [Segment(0, PAGE)], machine=20, ei_class=1, order="big" if order == "big" else "little"
    )
    refused(tmp_path / "d", data, UnsupportedDump, "32-bit", "expected", "64-bit PowerPC64")


@pytest.mark.parametrize(
    ("e_type", "word"), [(2, "executable"), (3, "shared object"), (1, "relocat")]
)
def test_ppc64_kernel_instead_of_its_core(tmp_path: Path, e_type: int, word: str) -> None:
    """The user named vmlinux, or a module."""
    data = build_elf([Segment(0, PAGE)], header={"e_type": e_type})
    refused(tmp_path / "vmlinux", data, UnsupportedDump, word, "name the vmcore, not the kernel")


@pytest.mark.parametrize(
    "data",
    [
        b"Linux version 6.1.0-50-powerpc64le (debian-kernel@lists.debian.org)\n" * 20,
        b"\n",
        b"x",
        b"\x7fEL",
        b"KDUMP",
        b"KDUMP\0\0\0" + bytes(500),
        b"makedumpfile\0\0",
        bytes(16),
        bytes(1 << 20),
        random.Random(5).randbytes(4096),
        bytes(8) + KDUMP,
    ],
)
def test_no_dump_at_all(tmp_path: Path, data: bytes) -> None:
    shown = data[:8].hex(" ")
    refused(
        tmp_path / "d", data, UnknownFormat, "expected an ELF vmcore", "KDUMP", f"found {shown}"
    )


@pytest.mark.parametrize("size", range(4, 64, 7))
def test_the_beginning_of_a_dump_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "d"
    path.write_bytes(ELF[:size])
    with pytest.raises(
        DumpError, match=r"expected 64 bytes, found a file of \d+ bytes.*copy it again"
    ):
        open_source(path)


def test_empty_file(tmp_path: Path) -> None:
    refused(
        tmp_path / "vmcore", b"", UnreadableFile, "empty", "expected a vmcore", "capture kernel"
    )
