"""The types that a kernel carries in itself: BTF in the dumped memory, found by its own symbols.

It is what a running kernel shows as /sys/kernel/btf/vmlinux. With it a dump describes itself and no
vmlinux is needed, if the kernel was built with CONFIG_DEBUG_INFO_BTF (5.2 or later), says where its
symbols are (6.0 or later, or a distribution's backport), and the pages are in the dump: they are
constants of the kernel's, which no dump level leaves out.

Source: Linux kernel/bpf/btf.c and sysfs_btf.c, include/asm-generic/vmlinux.lds.h (__start_BTF).
"""

from __future__ import annotations

from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.facts.symbols.table import SymbolTable
from vmemmap.facts.types.btf import BTF_MAX_BYTES, Btf
from vmemmap.formats.btf import HEADER_BYTES, decode_header
from vmemmap.linear_map import LinearMemory

_START, _END = "__start_BTF", "__stop_BTF"


def read_own_types(symbols: SymbolTable, memory: LinearMemory) -> Btf:
    """Read the kernel's BTF out of its memory.

    Args:
        symbols: The kernel's symbols.
        memory: The kernel's data.

    Raises:
        FactMissing: The kernel has none, or it is not in the dump.
        FactInvalid: What is there is damaged.
    """
    at, data = _read(symbols, memory)
    return Btf(data, f"the kernel's BTF at {at:#x}")


def own_types_parts(symbols: SymbolTable, memory: LinearMemory) -> list[tuple[int, int]]:
    """Say where the kernel's BTF lies: virtual address and size of each part of it.

    Args:
        symbols: The kernel's symbols.
        memory: The kernel's data.

    Raises:
        FactError: As for `read_own_types`; of what cannot be read no part is known.
    """
    at, data = _read(symbols, memory)
    Btf(data, f"the kernel's BTF at {at:#x}")
    header = decode_header(data)
    assert header is not None
    return [
        (at, HEADER_BYTES),
        (at + header.types_at, header.types_size),
        (at + header.strings_at, header.strings_size),
    ]


def _read(symbols: SymbolTable, memory: LinearMemory) -> tuple[int, bytes]:
    """Read all that lies between the symbols; give its address, too."""
    start, end = symbols.find(_START), symbols.find(_END)
    if start is None or end is None:
        raise FactMissing(f"its kernel has no BTF (no symbol {_START})", name="types")
    size = end.address - start.address
    if not 0 < size <= BTF_MAX_BYTES:
        raise FactInvalid(
            f"its kernel's BTF ends {size} bytes behind its start; expected at most "
            f"{BTF_MAX_BYTES}",
            name="types",
        )
    return start.address, memory.content("its kernel's BTF", start.address, size)
