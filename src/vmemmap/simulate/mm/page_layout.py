"""struct page as data: where its fields lie and what its flags are numbered, release by release.

Field offsets are those of 64-bit kernels; between the releases whose trees were read they are
brackets, which VMCOREINFO makes harmless: it says what this model's kernel uses.

Source: Linux include/linux/mm_types.h, include/linux/page-flags.h; enum pageflags of 6.1 and 7.3
as their compilers' DWARF has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel

NODES_SHIFT = 8
NODE_AT = 64 - NODES_SHIFT
MAPPING_ANON = 1

LAST_CPUPID_BITS: eras.Table[int] = (
    (eras.OLDEST, 0),
    ((3, 14), 19, eras.Bracket("2.6.35", "4.9.154", "3.14 by what is remembered of 90572890d202")),
)
"""How many bits of page.flags below the zone say which processor and process used the page last:
11 for one of 2048 processors, 8 for a process. All ones until one did."""
TAIL_MAPPING: eras.Table[int] = (
    (eras.OLDEST, 0),
    (
        (4, 5),
        0x5DEADBEEF0000400,
        eras.Bracket("2.6.35", "4.9.154", "4.5 by what is remembered of 1c290f642101"),
    ),
)
"""page.mapping of tail pages but the first: a poison, not NULL."""
SLAB_REFCOUNT: eras.Table[int] = (
    (eras.OLDEST, 1),
    ((6, 14), 0, eras.Bracket("6.12", "7.2", "6.14 by what is remembered of 8c6e2d122b71")),
)
"""Pages of a slab hold no reference since slabs are made of frozen pages: 1 in 6.12, 0 in 7.2."""
SLABS_IN_MAPPING: eras.Table[bool] = ((eras.OLDEST, False), ((6, 2), True))
"""Whether struct slab has in the place of page.mapping a count of slabs, which looks like an
anonymous page's mapping when it is odd. It is told by the page's type only."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Offsets in struct page (bytes)."""

    mapping: int
    index: int
    private: int
    mapcount: int
    refcount: int
    lru: int


FIELDS: eras.Table[Fields] = (
    (eras.OLDEST, Fields(mapping=24, index=32, private=16, mapcount=12, refcount=8, lru=40)),
    (
        (3, 1),
        Fields(mapping=8, index=16, private=48, mapcount=24, refcount=28, lru=32),
        eras.Bracket("3.0.101", "3.4.106", "made for lockless SLUB, in the time of 3.1"),
    ),
    (
        (4, 18),
        Fields(mapping=24, index=32, private=40, mapcount=48, refcount=52, lru=8),
        eras.Bracket("4.15.0", "4.18"),
    ),
)


@dataclass(frozen=True, slots=True)
class Flags:
    """Bit numbers in page.flags; None for a flag that the release has not."""

    referenced: int
    uptodate: int
    lru: int
    slab: int | None
    reserved: int
    private: int
    head: int
    tail: int | None
    swapcache: int
    swapbacked: int
    hwpoison: int
    buddy: int | None = None


_44 = eras.Bracket("4.2.8", "4.4.155")
PAGE_FLAGS: eras.Table[Flags] = (
    (eras.OLDEST, Flags(2, 3, 5, 7, 10, 11, 14, 15, 16, 20, 23, buddy=19)),
    ((2, 6, 38), Flags(2, 3, 5, 7, 10, 11, 14, 15, 16, 19, 22)),
    ((4, 4), Flags(2, 3, 5, 7, 10, 11, 14, None, 15, 18, 21), _44),
    ((4, 10), Flags(2, 3, 5, 8, 11, 12, 15, None, 9, 18, 21)),
    ((4, 20), Flags(1, 2, 4, 9, 12, 13, 16, None, 10, 19, 22)),
    ((6, 6), Flags(2, 3, 5, 11, 14, 15, 6, None, 12, 19, 22)),
    ((6, 10), Flags(2, 3, 5, None, 13, 14, 6, None, 11, 18, 21)),
    ((6, 12), Flags(2, 3, 5, None, 13, 14, 6, None, 10, 17, 20)),
    (
        (6, 14),
        Flags(2, 3, 5, None, 13, 14, 6, None, 10, 17, 21),
        eras.Bracket("6.12.117", "6.14"),
    ),
)

_OLD_FLAGS = (
    "locked error referenced uptodate dirty lru active slab owner_priv_1 arch_1 reserved private "
    "private_2 writeback"
)
_OLD_REST = "swapcache mappedtodisk reclaim swapbacked unevictable mlocked hwpoison"
_REST = "mappedtodisk reclaim swapbacked unevictable mlocked hwpoison"
_FLAGS_66 = (
    "locked writeback referenced uptodate dirty lru head waiters active workingset error{slab} "
    f"owner_priv_1 arch_1 reserved private private_2 {_REST}"
)
_FLAGS_420 = (
    "locked referenced uptodate dirty lru active workingset waiters error slab owner_priv_1 "
    f"arch_1 reserved private private_2 writeback head {_REST}"
)
_FLAGS_612 = (
    "locked writeback referenced uptodate dirty lru head waiters active workingset owner_priv_1 "
    "owner_2 arch_1 reserved private private_2 reclaim swapbacked unevictable{dropbehind} mlocked "
    "hwpoison"
)
_AS_NUMBERED = "as the numbers of those that the model paints"
FLAG_NAMES: eras.Table[str] = (
    (eras.OLDEST, f"{_OLD_FLAGS} head tail {_OLD_REST.replace('reclaim', 'reclaim buddy')}"),
    (
        (2, 6, 38),
        f"{_OLD_FLAGS} head tail {_OLD_REST}",
        eras.Bracket("2.6.37", "2.6.38", _AS_NUMBERED),
    ),
    ((4, 4), f"{_OLD_FLAGS} head {_OLD_REST}", _44),
    (
        (4, 10),
        "locked error referenced uptodate dirty lru active waiters slab owner_priv_1 arch_1 "
        f"reserved private private_2 writeback head {_REST}",
        eras.Bracket("4.9", "4.10", _AS_NUMBERED),
    ),
    ((4, 20), _FLAGS_420, eras.Bracket("4.19", "4.20", _AS_NUMBERED)),
    ((5, 10), f"{_FLAGS_420} arch_2", eras.Bracket("5.9", "6.1", "by what is remembered")),
    ((6, 2), _FLAGS_420, eras.Bracket("6.1", "6.6", "by what is remembered of ef6458b1b6ca")),
    ((6, 6), _FLAGS_66.format(slab=" slab"), eras.Bracket("6.5", "6.6", _AS_NUMBERED)),
    ((6, 10), _FLAGS_66.format(slab=""), eras.Bracket("6.9", "6.10", _AS_NUMBERED)),
    ((6, 12), _FLAGS_612.format(dropbehind=""), eras.Bracket("6.11", "6.12", _AS_NUMBERED)),
    (
        (6, 14),
        _FLAGS_612.format(dropbehind=" dropbehind"),
        eras.Bracket("6.12.117", "6.14"),
    ),
)
"""All flags from bit 0 on, as `Flags` numbers those that the model paints. Those for idle page
tracking, which may follow, belong to a configuration that the model has not."""
FLAG_ALIASES = {"readahead": "reclaim", "checked": "owner_priv_1", "fscache": "private_2"}
"""Second names of bits that all releases have; PG_swapcache is one since 4.10."""


def flag_numbers(kernel: Kernel) -> dict[str, int]:
    """Give ``enum pageflags`` in its order: each bit's own name, how many, and second names."""
    names, flags = kernel.at(FLAG_NAMES).split(), kernel.at(PAGE_FLAGS)
    numbers = {f"PG_{name}": bit for bit, name in enumerate(names)}
    numbers["__NR_PAGEFLAGS"] = len(names)
    for name, other in FLAG_ALIASES.items():
        numbers[f"PG_{name}"] = names.index(other)
    numbers["PG_swapcache"] = flags.swapcache
    if (bit := kernel.at(COMPOUND).hugetlb_bit) is not None:
        numbers["PG_hugetlb"] = bit
    return numbers


@dataclass(frozen=True, slots=True)
class PageTypes:
    """What _mapcount holds in pages of a type, signed; None where it does not tell that type."""

    buddy: int | None
    offline: int | None = None
    hugetlb: int | None = None
    slab: int | None = None


PAGE_TYPES: eras.Table[PageTypes] = (
    (eras.OLDEST, PageTypes(None)),
    ((2, 6, 38), PageTypes(-2)),
    ((2, 6, 39), PageTypes(-128), eras.Bracket("2.6.38", "3.0.101", "makedumpfile says 2.6.39")),
    ((4, 18), PageTypes(-129), eras.Bracket("4.15.0", "4.18")),
    ((5, 1), PageTypes(-129, -257)),
    # Hugetlb has been a type since v6.9, and in two stable series.
    ((6, 6, 30), PageTypes(-129, -257, -2049)),
    ((6, 7), PageTypes(-129, -257)),
    ((6, 8, 9), PageTypes(-129, -257, -2049)),
    ((6, 10), PageTypes(-129, -257, -2049, -4097)),
    ((6, 11), PageTypes(-1073741825, -536870913, -67108865, -33554433)),
    ((6, 12), PageTypes(-268435456, -251658240, -201326592, -184549376)),
)


@dataclass(frozen=True, slots=True)
class Compound:
    """How the second page of a compound page tells its order, and that it is hugetlb.

    Attributes:
        head_at: Offset of compound_head (or compound_info) in a tail page; None before 4.4, where
            PG_tail marks a tail and ``private`` of it points to the head.
        order_at: Offset of the order in the second page.
        order_bytes: Its width.
        dtor_at: Offset of the destructor in the second page, None since 6.6.
        dtor_bytes: Its width.
        hugetlb_bit: Bit in the second page's flags that marks hugetlb (6.6 to 6.8).
    """

    head_at: int | None
    order_at: int
    order_bytes: int
    dtor_at: int | None
    dtor_bytes: int = 0
    hugetlb_bit: int | None = None


HUGETLB_PAGE_DTOR = 2
COMPOUND: eras.Table[Compound] = (
    # lru.next holds the address of free_huge_page(), lru.prev the order.
    (eras.OLDEST, Compound(None, 48, 8, 40, 8)),
    ((3, 1), Compound(None, 40, 8, 32, 8)),
    ((4, 4), Compound(32, 44, 4, 40, 4), _44),
    ((4, 16), Compound(32, 41, 1, 40, 1), eras.Bracket("4.15.0", "4.18")),
    ((4, 18), Compound(8, 17, 1, 16, 1), eras.Bracket("4.15.0", "4.18")),
    # The order is the low byte of the second page's flags; "flags" lie at 0.
    ((6, 6), Compound(8, 0, 1, None, 0, hugetlb_bit=8)),
    ((6, 6, 30), Compound(8, 0, 1, None, 0)),
    ((6, 7), Compound(8, 0, 1, None, 0, hugetlb_bit=8)),
    ((6, 8, 9), Compound(8, 0, 1, None, 0)),
)
