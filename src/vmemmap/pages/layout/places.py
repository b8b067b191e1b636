"""Where members of a struct page are, seen in pages of which it is known what they are.

VMCOREINFO says where; here that is compared with what such pages show (``witnesses.py``). A place
that they contradict is corrected if they show another one, and noted as a fact with the evidence.

Source: Linux include/linux/mm_types.h, include/linux/mmzone.h of the versions named at each row.
"""

from __future__ import annotations

from dataclasses import replace

from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Origin
from vmemmap.pages.layout.page_reader import PageReader
from vmemmap.pages.layout.type_eras import BUDDY_VALUES
from vmemmap.pages.layout.witnesses import KnownPages, Witnesses

_ORDERS_MAX = 21
"""LENGTH(zone.free_area) is 9 or 13 by default and at most a little more by configuration."""
_PLACES = ((24, 40, 8, 12, 16), (8, 32, 28, 24, 48), (24, 8, 52, 48, 40))
"""Where mapping, lru, _refcount, _mapcount and private are: 2.6.35 to 3.0, to 4.17, and since. A
kernel with debugging options, or a vendor's, can have others, but hardly for mapping alone."""


def shown_lru(read: PageReader, lru: int, pages: KnownPages) -> int:
    """Give where lru is, which may be elsewhere than said if pages that are on no list show it."""
    others = [row[1] for row in _PLACES if row[1] != lru and row[1] + 16 <= read.size]
    shown = [at for at in others if pages.are_unlisted(at)]
    if len(shown) != 1 or pages.are_unlisted(lru):
        return lru
    why = "where pages of the kernel's image, which are on no list, link themselves"
    read.derive("page.lru", shown[0], why, Origin.DERIVED)
    return shown[0]


def shown_orders(read: PageReader, page_size: int, pages: KnownPages) -> int:
    """Give how many orders there are, which may be more than said if there are lists of them."""
    orders = read_orders(read, page_size)
    if pages.free_orders <= orders:
        return orders
    why = "so many free lists follow each other in the first zone"
    read.derive("zone.free_area", pages.free_orders, why, Origin.DERIVED)
    return pages.free_orders


def is_mapping(mapping: int, lru: int, refcount: int, seen: Witnesses) -> bool:
    """Tell whether the mapping is where it may be, if all the rest is where a kernel has it."""
    rest = (lru, refcount, seen.mapcount, seen.private)
    return mapping in {row[0] for row in _PLACES if row[1:] == rest} or not any(
        row[1:] == rest for row in _PLACES
    )


def places_seen(read: PageReader, seen: Witnesses) -> Witnesses:
    """Correct what known pages show to be elsewhere: page type, order, the word of tails."""
    lru = seen.lru
    if seen.head not in (None, lru) and not seen.names_heads(seen.head) and seen.names_heads(lru):
        why = "in the word of page.lru.next, as in every kernel: there tails name their heads"
        seen = replace(seen, head=read.derive("page.compound_head", lru, why, Origin.DERIVED))
    if seen.free_type is None:
        places = seen.type_places(BUDDY_VALUES)
        if len(places) == 1:
            why = f"where {seen.free_blocks} blocks on the free lists have the same page type"
            read.derive("page._mapcount", places[0], why, Origin.DERIVED)
            seen = replace(seen, mapcount=places[0])
    places = seen.order_places()
    if places and seen.private not in places:
        place = places[0] if len(places) == 1 else None
        why = f"where {seen.free_blocks} blocks on the free lists have their order"
        seen = replace(seen, private=read.derive("page.private", place, why, Origin.DERIVED))
    return seen


def read_orders(read: PageReader, page_size: int) -> int:
    """Give how many orders of free blocks there are.

    Raises:
        FactInvalid: VMCOREINFO has a number that cannot be.
    """
    key = "LENGTH(zone.free_area)"
    if key not in read.info and read.types.value(key) is None:
        default = 9 if page_size == 65536 else 13
        read.derive("zone.free_area", default, "the default of ppc64 kernels", Origin.ASSUMED)
        return default
    value = read.info.length("zone.free_area")
    if not 1 <= value <= _ORDERS_MAX:
        raise FactInvalid(
            f"VMCOREINFO has {key}={value}; expected 1 to {_ORDERS_MAX} orders", name=key
        )
    return value
