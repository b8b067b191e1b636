"""Page codecs: what goes in comes out, and everything that is not one whole page is an error."""

from __future__ import annotations

import random
import sys
import types
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.content import address_words
from builders.kdump_codecs import Codec, compress
from vmemmap.errors import CodecUnavailable
from vmemmap.source.codecs import decoder, decoder_into, pages_decoder

CODECS: list[Codec] = ["zlib", "lzo", "snappy", "zstd"]
LIBRARIES = {
    "zlib": ("isal",),
    "lzo": ("vmemmap._compiled", "lzallright", "lzo"),
    "snappy": ("cramjam", "snappy"),
    "zstd": ("zstandard",),
}
BLOCKS = [4096, 8192, 65536]


@pytest.fixture(autouse=True)
def _fresh_decoders() -> Iterator[None]:
    """Decoders are kept once made; a test that takes libraries away must not leave any behind."""
    forget()
    yield
    forget()


def forget() -> None:
    decoder.cache_clear()
    decoder_into.cache_clear()
    pages_decoder.cache_clear()


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make ``import`` of the modules fail."""
    for module in modules:
        for name in [*sys.modules]:
            if name == module or name.startswith(module + "."):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
    forget()


def samples(size: int) -> list[bytes]:
    return [
        bytes(size),
        address_words(0xC000000000000000, size, "big"),
        random.Random(size).randbytes(size),
        b"\xff" * (size - 1) + b"\0",
    ]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("block", BLOCKS)
def test_round_trip(codec: Codec, block: int) -> None:
    decode = decoder(codec)
    for page in samples(block):
        packed = compress(codec, page)
        assert decode(packed, block) == page
        result = decode(memoryview(packed), block)
        assert result == page
        assert isinstance(result, bytes)


@settings(max_examples=examples(60))
@given(codec=st.sampled_from(CODECS), data=st.binary(min_size=1, max_size=300))
def test_round_trip_of_any_bytes(codec: Codec, data: bytes) -> None:
    assert decoder(codec)(compress(codec, data), len(data)) == data


@pytest.mark.parametrize("level", range(10))
def test_zlib_of_every_level(level: int) -> None:
    page = samples(4096)[1]
    assert decoder("zlib")(zlib.compress(page, level), 4096) == page


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("has", [0, 1, 2048, 4095, 4097, 8192, 65536])
def test_wrong_length(codec: Codec, has: int) -> None:
    packed = compress(codec, bytes(has))
    with pytest.raises(ValueError):
        decoder(codec)(packed, 4096)


@pytest.mark.parametrize("codec", CODECS)
def test_length_errors_say_both_lengths(codec: Codec) -> None:
    with pytest.raises(ValueError, match="4095 bytes, a page has 4096"):
        decoder(codec)(compress(codec, bytes(4095)), 4096)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", range(4))
def test_every_truncation_is_an_error(codec: Codec, kind: int) -> None:
    page = samples(4096)[kind]
    packed = compress(codec, page)
    decode = decoder(codec)
    for keep in {
        *range(min(len(packed), 40)),
        len(packed) // 2,
        *range(len(packed) - 12, len(packed)),
    }:
        if 0 <= keep < len(packed):
            with pytest.raises(ValueError):
                decode(packed[:keep], 4096)


@pytest.mark.parametrize("codec", CODECS)
def test_garbage_behind_the_stream(codec: Codec) -> None:
    """Tolerated or refused, by codec; never part of the page."""
    page = samples(4096)[1]
    packed = compress(codec, page)
    for garbage in (b"\0", b"\xff" * 100, packed):
        try:
            assert decoder(codec)(packed + garbage, 4096) == page
        except ValueError:
            assert codec != "zlib"  # crash and makedumpfile read such files; so must we


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(codec=st.sampled_from(CODECS), data=st.binary(max_size=200))
def test_arbitrary_bytes_give_a_page_or_a_value_error(codec: Codec, data: bytes) -> None:
    said = "nothing"
    try:
        assert len(decoder(codec)(data, 4096)) == 4096
    except ValueError as error:
        said = str(error)
    assert said


@settings(max_examples=examples(300))
@given(
    codec=st.sampled_from(CODECS),
    kind=st.integers(0, 3),
    at=st.integers(0, 1 << 16),
    value=st.integers(1, 255),
)
def test_a_flipped_byte_gives_a_page_or_a_value_error(
    codec: Codec, kind: int, at: int, value: int
) -> None:
    page = samples(4096)[kind]
    packed = bytearray(compress(codec, page))
    packed[at % len(packed)] ^= value
    try:
        result = decoder(codec)(bytes(packed), 4096)
    except ValueError:
        return
    assert len(result) == 4096
    if codec == "zlib":  # the only one with a checksum in kdump files
        assert result == page


@pytest.mark.parametrize(
    ("codec", "package", "otherwise"),
    [
        ("lzo", "lzallright", ", or vmemmap where there is a C compiler, which builds its own"),
        ("snappy", "cramjam", ""),
        ("zstd", "zstandard", ""),
    ],
)
def test_a_missing_library(
    monkeypatch: pytest.MonkeyPatch, codec: str, package: str, otherwise: str
) -> None:
    without(monkeypatch, *LIBRARIES[codec])
    said = f"{codec}.*pip install {package}{otherwise}$"
    for _ in range(2):  # and again: a failure must not be kept as an answer
        with pytest.raises(CodecUnavailable, match=said) as caught:
            decoder(codec)
        assert (caught.value.codec, caught.value.package) == (codec, package)
    for other in CODECS:
        if other != codec:
            assert decoder(other)(compress(other, bytes(4096)), 4096) == bytes(4096)
    monkeypatch.undo()
    assert callable(decoder(codec))


def test_snappy_without_cramjam_is_that_of_a_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """python-snappy's interface: it believes whatever size is declared, so nothing may reach it."""
    import cramjam

    asked = []

    def uncompress(packed: bytes) -> bytes:
        asked.append(packed)
        return bytes(cramjam.snappy.decompress_raw(packed))

    pages = [page for block in BLOCKS for page in samples(block)]
    packed = [compress("snappy", page) for page in pages]
    sound = compress("snappy", bytes(4096))
    without(monkeypatch, "cramjam")
    monkeypatch.setitem(sys.modules, "snappy", SimpleNamespace(uncompress=uncompress))
    for page, form in zip(pages, packed, strict=True):
        assert decoder("snappy")(form, len(page)) == page
    told = len(asked)
    for wrong in (sound.replace(sound[:2], b"\xff\xff\xff\xff\x0f", 1), b"\xff" * 9, b""):
        with pytest.raises(ValueError, match="does not declare the 4096 bytes"):
            decoder("snappy")(wrong, 4096)
    assert len(asked) == told
    with pytest.raises(ValueError, match="snappy"):
        decoder("snappy")(sound[:2] + b"\xff" * 20, 4096)


def test_zlib_without_isal_is_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    real = zlib.decompressobj

    def counted() -> object:
        used.append(True)
        return real()

    without(monkeypatch, "isal")
    monkeypatch.setattr(zlib, "decompressobj", counted)
    decoder.cache_clear()
    decode = decoder("zlib")
    for block in BLOCKS:
        for page in samples(block):
            packed = zlib.compress(page, 1)
            assert decode(packed, block) == page
            assert decode(packed + b"garbage", block) == page
            for bad in (packed[:-1], packed[: len(packed) // 2], b"", b"\0" * 9, packed[2:]):
                with pytest.raises(ValueError):
                    decode(bad, block)
            with pytest.raises(ValueError, match=f"more than {block - 1} bytes"):
                decode(packed, block - 1)
            with pytest.raises(ValueError, match=f"{block} bytes, a page has {block + 1}"):
                decode(packed, block + 1)
    assert used


def test_lzo_without_the_compiled_module_is_lzallright(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "vmemmap._compiled")
    assert pages_decoder("lzo") is None
    decode = decoder("lzo")
    for block in BLOCKS:
        for page in samples(block):
            packed = compress("lzo", page)
            room = bytearray(block)
            decoder_into("lzo")(memoryview(packed), memoryview(room))
            assert decode(memoryview(packed), block) == page == room
            with pytest.raises(ValueError, match=r"^lzo: \w+ "):
                decode(packed[:-1], block)
            with pytest.raises(ValueError, match=f"{block} bytes, a page has {block + 1}"):
                decode(packed, block + 1)


def test_zstd_pages_come_one_by_one_without_the_libraries_own_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pages_decoder("zstd") is not None
    forget()
    monkeypatch.delattr("zstandard.BufferWithSegments")
    assert pages_decoder("zstd") is None
    without(monkeypatch, "zstandard")
    assert pages_decoder("zstd") is None


def test_lzo_falls_back_to_python_lzo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interface of python-lzo: decompress(bytes, header, length), exception ``error``."""
    page = samples(4096)[1]
    packed = compress("lzo", page)
    calls = []

    class FakeError(Exception):
        pass

    def decompress(data: bytes, header: bool, length: int) -> bytes:
        calls.append((type(data), header, length))
        if data != packed:
            raise FakeError("Compressed data violation -6")
        return page[:length]

    fake = types.ModuleType("lzo")
    fake.__dict__.update(decompress=decompress, error=FakeError)
    without(monkeypatch, "vmemmap._compiled", "lzallright")
    monkeypatch.setitem(sys.modules, "lzo", fake)
    decode = decoder("lzo")
    assert decode(memoryview(packed), 4096) == page
    assert calls == [(bytes, False, 4096)]
    with pytest.raises(ValueError, match="lzo: Compressed data violation -6"):
        decode(b"x", 4096)
    with pytest.raises(ValueError, match="4096 bytes, a page has 8192"):
        decode(packed, 8192)
