"""The colours and patterns of the kinds of pages, on light and on dark ground.

The hues are those that Okabe and Ito chose so that colour-blind readers tell them apart; kinds that
share one differ in brightness, and what is missing or wrong has a pattern as well.

Source: M. Okabe, K. Ito, "Color Universal Design" (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.drawing.charts import Part
from vmemmap.pages.kinds import TITLES, Kind


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind is shown.

    Attributes:
        light: Its colour on light ground.
        dark: Its colour on dark ground.
        pattern: What is drawn over it: ``stripes``, ``back`` (stripes the other way), ``dots``,
            ``cross``, or nothing.
    """

    light: str
    dark: str
    pattern: str = ""


LOOKS = {
    Kind.FREE: Look("#dfe7ee", "#33414f"),
    Kind.CACHE: Look("#56b4e9", "#56b4e9"),
    Kind.CACHE_PRIVATE: Look("#0072b2", "#2b8fd0", "dots"),
    Kind.ANON: Look("#e69f00", "#e69f00"),
    Kind.SLAB: Look("#009e73", "#10b085"),
    Kind.HUGETLB: Look("#d55e00", "#e06c10"),
    Kind.COMPOUND_TAIL: Look("#cc79a7", "#cc79a7"),
    Kind.RESERVED: Look("#4a5560", "#a3b0bc"),
    Kind.OTHER: Look("#94a3b0", "#6f7f8d"),
    Kind.HWPOISON: Look("#7a0018", "#ff5570", "cross"),
    Kind.OFFLINE: Look("#b9a98a", "#8d7f63", "dots"),
    Kind.DEVICE: Look("#7b5ea7", "#9a7fc4", "dots"),
    Kind.DAMAGED: Look("#f01f4f", "#ff4a6e", "cross"),
    Kind.UNDECIDED: Look("#f0e442", "#f0e442", "back"),
    Kind.UNKNOWN: Look("#ffffff", "#10161c", "stripes"),
    Kind.ABSENT: Look("#f7f5f2", "#1a1f24", "back"),
}


def style_of(kind: Kind) -> str:
    """Give the class that the style sheet knows a kind by."""
    return f"k-{kind.word}"


def part_of(kind: Kind, pages: int, words: str = "") -> Part:
    """Give the part of a bar that stands for some pages of a kind."""
    return Part(TITLES.get(kind, kind.word), pages, LOOKS[kind].light, style_of(kind), words)
