"""Tells dumps of other machines, and cores of other things than a kernel, from a ppc64 kernel's.

The kernel's own VMCOREINFO goes before what the container says of the machine: tools that write a
dump on one machine of another may leave the wrong one in its header.
"""

from __future__ import annotations

import re

from vmemmap.errors import UnsupportedDump
from vmemmap.formats.machines import MACHINES, PPC64, PPC64_KEYS, machine_of_uname
from vmemmap.formats.notes import Note

_NT_PRSTATUS, _NT_PRPSINFO, _NT_AUXV = 1, 3, 6
_PPC64_PRSTATUS_BYTES = 504
"""Size of PowerPC64's ``struct elf_prstatus``, which no other machine's has."""
_PSINFO_BYTES, _PSINFO_NAME = 136, slice(40, 56)
"""A 64-bit ``struct elf_prpsinfo``, and the program's name in it."""
_OF_RELEASE = re.compile(rb"^OSRELEASE=\S*?[.-]([a-z0-9]+_?[a-z0-9]*)$", re.MULTILINE)
_ONLY = "vmemmap reads dumps of ppc64 and ppc64le kernels only"


def check_machine(header: str | None, found_in: str, vmcoreinfo: bytes | None) -> str | None:
    """Check that a dump is of a PowerPC64 kernel, as far as it tells.

    Args:
        header: The machine's name by the container's header, or None where that says nothing.
        found_in: Where the header has it, with the value.
        vmcoreinfo: The VMCOREINFO text, or None.

    Returns:
        A warning where the header says otherwise than the kernel itself, else None.

    Raises:
        UnsupportedDump: It is of another machine.
    """
    keys = {line.split(b"=")[0].decode("latin-1") for line in (vmcoreinfo or b"").split(b"\n")}
    if not keys.isdisjoint(PPC64_KEYS):
        if header in (None, PPC64):
            return None
        return f"{found_in} is of {header}, but VMCOREINFO of a {PPC64} kernel: it is read as that"
    for machine in MACHINES:
        told = next((key for key in machine.keys if key in keys), None)
        if told is not None:
            raise UnsupportedDump(
                f"this dump is of a kernel for {machine.name} (VMCOREINFO has {told}); expected "
                f"{PPC64}: {_ONLY}"
            )
    if header is None:
        release = _OF_RELEASE.search(vmcoreinfo or b"")
        if release is not None:
            header = machine_of_uname(release[1].decode("ascii"))
            found_in = f"VMCOREINFO's release, {release[0].decode('ascii')},"
    if header in (None, PPC64):
        return None
    raise UnsupportedDump(f"{found_in} is of {header}; expected {PPC64}: {_ONLY}")


def has_ppc64_registers(notes: list[Note]) -> bool:
    """Tell whether the processors' registers in the notes are those of PowerPC64."""
    sizes = {len(note.desc) for note in notes if note.kind == _NT_PRSTATUS and note.name == "CORE"}
    return sizes == {_PPC64_PRSTATUS_BYTES}


def check_is_kernel(notes: list[Note]) -> None:
    """Check that an ELF core without VMCOREINFO is none of a process or of the firmware.

    Raises:
        UnsupportedDump: It is, by its notes.
    """
    kinds = {note.kind: note for note in notes if note.name == "CORE"}
    process = kinds.get(_NT_PRPSINFO)
    if process is not None:
        name = process.desc[_PSINFO_NAME] if len(process.desc) == _PSINFO_BYTES else b""
        shown = name.split(b"\0")[0].decode("latin-1").encode("unicode_escape").decode("ascii")
        if shown == "vmlinux":  # /proc/kcore, whose notes are made to look like a process's
            return
        of = f"the program '{shown}'" if shown else "a program"
        raise UnsupportedDump(
            f"this is a core of a process, of {of}; expected a kernel's vmcore: gdb reads it, with "
            "the program"
        )
    if _NT_AUXV in kinds:
        raise UnsupportedDump(
            "this is a core of the firmware (OPAL: /sys/firmware/opal/mpipl/core); expected the "
            "kernel's vmcore, which is in /proc/vmcore at the same time: gdb reads this one, with "
            "skiboot.elf"
        )
