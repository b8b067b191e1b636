"""Which ELF files are cores of PowerPC64 kernels; the others are refused in the user's terms."""

from __future__ import annotations

from vmemmap.errors import CorruptDump, UnsupportedDump
from vmemmap.formats import elf64
from vmemmap.formats.machines import PPC64, machine_of_elf
from vmemmap.formats.notes import Note
from vmemmap.source.file_view import ByteView
from vmemmap.source.other_machines import check_is_kernel, check_machine, has_ppc64_registers


def read_elf_header(file: ByteView) -> elf64.ElfHeader:
    """Decode the ELF header, or say in the user's terms what the file is instead."""
    data = bytes(file.view(0, elf64.HEADER_BYTES))
    if len(data) < elf64.HEADER_BYTES or not file.holds(0, elf64.HEADER_BYTES):
        raise CorruptDump(
            "the ELF header",
            file_offset=0,
            expected="64 bytes",
            found=f"a file of {len(data)} bytes; the dump is cut off: copy it again",
        )
    order = elf64.container_order(data)
    if data[elf64.EI_CLASS] == elf64.CLASS_64:
        # What says that it is of another machine is looked into before it is believed.
        order = order or elf64.core_order(data)
        if order is not None:
            return elf64.decode_header(data, order)
    raise _refusal(data)


def check_elf_machine(
    header: elf64.ElfHeader, notes: list[Note], vmcoreinfo: bytes | None
) -> str | None:
    """Refuse cores of other machines, and of what is no kernel; `other_machines` says by what.

    Args:
        header: The ELF header.
        notes: All notes.
        vmcoreinfo: The VMCOREINFO text, or None.

    Returns:
        A warning where the header names another machine than all else, or None.

    Raises:
        UnsupportedDump: It is none of a PowerPC64 kernel.
    """
    machine = machine_of_elf(header.e_machine)
    if vmcoreinfo is not None:
        found_in = f"the ELF header's e_machine, {header.e_machine},"
        try:
            return check_machine(machine, found_in, vmcoreinfo)
        except UnsupportedDump as error:
            raise (error if header.e_machine == elf64.EM_PPC64 else _of_machine(header)) from None
    check_is_kernel(notes)
    if header.e_machine == elf64.EM_PPC64:
        return None
    if not has_ppc64_registers(notes):
        raise _of_machine(header)
    return (
        f"the ELF header is of {machine}, but the registers in the notes are a {PPC64} "
        "processor's: it is read as that"
    )


def _refusal(data: bytes) -> UnsupportedDump | CorruptDump:
    """Name what is wrong with an ELF header that is not that of a PowerPC64 core."""
    if data[elf64.EI_CLASS] not in (elf64.CLASS_32, elf64.CLASS_64):
        return CorruptDump(
            "EI_CLASS",
            file_offset=elf64.EI_CLASS,
            expected="2 (64-bit)",
            found=str(data[elf64.EI_CLASS]),
        )
    claimed = "big" if data[elf64.EI_DATA] == 2 else "little"
    other = "little" if claimed == "big" else "big"
    headers = [
        elf64.decode_header(data, "big" if o == "big" else "little") for o in (claimed, other)
    ]
    header = next((h for h in headers if h.e_version == elf64.EV_CURRENT), headers[0])
    # The first 20 bytes of an ELF header are the same in the 32-bit class.
    machine = machine_of_elf(header.e_machine)
    if data[elf64.EI_CLASS] == elf64.CLASS_32:
        return UnsupportedDump(
            f"this is a 32-bit ELF file ({machine}); expected a 64-bit PowerPC64 core"
        )
    if header.e_machine != elf64.EM_PPC64:
        return _of_machine(header)
    if header.e_type != elf64.ET_CORE:
        kind = elf64.TYPE_NAMES.get(header.e_type, "unknown")
        return UnsupportedDump(
            f"this ELF file is of type {header.e_type} ({kind}); expected a core (type 4): "
            "name the vmcore, not the kernel (a vmlinux goes to --vmlinux)"
        )
    return CorruptDump(
        "the ELF header (e_version, e_phentsize)",
        file_offset=20,
        expected="1 and 56",
        found=f"{header.e_version} and {header.e_phentsize}",
    )


def _of_machine(header: elf64.ElfHeader) -> UnsupportedDump:
    return UnsupportedDump(
        f"this ELF file is of {machine_of_elf(header.e_machine)}; expected {PPC64} (e_machine "
        f"{elf64.EM_PPC64}): vmemmap reads dumps of ppc64 and ppc64le kernels only"
    )
