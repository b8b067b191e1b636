"""ELF notes: padding, both byte orders, and every way in which a size can lie."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.byte_order import Order
from builders.notes import build_note, kernel_notes, qemu_notes
from vmemmap.formats.notes import VMCOREINFO_MAX_BYTES, Note, find_vmcoreinfo, walk_notes

ORDERS: list[Order] = ["little", "big"]
U32_MAX = 0xFFFFFFFF


def raw_header(namesz: int, descsz: int, kind: int, order: Order = "little") -> bytes:
    return struct.pack(("<" if order == "little" else ">") + "III", namesz, descsz, kind)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("desc_bytes", range(6))
@pytest.mark.parametrize("name", [b"", b"a", b"abc", b"abcd", b"VMCOREINFO"])
def test_name_and_desc_are_padded_to_four(name: bytes, desc_bytes: int, order: Order) -> None:
    desc = bytes(range(1, desc_bytes + 1))
    data = build_note(name, desc, 7, order) + build_note(b"END", b"end!", 9, order)
    assert list(walk_notes(data, order)) == [
        Note(name.decode(), 7, desc),
        Note("END", 9, b"end!"),
    ]


@pytest.mark.parametrize("order", ORDERS)
def test_kernel_notes_give_text_and_cpus(order: Order) -> None:
    text = b"OSRELEASE=6.1.0\nPAGESIZE=65536\n"
    notes = list(walk_notes(kernel_notes(order, vmcoreinfo=text, cpus=3).data, order))
    assert [(note.name, note.kind, len(note.desc)) for note in notes] == [
        ("CORE", 1, 504),
        ("CORE", 1, 504),
        ("CORE", 1, 504),
        ("VMCOREINFO", 0, len(text)),
    ]
    assert find_vmcoreinfo(notes) == text


def test_qemu_notes_have_no_vmcoreinfo() -> None:
    notes = list(walk_notes(qemu_notes("big", cpus=2).data, "big"))
    assert [note.kind for note in notes] == [1, 2, 0x100, 0x102, 0x101] * 2
    assert find_vmcoreinfo(notes) is None


def test_wrong_byte_order_yields_nothing() -> None:
    assert list(walk_notes(kernel_notes("big", vmcoreinfo=b"A=1\n").data, "little")) == []


@pytest.mark.parametrize(
    ("namesz", "descsz"),
    [
        (U32_MAX, 0),
        (0, U32_MAX),
        (U32_MAX, U32_MAX),
        (U32_MAX - 2, 4),
        (0x80000000, 0x80000000),
        (5, 1 << 31),
        (1 << 20, 0),
    ],
)
def test_sizes_beyond_the_data_end_the_walk(namesz: int, descsz: int) -> None:
    good = build_note(b"CORE", b"1234", 1, "little")
    bad = raw_header(namesz, descsz, 1) + bytes(64)
    assert list(walk_notes(good + bad + good, "little")) == [Note("CORE", 1, b"1234")]


def test_an_all_zero_header_ends_the_walk() -> None:
    good = build_note(b"CORE", b"1234", 1, "little")
    assert len(list(walk_notes(good + bytes(12) + good, "little"))) == 1


def test_an_empty_note_of_a_type_advances() -> None:
    data = raw_header(0, 0, 5) * 3
    assert list(walk_notes(data, "little")) == [Note("", 5, b"")] * 3


@pytest.mark.parametrize("missing", range(1, 28))
def test_a_note_cut_short_is_not_given(missing: int) -> None:
    first = build_note(b"CORE", b"1234", 1, "little")
    whole = first + build_note(b"CORE", b"12345678", 1, "little")
    found = list(walk_notes(whole[:-missing], "little"))
    assert found == [Note("CORE", 1, b"1234")]


def test_padding_of_the_last_note_may_be_missing() -> None:
    data = build_note(b"CORE", b"12345", 1, "big")
    assert list(walk_notes(data[:-3], "big")) == [Note("CORE", 1, b"12345")]


def test_a_name_without_nul_is_taken_whole() -> None:
    data = raw_header(4, 0, 3) + b"ABCD"
    assert list(walk_notes(data, "little")) == [Note("ABCD", 3, b"")]


def test_vmcoreinfo_needs_its_name_and_type() -> None:
    decoys = [Note("VMCOREINFO", 1, b"no"), Note("vmcoreinfo", 0, b"no"), Note("CORE", 0, b"no")]
    assert find_vmcoreinfo(decoys) is None
    assert find_vmcoreinfo([*decoys, Note("VMCOREINFO", 0, b"A=1\n\0\0")]) == b"A=1\n"


def test_vmcoreinfo_is_bounded() -> None:
    text = find_vmcoreinfo([Note("VMCOREINFO", 0, b"x" * (VMCOREINFO_MAX_BYTES + 9))])
    assert text is not None
    assert len(text) == VMCOREINFO_MAX_BYTES == 1 << 20


@given(
    notes=st.lists(
        st.tuples(
            st.binary(max_size=9).filter(lambda name: b"\0" not in name),
            st.binary(max_size=40),
            st.integers(1, U32_MAX),
        ),
        max_size=8,
    ),
    order=st.sampled_from(ORDERS),
)
def test_what_is_built_is_walked(notes: list[tuple[bytes, bytes, int]], order: Order) -> None:
    data = b"".join(build_note(name, desc, kind, order) for name, desc, kind in notes)
    expected = [Note(name.decode("latin-1"), kind, desc) for name, desc, kind in notes]
    assert list(walk_notes(data, order)) == expected


@given(data=st.binary(max_size=400), order=st.sampled_from(ORDERS))
def test_any_bytes_end(data: bytes, order: Order) -> None:
    notes = list(walk_notes(data, order))
    assert len(notes) <= len(data) // 12
    assert sum(len(note.name) + len(note.desc) + 12 for note in notes) <= len(data)
