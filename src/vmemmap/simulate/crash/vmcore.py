"""The vmcore that comes of a crash, and the symbols that go with it.

The notes are those that a capture kernel finds: registers for each processor, and VMCOREINFO.

Source: Linux fs/proc/vmcore.c, arch/powerpc/kexec/.
"""

from __future__ import annotations

import struct
from pathlib import Path

from vmemmap.address import numpy_prefix
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.kernel_types import DescribedKernel, kernel_types
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.crash.symbols import kernel_symbols
from vmemmap.simulate.memory.physical import virt_of
from vmemmap.write.elf_core import Progress, Segment, write_elf_core
from vmemmap.write.elf_symbols import write_elf_symbols
from vmemmap.write.notes import pack_note

NT_PRSTATUS = 1
PRSTATUS_BYTES = 504
PRSTATUS_PID, PRSTATUS_REGISTERS = 32, 112
GPR1, NIP, MSR = 1, 32, 33
EF_PPC64_ABI = {"little": 2, "big": 1}
"""e_flags of fadump's headers, which says by them what ABI the kernel has; kexec's have 0."""


def write_vmcore(snapshot: Snapshot, path: str | Path, progress: Progress) -> None:
    """Write a snapshot as an ELF vmcore, with notes as kexec's capture kernel has them."""
    machine = snapshot.machine
    order = machine.kernel.byte_order
    notes = b"".join(
        pack_note(order, "CORE", NT_PRSTATUS, _prstatus(machine, cpu))
        for cpu in range(machine.spec.cpus)
    )
    notes += pack_note(order, "VMCOREINFO", 0, snapshot.vmcoreinfo)
    segments = [Segment(start, virt_of(start), end - start) for start, end in snapshot.segments]
    abi = EF_PPC64_ABI[order] if machine.spec.form == "fadump" else 0
    write_elf_core(
        path, order, notes, segments, snapshot.contents, progress, room=snapshot.room, flags=abi
    )


def write_symbols(machine: DescribedKernel, path: str | Path) -> None:
    """Write the symbols of a kernel as a vmlinux without code, and its types if it has BTF.

    For kernels before 3.13, which do not say in VMCOREINFO where the list is, and for dumps whose
    VMCOREINFO is lost.
    """
    types = kernel_types(machine)
    symbols = kernel_symbols(machine.kernel, len(types))
    write_elf_symbols(path, machine.kernel.byte_order, symbols, types)


def _prstatus(machine: CrashedMachine, cpu: int) -> bytes:
    """Give the registers of a processor: the first one crashed, the others idled."""
    order = numpy_prefix(machine.kernel.byte_order)
    data = bytearray(PRSTATUS_BYTES)
    struct.pack_into(order + "I", data, PRSTATUS_PID, 1 if cpu == 0 else 0)
    registers = {
        GPR1: virt_of(machine.objects_phys),
        NIP: virt_of(0x10000),
        MSR: 0x8000000000001033,
    }
    for number, value in registers.items():
        struct.pack_into(order + "Q", data, PRSTATUS_REGISTERS + 8 * number, value)
    return bytes(data)
