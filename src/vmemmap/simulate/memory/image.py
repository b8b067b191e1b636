"""The kernel image: where the model keeps the kernel's own variables, and what boot puts there.

The image lies at physical address 0, unless a boot loader put a relocatable kernel elsewhere and
told it to stay there, as kexec does with a capture kernel. Which place in the image each variable
has is this model's; VMCOREINFO tells a reader where each one is.

Source: Linux arch/powerpc/kernel/head_64.S, kernel/vmcore_info.c.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import IMAGE_BYTES, MIB, Kernel
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of

SWAPPER_PG_DIR_AT = 16 * MIB
"""64 KiB, aligned to its size: the radix root is that large."""
STATIC_ROOTS_AT = SWAPPER_PG_DIR_AT + (1 << 16)
"""mem_section[] of kernels before 4.15; at most 32,768 pointers with their 46 bits."""
VMCOREINFO_NOTE_AT = STATIC_ROOTS_AT + (1 << 19)
"""The note that the kernel keeps for its own crash, page-aligned."""
TEXT_BYTES = 12 * MIB
FREE_HUGE_PAGE_AT = 0x8000
"""The function free_huge_page(), by whose address kernels before 4.6 mark huge pages."""
VMEMMAP_POPULATE_AT, POPULATE_BYTES = 0x9000, 0x400
"""The function vmemmap_populate(), by which a debugger knows what the struct page array is."""
DATA_AT = VMCOREINFO_NOTE_AT + (1 << 16)
LOG_AT = 18 * MIB
KALLSYMS_AT = LOG_AT + (1 << 19)
BTF_AT = 19 * MIB
INIT_STACK_AT = IMAGE_BYTES - (64 << 10)
"""Of the first task, aligned to its size."""

NODEMASK_BYTES = 32
VARIABLES = {
    # name: bytes. The four of the tracker first; they share a cache line in the kernel, too.
    "vmemmap_list": 8,
    "next": 8,
    "num_left": 4,
    "num_freed": 4,
    "mmu_vmemmap_psize": 4,
    "mmu_psize_defs": 16 * 96,
    "init_uts_ns": 8 + 6 * 65,
    "vm_zone_stat": 16 * 8,
    "node_data": 256 * 8,
    "vmap_area_list": 16,
    "vmlist": 8,
    "mem_section": 8,
    "vmemmap": 8,
    "cur_cpu_spec": 8,
    "cpu_spec": 64,
    "prb": 8,
    "printk_rb_static": 88,
    "clear_seq": 24,
    "log_buf": 8,
    "log_buf_len": 4,
    "log_end": 4,
    "logged_chars": 4,
    "log_first_idx": 4,
    "log_next_idx": 4,
    "clear_idx": 4,
    "__highest_present_section_nr": 8,
    # Tasks, and the processors that they run on.
    "init_task": 1024,
    "init_signals": 128,
    "init_struct_pid": 128,
    "init_pid_ns": 128,
    "init_mm": 64,
    "pid_hash": 8,
    "pidhash_shift": 4,
    "runqueues": 128,
    "__per_cpu_end": 640,
    "crash_notes": 8,
    "__per_cpu_offset": 2048 * 8,
    "__cpu_online_mask": 2048 // 8,
    "__cpu_possible_mask": 2048 // 8,
    "__cpu_present_mask": 2048 // 8,
    "cpu_online_mask": 8,
    "cpu_possible_mask": 8,
    "cpu_present_mask": 8,
    "nr_cpu_ids": 4,
    "panic_cpu": 4,
    "crashing_cpu": 4,
    "task_state_array": 384,
    "saved_command_line": 8,
    "log_first_seq": 8,
    "log_next_seq": 8,
    # Counters of pages, and which nodes there are.
    "node_states": 6 * NODEMASK_BYTES,
    "vm_stat": 40 * 8,
    "vm_node_stat": 40 * 8,
    "totalram_pages": 8,
    "_totalram_pages": 8,
    "nr_node_ids": 4,
    "min_low_pfn": 8,
    "max_low_pfn": 8,
    "max_pfn": 8,
}
UTS_FIELD_BYTES = 65
MADE_BY = "vmemmap.simulate"
"""Stands in the version of a simulated kernel, as utsname has it."""
TEXT_WORD = 0x6000000060000000
"""With what its text begins, which no real kernel's does."""
MMU_FTR_TYPE_RADIX = 0x40


def _place() -> dict[str, int]:
    """Give each variable a place, aligned to 8, and to 128 where a cache line begins."""
    places, at = {}, DATA_AT
    for name, size in VARIABLES.items():
        places[name] = at
        at += -(-size // 128) * 128 if size > 8 else 8
    assert at <= LOG_AT
    # A macro, and in the kernel's sources the second of the states, N_ONLINE.
    places["node_online_map"] = places["node_states"] + NODEMASK_BYTES
    return places


_PLACES = _place()


class Image:
    """Where all of a kernel lies.

    Attributes:
        start: Physical address at which it was loaded.
        phys: Physical address of each variable.
        virt: Kernel virtual address of each variable.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.phys = {name: start + at for name, at in _PLACES.items()}
        self.virt = {name: virt_of(phys) for name, phys in self.phys.items()}
        self.swapper_pg_dir = start + SWAPPER_PG_DIR_AT
        self.static_roots = start + STATIC_ROOTS_AT
        self.vmcoreinfo_note = start + VMCOREINFO_NOTE_AT
        self.log = start + LOG_AT
        self.kallsyms = start + KALLSYMS_AT
        self.btf = start + BTF_AT
        self.init_stack = start + INIT_STACK_AT
        self.free_huge_page = virt_of(start + FREE_HUGE_PAGE_AT)
        self.vmemmap_populate = virt_of(start + VMEMMAP_POPULATE_AT)

    def symbol(self, kernel: Kernel, name: str) -> int:
        """Give the kernel virtual address of a variable, as its symbol has it."""
        if name == "mem_section" and not kernel.at(eras.SECTION_ROOTS_ALLOCATED):
            return virt_of(self.static_roots)
        return self.virt[name]


class Loaded(Protocol):
    """What knows where its kernel was loaded: the kernel, and its memory."""

    @property
    def load_address(self) -> int:
        """Physical address of the kernel's first byte."""
        ...


def image_of(loaded: Loaded) -> Image:
    """Give the image of a kernel, also by its memory."""
    return _image_at(loaded.load_address)


@lru_cache(16)
def _image_at(start: int) -> Image:
    return Image(start)


LINKED = _image_at(0)
"""As the linker made it, and where it stays on machines whose kernel was not relocated."""
PHYS, VIRT = LINKED.phys, LINKED.virt
SWAPPER_PG_DIR, FREE_HUGE_PAGE = LINKED.swapper_pg_dir, LINKED.free_huge_page


def psize_index(kernel: Kernel, block_size: int) -> int:
    """Give the MMU_PAGE_ index of a block size in this kernel's table."""
    shifts = kernel.at(eras.MMU_PAGE_SHIFTS)
    return shifts.index(block_size.bit_length() - 1)


def write_image(memory: PhysicalMemory, kernel: Kernel, block_size: int) -> None:
    """Put the variables that never change after boot into memory.

    Args:
        memory: Where to.
        kernel: Whose image it is.
        block_size: The vmemmap block size that this boot has chosen, in bytes.
    """
    image = image_of(memory)
    _write_text(memory)
    _write_psizes(memory, kernel, block_size)
    _write_uts(memory, kernel)
    radix = MMU_FTR_TYPE_RADIX if kernel.mmu == "radix" else 0
    memory.store_u64(image.phys["cur_cpu_spec"], image.virt["cpu_spec"])
    memory.store_u32(image.phys["cpu_spec"] + 32, radix)
    memory.store_u64(image.phys["vmemmap"], kernel.vmemmap_base)


def uts_name_offset(kernel: Kernel) -> int:
    """OFFSET(uts_namespace.name): a reference count came first until 5.10."""
    return 0 if kernel.version >= (5, 11) else 4


def uts_names(memory: PhysicalMemory, kernel: Kernel) -> bytes:
    """Give the six texts of init_uts_ns, as memory has them."""
    image = image_of(memory)
    return memory.read(image.phys["init_uts_ns"] + uts_name_offset(kernel), 6 * UTS_FIELD_BYTES)


def _write_text(memory: PhysicalMemory) -> None:
    """Put something into the text's page frames, so that none of them is a page of zeros."""
    for at in range(0, TEXT_BYTES, 4096):
        memory.store_u64(memory.load_address + at, TEXT_WORD | at << 4)


def _write_psizes(memory: PhysicalMemory, kernel: Kernel, block_size: int) -> None:
    image = image_of(memory)
    size = kernel.at(eras.PSIZE_DEF_BYTES)
    shifts = kernel.at(eras.MMU_PAGE_SHIFTS)
    hardware = {12, 16, 24, 34} if kernel.mmu == "hash" else {12, 16, 21, 30}
    for index, shift in enumerate(shifts):
        if shift in hardware:
            memory.store_u32(image.phys["mmu_psize_defs"] + index * size, shift)
    if kernel.keeps_list:  # radix without a list leaves it at 0, which is 4K and means nothing
        memory.store_u32(image.phys["mmu_vmemmap_psize"], psize_index(kernel, block_size))


def _write_uts(memory: PhysicalMemory, kernel: Kernel) -> None:
    machine = "ppc64le" if kernel.byte_order == "little" else "ppc64"
    names = ("Linux", "simulated", kernel.release, f"#1 SMP {MADE_BY}", machine, "(none)")
    at = image_of(memory).phys["init_uts_ns"] + uts_name_offset(kernel)
    for name in names:
        memory.write(at, name.encode()[: UTS_FIELD_BYTES - 1].ljust(UTS_FIELD_BYTES, b"\0"))
        at += UTS_FIELD_BYTES
