"""The machines that dumps exist for, as data: how each is told by its files and its VMCOREINFO.

One row a machine other than PowerPC64. A word of ``uname -m`` stands for all that begin with it:
``i[3-6]86`` has several, ``armv7l`` and ``armv8l`` are both ``arm``.

Source: the ELF specification's machine numbers; Linux arch/*/kernel/vmcore_info.c (crash_core.c,
machine_kexec.c before), arch_crash_save_vmcoreinfo().
"""

from __future__ import annotations

from dataclasses import dataclass

PPC64 = "PowerPC64"
PPC64_KEYS = (
    *("SYMBOL(vmemmap_list)", "SYMBOL(mmu_vmemmap_psize)", "SYMBOL(mmu_psize_defs)"),
    *("SIZE(vmemmap_backing)", "SIZE(mmu_psize_def)", "NUMBER(RADIX_MMU)"),
    *("SYMBOL(cur_cpu_spec)", "OFFSET(cpu_spec.mmu_features)"),
)
"""Keys of VMCOREINFO that only PowerPC64 kernels have."""
PPC64_UNAME = ("ppc64", "ppc64le")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that is not PowerPC64.

    Attributes:
        name: What people call it.
        uname: Beginnings of what ``uname -m`` gives.
        e_machine: Its numbers in the ELF header.
        keys: Keys of VMCOREINFO that only its kernels have.
    """

    name: str
    uname: tuple[str, ...] = ()
    e_machine: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()


MACHINES = (
    Machine(
        "x86-64", ("x86_64", "amd64"), (62,),
        ("NUMBER(phys_base)", "SYMBOL(init_top_pgt)", "SYMBOL(init_level4_pgt)",
         "NUMBER(pgtable_l5_enabled)", "NUMBER(sme_mask)", "NUMBER(KERNEL_IMAGE_SIZE)"),
    ),
    Machine("i386", ("i386", "i486", "i586", "i686"), (3, 6), ("CONFIG_X86_PAE",)),
    Machine(
        "AArch64", ("aarch64", "arm64"), (183,),
        ("NUMBER(kimage_voffset)", "NUMBER(TCR_EL1_T1SZ)", "NUMBER(tcr_el1_t1sz)",
         "NUMBER(PHYS_OFFSET)", "NUMBER(KERNELPACMASK)"),
    ),
    Machine("32-bit ARM", ("arm",), (40,), ("CONFIG_ARM_LPAE",)),
    Machine(
        "s390", ("s390",), (22, 0xA390),
        ("SYMBOL(lowcore_ptr)", "LENGTH(lowcore_ptr)", "SDMA", "EDMA", "SAMODE31", "EAMODE31"),
    ),
    Machine(
        "RISC-V", ("riscv",), (243,),
        ("NUMBER(phys_ram_base)", "NUMBER(va_kernel_pa_offset)", "NUMBER(KERNEL_LINK_ADDR)",
         "NUMBER(satp)"),
    ),
    Machine("LoongArch", ("loongarch",), (258,)),
    Machine(
        "IA-64 (Itanium)", ("ia64",), (50,),
        ("SYMBOL(pgdat_list)", "SYMBOL(node_memblk)", "SIZE(node_memblk_s)", "CONFIG_PGTABLE_3",
         "CONFIG_PGTABLE_4"),
    ),
    Machine("32-bit PowerPC", ("ppcle", "powerpc"), (20,)),
    Machine("MIPS", ("mips",), (8, 10)),
    Machine("SuperH", ("sh",), (42,), ("CONFIG_X2TLB",)),
    Machine("SPARC", ("sparc",), (2, 18, 43)),
    Machine("PA-RISC", ("parisc",), (15,)),
    Machine("Alpha", ("alpha",), (41, 0x9026)),
    Machine("m68k", ("m68k",), (4,)),
    Machine("ARC", ("arc",), (93, 195)),
    Machine("Xtensa", ("xtensa",), (94, 0xABC7)),
    Machine("OpenRISC", ("openrisc", "or1k"), (92,)),
    Machine("Hexagon", ("hexagon",), (164,)),
    Machine("MicroBlaze", ("microblaze",), (189, 0xBAAB)),
    Machine("Nios II", ("nios2",), (113,)),
    Machine("C-SKY", ("csky",), (252,)),
    Machine("BPF", (), (247,)),
)  # fmt: skip


def machine_of_uname(word: str) -> str | None:
    """Name the machine that ``uname -m`` calls so: PowerPC64, another, or None if it is unknown."""
    word = word.strip().lower()
    if word in PPC64_UNAME:
        return PPC64
    if word == "ppc":  # which PowerPC64's names begin with
        return "32-bit PowerPC"
    return next((m.name for m in MACHINES if m.uname and word.startswith(m.uname)), None)


def machine_of_elf(e_machine: int) -> str:
    """Name the machine of an ELF header's number."""
    if e_machine == 21:
        return PPC64
    found = next((m.name for m in MACHINES if e_machine in m.e_machine), None)
    return found or f"machine {e_machine}"
