"""The radix page tables of ppc64: four levels, big-endian entries on every kernel.

The tree has the same geometry since it exists (4.7): 13, 9 and 9 bits, then 9 for 4 KiB pages or 5
for 64 KiB ones. Upper entries carry the index size of the next table in their low bits. The page
tables of kernels on the hash MMU are another format and not here.

Source: Linux arch/powerpc/include/asm/book3s/64/{radix,pgtable}.h.
"""

from __future__ import annotations

from vmemmap.facts.mmu import RADIX
from vmemmap.translate.page_tables.eras import FIRST_VERSIONS, format_name
from vmemmap.translate.page_tables.table_format import Format, Hugepd

PRESENT = 1 << 63
LEAF = 1 << 62
_POINTER_CLEAR = 0xC000_0000_0000_00FF

# From 4.11 on, bits 53 to 56 of an entry are no longer part of the address.
_PHYS_BITS = {"4.7": 57, "4.11": 53}
_PTE_BITS = {4096: 9, 65536: 5}


def _formats(page_size: int) -> tuple[Format, ...]:
    return tuple(
        Format(
            name=format_name(RADIX, page_size, since),
            page_shift=page_size.bit_length() - 1,
            bits=(_PTE_BITS[page_size], 9, 9, 13),
            big_endian=True,
            virtual_pointers=False,
            upper_present=PRESENT,
            present=PRESENT,
            leaf=LEAF,
            rpn_shift=page_size.bit_length() - 1,
            phys_bits=_PHYS_BITS[since],
            clear=(_POINTER_CLEAR,) * 3,
            hugepd=Hugepd.NONE,  # there they exist on hash only
            layouts=frozenset({"0xc00c", "0xc00a"}),
        )
        for since in FIRST_VERSIONS[RADIX, page_size]
    )


RADIX_FORMATS = {size: _formats(size) for size in _PTE_BITS}
"""Every format of the radix MMU by page size (bytes), oldest first."""
