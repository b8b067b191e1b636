"""The view of a flattened file against a plain bytes model: any records, any read, any cut."""

from __future__ import annotations

import itertools
import os
import random
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.flattened import HEADER_BYTES
from containers.chain import HEADER, Record, chain, unpacked
from vmemmap.errors import CorruptDump
from vmemmap.source.file_view import FileView
from vmemmap.source.flattened import FlattenedView
from work import lines_of

RECORDS = st.lists(
    st.tuples(st.integers(0, 120), st.binary(min_size=1, max_size=40)), min_size=1, max_size=12
)
READS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=12)


def view_of(data: bytes) -> FlattenedView:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return FlattenedView(FileView(os.dup(file.fileno()), "dump.flat"))


@settings(max_examples=examples(300))
@given(records=RECORDS, reads=READS)
def test_any_read_is_that_of_the_unpacked_file(
    records: list[Record], reads: list[tuple[int, int]]
) -> None:
    view = view_of(chain(records))
    image, _ = unpacked(records)
    assert view.size == len(image)
    assert view.warnings == []
    assert not view.truncated
    for offset, size in reads:
        assert bytes(view.view(offset, size)) == image[offset : offset + size]
        assert view.holds(offset, size) is (offset + size <= len(image))
    view.close()


@settings(max_examples=examples(300))
@given(records=RECORDS, keep=st.floats(0, 1), reads=READS)
def test_a_cut_chain_holds_what_its_records_cover(
    records: list[Record], keep: float, reads: list[tuple[int, int]]
) -> None:
    """What lies in a hole may be lost, so it is not held; the rest is as the records say."""
    whole = chain(records)
    body = whole[: HEADER_BYTES + 17 + int(keep * (len(whole) - HEADER_BYTES - 18))]
    have = records_before(records, len(body))
    view = view_of(body)
    assert view.truncated
    assert [len(view.warnings), "no end mark" in view.warnings[0]] == [1, True]
    image, mask = unpacked(have)
    assert view.size == len(image)
    for offset, size in reads:
        covered = offset + size <= len(image) and all(mask[offset : offset + size])
        assert view.holds(offset, size) is covered, (offset, size)
        assert bytes(view.view(offset, size)) == image[offset : offset + size]
    view.close()


def records_before(records: list[Record], length: int) -> list[Record]:
    """The records in the first *length* bytes of their chain, the last one cut."""
    found, at = [], HEADER_BYTES
    for offset, data in records:
        part = data[: max(0, length - at - 16)]
        at += 16 + len(data)
        if part:
            found.append((offset, part))
    return found


def test_every_order_of_overlapping_records() -> None:
    pieces = [(0, b"A" * 10), (4, b"B" * 3), (6, b"C" * 10), (2, b"D" * 2), (9, b"E")]
    for records in itertools.permutations(pieces):
        view = view_of(chain(records))
        assert bytes(view.view(0, 100)) == unpacked(records)[0]


def test_a_read_inside_one_record_is_no_copy() -> None:
    view = view_of(chain([(0, bytes(range(200)))]))
    assert view.view(10, 50).obj is view.view(60, 7).obj
    with pytest.raises(TypeError):
        view.view(10, 50)[0] = 1


SHAPES = ["ascending", "descending", "shuffled", "overlapping", "nested"]


def tiny_records(shape: str, count: int) -> list[tuple[int, bytes]]:
    rng = random.Random(7)
    records = [(at * 8, bytes(rng.randbytes(8))) for at in range(count)]
    if shape == "descending":
        records.reverse()
    elif shape == "shuffled":
        rng.shuffle(records)
    elif shape == "overlapping":
        records = [(at * 5, data) for at, (_, data) in enumerate(records)]
        rng.shuffle(records)
    elif shape == "nested":
        records.insert(0, (0, rng.randbytes(count * 8)))
    return records


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_thousand_tiny_records(shape: str) -> None:
    records = tiny_records(shape, 100_000)
    image, _ = unpacked(records)
    view = view_of(chain(records))
    assert bytes(view.view(0, len(image))) == image
    for offset in (0, 1, 399_996, len(image) - 5):
        assert bytes(view.view(offset, 21)) == image[offset : offset + 21]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_record_costs_the_same_however_many_there_are(shape: str) -> None:
    """O(n log n): peers are quadratic here (dump-formats.md section 2)."""
    few, many = (chain(tiny_records(shape, count)) for count in (500, 4000))
    assert lines_of(lambda: view_of(many)) < 10 * lines_of(lambda: view_of(few))


def test_adjacent_single_bytes_are_read_as_one_range() -> None:
    rng = random.Random(3)
    image = rng.randbytes(5000)
    records = [(at, image[at : at + 1]) for at in range(5000)]
    rng.shuffle(records)
    view = view_of(chain(records, end=b""))
    assert view.truncated
    assert view.holds(0, 5000)
    assert bytes(view.view(0, 5000)) == image


@pytest.mark.parametrize("length", [0, 1, 15, 16])
def test_no_record_at_all(length: int) -> None:
    """libkdumpfile crashes on a chain without records."""
    end = (b"\xff" * 16)[:length]
    with pytest.raises(CorruptDump, match=r"first record.*cut off"):
        view_of(HEADER + end)
