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
    data = memory.content("its kernel's BTF", start.address, size)
    return Btf(data, f"the kernel's BTF at {start.address:#x}")
