"""Hostile ELF headers, one parametrized test for each row of dump-formats.md 3.5."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from builders.byte_order import Order
from builders.content import address_words
from builders.elf_core import PT_NOTE, Segment, build_elf
from builders.notes import build_note, kernel_notes
from vmemmap.errors import CorruptDump, NotInDump, UnsupportedDump
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
ORDERS: list[Order] = ["little", "big"]
PAGE = 4096
TEXT = b"OSRELEASE=6.1.0\nPAGESIZE=65536\n"


def content(phys: int, size: int) -> bytes:
    return address_words(phys, size, "little")


def sound(order: Order = "little", **options: object) -> bytes:
    """A sound dump of one page at 0, apart from what the options say."""
    notes = kernel_notes(order, vmcoreinfo=TEXT)
    return build_elf([Segment(0, content(0, PAGE))], notes, order=order, **options)  # type: ignore[arg-type]


def reads_right(source: PhysicalSource) -> None:
    assert source.read(0, PAGE) == content(0, PAGE)
    with pytest.raises(NotInDump):
        source.read(PAGE, 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [0, 1, 32, 55, 57, 64, 0x3800, 0xFFFF])
def test_e_phentsize(open_bytes: Open, order: Order, size: int) -> None:
    with pytest.raises(CorruptDump, match=rf"e_phentsize.*expected 1 and 56, found 1 and {size}$"):
        open_bytes(sound(order, header={"e_phentsize": size}))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "offset", [0, 1, 63, 0x20FFF, 1 << 20, 1 << 31, 1 << 40, 1 << 63, 2**64 - 56, 2**64 - 1]
)
def test_e_phoff(open_bytes: Open, order: Order, offset: int) -> None:
    with pytest.raises(CorruptDump, match=r"program headers.*expected.*found") as caught:
        open_bytes(sound(order, header={"e_phoff": offset}))
    assert caught.value.file_offset == offset


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0x1000, 0x8000, 0xFFFE])
def test_e_phnum(open_bytes: Open, order: Order, count: int) -> None:
    with pytest.raises(CorruptDump, match=f"table of {count} program headers"):
        open_bytes(sound(order, header={"e_phnum": count}))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0x10000, 1 << 31, 2**32 - 1])
def test_sh_info(open_bytes: Open, order: Order, count: int) -> None:
    data = bytearray(sound(order, xnum=True))
    mark = "<" if order == "little" else ">"
    (shoff,) = struct.unpack_from(mark + "Q", data, 40)
    assert struct.unpack_from(mark + "I", data, shoff + 44) == (2,)
    struct.pack_into(mark + "I", data, shoff + 44, count)
    with pytest.raises(CorruptDump, match=f"table of {count} program headers"):
        open_bytes(bytes(data))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [0, 1, 40, 63, 65, 4096, 0xFFFF])
def test_pn_xnum_with_a_bad_section_header_size(open_bytes: Open, order: Order, size: int) -> None:
    with pytest.raises(CorruptDump, match=f"section header 0.*expected 64.*found size {size} "):
        open_bytes(sound(order, xnum=True, header={"e_shentsize": size}))


@pytest.mark.parametrize("offset", [0x20FFF, 1 << 31, 1 << 40, 1 << 63, 2**64 - 48, 2**64 - 1])
def test_pn_xnum_with_its_section_header_outside(open_bytes: Open, offset: int) -> None:
    with pytest.raises(CorruptDump, match="section header 0"):
        open_bytes(sound(xnum=True, header={"e_shoff": offset}))


@pytest.mark.parametrize("offset", [0, 1 << 31, 2**64 - 1])
@pytest.mark.parametrize("shnum", [0, 1, 0xFFFF])
def test_sections_are_not_looked_at_otherwise(open_bytes: Open, offset: int, shnum: int) -> None:
    fields = {"e_shoff": offset, "e_shnum": shnum, "e_shentsize": 0, "e_shstrndx": 0xFFFF}
    reads_right(open_bytes(sound(header=fields | {"e_ehsize": 8})))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("paddr", "memsz"),
    [
        (0x10000, 1 << 60),
        (0x10000, 2**64 - 1),
        (0x10000, 2**64 - 0x10000),
        (1 << 56, PAGE),
        ((1 << 56) - PAGE, PAGE + 1),
        (2**64 - PAGE, PAGE),
        (2**64 - PAGE, 2 * PAGE),
        (2**64 - 2, 1),
        (1 << 63, 1 << 63),
    ],
)
def test_impossible_physical_range(open_bytes: Open, order: Order, paddr: int, memsz: int) -> None:
    segments = [Segment(0, content(0, PAGE)), Segment(paddr, b"x" * 16, memsz, vaddr=0)]
    with pytest.raises(CorruptDump, match=r"PT_LOAD 1 .*2\*\*56.*found") as caught:
        open_bytes(build_elf(segments, order=order))
    assert f"{paddr:#x}" in caught.value.found
    assert f"{memsz:#x}" in caught.value.found


def test_the_highest_possible_range(open_bytes: Open) -> None:
    top = (1 << 56) - PAGE
    source = open_bytes(build_elf([Segment(top, content(top, PAGE))]))
    assert source.read(top, PAGE) == content(top, PAGE)
    assert source.ranges().tolist() == [[top, 1 << 56]]
    with pytest.raises(NotInDump):
        source.read(1 << 56, 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [PAGE + 12, 1 << 31, 1 << 40, 1 << 63, 2**64 - 1])
def test_pt_note_size(open_bytes: Open, order: Order, size: int) -> None:
    """What is there of the notes is used, the rest is warned about."""
    source = open_bytes(sound(order, note_header={"p_filesz": size}))
    reads_right(source)
    if size > 1 << 30:
        assert source.is_incomplete()
        assert any(f"({size} bytes)" in warning for warning in source.warnings)
    assert source.vmcoreinfo == TEXT


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("offset", [0x40000, 1 << 31, 1 << 40, 1 << 63, 2**64 - 12, 2**64 - 1])
def test_pt_note_offset(open_bytes: Open, order: Order, offset: int) -> None:
    source = open_bytes(sound(order, note_header={"p_offset": offset}))
    reads_right(source)
    assert source.notes == []
    assert source.vmcoreinfo is None
    assert source.is_incomplete()
    assert any(f"{offset:#x}" in warning for warning in source.warnings)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("namesz", "descsz"), [(2**32 - 1, 0), (0, 2**32 - 1), (2**31, 2**31), (2**32 - 3, 2**32 - 3)]
)
def test_note_sizes(open_bytes: Open, order: Order, namesz: int, descsz: int) -> None:
    good = build_note(b"VMCOREINFO", TEXT, 0, order)
    mark = "<" if order == "little" else ">"
    bad = struct.pack(mark + "III", namesz, descsz, 1) + bytes(100)
    source = open_bytes(build_elf([Segment(0, content(0, PAGE))], good + bad + good, order=order))
    reads_right(source)
    assert len(source.notes) == 1
    assert source.vmcoreinfo == TEXT


@pytest.mark.parametrize("order", ORDERS)
def test_several_note_segments(open_bytes: Open, order: Order) -> None:
    """An in-memory header of fadump has one PT_NOTE for the CPUs and one for VMCOREINFO."""
    text = build_note(b"VMCOREINFO", TEXT, 0, order)
    segments = [Segment(0, content(0, PAGE)), Segment(0, text, p_type=PT_NOTE)]
    source = open_bytes(build_elf(segments, kernel_notes(order, cpus=2), order=order))
    assert [note.name for note in source.notes] == ["CORE", "CORE", "VMCOREINFO"]
    assert source.vmcoreinfo == TEXT


@pytest.mark.parametrize("order", ORDERS)
def test_note_segment_behind_the_loads(open_bytes: Open, order: Order) -> None:
    source = open_bytes(sound(order, note_last=True))
    assert source.vmcoreinfo == TEXT
    reads_right(source)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"machine": 62}, "x86-64.*PowerPC64"),
        ({"machine": 20, "ei_class": 1, "order": "big"}, "32-bit.*32-bit PowerPC.*64-bit"),
        ({"machine": 22, "order": "big"}, "s390"),
        ({"machine": 183}, "AArch64"),
        ({"machine": 9999}, "machine 9999"),
        ({"header": {"e_type": 2}}, r"type 2 \(executable\).*vmcore, not the kernel"),
        ({"header": {"e_type": 3}}, r"type 3 \(shared object\)"),
        ({"header": {"e_type": 0xFE00}}, r"type 65024 \(unknown\)"),
    ],
)
@pytest.mark.parametrize("ei_data", [1, 2])
def test_another_kind_of_elf_file(
    open_bytes: Open, options: dict[str, object], words: str, ei_data: int
) -> None:
    with pytest.raises(UnsupportedDump, match=words):
        open_bytes(build_elf([Segment(0, b"x" * 64)], **({"ei_data": ei_data} | options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("ei_class", [0, 3, 255])
def test_impossible_class(open_bytes: Open, ei_class: int) -> None:
    data = bytearray(sound())
    data[4] = ei_class
    with pytest.raises(CorruptDump, match=rf"EI_CLASS.*expected 2.*found {ei_class}$"):
        open_bytes(bytes(data))
