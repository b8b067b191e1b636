"""The kernel address space as a table: which region an address lies in, and how it translates.

Since Linux commit 0034d395f89d (in v5.2) the regions of every server kernel lie in the 0xc range. A
layout is chosen by what the dump says (the page size, where vmemmap_list's own addresses lie,
SYMBOL(vmemmap), RADIX_MMU), never by comparing version numbers.

Source: Linux arch/powerpc/include/asm/book3s/64/{hash,hash-4k,hash-64k,radix}.h and
arch/powerpc/include/asm/pgtable-ppc64.h of the kernels named in each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import shown_in_hex
from vmemmap.facts.mmu import HASH, RADIX
from vmemmap.linear_map import PAGE_OFFSET

HASH_ONLY = frozenset({HASH})
RADIX_ONLY = frozenset({RADIX})
EITHER = HASH_ONLY | RADIX_ONLY
BOOK3E = frozenset({"book3e"})
ANY_PAGE = frozenset({4096, 65536})


class Method(StrEnum):
    """How an address of a region becomes a physical one."""

    LINEAR = "linear"
    VMEMMAP = "vmemmap_list"
    PAGE_TABLE = "page_table"


@dataclass(frozen=True, slots=True)
class Region:
    """Addresses ``[start, end)`` that translate in one way."""

    start: int
    end: int
    method: Method
    name: str

    def __repr__(self) -> str:
        return shown_in_hex(self, ("start", "end"))

    def __contains__(self, virt: object) -> bool:
        return isinstance(virt, int) and self.start <= virt < self.end


@dataclass(frozen=True, slots=True)
class AddressLayout:
    """One way in which ppc64 kernels divide their address space.

    Attributes:
        name: What `vmemmap info` calls it.
        mmus: The MMUs whose kernels use it.
        page_sizes: The page sizes (bytes) whose kernels use it.
        regions: Sorted, without overlap; an address in none of them is mapped by nothing.
    """

    name: str
    mmus: frozenset[str]
    page_sizes: frozenset[int]
    regions: tuple[Region, ...]

    @property
    def vmemmap(self) -> Region:
        """The region of the struct-page array."""
        return next(r for r in self.regions if r.method is Method.VMEMMAP)

    def find(self, virt: int) -> Region | None:
        """Give the region that holds *virt*, or None."""
        for region in self.regions:
            if region.start <= virt < region.end:
                return region
        return None


def _layout(
    name: str,
    mmus: frozenset[str],
    page_sizes: frozenset[int],
    *rows: tuple[int, int, Method, str],
) -> AddressLayout:
    return AddressLayout(name, mmus, page_sizes, tuple(Region(*row) for row in sorted(rows)))


_L, _V, _P = Method.LINEAR, Method.VMEMMAP, Method.PAGE_TABLE

LAYOUTS: tuple[AddressLayout, ...] = (
    _layout(
        # 5.2 and later, hash with 64 KiB pages and radix with either; 512 TiB each.
        "0xc00c", EITHER, ANY_PAGE,
        (PAGE_OFFSET, 0xC008_0000_0000_0000, _L, "linear map"),
        (0xC008_0000_0000_0000, 0xC00A_0000_0000_0000, _P, "vmalloc"),
        (0xC00A_0000_0000_0000, 0xC00C_0000_0000_0000, _P, "I/O"),
        (0xC00C_0000_0000_0000, 0xC00E_0000_0000_0000, _V, "vmemmap"),
        # 0xc00e...: KASAN shadow (6.1 and later), else nothing
    ),
    _layout(
        # 5.10 and later, hash with 4 KiB pages; 1 TiB each, the linear map ends where they begin.
        "0xc0003f", HASH_ONLY, frozenset({4096}),
        (PAGE_OFFSET, 0xC000_3D00_0000_0000, _L, "linear map"),
        (0xC000_3D00_0000_0000, 0xC000_3E00_0000_0000, _P, "vmalloc"),
        (0xC000_3E00_0000_0000, 0xC000_3F00_0000_0000, _P, "I/O"),
        (0xC000_3F00_0000_0000, 0xC000_4000_0000_0000, _V, "vmemmap"),
    ),
    _layout(
        # 5.2 to 5.9, hash with 4 KiB pages; 16 TiB each.
        "0xc00030", HASH_ONLY, frozenset({4096}),
        (PAGE_OFFSET, 0xC000_1000_0000_0000, _L, "linear map"),
        (0xC000_1000_0000_0000, 0xC000_2000_0000_0000, _P, "vmalloc"),
        (0xC000_2000_0000_0000, 0xC000_3000_0000_0000, _P, "I/O"),
        (0xC000_3000_0000_0000, 0xC000_4000_0000_0000, _V, "vmemmap"),
    ),
    _layout(
        # 4.7 to 5.1, radix: vmemmap and I/O the other way round.
        "0xc00a", RADIX_ONLY, ANY_PAGE,
        (PAGE_OFFSET, 0xC008_0000_0000_0000, _L, "linear map"),
        (0xC008_0000_0000_0000, 0xC00A_0000_0000_0000, _P, "vmalloc"),
        (0xC00A_0000_0000_0000, 0xC00C_0000_0000_0000, _V, "vmemmap"),
        (0xC00C_0000_0000_0000, 0xC00E_0000_0000_0000, _P, "I/O"),
    ),
    _layout(
        # 2.6.35 to 5.1, hash. vmalloc ends and I/O begins at 0xd00008... up to 4.12 and at
        # 0xd00038... from 4.14; both go through the same page tables, so it need not be known.
        "0xf", HASH_ONLY, ANY_PAGE,
        (PAGE_OFFSET, 0xC008_0000_0000_0000, _L, "linear map"),
        (0xD000_0000_0000_0000, 0xD000_4000_0000_0000, _P, "vmalloc and I/O"),
        (0xF000_0000_0000_0000, 0xF002_0000_0000_0000, _V, "vmemmap"),
    ),
    _layout(
        # Up to 5.17, the embedded (Book3E) kernels; refused, see vmcore.py.
        "book3e 0x8000", BOOK3E, ANY_PAGE,
        (0x8000_0000_0000_0000, 0x8000_0400_0000_0000, _P, "vmalloc"),
        (0x8000_0400_0000_0000, 0x8000_0800_0000_0000, _V, "vmemmap"),
        (PAGE_OFFSET, 0xC000_1000_0000_0000, _L, "linear map"),
    ),
    _layout(
        # 6.0 and later, the embedded (Book3E) kernels.
        "book3e 0xc00014", BOOK3E, ANY_PAGE,
        (PAGE_OFFSET, 0xC000_1000_0000_0000, _L, "linear map"),
        (0xC000_1000_0000_0000, 0xC000_1400_0000_0000, _P, "vmalloc"),
        (0xC000_1400_0000_0000, 0xC000_1800_0000_0000, _V, "vmemmap"),
    ),
)  # fmt: skip

DEFAULT_RADIX_LAYOUT = LAYOUTS[0]
"""What every kernel that keeps no list has: radix since Linux commit 368a0590d954 (in v6.6)."""

BY_SYMBOL = "SYMBOL(vmemmap)"

CERTAIN_LINEAR = Region(PAGE_OFFSET, 0xC000_1000_0000_0000, Method.LINEAR, "linear map")
"""Linear in every layout above, so that it can be used before a layout is known."""


class LayoutChoice(NamedTuple):
    """A layout, and in words why it is this one."""

    layout: AddressLayout
    reason: str


def find_layout(
    page_size: int,
    virts: NDArray[np.uint64],
    *,
    vmemmap_symbol: int | None,
    radix: bool | None,
) -> LayoutChoice | None:
    """Choose the layout that the dump's own addresses fit: the one that most of them lie in.

    With 64 KiB pages, no symbol, and one of five entries damaged::

        virts           0xf..0000  0xf..1000  0xf..2000  0xc00c..0  0xf..3000
        in 0xc00c's     no         no         no         yes        no         1 vote
        in 0xc00a's     no         no         no         no         no         0
        in 0xf's        yes        yes        yes        no         yes        4: this one

    Args:
        page_size: The kernel's page size in bytes.
        virts: The virt_addr of every list entry, any order; may be empty or hold damaged values.
        vmemmap_symbol: SYMBOL(vmemmap), which is the region's start (6.9 and later), or None.
        radix: NUMBER(RADIX_MMU), or None where it is unknown.

    Returns:
        The layout and the reason in words; None when nothing decides.
    """
    fitting = [row for row in LAYOUTS if page_size in row.page_sizes]
    if radix is not None:
        mmu = RADIX if radix else HASH
        fitting = [row for row in fitting if mmu in mmus_of(row, page_size)]
    if vmemmap_symbol is not None:
        for row in fitting:
            if row.vmemmap.start == vmemmap_symbol:
                return LayoutChoice(row, BY_SYMBOL)
    votes = [_count_inside(virts, row.vmemmap) for row in fitting]
    most = max(votes, default=0)
    if not most:
        return None
    best = votes.index(most)
    for i, row in enumerate(fitting):
        # The vmemmap of 0xc0003f lies inside that of 0xc00030, in a part that no machine of that
        # era had memory enough to reach; a few damaged addresses must not turn the choice.
        outer = fitting[best].vmemmap
        inside = outer.start < row.vmemmap.start and row.vmemmap.end <= outer.end
        if inside and 2 * votes[i] >= most:
            best = i
    reason = f"{votes[best]} of {len(virts)} list entries lie in its vmemmap"
    return LayoutChoice(fitting[best], reason)


def find_layout_of_areas(
    page_size: int, starts: NDArray[np.uint64], source: str
) -> LayoutChoice | None:
    """Choose the one layout whose page-table regions hold the kernel's vmalloc and I/O areas.

    Args:
        page_size: The kernel's page size in bytes.
        starts: Where the areas begin, uint64, any order.
        source: What the kernel calls the list of them.

    Returns:
        The layout and the reason in words; None when several fit as well, or none.
    """
    fitting = [row for row in LAYOUTS if page_size in row.page_sizes and row.mmus != BOOK3E]
    counts = [
        sum(_count_inside(starts, r) for r in row.regions if r.method is Method.PAGE_TABLE)
        for row in fitting
    ]
    most = max(counts)
    if not most or counts.count(most) > 1:
        return None
    reason = f"{most} of {len(starts)} areas in {source} lie in it"
    return LayoutChoice(fitting[counts.index(most)], reason)


def mmus_of(layout: AddressLayout, page_size: int) -> frozenset[str]:
    """Give the MMUs that use *layout* with this page size."""
    if layout.mmus == EITHER and page_size == 4096:
        # Hash with 4 KiB pages has a smaller address space and layouts of its own.
        return RADIX_ONLY
    return layout.mmus


def _count_inside(virts: NDArray[np.uint64], region: Region) -> int:
    return int(
        np.count_nonzero((virts >= np.uint64(region.start)) & (virts < np.uint64(region.end)))
    )
