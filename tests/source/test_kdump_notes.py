"""Notes and VMCOREINFO of kdump files: two places for one text, and both may lie."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from builders.byte_order import Order
from builders.kdump import build_kdump
from builders.notes import Notes, build_note, kernel_notes, qemu_notes
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
BLOCK = 4096
PAGE = bytes(range(256)) * 16
NOTE_TEXT = b"OSRELEASE=6.1.0\nPAGESIZE=65536\n"
NOTES_AT = BLOCK + 104


def dump(
    notes: Notes | None = None, sub_header: dict[str, int] | None = None, **more: object
) -> bytes:
    if notes is None:
        notes = kernel_notes("little", vmcoreinfo=NOTE_TEXT)
    return build_kdump({3: PAGE}, block_size=BLOCK, notes=notes, sub_header=sub_header, **more)


def reads_right(source: PhysicalSource) -> None:
    assert source.read(3 * BLOCK, BLOCK) == PAGE


@pytest.mark.parametrize("order", ORDERS)
def test_both_places_agree(open_bytes: Open, order: Order) -> None:
    notes = kernel_notes(order, vmcoreinfo=NOTE_TEXT, cpus=2)
    source = open_bytes(dump(notes, order=order))
    assert source.vmcoreinfo == NOTE_TEXT
    assert [(note.name, note.kind) for note in source.notes] == [
        ("CORE", 1),
        ("CORE", 1),
        ("VMCOREINFO", 0),
    ]
    assert source.warnings == []


def test_note_alone(open_bytes: Open) -> None:
    source = open_bytes(dump(sub_header={"offset_vmcoreinfo": 0, "size_vmcoreinfo": 0}))
    assert source.vmcoreinfo == NOTE_TEXT
    assert source.warnings == []


def test_offset_alone(open_bytes: Open) -> None:
    source = open_bytes(dump(sub_header={"offset_note": 0, "size_note": 0}))
    assert source.notes == []
    assert source.vmcoreinfo == NOTE_TEXT


def test_neither(open_bytes: Open) -> None:
    source = open_bytes(dump(qemu_notes("little")))
    assert len(source.notes) == 5
    assert source.vmcoreinfo is None
    reads_right(source)


def test_offset_wins_where_they_differ(open_bytes: Open) -> None:
    """offset_vmcoreinfo points at a text of the same kind elsewhere: the eraseinfo area."""
    other = b"OSRELEASE=other\n"
    plain = dump(eraseinfo=other)
    at = len(plain) - len(other)
    fields = {"offset_vmcoreinfo": at, "size_vmcoreinfo": len(other)}
    source = open_bytes(dump(eraseinfo=other, sub_header=fields))
    assert source.vmcoreinfo == other
    assert any("differ" in warning for warning in source.warnings)


def test_nuls_behind_the_text_do_not_make_it_differ(open_bytes: Open) -> None:
    notes = kernel_notes("little", vmcoreinfo=NOTE_TEXT + b"\0" * 5)
    source = open_bytes(dump(notes))
    assert source.vmcoreinfo == NOTE_TEXT
    assert source.warnings == []


@pytest.mark.parametrize("version", range(3))
def test_versions_without_the_fields_have_no_notes(open_bytes: Open, version: int) -> None:
    """The bytes are there, but the fields that point at them mean nothing in these versions."""
    data = bytearray(dump())
    struct.pack_into("<i", data, 8, version)
    source = open_bytes(bytes(data))
    assert source.notes == []
    assert source.vmcoreinfo is None
    reads_right(source)


BAD_PLACES = [
    (1 << 20, 100),
    (1 << 31, 1 << 31),
    (1 << 40, 1 << 40),
    (NOTES_AT, 1 << 31),
    (NOTES_AT, 1 << 40),
    (NOTES_AT, 2**64 - 1),
    (2**63 - 1, 1),
    (2**63 - 1, 2**64 - 1),
    (-1, 100),
    (-(2**63), 100),
]


@pytest.mark.parametrize(("offset", "size"), BAD_PLACES)
@pytest.mark.parametrize("order", ORDERS)
def test_bad_place_of_the_notes(open_bytes: Open, order: Order, offset: int, size: int) -> None:
    notes = kernel_notes(order, vmcoreinfo=NOTE_TEXT)
    fields = {"offset_note": offset, "size_note": size}
    source = open_bytes(dump(notes, fields, order=order))
    assert source.notes == []
    assert source.vmcoreinfo == NOTE_TEXT  # from offset_vmcoreinfo
    assert any("notes" in w and str(size) in w for w in source.warnings)
    reads_right(source)


@pytest.mark.parametrize(("offset", "size"), BAD_PLACES)
def test_bad_place_of_vmcoreinfo(open_bytes: Open, offset: int, size: int) -> None:
    source = open_bytes(dump(None, {"offset_vmcoreinfo": offset, "size_vmcoreinfo": size}))
    assert source.vmcoreinfo == NOTE_TEXT  # from the note
    assert any("offset_vmcoreinfo" in w and str(size) in w for w in source.warnings)
    reads_right(source)


@pytest.mark.parametrize(("offset", "size"), BAD_PLACES)
def test_bad_place_of_eraseinfo_does_not_matter(open_bytes: Open, offset: int, size: int) -> None:
    source = open_bytes(dump(None, {"offset_eraseinfo": offset, "size_eraseinfo": size}))
    assert source.vmcoreinfo == NOTE_TEXT
    reads_right(source)


def test_vmcoreinfo_of_more_than_a_mebibyte_is_refused(open_bytes: Open) -> None:
    big = b"A=1\n" * (1 << 18) + b"B=2\n"
    at = len(dump(eraseinfo=big)) - len(big)
    fields = {"offset_vmcoreinfo": at, "size_vmcoreinfo": len(big)}
    source = open_bytes(dump(None, fields, eraseinfo=big))
    assert source.vmcoreinfo == NOTE_TEXT
    assert any(str(len(big)) in warning for warning in source.warnings)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("namesz", "descsz"),
    [(2**32 - 1, 0), (0, 2**32 - 1), (2**32 - 1, 2**32 - 1), (2**31, 2**31), (1 << 20, 4)],
)
def test_note_sizes(open_bytes: Open, order: Order, namesz: int, descsz: int) -> None:
    good = build_note(b"CORE", b"1234", 1, order)
    mark = "<" if order == "little" else ">"
    bad = struct.pack(mark + "III", namesz, descsz, 1) + bytes(64)
    source = open_bytes(dump(Notes(good + bad + good), order=order))
    assert [(note.name, note.desc) for note in source.notes] == [("CORE", b"1234")]
    reads_right(source)


def test_notes_longer_than_a_block(open_bytes: Open) -> None:
    notes = kernel_notes("little", vmcoreinfo=NOTE_TEXT, cpus=40)
    assert len(notes.data) > 4 * BLOCK
    source = open_bytes(dump(notes))
    assert len(source.notes) == 41
    assert source.vmcoreinfo == NOTE_TEXT
    reads_right(source)
