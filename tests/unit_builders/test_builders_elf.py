"""ELF files and notes against readelf and the figures of dump-formats.md section 3."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from builders.elf_core import EM_PPC, EM_X86_64, PT_NULL, Segment, build_elf
from builders.machine import build_machine
from builders.notes import kernel_notes, prstatus, qemu_notes

MARK = {"little": "<", "big": ">"}
readelf_needed = pytest.mark.skipif(shutil.which("readelf") is None, reason="no binutils readelf")


def readelf(tmp_path: Path, data: bytes, *options: str) -> str:
    path = tmp_path / "core"
    path.write_bytes(data)
    done = subprocess.run(
        ["readelf", "-W", *options, str(path)], check=True, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def load_lines(text: str) -> list[tuple[int, ...]]:
    """(offset, vaddr, paddr, filesz, memsz) of each LOAD in readelf's listing."""
    rows = re.findall(r"^ +LOAD((?: +0x[0-9a-f]+){5})", text, re.MULTILINE)
    return [tuple(int(number, 16) for number in row.split()) for row in rows]


@readelf_needed
@pytest.mark.parametrize("order", ["little", "big"])
def test_readelf_agrees_on_a_machine(tmp_path: Path, order: str) -> None:
    machine = build_machine(byte_order=order, blocks=8)  # type: ignore[arg-type]
    machine.exclude(machine.blocks[2].virt)
    data = machine.elf(cpus=3)
    header = readelf(tmp_path, data, "-h")
    assert re.search(r"Type: +CORE", header)
    assert re.search(r"Machine: +PowerPC64", header)
    assert f"{order} endian" in header
    loads = load_lines(readelf(tmp_path, data, "-l"))
    assert loads == [
        (offset, 0xC000000000000000 + paddr, paddr, filesz, memsz)
        for offset, _, paddr, filesz, memsz in loads
    ]
    stored = {}
    for offset, _, paddr, filesz, _ in loads:
        for at in range(0, filesz, 65536):
            stored[(paddr + at) // 65536] = data[offset + at : offset + at + 65536]
    kept = set(machine.pages) - machine.memory.excluded
    assert stored == {pfn: bytes(machine.pages[pfn]) for pfn in kept}
    assert sum(row[4] for row in loads) == 65536 * len(machine.pages)
    notes = readelf(tmp_path, data, "-n")
    assert notes.count("NT_PRSTATUS") == 3
    assert re.search(r"VMCOREINFO +0x[0-9a-f]+", notes)
    assert "arning" not in header + notes


@readelf_needed
def test_segments_come_out_as_given(tmp_path: Path) -> None:
    segments = [
        Segment(0x30000, b"c" * 0x1000),
        Segment(0x10000, b"a" * 0x2000, memsz=0x8000),
        Segment(0x11000, b"b" * 0x100, misalign=0x78),
        Segment(0xFFFFFFFFFFFFFFFF, b"d", vaddr=0xC00C000000000000),
        Segment(0x50000, memsz=0x1000, filesz=0, offset=0xFFFFFFFFFFFFFFFF),
    ]
    loads = load_lines(readelf(tmp_path, build_elf(segments, align=0x1000), "-l"))
    assert loads == [
        (0x1000, 0xC000000000030000, 0x30000, 0x1000, 0x1000),
        (0x2000, 0xC000000000010000, 0x10000, 0x2000, 0x8000),
        (0x4078, 0xC000000000011000, 0x11000, 0x100, 0x100),
        (0x5000, 0xC00C000000000000, 0xFFFFFFFFFFFFFFFF, 1, 1),
        (0xFFFFFFFFFFFFFFFF, 0xC000000000050000, 0x50000, 0, 0x1000),
    ]


@readelf_needed
@pytest.mark.parametrize("order", [pytest.param("little", marks=pytest.mark.full), "big"])
def test_pn_xnum(tmp_path: Path, order: str) -> None:
    segments = [Segment(number << 16, b"x") for number in range(70000)]
    data = build_elf(segments, align=1, order=order)  # type: ignore[arg-type]
    assert struct.unpack_from(MARK[order] + "H", data, 56)[0] == 0xFFFF
    shoff = struct.unpack_from(MARK[order] + "Q", data, 40)[0]
    # sh_info is at 44 of a section header; e_shentsize 64 at 58, e_shnum 1 at 60.
    assert struct.unpack_from(MARK[order] + "I", data, shoff + 44)[0] == 70000
    assert struct.unpack_from(MARK[order] + "HH", data, 58) == (64, 1)
    assert len(load_lines(readelf(tmp_path, data, "-l"))) == 70000


@readelf_needed
def test_elf32_and_other_machines(tmp_path: Path) -> None:
    small = build_elf([Segment(0x10000, b"x" * 16)], ei_class=1, machine=EM_PPC, order="big")
    text = readelf(tmp_path, small, "-h", "-l")
    assert "ELF32" in text
    assert re.search(r"Machine: +PowerPC\n", text)
    assert load_lines(text)[0][2:] == (0x10000, 16, 16)
    assert "X86-64" in readelf(tmp_path, build_elf([], machine=EM_X86_64), "-h")


def test_ei_data_may_contradict_the_fields() -> None:
    data = build_elf([], order="big", ei_data=1)
    assert data[5] == 1
    assert struct.unpack_from(">HHI", data, 16) == (4, 21, 1)
    assert struct.unpack_from(">H", data, 54)[0] == 56


def test_null_segments_and_overrides() -> None:
    data = build_elf(
        [Segment(0x10000, b"abc", p_type=PT_NULL), Segment(0x20000, b"def")],
        b"n" * 12,
        header={"e_phentsize": 0, "e_phoff": 72},
        note_header={"p_filesz": 1 << 40},
    )
    assert data[64 + 56 : 64 + 112] == bytes(56)
    assert struct.unpack_from("<H", data, 54)[0] == 0
    assert struct.unpack_from("<Q", data, 32)[0] == 72
    assert struct.unpack_from("<Q", data, 64 + 32)[0] == 1 << 40
    with pytest.raises(ValueError, match="e_typo"):
        build_elf([], header={"e_typo": 1})


def test_qemu_file_has_the_quirks_of_section_3_3() -> None:
    machine = build_machine(blocks=1)
    segments = [
        Segment(0, b"\x01" * 0x3000, vaddr=0),
        Segment(0x80000000, b"\x02" * 0x1000, vaddr=0x80000000),
    ]
    data = machine.elf(
        order="big", notes=qemu_notes("big"), segments=segments, align=1, sections="qemu"
    )
    assert data[5] == 2
    assert struct.unpack_from(">QQ", data, 32) == (0xC0, 0x40)
    # e_ehsize 8, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    assert struct.unpack_from(">6H", data, 52) == (8, 56, 3, 64, 2, 1)
    assert data[0x80:0x88] == bytes.fromhex("01000000 03000000")
    strtab, size = struct.unpack_from("<QQ", data, 0x98)
    assert size == 0x0B
    assert data[strtab:] == b"\0.shstrtab\0"
    assert struct.unpack_from(">IIQQQQ", data, 0xC0) == (4, 0, 0x168, 0, 0, 0x710)
    assert struct.unpack_from(">QQQQ", data, 0xC0 + 56 + 8) == (0x878, 0, 0, 0x3000)


@pytest.mark.parametrize("order", ["little", "big"])
def test_note_layout(order: str) -> None:
    mark = MARK[order]
    notes = kernel_notes(order, vmcoreinfo=b"OSRELEASE=x\n", cpus=2)  # type: ignore[arg-type]
    assert struct.unpack_from(mark + "III", notes.data) == (5, 504, 1)
    assert notes.data[12:20] == b"CORE\0\0\0\0"
    assert struct.unpack_from(mark + "i", notes.data, 20 + 32)[0] == 100
    nip, msr = struct.unpack_from(mark + "QQ", notes.data, 20 + 368)
    assert nip == 0xC000000000010000
    assert msr & 1 == (order == "little")
    assert struct.unpack_from(mark + "III", notes.data, 2 * 524) == (11, 12, 0)
    # As in the sample: with one CPU the text is 548 bytes into the notes.
    assert kernel_notes(order, vmcoreinfo=b"x").vmcoreinfo_offset == 548  # type: ignore[arg-type]
    at = notes.vmcoreinfo_offset
    assert notes.data[at : at + notes.vmcoreinfo_size] == b"OSRELEASE=x\n"
    assert len(qemu_notes(order).data) == 0x710  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="r99"):
        prstatus(order, registers={"r99": 1})  # type: ignore[arg-type]
