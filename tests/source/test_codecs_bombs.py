"""Compressed bombs, decoded in a process that may not grow by more than 64 MiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import vmemmap
from builders.content import address_words
from builders.kdump import build_kdump
from builders.kdump_codecs import CODEC_FLAGS, Codec, compress
from vmemmap.errors import CorruptPage
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
BLOCK = 65536
HEADROOM = 64 << 20

CHILD = """
import json, resource, sys
from vmemmap.source.codecs import decoder
good, bombs = json.load(sys.stdin)
for codec, packed in good.items():  # libraries loaded, first allocations made
    assert decoder(codec)(bytes.fromhex(packed), 65536) == bytes(65536), codec
with open("/proc/self/statm") as status:
    used = int(status.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
for name, (codec, packed) in bombs.items():
    data = bytes.fromhex(packed)
    try:
        outcome = f"page of {len(decoder(codec)(data, 65536))}"
    except ValueError as error:
        outcome = f"ValueError: {error}"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    print(json.dumps([name, outcome]), flush=True)
"""


def zlib_bomb(mebibytes: int) -> bytes:
    """A valid stream of zeros, made of one block that does not refer back, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1  # adler32 of n zeros: the low half stays 1, the high half is n mod 65521
    checksum |= (mebibytes << 20) % 65521 << 16
    return b"\x78\x01" + part * mebibytes + b"\x03\x00" + checksum.to_bytes(4, "big")


def zstd_frame(declared: int | None, blocks: int, window: int = 0x38) -> bytes:
    """Blocks of 128 KiB, each one byte repeated. *window* is the descriptor byte; 0x38: 128 KiB."""
    header = b"\x28\xb5\x2f\xfd"
    if declared is None:
        header += bytes((0x00, window))
    else:
        header += b"\xe0" + declared.to_bytes(8, "little")
    size = 128 << 10
    rle = (size << 3 | 1 << 1).to_bytes(3, "little") + b"A"
    last = (size << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"
    return header + rle * (blocks - 1) + last


def snappy_stream(declared: int, copies: int) -> bytes:
    """One literal byte, then copies of 64 bytes each from one byte back."""
    varint = bytearray()
    while declared >= 0x80:
        varint.append(declared & 0x7F | 0x80)
        declared >>= 7
    varint.append(declared)
    return bytes(varint) + b"\x00A" + b"\xfe\x01\x00" * copies


def lzo_bomb() -> bytes:
    """As much as 64 KiB of LZO1X can hold: almost 12 MiB as lzallright packs it."""
    packed = compress("lzo", bytes(11 << 20))
    assert len(packed) <= BLOCK
    return packed


BOMBS: dict[str, tuple[Codec, bytes]] = {
    "zlib stream of 1 GiB": ("zlib", zlib_bomb(1024)),
    "zlib stream of 64 MiB in one page": ("zlib", zlib_bomb(60)),
    "zstd declares 1 TiB": ("zstd", zstd_frame(1 << 40, 8)),
    "zstd declares 2^64 - 3": ("zstd", zstd_frame(2**64 - 3, 8)),
    "zstd declares 1 GiB and has it": ("zstd", zstd_frame(1 << 30, 8192)),
    "zstd declares nothing and has 1 GiB": ("zstd", zstd_frame(None, 8192)),
    "zstd declares a page and has 1 GiB": ("zstd", zstd_frame(BLOCK, 8192)),
    "zstd with a window of 128 MiB": ("zstd", zstd_frame(None, 2, window=0x88)),
    "zstd with a window of 2 TiB": ("zstd", zstd_frame(None, 2, window=0xF8)),
    "snappy declares 4 GiB": ("snappy", snappy_stream(2**32 - 1, 20)),
    "snappy declares 1 GiB": ("snappy", snappy_stream(1 << 30, 20)),
    "snappy declares 2^63": ("snappy", snappy_stream(1 << 63, 20)),
    "snappy declares a page and has 1 MiB": ("snappy", snappy_stream(BLOCK, 16384)),
    "lzo of 11 MiB": ("lzo", lzo_bomb()),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """Decode every bomb in a process of little memory."""
    codecs: list[Codec] = ["zlib", "lzo", "snappy", "zstd"]
    good = {codec: compress(codec, bytes(BLOCK)).hex() for codec in codecs}
    bombs = {name: (codec, data.hex()) for name, (codec, data) in BOMBS.items()}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(HEADROOM)],
        input=json.dumps([good, bombs]),
        env=os.environ | {"PYTHONPATH": str(Path(vmemmap.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return dict(json.loads(line) for line in child.stdout.splitlines())


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_in_little_memory(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name].startswith("ValueError: "), outcomes[name]
    assert len(outcomes[name]) < 300


def test_the_zlib_bomb_is_a_sound_stream() -> None:
    """Otherwise the test above would show nothing."""
    unpacker, total = zlib.decompressobj(), 0
    data = zlib_bomb(3)
    while data:
        total += len(unpacker.decompress(data, 1 << 16))
        data = unpacker.unconsumed_tail
    total += len(unpacker.flush())
    assert unpacker.eof
    assert total == 3 << 20


def test_the_other_bombs_are_sound_when_small() -> None:
    """The same streams with honest sizes decode, so the hand-made framing is right."""
    import cramjam
    import zstandard

    zstd = zstandard.ZstdDecompressor()
    assert zstd.decompress(zstd_frame(2 << 17, 2)) == b"A" * (2 << 17)
    assert zstd.decompress(zstd_frame(None, 2), max_output_size=2 << 17) == b"A" * (2 << 17)
    assert bytes(cramjam.snappy.decompress_raw(snappy_stream(1 + 64 * 20, 20))) == b"A" * 1281


@pytest.mark.parametrize("name", [name for name, (_, data) in BOMBS.items() if len(data) <= BLOCK])
def test_bomb_in_a_page_of_a_dump(open_bytes: Open, name: str) -> None:
    codec, bomb = BOMBS[name]
    neighbour = address_words(0, BLOCK, "big")
    data = build_kdump(
        {1: neighbour, 2: bomb.ljust(BLOCK, b"\0"), 3: neighbour},
        block_size=BLOCK,
        codec="raw",
        descriptors={2: {"flags": CODEC_FLAGS[codec], "size": len(bomb)}},
    )
    source = open_bytes(data)
    with pytest.raises(CorruptPage, match="cannot decode the page of physical address 0x20000"):
        source.read(2 * BLOCK, 8)
    assert source.read(BLOCK, BLOCK) == source.read(3 * BLOCK, BLOCK) == neighbour
