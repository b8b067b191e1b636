"""The kernel's symbols, and the tables in which kernels since 6.0 tell a dump's reader of them.

The tables have one token for each character, so that names are stored as they are.

Source: Linux kernel/kallsyms.c, scripts/kallsyms.c, kernel/vmcore_info.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmemmap.address import numpy_prefix
from vmemmap.simulate import eras
from vmemmap.simulate.crash.counters import OF_RELEASES, counter_variables
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.kernel_types import kernel_types
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import (
    LINKED,
    NODEMASK_BYTES,
    TEXT_BYTES,
    VARIABLES,
    Image,
    image_of,
)
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of
from vmemmap.simulate.mm.page_layout import COMPOUND
from vmemmap.write.elf_symbols import ElfSymbol

TOLD_SINCE = (6, 0)
PLACE_RELATIVE_SINCE = (7, 0)
"""Offsets were from one base in memory until 6.19; then each is from its own place."""
TOKENS = 256


def kernel_symbols(kernel: Kernel, btf_bytes: int = 0, image: Image = LINKED) -> list[ElfSymbol]:
    """Give the symbols of a kernel, and where its BTF is if it has so many bytes of it.

    Args:
        kernel: The kernel.
        btf_bytes: The length of its BTF.
        image: Where it lies; as the linker has it, a vmlinux knows nothing of being relocated.
    """
    stext = ElfSymbol("_stext", virt_of(image.start), TEXT_BYTES, is_function=True)
    root = ElfSymbol("swapper_pg_dir", virt_of(image.swapper_pg_dir), 1 << 16)
    absent = OF_RELEASES - counter_variables(kernel)
    sizes = {**VARIABLES, "node_online_map": NODEMASK_BYTES}
    variables = [
        ElfSymbol(name, image.symbol(kernel, name), size)
        for name, size in sizes.items()
        if name not in absent
    ]
    size = kernel.at(eras.PSIZE_DEF_BYTES)
    count = len(kernel.at(eras.MMU_PAGE_SHIFTS))
    table = ElfSymbol("mmu_psize_defs", image.virt["mmu_psize_defs"], size * count)
    known = [symbol for symbol in variables if symbol.name != table.name]
    symbols = [stext, root, table, *known]
    if kernel.at(COMPOUND).head_at is None:  # until 4.3 the mark of huge pages is its address
        symbols.append(ElfSymbol("free_huge_page", image.free_huge_page, 64, is_function=True))
    if btf_bytes:
        start = virt_of(image.btf)
        symbols.append(ElfSymbol("__start_BTF", start, btf_bytes))
        symbols.append(ElfSymbol("__stop_BTF", start + btf_bytes, 0))
    return symbols


def write_own_description(machine: CrashedMachine) -> list[tuple[str, int]]:
    """Write BTF and kallsyms into the kernel's image, as far as its release has them.

    Returns:
        The symbols of kallsyms' tables, which VMCOREINFO names, with their addresses.
    """
    types = kernel_types(machine)
    image = image_of(machine.kernel)
    machine.memory.write(image.btf, types)
    if machine.kernel.version < TOLD_SINCE:
        return []
    symbols = sorted(
        kernel_symbols(machine.kernel, len(types), image), key=lambda each: each.address
    )
    return list(_write_kallsyms(machine.memory, machine.kernel, symbols))


def _write_kallsyms(
    memory: PhysicalMemory, kernel: Kernel, symbols: list[ElfSymbol]
) -> Iterator[tuple[str, int]]:
    """Write the tables one behind the other; yield the symbol of each, in VMCOREINFO's order."""
    mark = numpy_prefix(kernel.byte_order)
    names = b"".join(_stored(symbol) for symbol in symbols)
    tokens = b"".join(bytes([max(code, 1)]) + b"\0" for code in range(TOKENS))
    index = struct.pack(f"{mark}{TOKENS}H", *range(0, 2 * TOKENS, 2))
    image = image_of(kernel)
    at = image.kallsyms
    for name, data in (
        ("kallsyms_names", names),
        ("kallsyms_num_syms", struct.pack(mark + "I", len(symbols))),
        ("kallsyms_token_table", tokens),
        ("kallsyms_token_index", index),
    ):
        memory.write(at, data)
        yield name, virt_of(at)
        at = -(-(at + len(data)) // 8) * 8
    yield "kallsyms_offsets", virt_of(at)
    base, relative = virt_of(image.start), kernel.version < PLACE_RELATIVE_SINCE
    for number, symbol in enumerate(symbols):
        place = at + 4 * number
        offset = symbol.address - (base if relative else virt_of(place))
        memory.store_u32(place, offset & 0xFFFFFFFF)
    if relative:
        at = -(-(at + 4 * len(symbols)) // 8) * 8
        memory.store_u64(at, base)
        yield "kallsyms_relative_base", virt_of(at)
    assert at < image.btf


def _stored(symbol: ElfSymbol) -> bytes:
    """Give a name as it is stored: its length, then the letter of its kind and the name itself."""
    text = (b"T" if symbol.is_function else b"D") + symbol.name.encode()
    assert len(text) < 1 << 7, "one byte has the length"
    return bytes([len(text)]) + text
