"""Function descriptors: in kernels of the first ELF ABI a function's symbol is not its code.

Big-endian kernels have used that ABI. There ``schedule`` names three words in the section .opd, of
which the first is the code's address. Who asks for ``schedule+0x10`` means the code, and an address
in the code is to be named ``schedule``.

Source: 64-bit PowerPC ELF Application Binary Interface Supplement 1.9, 3.2.5 (function
descriptors), 4.5.1 (R_PPC64_RELATIVE).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import numpy_prefix
from vmemmap.errors import DumpError, FactMissing, ReadError
from vmemmap.facts.elf_file import ElfFile
from vmemmap.facts.symbols.table import Symbol, SymbolTable
from vmemmap.linear_map import LinearMemory, linear_phys_many

DESCRIPTOR_SUFFIX = " (descriptor)"
DESCRIPTOR_BYTES = 24
_R_PPC64_RELATIVE = 22


def find_code(file: ElfFile, address: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Find the code of the functions whose descriptors lie at some addresses.

    Args:
        file: The vmlinux.
        address: Symbols' addresses, uint64.

    Returns:
        Addresses of code, uint64, same length; 0 for what is no descriptor, or leads nowhere.

    Raises:
        FactMissing: The section is not wholly in the file.
    """
    code = np.zeros(len(address), dtype=np.uint64)
    section = file.find(".opd")
    if section is None:
        return code
    word = np.dtype(numpy_prefix(file.order) + "u8")
    try:
        content = file.content(section.offset, section.size, "the function descriptors")
        words = np.frombuffer(content, dtype=word, count=section.size // 8).astype(np.uint64)
        _relocate(file, words, section.address)
    except DumpError as error:
        raise FactMissing(f"the vmlinux's section .opd: {error}", name="symbols") from error
    offset = address - np.uint64(section.address)  # wraps for what lies below, and is too large
    inside = (offset < np.uint64(len(words) * 8)) & (offset % np.uint64(8) == 0)
    found = words[offset[inside] // np.uint64(8)]
    _, valid = linear_phys_many(found)
    code[inside] = np.where(valid, found, np.uint64(0))
    return code


def code_in_memory(symbol: Symbol, table: SymbolTable, memory: LinearMemory) -> int:
    """Find in memory the code of a symbol that may be a descriptor, where the file has no .opd.

    That is so in files that were cut to their symbols. No variable begins with an address in the
    code: a pointer to a function leads to its descriptor.

    Args:
        symbol: The symbol.
        table: All of them.
        memory: The kernel's data; of a kernel of the first ELF ABI.

    Returns:
        The address of the code; 0 if the symbol is no descriptor, or cannot be read.
    """
    start, end = table.find("_stext"), table.find("_etext")
    if symbol.size != DESCRIPTOR_BYTES or start is None or end is None:
        return 0
    in_code = range(start.address, end.address, 4)
    try:
        code, toc = memory.words(symbol.address, 2).tolist()
    except ReadError:
        return 0
    return code if code in in_code and toc >= end.address else 0


def _relocate(file: ElfFile, words: NDArray[np.uint64], start: int) -> None:
    """Put into *words*, of a section that begins at *start*, what a relocatable kernel has apart.

    It fills them itself when it starts; in the file they may be zero.
    """
    section = file.find(".rela.dyn")
    if section is None:
        return
    names = ("r_offset", "r_info", "r_addend")
    layout = np.dtype([(name, numpy_prefix(file.order) + "u8") for name in names])
    rows = file.table(section.offset, section.size // layout.itemsize, layout, "relocations")
    offset = rows["r_offset"].astype(np.uint64) - np.uint64(start)
    inside = (rows["r_info"] == _R_PPC64_RELATIVE) & (offset < np.uint64(len(words) * 8))
    inside &= offset % np.uint64(8) == 0
    words[offset[inside] // np.uint64(8)] = rows["r_addend"][inside]
