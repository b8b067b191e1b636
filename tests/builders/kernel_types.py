"""The BTF of a synthetic machine's kernel: the structs that its VMCOREINFO speaks of, and the rest.

What VMCOREINFO of the era does not export comes from the same tables as the struct pages that
`StructPages` writes (ppc64-kernel.md 5.3 to 5.9).
"""

from __future__ import annotations

import re

from .btf import CONST, STRUCT, TYPEDEF, UNION, BtfBuilder
from .struct_pages import HUGETLB_DTOR, StructPages

_KEY = re.compile(r"(SIZE|OFFSET|LENGTH)\((\w+)(?:\.(\w+))?\)")
_TYPEDEFS = ("nodemask_t", "atomic_long_t")
_FOUR_BYTES = ("_count", "_refcount", "_mapcount", "nr_zones", "node_id", "shift")


def kernel_types(pages: StructPages) -> bytes:
    """Give the BTF of the machine that *pages* are written in."""
    made = BtfBuilder(pages.machine.byte_order)
    _structs(made, pages)
    _enums(made, pages)
    return made.build()


def _structs(made: BtfBuilder, pages: StructPages) -> None:
    word, half, byte = (made.integer(f"u{8 * size}", size) for size in (8, 4, 1))
    sizes: dict[str, int] = {}
    members: dict[str, dict[str, int]] = {}
    counts: dict[tuple[str, str], int] = {}
    for key, value in pages.machine.vmcoreinfo.items():
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        kind, owner, member = match.groups()
        if kind == "SIZE":
            sizes[owner] = int(value)
        elif kind == "OFFSET":
            members.setdefault(owner, {})[member] = int(value)
        elif member:
            counts[owner, member] = int(value)
    _never_exported(pages, members, sizes)
    for owner in sorted({*sizes, *members}):
        places = members.get(owner, {})
        size = sizes.get(owner) or max(places.values(), default=0) + 8
        fields = []
        for name, at in places.items():
            width = (
                byte if name.endswith(("_dtor", "_order")) and pages.version >= (4, 16) else word
            )
            if name in _FOUR_BYTES or (
                width is word and name in ("compound_dtor", "compound_order")
            ):
                width = half
            if (owner, name) in counts:
                width = made.array(width, counts[owner, name])
            fields.append((name, made.alias(CONST, width), at))
        # Each member in an anonymous struct in an anonymous union, as in the kernel's struct page.
        inner = [
            ("", made.composite(STRUCT, "", size, [(name, kind, 8 * at)]), 0)
            for name, kind, at in fields
        ]
        whole = [("", made.composite(UNION, "", size, inner), 0)]
        if owner in _TYPEDEFS:
            made.alias(TYPEDEF, made.composite(STRUCT, "", size, whole), owner)
        else:
            made.composite(STRUCT, owner, size, whole)


def _never_exported(
    pages: StructPages, members: dict[str, dict[str, int]], sizes: dict[str, int]
) -> None:
    version, at, page = pages.version, pages.at, members["page"]
    page.setdefault("_mapcount", at["at_mapcount"])
    page.setdefault("private", at["at_private"])
    if version >= (6, 6):
        members["folio"] = {"_flags_1": sizes["page"]}
        sizes["folio"] = 2 * sizes["page"]
    if (4, 4) <= version < (4, 6):
        page |= {"compound_dtor": 40, "compound_order": 44}
    if version >= (4, 4):
        page.setdefault("compound_info" if version >= (7, 1) else "compound_head", at["at_lru"])
    else:
        page["first_page"] = at["at_private"]
    zone = members["zone"]
    spanned = zone["spanned_pages"]
    zone |= {"present_pages": spanned + 8, "zone_start_pfn": spanned - 16}
    zone |= {"managed_pages": spanned - 8} if version >= (3, 8) else {}
    sizes.setdefault("vmemmap_backing", 24)


def _enums(made: BtfBuilder, pages: StructPages) -> None:
    version, bits = pages.version, dict(pages.bits)
    shared = bits.pop("swapcache") if version >= (4, 10) else None
    own = {f"PG_{name}": bit for name, bit in sorted(bits.items(), key=lambda pair: pair[1])}
    if version >= (6, 10):
        own.pop("PG_slab", None)
    if shared:
        own["PG_owner_priv_1"] = shared
    flags = own | {"__NR_PAGEFLAGS": 25}
    flags |= {"PG_swapcache": shared} if shared else {}
    flags |= {"PG_hugetlb": 8} if (6, 6) <= version < (6, 9) else {}
    made.enum("pageflags", flags)
    made.enum("zone_stat_item", {"NR_FREE_PAGES": 0})
    made.enum("zone_type", {"ZONE_NORMAL": 0, "ZONE_MOVABLE": 1, "__MAX_NR_ZONES": 2})
    if (4, 4) <= version < (6, 6):
        made.enum("compound_dtor_id", {"NULL_COMPOUND_DTOR": 0, "HUGETLB_PAGE_DTOR": HUGETLB_DTOR})
    if version >= (6, 12):
        made.enum(
            "pagetype", {f"PGTY_{name}": value >> 24 & 0xFF for name, value in pages.types.items()}
        )
    elif version >= (6, 11):
        made.enum(
            "pagetype", {f"PG_{name}": ~value & 0xFFFFFFFF for name, value in pages.types.items()}
        )
