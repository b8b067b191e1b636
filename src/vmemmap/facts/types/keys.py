"""What the kernel's types say where VMCOREINFO would have a key: the same value, the same meaning.

VMCOREINFO is made from the types when the kernel is built, so each of its keys about a structure
has one answer in them. Macros and the lengths of arrays that are variables are not among types.

Source: Linux kernel/vmcore_info.c, include/linux/{vmcore_info,page-flags}.h.
"""

from __future__ import annotations

import re

from vmemmap.facts.types.types import Types

_KEY = re.compile(r"(SIZE|OFFSET|LENGTH|NUMBER)\(([A-Za-z_0-9.]{1,128})\)", re.ASCII)
_MAPCOUNT = re.compile(r"PAGE_([A-Z]+)_MAPCOUNT_VALUE")
_ENUM_OF = {
    "NR_FREE_PAGES": "zone_stat_item",
    "HUGETLB_PAGE_DTOR": "compound_dtor_id",
}
FLAGS = "pageflags"
_TYPE_SHIFT = 24


def may_tell(key: str) -> bool:
    """Tell whether types can have the value of a key, so that it is worth reading them."""
    match = _KEY.fullmatch(key)
    if match is None:
        return False
    kind, name = match[1], match[2]
    if kind == "NUMBER":
        return name.startswith("PG_") or name in _ENUM_OF or bool(_MAPCOUNT.fullmatch(name))
    return kind == "SIZE" or "." in name


def value_by_types(types: Types, key: str) -> int | None:
    """Give the value that VMCOREINFO's *key* has by the kernel's types.

    Args:
        types: The kernel's types.
        key: Such as ``SIZE(page)``, ``OFFSET(page.lru)``, ``LENGTH(zone.free_area)`` or
            ``NUMBER(PG_lru)``.

    Returns:
        The value, or None if types have no such thing.

    Raises:
        FactInvalid: The types are damaged.
    """
    if not may_tell(key):
        return None
    kind, _, name = key.removesuffix(")").partition("(")
    if kind == "SIZE":
        return types.size(name)
    if kind == "NUMBER":
        return _number(types, name)
    member = types.member(name)
    if member is None:
        return None
    return member.count if kind == "LENGTH" else member.offset


def _number(types: Types, name: str) -> int | None:
    mapcount = _MAPCOUNT.fullmatch(name)
    if mapcount is not None:
        return _page_type(types, mapcount[1].lower())
    if name == "PG_head_mask":
        bit = (types.enumerators(FLAGS) or {}).get("PG_head")
        return None if bit is None or not 0 <= bit < 32 else 1 << bit
    enum = FLAGS if name.startswith("PG_") else _ENUM_OF.get(name)
    return None if enum is None else (types.enumerators(enum) or {}).get(name)


def _page_type(types: Types, name: str) -> int | None:
    """Give the value of ``_mapcount`` in pages of a type, as the signed number of 32 bits."""
    # An enum since 6.11; before, the numbers are macros.
    values = types.enumerators("pagetype") or {}
    if f"PGTY_{name}" in values:
        # Since Linux commit 4ffca5a96678 ("mm: support only one page_type per page") (in v6.12).
        value = values[f"PGTY_{name}"] << _TYPE_SHIFT
    elif f"PG_{name}" in values:
        value = ~values[f"PG_{name}"]
    else:
        return None
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value
