"""What cannot be said of a kernel's pages, in words: what is open, and what would tell it."""

from __future__ import annotations

from vmemmap.findings import Finding, Severity
from vmemmap.pages.kinds import Kind
from vmemmap.pages.layout.page_layout import PageLayout
from vmemmap.pages.layout.unsettled import FLAG_BITS
from vmemmap.pages.rules import bit_of

_TELLS = "a vmlinux of this kernel (--vmlinux) tells, if it has types, and BTF in the dump does"


def kinds_in(may: int) -> list[Kind]:
    """Give the kinds of which a number is the sum, as `bit_of` makes it."""
    return [kind for kind in Kind if may & bit_of(kind)]


def hugetlb_unknown(layout: PageLayout) -> Finding:
    """Say that huge pages cannot be told, and what is missing for that."""
    if layout.head is None:
        missing, tells = "SYMBOL(free_huge_page)", "a vmlinux of this kernel (--vmlinux) has it"
    elif layout.compound_order is not None and layout.compound_order.mask == 0xFF:
        missing, tells = "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE) or NUMBER(PG_hugetlb)", _TELLS
    else:
        missing, tells = "OFFSET(page.compound_dtor) and NUMBER(HUGETLB_PAGE_DTOR)", _TELLS
    return Finding(
        "hugetlb_unknown",
        Severity.INFO,
        f"this kernel's VMCOREINFO does not say what marks huge pages: it has no {missing}. They "
        f"are among the pages of kind other and compound_tail; {tells}",
    )


def kinds_undecided(layout: PageLayout, pages: int, may: int) -> Finding:
    """Say of which pages the kind is open, and what is missing for it.

    Args:
        layout: The kernel's struct page.
        pages: How many pages.
        may: What they may be, as `bit_of` sums kinds.
    """
    words = ", ".join(kind.word for kind in kinds_in(may))
    return Finding(
        "kinds_undecided",
        Severity.WARNING,
        f"what {pages} pages are cannot be decided, and so not how many there are of the kinds "
        f"that they may be ({words}): {why_undecided(layout)}",
    )


def page_undecided(layout: PageLayout, may: int) -> str:
    """Say why the kind of one page is open, and what it may be."""
    words = [kind.word for kind in kinds_in(may)]
    return f"it may be {' or '.join(words)}: {why_undecided(layout)}"


def why_undecided(layout: PageLayout) -> str:
    """Say what is not established of a kernel's struct page, and what would tell."""
    open_marks = ", ".join(_mark(layout, name) for name in layout.unsettled)
    return (
        "neither VMCOREINFO nor pages of which it is known what they are settle what this kernel "
        f"has for {open_marks}; {_TELLS}"
    )


def _mark(layout: PageLayout, name: str) -> str:
    if name in _MEMBERS:
        return _MEMBERS[name]
    mark = layout.unsettled[name]
    bits = [bit for bit in range(FLAG_BITS) if mark.bits >> bit & 1]
    choices = [f"bit {bit}" for bit in bits] if len(bits) <= _BITS_NAMED else ["one of many bits"]
    choices += [f"type {value:#x}" for value in sorted(mark.types)]
    return f"PG_{name} ({' or '.join(choices) or 'nothing known'})"


_BITS_NAMED = 4
_MEMBERS = {
    "order": "the order of a free block (OFFSET(page.private))",
    "mapping": "the mapping (OFFSET(page.mapping))",
}
