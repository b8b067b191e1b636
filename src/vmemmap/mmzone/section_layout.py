"""Where mem_section is and how it is cut: the sections of SPARSEMEM_EXTREME.

Source: Linux include/linux/mmzone.h, mm/sparse.c; arch/powerpc/include/asm/{sparsemem,mmzone}.h.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import ByteOrder
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
FLAG_BITS = 0x3F

_SECTION_SHIFT = 24
_PHYSMEM_BITS_MAX = 56


@dataclass(frozen=True, slots=True)
class SectionLayout:
    """How mem_section is cut.

    Attributes:
        roots: SYMBOL(mem_section): virtual address of the root array, or, where a symbol table
            gave it, perhaps of the pointer to it.
        root_count: LENGTH(mem_section).
        size: SIZE(mem_section) in bytes.
        map_offset: Offset of section_mem_map in it.
        per_root: Sections in a root, which is one page.
        pages_per_section: Pages in a section.
        order: The memory's byte order.
        facts: SECTION_SIZE_BITS and MAX_PHYSMEM_BITS, each with its origin.
    """

    roots: int
    root_count: int
    size: int
    map_offset: int
    per_root: int
    pages_per_section: int
    order: ByteOrder
    facts: tuple[Fact, ...]


def find_section_layout(
    info: Vmcoreinfo, roots: int, order: ByteOrder, page_size: int
) -> SectionLayout:
    """Establish how mem_section is cut.

    Args:
        info: VMCOREINFO.
        roots: SYMBOL(mem_section).
        order: The memory's byte order.
        page_size: The kernel's page size in bytes.

    Raises:
        FactError: A key is missing, or its value impossible.
    """
    size, count = info.size("mem_section"), info.length("mem_section")
    map_offset = info.offset("mem_section.section_mem_map")
    shift = _from_key(info, "SECTION_SIZE_BITS", _SECTION_SHIFT)
    if not 8 <= size <= page_size or map_offset % 8 or map_offset + 8 > size:
        raise FactInvalid(
            f"VMCOREINFO has SIZE(mem_section)={size} and OFFSET(mem_section.section_mem_map)="
            f"{map_offset}; expected a size up to the page size, with the offset inside it",
            name="SIZE(mem_section)",
        )
    section_shift = int(shift.value)
    if not page_size.bit_length() - 1 < section_shift < 40:
        raise FactInvalid(
            f"VMCOREINFO has NUMBER(SECTION_SIZE_BITS)={section_shift}; expected more than a page",
            name="NUMBER(SECTION_SIZE_BITS)",
        )
    per_root = page_size // size
    bits = (count * per_root - 1).bit_length() + section_shift
    if count < 1 or bits > _PHYSMEM_BITS_MAX:
        raise FactInvalid(
            f"VMCOREINFO has LENGTH(mem_section)={count} roots of {per_root} sections each; "
            f"expected what {_PHYSMEM_BITS_MAX} bits of physical address need at most",
            name="LENGTH(mem_section)",
        )
    if "NUMBER(MAX_PHYSMEM_BITS)" in info:
        physmem = _from_key(info, "MAX_PHYSMEM_BITS", bits)
    else:
        detail = "what LENGTH(mem_section) roots cover"
        physmem = Fact("MAX_PHYSMEM_BITS", bits, Origin.DERIVED, detail)
    return SectionLayout(
        roots=roots,
        root_count=count,
        size=size,
        map_offset=map_offset,
        per_root=per_root,
        pages_per_section=(1 << section_shift) // page_size,
        order=order,
        facts=(shift, physmem),
    )


def _from_key(info: Vmcoreinfo, name: str, default: int) -> Fact:
    if f"NUMBER({name})" in info:
        return Fact(name, info.number(name), Origin.VMCOREINFO, f"NUMBER({name})")
    return Fact(name, default, Origin.ASSUMED, "the same in every ppc64 kernel")
