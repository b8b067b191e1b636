"""Where the second page of a compound has its order, and where what kind of compound it is.

Source: Linux include/linux/{mm_types,mm,hugetlb}.h, kernel/vmcore_info.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Fact, Origin
from vmemmap.pages.layout.page_reader import PageReader

_WIDE = (1 << 64) - 1
_HUGETLB_DTOR, _HUGETLB_BIT = 2, 8
"""HUGETLB_PAGE_DTOR and PG_hugetlb in every kernel that has them; another number is damaged."""


@dataclass(frozen=True, slots=True)
class Word:
    """A number inside a struct page: *width* bytes at *offset*, of which the bits of *mask*."""

    offset: int
    width: int
    mask: int


Places = tuple[Word | None, Word | None, int | None]
"""The order's place, the kind's, and the value of that in a hugetlb page."""


def find_compound_words(
    read: PageReader,
    flags: int,
    lru: int,
    head: int | None,
    symbol: Callable[[str], Fact[int] | None],
) -> Places:
    """Say where a compound's order is, where its kind, and which value means hugetlb.

    The first way that the keys of VMCOREINFO allow, newest kernels first; then the first that the
    types do.

    Args:
        read: VMCOREINFO and the types.
        flags: Offset of ``page.flags`` in bytes.
        lru: That of ``page.lru``.
        head: That of the word that marks tails, or None before 4.4.
        symbol: Gives the address of a kernel symbol, or None.
    """
    for typed in (False, True):
        found = _by_flags(read, flags, typed) or _by_members(read, typed)
        if found is not None:
            return found
    if head is not None:
        # 4.4 and 4.5 export neither place.
        return None, None, None
    # Until 4.3: lru.prev of the second page is the order, lru.next the destructor's address. On
    # big-endian kernels that is the address of its descriptor (ELFv1), as a symbol table has it.
    huge = symbol("free_huge_page")
    if huge is None:
        return Word(lru + 8, 8, _WIDE), None, None
    if huge.origin is not Origin.VMCOREINFO:
        read.facts.append(huge)
    return Word(lru + 8, 8, _WIDE), Word(lru, 8, _WIDE), huge.value


def _by_flags(read: PageReader, flags: int, typed: bool) -> Places | None:
    """Since 6.6 the flags of the second page have the order in their lowest byte."""
    low_byte = Word(flags, 8, 0xFF)
    hugetlb = "PAGE_HUGETLB_MAPCOUNT_VALUE"
    if (read.number(hugetlb) if typed else read.exported_number(hugetlb)) is not None:
        return low_byte, None, None
    bit = read.number("PG_hugetlb") if typed else read.exported_number("PG_hugetlb")
    if bit is not None:
        if not 0 <= bit < 64:
            raise FactInvalid(
                f"VMCOREINFO has NUMBER(PG_hugetlb)={bit}; expected a bit below 64",
                name="NUMBER(PG_hugetlb)",
            )
        return low_byte, Word(flags, 8, 1 << bit), 1 << bit if bit == _HUGETLB_BIT else None
    if typed and read.types.member("folio._flags_1") is not None:
        # 6.9 and 6.10, where the number of hugetlb's type is a macro, have no member for the order
        # any more; before 6.6 there is one beside _flags_1.
        return None if read.types.member("folio._folio_order") else (low_byte, None, None)
    return None


def _by_members(read: PageReader, typed: bool) -> Places | None:
    """From 4.4 to 6.5 the second page has members for both."""
    for owner, skip in (("folio._folio", read.size), ("page.compound", 0)):
        names = (f"{owner}_order", f"{owner}_dtor")
        keys = [f"OFFSET({name})" for name in names]
        if any(key in read.info for key in keys) == typed:
            continue
        if not all(key in read.info or read.types.value(key) is not None for key in keys):
            continue
        if typed and _is_pointer(read, names[1]):
            return None  # 4.0 to 4.3 have members, which lie in the words of lru
        order, kind = (read.integer(name, key) for name, key in zip(names, keys, strict=True))
        # 2 bytes are known of kernels that do not export them: 4.4 and 4.5.
        return _side_by_side(read, keys, order, kind, skip, (1, 2, 4) if typed else (1, 4))
    return None


def _is_pointer(read: PageReader, member: str) -> bool:
    found = read.types.member(member)
    return found is not None and found.width == 8


def _side_by_side(
    read: PageReader, keys: list[str], order: int, kind: int, skip: int, widths: tuple[int, ...]
) -> Places:
    at, dtor = order - skip, kind - skip
    # They stand side by side, so their distance is their width: 4 bytes until 4.15, then 1.
    width = at - dtor
    if width not in widths or dtor < 0 or dtor % width or at + width > read.size:
        raise FactInvalid(
            f"VMCOREINFO has {keys[1]}={kind} and {keys[0]}={order}; expected them side by side in "
            "the second struct page of a compound",
            name=keys[0],
        )
    number, mask = read.number("HUGETLB_PAGE_DTOR"), (1 << 8 * width) - 1
    if number is not None and not 0 <= number <= mask:
        raise FactInvalid(
            f"VMCOREINFO has NUMBER(HUGETLB_PAGE_DTOR)={number}; expected a number of "
            f"{8 * width} bits",
            name="NUMBER(HUGETLB_PAGE_DTOR)",
        )
    if number != _HUGETLB_DTOR:
        return Word(at, width, mask), None, None
    return Word(at, width, mask), Word(dtor, width, mask), number
