"""How mem_section is cut, and what a word in it says: the sections of SPARSEMEM_EXTREME.

::

    mem_section -> root array, LENGTH(mem_section) pointers, 0 where a root has no sections
                     -> a root, one page: struct mem_section, so many as fit into it
                          section_mem_map   where pfn 0's struct page would be | flags
                          usage             where the section is present in parts

With SPARSEMEM_VMEMMAP what is above the flags is the same in every section, the vmemmap's base.

Source: Linux include/linux/mmzone.h, mm/sparse.c; arch/powerpc/include/asm/{sparsemem,mmzone}.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import U64_MAX
from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo

MARKED_PRESENT = 1
HAS_MEM_MAP = 2
IS_ONLINE = 4
"""Since Linux commit 2d070eab2e82 ("mm: consider zone which is not fully populated to have holes")
(in v4.13); clear in every section before."""
IS_EARLY = 8
"""Since Linux commit 326e1b8f83a4 ("mm/sparsemem: introduce a SECTION_IS_EARLY flag") (in v5.3)."""
TAINT_ZONE_DEVICE = 16
"""Since Linux commit 1f90a3477df3 ("mm: teach pfn_to_online_page() about ZONE_DEVICE section
collisions") (in v5.12)."""
_FLAG_BITS = 0x3F
"""More than any kernel has; the struct pages begin at far rounder addresses."""

_SECTION_SHIFT = 24
_PHYSMEM_BITS_MAX = 56


@overload
def flags_of(section_mem_map: int) -> int: ...
@overload
def flags_of(section_mem_map: NDArray[np.uint64]) -> NDArray[np.uint64]: ...
def flags_of(section_mem_map: Any) -> Any:
    """Give the flags in a section_mem_map, or in many."""
    return section_mem_map & _FLAG_BITS


@overload
def map_base_of(section_mem_map: int) -> int: ...
@overload
def map_base_of(section_mem_map: NDArray[np.uint64]) -> NDArray[np.uint64]: ...
def map_base_of(section_mem_map: Any) -> Any:
    """Give where pfn 0's struct page would be by a section_mem_map (virtual), or by many."""
    return section_mem_map & (U64_MAX ^ _FLAG_BITS)


@dataclass(frozen=True, slots=True)
class SectionLayout:
    """How mem_section is cut.

    Attributes:
        root_count: LENGTH(mem_section).
        size: SIZE(mem_section) in bytes.
        map_offset: Offset of section_mem_map in it; that of usage is 8 more.
        per_root: Sections in a root, which is one page.
        pages_per_section: Pages in a section.
        section_size_bits: log2 of the bytes in a section, with its origin.
    """

    root_count: int
    size: int
    map_offset: int
    per_root: int
    pages_per_section: int
    section_size_bits: Fact[int]

    def number_of(self, phys: int) -> int:
        """Give the number of the section that a physical address lies in."""
        return phys >> self.section_size_bits.value

    @property
    def root_bytes(self) -> int:
        """How much of its page a root takes."""
        return self.per_root * self.size


def default_pages_per_section(page_size: int) -> int:
    """Give the pages in a section where nothing tells: 16 MiB in every ppc64 kernel."""
    return (1 << _SECTION_SHIFT) // page_size


def read_section_layout(info: Vmcoreinfo, page_size: int) -> SectionLayout:
    """Establish how mem_section is cut.

    Args:
        info: VMCOREINFO.
        page_size: The kernel's page size in bytes.

    Raises:
        FactError: A key is missing, or its value impossible.
    """
    size, count = info.size("mem_section"), info.length("mem_section")
    map_offset = info.offset("mem_section.section_mem_map")
    if not 8 <= size <= page_size or map_offset % 8 or map_offset + 8 > size:
        raise FactInvalid(
            f"VMCOREINFO has SIZE(mem_section)={size} and OFFSET(mem_section.section_mem_map)="
            f"{map_offset}; expected a size up to the page size, with the offset inside it",
            name="SIZE(mem_section)",
        )
    bits = _section_size_bits(info)
    shift = bits.value
    if not page_size.bit_length() - 1 < shift < 40:
        raise FactInvalid(
            f"VMCOREINFO has NUMBER(SECTION_SIZE_BITS)={shift}; expected more than a page",
            name="NUMBER(SECTION_SIZE_BITS)",
        )
    per_root = page_size // size
    reach = (count * per_root - 1).bit_length() + shift
    if count < 1 or reach > _PHYSMEM_BITS_MAX:
        raise FactInvalid(
            f"VMCOREINFO has LENGTH(mem_section)={count} roots of {per_root} sections each; "
            f"expected what {_PHYSMEM_BITS_MAX} bits of physical address need at most",
            name="LENGTH(mem_section)",
        )
    return SectionLayout(
        root_count=count,
        size=size,
        map_offset=map_offset,
        per_root=per_root,
        pages_per_section=(1 << shift) // page_size,
        section_size_bits=bits,
    )


def _section_size_bits(info: Vmcoreinfo) -> Fact[int]:
    # Exported since v5.13.
    if "NUMBER(SECTION_SIZE_BITS)" in info:
        return info.fact("SECTION_SIZE_BITS", "NUMBER(SECTION_SIZE_BITS)")
    reason = "the same in every ppc64 kernel"
    return Fact("SECTION_SIZE_BITS", _SECTION_SHIFT, Origin.ASSUMED, reason)
