"""An ELF core without memory: what a dump's notes say, in the form that drgn reads.

drgn takes two things from a dump's notes, VMCOREINFO and the processors' registers. Memory is added
to the program as segments. The form is the kernel's own: the byte order of the memory throughout,
whatever the dump's container has, and a number for each processor, which QEMU leaves out on ppc64.

Source: drgn libdrgn/program.c, libdrgn/stack_trace.c; Linux include/linux/elfcore.h; QEMU
target/ppc/arch_dump.c.
"""

from __future__ import annotations

import os
import struct

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.facts.vmlinux import LOAD_ALIGN
from vmemmap.formats import elf64
from vmemmap.formats.notes import PRSTATUS, PRSTATUS_PID_AT, is_prstatus, prstatus_in_order
from vmemmap.linear_map import linear_phys
from vmemmap.vmcore import Vmcore

_ALIGN = 4
"""Notes are padded to this, as in every vmcore."""


def open_notes_core(core: Vmcore) -> int:
    """Make such a core as an unnamed file in memory.

    Args:
        core: The dump.

    Returns:
        The open file, positioned anywhere; whoever called closes it.

    Raises:
        FactMissing: The dump has no VMCOREINFO.
        OSError: There is no memory for it.
    """
    order: ByteOrder = core.kernel.order
    # drgn wants a newline behind the last line, too.
    text = _with_offset(core.vmcoreinfo_text.rstrip(b"\n") + b"\n", core)
    notes = [("VMCOREINFO", 0, text)]
    notes += [("CORE", PRSTATUS, desc) for desc in registers(core, order)]
    content = _elf(b"".join(_note(*note, order) for note in notes), order)
    fd = os.memfd_create(os.path.basename(core.source.path)[:200], os.MFD_CLOEXEC)  # noqa: PTH119
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _with_offset(text: bytes, core: Vmcore) -> bytes:
    """Let KERNELOFFSET say how far a kernel was moved, by which drgn finds its variables.

    On Book3S it is 0 also where a kernel was relocated, as a capture kernel is.
    """
    vmlinux = core.kernel.vmlinux
    if vmlinux is not None:
        moved = vmlinux.relocation
    else:  # the linker puts the text at the linear map's beginning
        start = core.kernel.optional_symbol("_stext")
        moved = linear_phys(start) or 0 if start is not None else 0
    if not moved or moved % LOAD_ALIGN:
        return text
    lines = [line for line in text.splitlines(True) if not line.startswith(b"KERNELOFFSET=")]
    return b"".join(lines) + b"KERNELOFFSET=%x\n" % moved


def registers(core: Vmcore, order: ByteOrder) -> list[bytes]:
    """Give the processors' NT_PRSTATUS notes, in the dump's order, in byte order *order*."""
    given = core.source.container_byte_order
    found = [note for note in core.source.notes if is_prstatus(note)]
    descs = [prstatus_in_order(note.desc, given, order) for note in found]
    pid = struct.Struct(numpy_prefix(order) + "I")
    if not any(pid.unpack_from(desc, PRSTATUS_PID_AT)[0] for desc in descs):
        for number, desc in enumerate(descs, 1):
            pid.pack_into(
                desc, PRSTATUS_PID_AT, number
            )  # drgn looks for the number of the processor + 1
    return [bytes(desc) for desc in descs]


def _note(name: str, kind: int, desc: bytes, order: ByteOrder) -> bytes:
    label = name.encode() + b"\0"
    sizes = struct.pack(numpy_prefix(order) + "3I", len(label), len(desc), kind)
    return sizes + b"".join(part + bytes(-len(part) % _ALIGN) for part in (label, desc))


def _elf(notes: bytes, order: ByteOrder) -> bytes:
    """Put an ELF header and one PT_NOTE before the notes."""
    prefix, offset = numpy_prefix(order), elf64.HEADER_BYTES + elf64.PROGRAM_HEADER_BYTES
    data = 1 if order == "little" else 2
    ident = elf64.MAGIC + bytes((elf64.CLASS_64, data, elf64.EV_CURRENT)) + bytes(9)
    kind = (elf64.ET_CORE, elf64.EM_PPC64, elf64.EV_CURRENT)
    places = (0, elf64.HEADER_BYTES, 0)  # entry, program headers, sections
    sizes = (elf64.HEADER_BYTES, elf64.PROGRAM_HEADER_BYTES, 1, 0, 0, 0)
    header = struct.pack(prefix + "HHI3QI6H", *kind, *places, 0, *sizes)
    segment = (elf64.PT_NOTE, 0, offset, 0, 0, len(notes), len(notes), _ALIGN)
    return ident + header + struct.pack(prefix + "2I6Q", *segment) + notes
