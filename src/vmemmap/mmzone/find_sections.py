"""mem_section of one dump: found, read, and cut to the parts of sections that there are."""

from __future__ import annotations

from vmemmap.errors import FactError
from vmemmap.facts.kernel import KernelFacts
from vmemmap.mmzone.section_layout import find_section_layout
from vmemmap.mmzone.sections import SectionTable, read_sections
from vmemmap.mmzone.subsections import cut_to_subsections
from vmemmap.source.base import PhysicalSource

_DEFAULT_SECTION_BYTES = 1 << 24


def find_sections(
    kernel: KernelFacts, source: PhysicalSource, base: int
) -> tuple[SectionTable | None, int, str]:
    """Read mem_section.

    Args:
        kernel: Facts about the kernel.
        source: The dump's physical memory.
        base: Virtual address of the struct page of pfn 0.

    Returns:
        The sections, or None; the pages in one; and why there are none.
    """
    page_size = int(kernel.page_size.value)
    per = _DEFAULT_SECTION_BYTES // page_size
    try:
        symbol = int(kernel.symbol("mem_section").value)
        layout = find_section_layout(kernel.vmcoreinfo, symbol, kernel.order, page_size)
    except FactError as error:
        return None, per, str(error)
    try:
        table = read_sections(source, layout, base)
    except FactError as error:
        return None, layout.pages_per_section, str(error)
    if isinstance(table, SectionTable):
        table = cut_to_subsections(table, source, layout, page_size)
        return table, layout.pages_per_section, ""
    return None, layout.pages_per_section, table
