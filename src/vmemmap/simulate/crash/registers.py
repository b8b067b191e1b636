"""What processors leave of themselves at a crash: their registers, as notes, and who crashed.

The kernel writes the notes into memory (`crash_notes`), and a dump's headers point there.

Source: Linux kernel/crash_core.c, crash_save_cpu(); arch/powerpc/kexec/crash.c.
"""

from __future__ import annotations

import struct

from vmemmap.address import numpy_prefix
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import virt_of
from vmemmap.simulate.sched.roster import CRASHER
from vmemmap.write.notes import Note, pack_note

NT_PRSTATUS = 1
PRSTATUS_BYTES = 504
PRSTATUS_PID, PRSTATUS_REGISTERS = 32, 112
GPR1, NIP, MSR, LINK = 1, 32, 33, 36
KERNEL_MSR = 0x8000000000001033


def registers_note(machine: CrashedMachine, cpu: int) -> Note:
    """Give the note of a processor: the first one crashed, the others idled."""
    order = numpy_prefix(machine.kernel.byte_order)
    data = bytearray(PRSTATUS_BYTES)
    struct.pack_into(order + "I", data, PRSTATUS_PID, CRASHER.pid if cpu == 0 else 0)
    stack, waits_at = machine.tasks.stack_of(cpu), machine.tasks.waits_at
    registers = {GPR1: virt_of(stack), NIP: waits_at, MSR: KERNEL_MSR, LINK: waits_at}
    for number, value in registers.items():
        struct.pack_into(order + "Q", data, PRSTATUS_REGISTERS + 8 * number, value)
    return Note("CORE", NT_PRSTATUS, bytes(data))


def write_crash(machine: CrashedMachine) -> None:
    """Write into memory what the kernel notes of a crash: the registers, and which processor."""
    memory, image = machine.memory, image_of(machine.kernel)
    memory.store_u32(image.phys["crashing_cpu"], 0)
    memory.store_u32(image.phys["panic_cpu"], 0)
    for cpu, place in enumerate(machine.tasks.notes):
        note = registers_note(machine, cpu)
        memory.write(place, pack_note(memory.order, note.name, note.kind, note.desc))
