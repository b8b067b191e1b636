"""LZO1X of the compiled module: two other readers and another writer agree, and damage is told."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lzallright import LZOCompressor

from breadth import examples, singles, trying
from builders import lzo1x
from builders.content import address_words

compiled = pytest.importorskip("vmemmap._compiled")

PAGES = (4096, 16384, 65536)
NOISE = random.Random(1).randbytes(1 << 17)
LITERALS = (*range(1, 22), 237, 238, 239, 240, 272, 273, 274, 275, 527, 528, 529)
"""Counts of literals on both sides of where they are written in another way."""
LENGTHS = (4, 5, 8, 9, 10, 33, 34, 35, 263, 264, 265, 287, 288, 289, 290, 518, 519, 520, 3000)
"""Lengths of a copy on both sides of where they are written in another way."""
DISTANCES = (
    *range(1, 18),
    *(31, 32, 33, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 16383, 16384, 16385),
    *(32767, 32768, 32769, 49150, 49151, 49152, 49153, 65000),
)
"""Distances of a copy, likewise."""


def agreed(data: bytes) -> bytes:
    """Return the stream of some bytes, after three readers have agreed on it."""
    packed: bytes = compiled.lzo1x_compress(data)
    assert compiled.lzo1x_decompress(packed, len(data)) == data
    assert bytes(LZOCompressor.decompress(packed, len(data))) == data
    if len(packed) < 6000:
        assert lzo1x.unpack(packed, len(data)) == data
    assert len(packed) <= len(data) + len(data) // 16 + 67
    return packed


def like_struct_pages(size: int, seed: int = 1) -> bytes:
    """Return little-endian struct pages: flags, two list pointers, counts, mostly zeros."""
    rng = np.random.default_rng(seed)
    words = np.zeros((size + 63) // 64 * 8, dtype="<u8").reshape(-1, 8)
    words[:, 0] = rng.choice([0x3FFFF800000000, 0x3FFFF800010200, 0x3FFFF80002006C], len(words))
    linked = rng.random(len(words)) < 0.6
    words[linked, 1] = np.uint64(0xC00C000000000008) + rng.integers(
        0, 1 << 20, linked.sum(), dtype=np.uint64
    )
    words[linked, 2] = words[linked, 1] + np.uint64(64)
    words[:, 6] = 0x1_FFFF_FFFF
    return words.tobytes()[:size]


CONTENTS = {
    "zeros": bytes,
    "ones": lambda size: b"\xff" * size,
    "noise": lambda size: NOISE[:size],
    "text": lambda size: (b"vmemmap_populate: node 1, block 0xc000000012340000\n" * 1500)[:size],
    "addresses": lambda size: address_words(0xC000000000000000, size, "little"),
    "struct-pages": like_struct_pages,
    "mixed": lambda size: (NOISE[:777] + bytes(1234) + NOISE[100:400] + b"ab" * 300)[:size] * 30,
}
SIZES = (
    *range(70),
    *LITERALS[-11:],
    *range(4090, 4102),
    *range(16380, 16390),
    *range(49140, 49170),
)


@pytest.mark.parametrize("content", CONTENTS)
def test_round_trips_of_many_sizes(content: str) -> None:
    for size in (*SIZES, *range(65530, 65546), 70_000, 200_000):
        with trying(f"{size} bytes"):
            data = CONTENTS[content](size)
            agreed(data)
            if len(data) <= 4100:
                other = bytes(LZOCompressor().compress(data))
                assert compiled.lzo1x_decompress(other, len(data)) == data


@pytest.mark.parametrize(
    ("count", "length"), singles((count, length) for count in LITERALS for length in LENGTHS)
)
def test_literals_and_copies_of_every_class(count: int, length: int) -> None:
    """A phrase, zeros, so many literals, and the phrase again; or what goes round so often."""
    phrase, fresh = NOISE[:length], NOISE[70_000 : 70_000 + count]
    for distance in DISTANCES:
        if distance < length:
            data = bytes(8) + fresh + (phrase[:distance] * length)[: distance + length]
        elif distance >= length + count:
            data = bytes(8) + phrase + bytes(distance - length - count) + fresh + phrase
        else:
            continue
        with trying(f"from {distance} back"):
            packed = agreed(data + NOISE[90_000 : 90_000 + max(count, 20)])
            copies = lzo1x.copies(packed)
            if 49151 >= distance >= length >= 33:  # shorter ones may be missed
                assert (distance, length) in copies
            elif distance <= 33 and length >= 263:  # what goes round is found in the first rounds
                assert max(size for back, size in copies if back % distance == 0) > length // 2


COPIES = [
    *((lzo1x.near, length, back) for length in range(3, 9) for back in (1, 2, 7, 8, 9, 2047, 2048)),
    *(
        (lzo1x.middle, length, back)
        for length in (3, 32, 33, 34, 288, 289, 543, 544)
        for back in (1, 3, 8, 15, 16, 17, 2049, 16383, 16384)
    ),
    *(
        (lzo1x.far, length, back)
        for length in (3, 8, 9, 10, 264, 265, 519, 520)
        for back in (16385, 16386, 32767, 32768, 32769, 49150, 49151)
    ),
]


@pytest.mark.parametrize("behind", range(4))
def test_every_instruction_is_read(behind: int) -> None:
    """Each copy alone, at the very end of the room and with room behind it."""
    for make, length, back in COPIES:
        for more in (0, 1, 5, 40):
            with trying(f"{make.__name__} {length} from {back} back, {more} behind"):
                start, tail = NOISE[:50_000], NOISE[60_000 : 60_000 + behind]
                stream = lzo1x.literals(start) + make(length, back, tail)
                if more >= 4 and not behind:
                    stream += lzo1x.literals(NOISE[:more])
                elif more:
                    stream += lzo1x.near(3, 1) * more
                stream += lzo1x.END
                expected = lzo1x.unpack(stream, 1 << 20)
                assert expected[: 50_000 + min(length, back)] == (
                    start + start[50_000 - back : 50_000 - back + length]
                )
                assert compiled.lzo1x_decompress(stream, len(expected)) == expected
                assert bytes(LZOCompressor.decompress(stream, len(expected))) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 20, 237, 238])
def test_the_first_literals_and_the_shortest_copies(count: int) -> None:
    begin = lzo1x.literals(NOISE[:count], first=True)
    short = lzo1x.two if count < 4 else lzo1x.three
    for back in (1, 2, 3, 4, 5, 1023, 1024, 2049, 2050, 3071, 3072):
        if (count < 4) != (back <= 1024):
            continue
        with trying(f"from {back} back"):
            stream = begin + short(back, b"xy") + lzo1x.two(2, b"z") + lzo1x.END
            if back > count:
                with pytest.raises(ValueError, match="copies from before the first byte"):
                    compiled.lzo1x_decompress(stream, count + 8)
                stream = lzo1x.literals(NOISE[:4000]) + (
                    lzo1x.near(3, 9, b"q") + lzo1x.two(back) if count < 4 else short(back)
                )
                stream += lzo1x.END
            expected = lzo1x.unpack(stream, 5000)
            assert compiled.lzo1x_decompress(stream, len(expected)) == expected


WRONG = [
    (b"", "instruction at byte 0 is cut off at 0"),
    (b"\x11\0", "instruction at byte 0 is cut off at 2"),
    (lzo1x.END, "unpacks to 0 bytes, a page has 64"),
    (lzo1x.literals(NOISE[:64], first=True) + lzo1x.END + b"\0", "ends at byte 68, expected at 69"),
    (lzo1x.literals(NOISE[:64], first=True), "instruction at byte 65 is cut off at 65"),
    (lzo1x.literals(NOISE[:65], first=True) + lzo1x.END, "more than 64 bytes, by .* at byte 0$"),
    (b"\x13ab" + lzo1x.near(4, 3) + lzo1x.END, "at byte 3 copies from before the first byte"),
    (b"\x13ab" + lzo1x.far(4, 49151) + lzo1x.END, "at byte 3 copies from before the first byte"),
    (b"\x13ab" + lzo1x.middle(63, 1) + lzo1x.END, "more than 64 bytes, by .* at byte 3$"),
    (b"\x13ab" + lzo1x.middle(62, 1, b"x") + lzo1x.END, "more than 64 bytes, by .* at byte 3$"),
    (b"\x13ab\x20" + bytes(1 << 16), "instruction at byte 3 is cut off at 65540"),
    (b"\0" * 70, "instruction at byte 0 is cut off at 70"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_what_is_wrong_is_said(case: int) -> None:
    stream, said = WRONG[case]
    with pytest.raises(ValueError, match=f"^lzo: .*{said}"):
        compiled.lzo1x_decompress(stream, 64)
    with pytest.raises(ValueError, match=f"^lzo: .*{said}"):
        compiled.lzo1x_decompress_into(stream, bytearray(64))


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="a page cannot have -1 bytes"):
        compiled.lzo1x_decompress(lzo1x.END, -1)
    assert compiled.lzo1x_decompress(lzo1x.END, 0) == b""
    assert compiled.lzo1x_compress(b"") == lzo1x.END
    with pytest.raises(TypeError):
        compiled.lzo1x_decompress_into(lzo1x.END, b"")


STREAMS = [
    compiled.lzo1x_compress(like_struct_pages(1500)),
    compiled.lzo1x_compress(NOISE[:300] + bytes(3000) + NOISE[:300]),
    bytes(LZOCompressor().compress(like_struct_pages(1500, 2))),
    lzo1x.literals(NOISE[:20_000])
    + lzo1x.far(700, 16500)
    + lzo1x.literals(NOISE[:9])
    + lzo1x.three(2100)
    + lzo1x.END,
]


@pytest.mark.parametrize("case", range(len(STREAMS)))
def test_every_truncation_is_told(case: int) -> None:
    stream = STREAMS[case]
    size = len(lzo1x.unpack(stream, 1 << 16))
    for keep in range(len(stream)):
        with pytest.raises(ValueError, match=rf"^lzo: .* cut off at {keep}$"):
            compiled.lzo1x_decompress(stream[:keep], size)


@pytest.mark.parametrize("case", range(len(STREAMS)))
def test_a_byte_that_is_flipped_gives_what_the_document_says(case: int) -> None:
    """LZO has no checksum: another reader must have the same bytes, or refuse them, too."""
    stream = STREAMS[case]
    size = len(lzo1x.unpack(stream, 1 << 16))
    every = 1 if len(stream) < 3000 else 97
    for at in (*range(0, len(stream), every), *range(len(stream) - 40, len(stream))):
        for flip in (1, 4, 0x10, 0x20, 0x80, 0xFF):
            damaged = bytearray(stream)
            damaged[at] ^= flip
            with trying(f"byte {at} ^ {flip:#x}"):
                same_answer(bytes(damaged), size)


@settings(max_examples=examples(2000))
@given(stream=st.binary(max_size=80), size=st.integers(0, 600))
def test_any_bytes_give_what_the_document_says(stream: bytes, size: int) -> None:
    same_answer(stream, size)


def same_answer(stream: bytes, size: int) -> None:
    """Hold our reader against the slow one: the same bytes, or both refuse."""
    guard = bytearray(b"\xa5" * (size + 128))
    try:
        expected = lzo1x.unpack(stream, size)
        sound = len(expected) == size
    except ValueError:
        sound = False
    try:
        compiled.lzo1x_decompress_into(stream, memoryview(guard)[64 : 64 + size])
        read = True
    except ValueError:
        read = False
    assert read == sound
    assert guard[:64] + guard[64 + size :] == b"\xa5" * 128  # nothing is written outside
    if sound:
        assert guard[64 : 64 + size] == expected


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 3000)).map(
            lambda pair: pair[0] * (pair[1] // len(pair[0]))
        ),
        st.integers(0, 1 << 64).map(lambda seed: random.Random(seed).randbytes(seed % 3000)),
        st.integers(1, 50).map(lambda seed: like_struct_pages(seed * 64, seed)),
        st.tuples(st.integers(0, 5000), st.integers(0, 5000)).map(lambda p: NOISE[p[0] :][: p[1]]),
    ),
    max_size=40,
)


@settings(max_examples=examples(800))
@given(pieces=PIECES)
def test_round_trips_of_any_content(pieces: list[bytes]) -> None:
    agreed(b"".join(pieces))


@pytest.mark.parametrize("page", PAGES)
def test_pages_at_once_are_the_pages_one_by_one(page: int) -> None:
    """Streams that are smaller, or the page itself; and the same on two threads."""
    data = like_struct_pages(4 * page) + NOISE[:page] + bytes(page) + b"end"
    offsets = np.array([0, page, 3 * page, 4 * page, 5 * page, 7, 0], dtype=np.int64)
    packed, sizes = compiled.lzo1x_compress_pages(data, offsets, page)
    expected = []
    for offset in offsets.tolist():
        whole = data[offset : offset + page]
        stream = compiled.lzo1x_compress(whole)
        expected.append(stream if len(stream) < page else whole)
    assert bytes(packed) == b"".join(expected)
    assert np.frombuffer(sizes, dtype=np.int32).tolist() == [len(part) for part in expected]
    assert len(expected[3]) == page
    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(compiled.lzo1x_compress_pages, data, offsets, page)] * 2
        assert all(job.result() == (packed, sizes) for job in jobs)

    places = np.zeros((len(offsets), 3), dtype=np.int64)
    places[:, 1] = np.frombuffer(sizes, dtype=np.int32)
    places[:, 0] = np.cumsum(places[:, 1]) - places[:, 1]
    places[:, 2] = np.arange(len(offsets))[::-1] * page
    out = bytearray(len(offsets) * page)
    done = compiled.lzo1x_decompress_pages(packed, places, page, out)
    assert list(done) == [1, 1, 1, 0, 1, 1, 1]  # what is no stream is told, and harms no other
    for (_, _, at), offset, good in zip(places.tolist(), offsets.tolist(), done, strict=True):
        assert not good or out[at : at + page] == data[offset : offset + page]


def test_pages_outside_of_what_is_given_are_refused() -> None:
    packed = compiled.lzo1x_compress(bytes(64))
    largest = (1 << 63) - 1
    for place in [
        *((-1, 5, 0), (0, -1, 0), (0, 5, -1), (0, len(packed) + 1, 0), (len(packed) + 1, 0, 0)),
        *((0, 5, 1), (largest, 1, 0), (1, largest, 0), (0, 5, largest)),
    ]:
        with trying(place), pytest.raises(ValueError, match="outside of what is given"):
            compiled.lzo1x_decompress_pages(
                packed, np.array([place], dtype=np.int64), 64, bytearray(64)
            )
    for offset, page in ((-1, 4), (61, 4), (largest, 4), (0, 0), (0, -4), (0, 65), (0, 1 << 40)):
        with trying((offset, page)), pytest.raises(ValueError, match="outside of what is given"):
            compiled.lzo1x_compress_pages(bytes(64), np.array([offset], dtype=np.int64), page)


def test_noise_is_given_up_soon() -> None:
    """Where nothing repeats, a stream is little longer than the bytes."""
    for size in PAGES:
        assert len(compiled.lzo1x_compress(NOISE[:size])) <= size + size // 255 + 16


def test_real_pages(real_dump: object) -> None:
    """Each page that makedumpfile compressed: we read it as lzallright does, and write it as small.

    makedumpfile's own streams are the measure: liblzo2's LZO1X-1.
    """
    path: Path = real_dump("hash-64k-6.1/vmcore.d31.lzo")  # type: ignore[operator]
    theirs = ours = 0
    for stream in streams_of(path):
        page = compiled.lzo1x_decompress(stream, 65536)
        assert page == bytes(LZOCompressor.decompress(stream, 65536))
        again = compiled.lzo1x_compress(page)
        assert page == bytes(LZOCompressor.decompress(again, 65536))
        theirs += len(stream)
        ours += len(again)
    assert theirs > 10_000_000
    assert ours <= 1.03 * theirs


def streams_of(path: Path) -> list[bytes]:
    """Return the LZO streams of a kdump file with pages of 64 KiB."""
    from vmemmap.source.detect import open_source
    from vmemmap.source.kdump import KdumpSource

    source = open_source(path)
    assert isinstance(source, KdumpSource)
    file = path.read_bytes()
    end = source.file.descriptors_end
    dtype = np.dtype([("at", "<i8"), ("size", "<u4"), ("flags", "<u4"), ("page", "<u8")])
    rows = np.frombuffer(file[source.file.descriptors_at : end], dtype=dtype)
    source.close()
    return [file[row["at"] : row["at"] + row["size"]] for row in rows if row["flags"] == 2]
