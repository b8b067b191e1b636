"""What VMCOREINFO itself has of a struct page, for tools that go by that alone.

Their view of a page may differ from ours, which has other sources beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.pages.layout.flag_bits import FLAGS_EXPORTED
from vmemmap.pages.layout.page_reader import PageReader

_HUGETLB_BY_TAIL = (
    "NUMBER(HUGETLB_PAGE_DTOR)",
    "NUMBER(PG_hugetlb)",
    "SYMBOL(free_huge_page)",
)
_TYPES = ("buddy", "slab", "hugetlb", "offline", "unaccepted")


def exported_values(info: Vmcoreinfo) -> frozenset[str]:
    """Name the values that a tool which knows VMCOREINFO alone would have."""
    keys = {
        "page.private": "OFFSET(page.private)",
        "page._mapcount": "OFFSET(page._mapcount)",
        "compound_head": "OFFSET(page.compound_head)",
        **{name: f"NUMBER(PAGE_{name.upper()}_MAPCOUNT_VALUE)" for name in _TYPES},
        **{f"PG_{name}": f"NUMBER(PG_{name})" for name in FLAGS_EXPORTED},
        "PG_head": "NUMBER(PG_head_mask)",
    }
    found = {name for name, key in keys.items() if key in info}
    if "OFFSET(page.compound_info)" in info:
        found |= {"compound_head"}
    if any(key in info for key in _HUGETLB_BY_TAIL):
        found |= {"hugetlb_dtor"}
    return frozenset(found)


def exported_numbers(read: PageReader, bits: Mapping[str, int]) -> dict[str, int]:
    """Give the bits and types that VMCOREINFO itself has."""
    keys = {name: f"PAGE_{name.upper()}_MAPCOUNT_VALUE" for name in _TYPES}
    types = {name: read.exported_number(key) for name, key in keys.items()}
    return {f"PG_{name}": bit for name, bit in bits.items()} | {
        name: value & 0xFFFF_FFFF for name, value in types.items() if value is not None
    }
