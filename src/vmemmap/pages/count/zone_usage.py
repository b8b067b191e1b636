"""The pages of one zone, as a census counts them."""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.mmzone.nodes import ZoneInfo
from vmemmap.pages.kinds import ByKind


@dataclass(frozen=True, slots=True)
class ZoneUsage:
    """The pages whose flags name one zone.

    Attributes:
        node: NUMA node; None where the flags' layout cannot be known.
        zone: Index of the zone, likewise.
        name: Its name; None if it cannot be had.
        pages: How many pages name it.
        kinds: Pages by kind; kinds without any are left out, and None is given for kinds that
            undecided pages may be.
        info: What the kernel says of the zone; None if that cannot be read.
    """

    node: int | None
    zone: int | None
    name: str | None
    pages: int
    kinds: ByKind[int | None]
    info: ZoneInfo | None
