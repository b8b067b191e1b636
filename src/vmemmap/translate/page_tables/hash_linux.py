"""The Linux page table *under* the hash MMU, in all its forms, not the hardware hash table.

A kernel on the hash MMU keeps its mappings of vmalloc, modules and I/O in ordinary page tables,
from which it fills the hash table that the hardware looks at. The linear map and the vmemmap are
not in them: those go straight into the hash table.

How hash-64k-4.17 takes an address apart: 8, 10, 10 and 8 bits of index above 16 in the page::

    0xc00800000a170040     top digit  pgd 8    pud 10   pmd 10   pte 8    in the page 16
                           0xc        0x080    0x000    0x00a    0x17     0x0040
    swapper_pg_dir[0x80]   = 0x8000000001230000   the pud table at 0x1230000, big-endian
    its entry 0            = 0x8000000001240000   the pmd table at 0x1240000
    its entry 0xa          = 0x8000000001250000   the pte table at 0x1250000
    its entry 0x17         = 0xc0000000042b0185   present, leaf: the page at 0x42b0000
                                                  and the address 0x42b0040

Source: Linux arch/powerpc/include/asm/book3s/64/{hash,hash-4k,hash-64k,pgtable}.h and, up to 4.4,
arch/powerpc/include/asm/{pgtable-ppc64-4k,pgtable-ppc64-64k,pte-hash64-4k,pte-hash64-64k}.h.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.facts.mmu import HASH
from vmemmap.translate.page_tables.eras import FIRST_VERSIONS, format_name
from vmemmap.translate.page_tables.table_format import Format, Hugepd

_TOP_AND_LOW = 0xC000_0000_0000_00FF

_OLD_LAYOUT = frozenset({"0xf"})
_SMALL_LAYOUTS = frozenset({"0xf", "0xc00030", "0xc0003f"})
_LARGE_LAYOUTS = frozenset({"0xf", "0xc00c"})

_IO_OLD = (0x0800_0000_0000,)
_IO_CHANGING = (0x0800_0000_0000, 0x3800_0000_0000)
_IO_NEW = (0x3800_0000_0000,)


@dataclass(frozen=True, slots=True)
class _Entries:
    """What the bits of an entry mean, for the page size of its column in the table below."""

    big_endian: bool
    virtual_pointers: bool
    present: int
    leaf: int
    rpn_shift: int
    phys_bits: int
    hugepd: Hugepd


_N, _T, _B = Hugepd.NONE, Hugepd.TOP_BIT_CLEAR, Hugepd.LOW_BITS
_P63, _L62 = 1 << 63, 1 << 62

# fmt: off
# What is above the page frame number in old entries is nothing: 64 bits stand for "no mask".
#                     big    virt   present leaf rpn bits hugepd
_4K_2_6_35 = _Entries(False, True,  0x1,  0x0,  17, 64, _T)
_4K_3_10 =   _Entries(False, True,  0x1,  0x3,  17, 64, _B)
_4K_4_5 =    _Entries(False, True,  0x2,  0x1,  18, 64, _B)
_4K_4_6 =    _Entries(False, False, _P63, _L62, 12, 57, _B)
_4K_4_7 =    _Entries(True,  False, _P63, _L62, 12, 57, _B)
_4K_4_11 =   _Entries(True,  False, _P63, _L62, 12, 53, _B)

_64K_2_6_35 = _Entries(False, True,  0x1,  0x0,  30, 64, _T)
_64K_3_10 =   _Entries(False, True,  0x1,  0x3,  30, 64, _N)
_64K_4_5 =    _Entries(False, True,  0x2,  0x1,  30, 64, _N)
_64K_4_6 =    _Entries(False, False, _P63, _L62, 16, 57, _N)
_64K_4_7 =    _Entries(True,  False, _P63, _L62, 16, 57, _N)
_64K_4_11 =   _Entries(True,  False, _P63, _L62, 16, 53, _N)

# fmt: on
_ALL = (_TOP_AND_LOW, _TOP_AND_LOW, _TOP_AND_LOW)

#  since, index bits (PTE PMD PUD PGD), entries, bits to clear (PMD PUD PGD), layouts, I/O starts
_ROWS_4K = (
    ("2.6.35", (9, 7, 7, 9), _4K_2_6_35, (0, 0, 0), _OLD_LAYOUT, _IO_OLD),
    ("3.7", (9, 7, 9, 9), _4K_2_6_35, (0, 0, 0), _OLD_LAYOUT, _IO_OLD),
    ("3.10", (9, 7, 9, 9), _4K_3_10, (0, 0, 0), _OLD_LAYOUT, _IO_OLD),
    ("4.5", (9, 7, 9, 9), _4K_4_5, (0, 0, 0), _OLD_LAYOUT, _IO_OLD),
    ("4.6", (9, 7, 9, 9), _4K_4_6, (0, 0, 0), _OLD_LAYOUT, _IO_OLD),
    ("4.7", (9, 7, 9, 9), _4K_4_7, _ALL, _OLD_LAYOUT, _IO_OLD),
    ("4.11", (9, 7, 9, 9), _4K_4_11, _ALL, _SMALL_LAYOUTS, _IO_CHANGING),
)
_ROWS_64K = (
    ("2.6.35", (12, 12, 0, 4), _64K_2_6_35, (0x1FF, 0x1FF, 0), _OLD_LAYOUT, _IO_OLD),
    ("3.7", (12, 12, 0, 6), _64K_2_6_35, (0x1FF, 0x1FF, 0), _OLD_LAYOUT, _IO_OLD),
    ("3.10", (8, 10, 0, 12), _64K_3_10, (0x1FF, 0x1FF, 0), _OLD_LAYOUT, _IO_OLD),
    ("3.11", (8, 10, 0, 12), _64K_3_10, (0xFFF, 0x1FF, 0), _OLD_LAYOUT, _IO_OLD),
    ("4.5", (8, 10, 0, 12), _64K_4_5, (0xFFF, 0x1FF, 0), _OLD_LAYOUT, _IO_OLD),
    ("4.6", (8, 5, 5, 12), _64K_4_6, _ALL, _OLD_LAYOUT, _IO_OLD),
    ("4.7", (8, 5, 5, 12), _64K_4_7, _ALL, _OLD_LAYOUT, _IO_OLD),
    ("4.11", (8, 5, 5, 12), _64K_4_11, _ALL, _OLD_LAYOUT, _IO_OLD),
    ("4.12", (8, 10, 7, 8), _64K_4_11, _ALL, _OLD_LAYOUT, _IO_CHANGING),
    ("4.17", (8, 10, 10, 8), _64K_4_11, _ALL, _LARGE_LAYOUTS, _IO_NEW),
)

_Row = tuple[
    str, tuple[int, int, int, int], _Entries, tuple[int, int, int], frozenset[str], tuple[int, ...]
]


def _formats(page_size: int, rows: tuple[_Row, ...]) -> tuple[Format, ...]:
    assert tuple(row[0] for row in rows) == FIRST_VERSIONS[HASH, page_size]
    return tuple(
        Format(
            name=format_name(HASH, page_size, since),
            page_shift=page_size.bit_length() - 1,
            bits=bits,
            big_endian=entries.big_endian,
            virtual_pointers=entries.virtual_pointers,
            upper_present=0,  # bit 63 is there from 4.20 on only
            present=entries.present,
            leaf=entries.leaf,
            rpn_shift=entries.rpn_shift,
            phys_bits=entries.phys_bits,
            clear=clear,
            hugepd=entries.hugepd,
            layouts=layouts,
            io_starts=io_starts,
        )
        for since, bits, entries, clear, layouts, io_starts in rows
    )


HASH_FORMATS = {4096: _formats(4096, _ROWS_4K), 65536: _formats(65536, _ROWS_64K)}
"""Every format of the hash MMU's kernels by page size (bytes), oldest first."""
