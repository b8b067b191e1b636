"""Dumps of other machines and cores of other things are refused by name; wrong headers are not."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from builders.elf_core import Segment, build_elf
from builders.kdump import build_kdump
from builders.notes import Notes, build_note
from vmemmap.errors import UnsupportedDump
from vmemmap.source.base import PhysicalSource

Open = Callable[[bytes], PhysicalSource]
PAGE = bytes(range(256)) * 16
PPC64 = b"OSRELEASE=6.1.0\nPAGESIZE=65536\nSYMBOL(vmemmap_list)=c0000000027591c0\n"
OLD_PPC64 = b"OSRELEASE=2.6.32-754.el6.ppc64\nPAGESIZE=65536\nSYMBOL(init_uts_ns)=c000000000\n"


def notes(*entries: tuple[bytes, int, bytes], text: bytes | None = None, order="little") -> Notes:
    data = b"".join(build_note(name, desc, kind, order) for name, kind, desc in entries)
    if text is None:
        return Notes(data)
    note = build_note(b"VMCOREINFO", text, 0, order)
    return Notes(data + note, len(data) + 24, len(text))


def elf(*entries: tuple[bytes, int, bytes], text: bytes | None = None, **more) -> bytes:
    order = more.get("order", "little")
    return build_elf([Segment(0, PAGE)], notes=notes(*entries, text=text, order=order), **more)


def kdump(machine: str, text: bytes | None) -> bytes:
    more = {} if text is None else {"notes": notes(text=text)}
    return build_kdump({1: PAGE}, block_size=4096, utsname={"machine": machine}, **more)


# What kernels say of themselves in VMCOREINFO: the lines of arch_crash_save_vmcoreinfo().
OTHERS = {
    "x86_64": ("x86-64", b"NUMBER(phys_base)=17179869184\nSYMBOL(init_top_pgt)=ffffffff82a10000\n"),
    "i686": ("i386", b"CONFIG_X86_PAE=y\n"),
    "aarch64": ("AArch64", b"NUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffff7fffc8000000\n"),
    "armv7l": ("32-bit ARM", b"CONFIG_ARM_LPAE=y\n"),
    "s390x": ("s390", b"SYMBOL(lowcore_ptr)=1a0e7c8\nLENGTH(lowcore_ptr)=512\n"),
    "riscv64": ("RISC-V", b"NUMBER(phys_ram_base)=0x80000000\n"),
    "ia64": ("IA-64", b"SYMBOL(node_memblk)=a000000100b3a1d8\n"),
    "loongarch64": ("LoongArch", None),
    "ppc": ("32-bit PowerPC", None),
    "mips64": ("MIPS", None),
    "sh4a": ("SuperH", None),
    "sparc64": ("SPARC", None),
    "parisc64": ("PA-RISC", None),
}


@pytest.mark.parametrize("uname", OTHERS)
def test_a_kdump_file_of_another_machine_by_its_header(open_bytes: Open, uname: str) -> None:
    name, _ = OTHERS[uname]
    for text in (None, b"OSRELEASE=5.14.0\nPAGESIZE=4096\n"):
        with pytest.raises(UnsupportedDump, match=f"{uname!r}, is of {name}.*PowerPC64"):
            open_bytes(kdump(uname, text))


@pytest.mark.parametrize("uname", [uname for uname in OTHERS if OTHERS[uname][1]])
@pytest.mark.parametrize("header", ["", "ppc64le", "unknown"])
def test_by_its_vmcoreinfo(open_bytes: Open, uname: str, header: str) -> None:
    name, lines = OTHERS[uname]
    text = b"OSRELEASE=5.14.0\nPAGESIZE=4096\n" + (lines or b"")
    with pytest.raises(UnsupportedDump, match=f"kernel for {name}.*VMCOREINFO has "):
        open_bytes(kdump(header, text))
    with pytest.raises(UnsupportedDump, match=f"kernel for {name}"):
        open_bytes(elf(text=text))


def test_by_the_release_where_nothing_else_tells(open_bytes: Open) -> None:
    text = b"OSRELEASE=4.18.0-553.el8.x86_64\nPAGESIZE=4096\n"
    with pytest.raises(UnsupportedDump, match=r"OSRELEASE=4\.18\.0-553\.el8\.x86_64, is of x86-64"):
        open_bytes(kdump("", text))


@pytest.mark.parametrize("machine", ["ppc64", "ppc64le", "", "(none)", "POWER"])
@pytest.mark.parametrize("text", [None, PPC64, OLD_PPC64])
def test_ppc64_is_read(open_bytes: Open, machine: str, text: bytes | None) -> None:
    source = open_bytes(kdump(machine, text))
    assert source.warnings == []
    assert source.read(4096, 8) == PAGE[:8]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("machine", "name"), [(62, "x86-64"), (183, "AArch64"), (22, "s390")])
def test_a_header_of_another_machine_around_ppc64_memory(
    open_bytes: Open, order: str, machine: int, name: str
) -> None:
    """The kernel's own word goes before the header's; without it the header is believed."""
    source = open_bytes(elf(text=PPC64, machine=machine, order=order))
    assert source.read(0, 256) == PAGE[:256]
    assert source.warnings == [
        f"the ELF header's e_machine, {machine}, is of {name}, but VMCOREINFO of a PowerPC64 "
        "kernel: it is read as that"
    ]
    for text in (None, b"OSRELEASE=5.14.0\n"):
        with pytest.raises(UnsupportedDump, match=f"of {name}; expected PowerPC64"):
            open_bytes(elf(text=text, machine=machine, order=order))
    source = open_bytes(kdump("x86_64", PPC64))
    assert "x86-64, but VMCOREINFO of a PowerPC64 kernel" in source.warnings[0]


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_registers_tell_where_there_is_no_vmcoreinfo(open_bytes: Open, order: str) -> None:
    """As in QEMU's dumps; the sizes are those of the machines' struct elf_prstatus."""
    data = elf((b"CORE", 1, bytes(504)), (b"CORE", 1, bytes(504)), machine=62, order=order)
    source = open_bytes(data)
    assert source.read(0, 256) == PAGE[:256]
    assert source.warnings == [
        "the ELF header is of x86-64, but the registers in the notes are a PowerPC64 processor's: "
        "it is read as that"
    ]
    for size in (336, 144, 392, 480):
        with pytest.raises(UnsupportedDump, match="of x86-64; expected PowerPC64"):
            open_bytes(elf((b"CORE", 1, bytes(size)), machine=62, order=order))


def psinfo(name: bytes) -> bytes:
    """A 64-bit struct elf_prpsinfo: sname, flag, ids, then the name at 40 and the arguments."""
    return bytes(40) + name.ljust(16, b"\0") + b"sleep 100".ljust(80, b"\0")


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_core_of_a_process(open_bytes: Open, order: str) -> None:
    core = ((b"CORE", 1, bytes(504)), (b"CORE", 3, psinfo(b"sleep")), (b"CORE", 6, bytes(64)))
    with pytest.raises(UnsupportedDump, match=r"core of a process, of the program 'sleep'.*gdb"):
        open_bytes(elf(*core, order=order))
    odd = ((b"CORE", 3, psinfo(b"\xff\n\x1b")),)
    with pytest.raises(UnsupportedDump, match=r"the program '\\xff\\n\\x1b'"):
        open_bytes(elf(*odd, order=order))
    # /proc/kcore calls the kernel a process; and a vmcore stays one whatever else it holds.
    open_bytes(elf((b"CORE", 3, psinfo(b"vmlinux")), order=order))
    open_bytes(elf(*core, text=PPC64, order=order))


def test_a_core_of_the_firmware(open_bytes: Open) -> None:
    auxv = struct.pack(">QQQ", 9, 0x30000000, 0)
    data = elf((b"CORE", 1, bytes(504)), (b"CORE", 6, auxv), order="big")
    with pytest.raises(UnsupportedDump, match=r"core of the firmware.*OPAL"):
        open_bytes(data)


def many_segments(count: int, shown: int, order: str = "little") -> bytes:
    """A core with *count* loads of 16 bytes, of which the header admits *shown*."""
    mark = "<" if order == "little" else ">"
    start = 64 + 56 * count
    table = b"".join(
        struct.pack(mark + "IIQQQQQQ", 1, 7, start + 16 * n, (12 << 60) + 4096 * n, 4096 * n,
                    16, 16, 0)
        for n in range(count)
    )  # fmt: skip
    ident = b"\x7fELF\2" + (b"\1" if order == "little" else b"\2") + b"\1" + bytes(9)
    header = struct.pack(mark + "HHIQQQIHHHHHH", 4, 21, 1, 0, 64, 0, 0, 64, 56, shown, 0, 0, 0)
    return ident + header + table + b"".join(n.to_bytes(16, "little") for n in range(count))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("count", [65536, 65537, 65536 + 300, 2 * 65536 + 5])
def test_a_count_cut_to_16_bits(open_bytes: Open, count: int, order: str) -> None:
    source = open_bytes(many_segments(count, count & 0xFFFF, order))
    assert len(source.ranges()) == count
    for n in (0, 1, count & 0xFFFF, count - 1):
        assert source.read(4096 * n, 16) == n.to_bytes(16, "little")
    assert source.warnings == [
        f"e_phnum is {count & 0xFFFF}, but a table of {count} program headers follows: the count "
        "was cut to 16 bits, and all of them are used"
    ]


def test_a_count_that_disagrees_otherwise_is_told_and_believed(open_bytes: Open) -> None:
    source = open_bytes(many_segments(65536 + 400, 300))
    assert len(source.ranges()) == 300
    assert "not what a count cut to 16 bits leaves: only the first 300" in source.warnings[0]


def test_the_pages_behind_a_right_count_are_no_headers(open_bytes: Open) -> None:
    """A segment whose bytes look like a program header lies right behind the table."""
    like_one = struct.pack("<IIQQQQQQ", 1, 7, 1 << 20, 12 << 60, 0, 16, 16, 0)
    source = open_bytes(build_elf([Segment(0, like_one * 80)], align=1))
    assert source.warnings == []
    assert source.read(0, 56) == like_one
