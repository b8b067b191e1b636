"""Zstd pages decoded many in one call: those that are sound, and no others."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
import zstandard

from breadth import trying
from builders.content import address_words
from vmemmap.source.codecs import pages_decoder

SIZE = 4096
NOISE = random.Random(7).randbytes(1 << 16)


def frame(page: bytes, *, checksum: bool = False, sized: bool = True, level: int = 1) -> bytes:
    return zstandard.ZstdCompressor(
        level=level, write_checksum=checksum, write_content_size=sized
    ).compress(page)


def page_of(number: int, size: int = SIZE) -> bytes:
    words = address_words(0xC000000000000000 + (number << 32), size, "big")
    return words if number % 3 else NOISE[number : number + size]


def decoded(
    frames: list[bytes], places: list[int], size: int = SIZE, room: int = 0
) -> tuple[list[int], bytes]:
    """Decode frames to places; give which were, and the room."""
    decode = pages_decoder("zstd")
    assert decode is not None
    file, at = bytearray(b"before"), []
    for each in frames:
        at.append(len(file))
        file += each
    rows = np.array([at, [len(each) for each in frames], places], dtype=np.int64).T
    out = bytearray(b"?" * (room or len(frames) * size))
    done = decode(memoryview(bytes(file)), rows, size, memoryview(out))
    return [*done], bytes(out)


@pytest.mark.parametrize("size", [1024, 4096, 16384])
def test_pages_go_to_their_places(size: int) -> None:
    pages = [page_of(number, size) for number in range(7)]
    frames = [frame(page, checksum=number % 2 == 1) for number, page in enumerate(pages)]
    places = [size * place for place in (0, 1, 2, 5, 4, 8, 9)]
    done, out = decoded(frames, places, size, 10 * size)
    assert done == [1] * 7
    for page, place in zip(pages, places, strict=True):
        assert out[place : place + size] == page
    for gap in (3, 6, 7):
        assert out[gap * size : (gap + 1) * size] == b"?" * size


def test_what_declares_no_page_is_left_to_care() -> None:
    good = page_of(1)
    left = {
        "no size": frame(good, sized=False),
        "another size": frame(good[:-1]),
        "a size of four bytes": frame(good * 20),
        "no zstd": b"\x78\x01" + bytes(40),
        "too short to tell": frame(good)[:6],
        "a window of 2 GiB": b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(40),
        "a dictionary": b"\x28\xb5\x2f\xfd\x61\x01" + struct.pack("<H", SIZE - 256) + bytes(40),
    }
    for name, data in left.items():
        with trying(name):
            done, out = decoded([data, frame(good)], [0, SIZE])
            assert done == [0, 1]
            assert out == b"?" * SIZE + good
    done, out = decoded([left["no zstd"]], [0])
    assert (done, out) == ([0], b"?" * SIZE)


def test_beside_a_damaged_one_each_is_left_to_itself() -> None:
    good = page_of(1)
    packed = frame(good, checksum=True)
    cut, longer = packed[:-5], frame(page_of(2) + b"x")
    wrong = longer[:5] + struct.pack("<H", SIZE - 256) + longer[7:]  # declares less than it has
    less = frame(good[:-8])
    short = less[:5] + struct.pack("<H", SIZE - 256) + less[7:]
    flipped = packed[:-1] + bytes([packed[-1] ^ 1])
    for name, bad in {"cut": cut, "long": wrong, "short": short, "flipped": flipped}.items():
        with trying(name):
            done, _ = decoded([packed, bad], [0, SIZE])
            assert done == [0, 0]


def test_large_pages_are_decoded_one_by_one() -> None:
    done, out = decoded([frame(page_of(1, 65536))], [0], 65536)
    assert (done, out) == ([0], b"?" * 65536)
