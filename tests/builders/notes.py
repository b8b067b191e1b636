"""ELF notes of a ppc64 core: NT_PRSTATUS per CPU, VMCOREINFO, and QEMU's five-note group.

Reference: dump-formats.md 1.9 and 3.3. The byte order is the container's; name and descriptor are
padded to 4 bytes even in ELF64.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from .byte_order import Order, prefix

NT_PRSTATUS = 1
NT_FPREGSET = 2
NT_PPC_VMX = 0x100
NT_PPC_SPE = 0x101
NT_PPC_VSX = 0x102

PRSTATUS_BYTES = 504
_PID_AT = 32
_REGISTERS_AT = 112
_FPVALID_AT = 496
# The 48 words of a ppc64 register set, in order.
REGISTERS = (
    *(f"gpr{number}" for number in range(32)),
    *("nip", "msr", "orig_gpr3", "ctr", "link", "xer", "ccr", "softe"),
    *("trap", "dar", "dsisr", "result", "spare44", "spare45", "spare46", "spare47"),
)
_QEMU_GROUP = ((NT_FPREGSET, 264), (NT_PPC_VMX, 544), (NT_PPC_VSX, 256), (NT_PPC_SPE, 140))


@dataclass(frozen=True, slots=True)
class Notes:
    """A block of notes and where the VMCOREINFO text lies in it.

    Attributes:
        data: The notes, back to back.
        vmcoreinfo_offset: Byte offset of the text from the start of *data*; 0 when there is none.
        vmcoreinfo_size: Length of the text in bytes, without padding; 0 when there is none.
        cpus: Number of NT_PRSTATUS notes.
    """

    data: bytes = b""
    vmcoreinfo_offset: int = 0
    vmcoreinfo_size: int = 0
    cpus: int = 0


def _pad4(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def build_note(name: bytes, desc: bytes, note_type: int, order: Order) -> bytes:
    """Return one note. *name* is given without its NUL; it is counted in namesz, as usual."""
    sizes = struct.pack(prefix(order) + "III", len(name) + 1, len(desc), note_type)
    return sizes + _pad4(name + b"\0") + _pad4(desc)


def default_msr(memory_order: Order) -> int:
    """MSR of a CPU in the kernel; bit 0 (LE) follows the byte order of the dumped kernel."""
    return 0x8000000000001032 | (0x0280A001 if memory_order == "little" else 0)


def prstatus(order: Order, *, pid: int = 0, registers: Mapping[str, int] | None = None) -> bytes:
    """Return a 504-byte NT_PRSTATUS descriptor.

    Args:
        order: Byte order of the fields.
        pid: pr_pid.
        registers: Values by register name (see ``REGISTERS``); the others are zero.
    """
    mark = prefix(order)
    values = dict.fromkeys(REGISTERS, 0)
    for name, value in (registers or {}).items():
        if name not in values:
            raise ValueError(f"no such ppc64 register: {name}")
        values[name] = value
    desc = bytearray(PRSTATUS_BYTES)
    struct.pack_into(mark + "i", desc, _PID_AT, pid)
    struct.pack_into(mark + "48Q", desc, _REGISTERS_AT, *values.values())
    struct.pack_into(mark + "i", desc, _FPVALID_AT, 0)
    return bytes(desc)


def kernel_notes(
    order: Order,
    *,
    vmcoreinfo: bytes | None = None,
    cpus: int = 1,
    memory_order: Order | None = None,
) -> Notes:
    """Return the notes of a kernel-made vmcore: one NT_PRSTATUS a CPU, then VMCOREINFO.

    Args:
        order: Container byte order.
        vmcoreinfo: The text; ``None`` leaves the note out.
        cpus: Number of NT_PRSTATUS notes.
        memory_order: Byte order of the dumped kernel (sets the MSR's LE bit); default *order*.
    """
    msr = default_msr(memory_order or order)
    data = b"".join(
        build_note(
            b"CORE",
            prstatus(order, pid=100 + cpu, registers={"nip": 0xC000000000010000, "msr": msr}),
            NT_PRSTATUS,
            order,
        )
        for cpu in range(cpus)
    )
    if vmcoreinfo is None:
        return Notes(data, cpus=cpus)
    note = build_note(b"VMCOREINFO", vmcoreinfo, 0, order)
    # 12 bytes of sizes and 12 of padded name come before the text.
    return Notes(data + note, len(data) + 24, len(vmcoreinfo), cpus)


def qemu_notes(order: Order, *, cpus: int = 1, memory_order: Order = "little") -> Notes:
    """Return QEMU's notes: five CORE notes a vCPU (1808 bytes), pr_pid 0, no VMCOREINFO."""
    msr = default_msr(memory_order)
    status = prstatus(order, registers={"nip": 0xC000000000010000, "msr": msr})
    group = build_note(b"CORE", status, NT_PRSTATUS, order) + b"".join(
        build_note(b"CORE", bytes(size), note_type, order) for note_type, size in _QEMU_GROUP
    )
    return Notes(group * cpus, cpus=cpus)
