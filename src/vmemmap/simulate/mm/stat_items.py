"""The kernel's counters of pages: which there are in zones and nodes, by number, in each release.

Only counters that the model can answer have a name here: pages in use by kind, the LRU lists, and
what is zero because nothing of it ever happens (dirty, under writeback, shared memory). A ``-`` is
one that the model does not count; it has a place and no name, so that nobody takes zero for it.

Source: Linux include/linux/mmzone.h, enum zone_stat_item and enum node_stat_item; those of 6.1 and
7.3 as their compilers' DWARF has them.
"""

from __future__ import annotations

from vmemmap.simulate import eras

SPLIT_SINCE = (4, 8)
"""Most counters moved from zones to nodes: vm_stat became vm_zone_stat and vm_node_stat."""
_MEMORY = "by what is remembered"
_LRU = "NR_INACTIVE_ANON NR_ACTIVE_ANON NR_INACTIVE_FILE NR_ACTIVE_FILE NR_UNEVICTABLE"
_FILES = "NR_FILE_MAPPED NR_FILE_PAGES NR_FILE_DIRTY NR_WRITEBACK"
_SLAB = "NR_SLAB_RECLAIMABLE NR_SLAB_UNRECLAIMABLE"
_ISOLATED = "NR_ISOLATED_ANON NR_ISOLATED_FILE"
_OLD = f"{_LRU} NR_MLOCK NR_ANON_PAGES {_FILES} {_SLAB} - - NR_UNSTABLE_NFS NR_BOUNCE"
_OLD_END = f"NR_WRITEBACK_TEMP {_ISOLATED} NR_SHMEM"
_ZONE = f"{_LRU.replace('NR_', 'NR_ZONE_')} NR_ZONE_WRITE_PENDING NR_MLOCK"

ZONE_ITEMS: eras.Table[str] = (
    (eras.OLDEST, f"NR_FREE_PAGES {_OLD} - {_OLD_END}"),
    ((3, 2), f"NR_FREE_PAGES {_OLD} - - {_OLD_END}", eras.Bracket("3.1", "3.10", _MEMORY)),
    ((3, 12), f"NR_FREE_PAGES - {_OLD} - - {_OLD_END}", eras.Bracket("3.10", "4.4", _MEMORY)),
    (
        SPLIT_SINCE,
        f"NR_FREE_PAGES {_ZONE} {_SLAB} - - NR_BOUNCE - - - - - - - NR_FREE_CMA_PAGES",
        eras.Bracket("4.7", "4.9", _MEMORY),
    ),
    (
        (4, 13),
        f"NR_FREE_PAGES {_ZONE} - - NR_BOUNCE - - - - - - - NR_FREE_CMA_PAGES",
        eras.Bracket("4.12", "4.14", _MEMORY),
    ),
    (
        (4, 14),
        f"NR_FREE_PAGES {_ZONE} - - NR_BOUNCE - NR_FREE_CMA_PAGES",
        eras.Bracket("4.13", "4.15", _MEMORY),
    ),
    (
        (5, 9),
        f"NR_FREE_PAGES {_ZONE} - NR_BOUNCE - NR_FREE_CMA_PAGES",
        eras.Bracket("5.8", "5.10", _MEMORY),
    ),
    (
        (5, 11),
        f"NR_FREE_PAGES {_ZONE} NR_BOUNCE - NR_FREE_CMA_PAGES",
        eras.Bracket("5.10", "6.1", _MEMORY),
    ),
    (
        (6, 15),
        f"NR_FREE_PAGES - {_ZONE} NR_BOUNCE - NR_FREE_CMA_PAGES",
        eras.Bracket("6.12", "7.3", _MEMORY),
    ),
    (
        (6, 16),
        f"NR_FREE_PAGES - {_ZONE} - NR_FREE_CMA_PAGES",
        eras.Bracket("6.12", "7.3", _MEMORY),
    ),
)
"""``enum zone_stat_item`` from 0 on. Zones have had the sizes of their LRU lists all along; since
4.8 nodes have, too."""

_TEMP = "NR_WRITEBACK_TEMP NR_SHMEM"
NODE_ITEMS: eras.Table[str] = (
    (eras.OLDEST, ""),
    (
        SPLIT_SINCE,
        f"{_LRU} {_ISOLATED} - - - - NR_ANON_MAPPED {_FILES} {_TEMP}",
        eras.Bracket("4.7", "4.9", _MEMORY),
    ),
    (
        (4, 12),
        f"{_LRU} {_ISOLATED} - - - NR_ANON_MAPPED {_FILES} {_TEMP}",
        eras.Bracket("4.9", "4.14", _MEMORY),
    ),
    (
        (4, 13),
        f"{_LRU} {_SLAB} {_ISOLATED} - - - NR_ANON_MAPPED {_FILES} {_TEMP}",
        eras.Bracket("4.12", "4.14", _MEMORY),
    ),
    (
        (4, 20),
        f"{_LRU} {_SLAB} {_ISOLATED} - - - - - NR_ANON_MAPPED {_FILES} {_TEMP}",
        eras.Bracket("4.19", "5.0", _MEMORY),
    ),
    (
        (5, 9),
        f"{_LRU} {_SLAB.replace('BLE', 'BLE_B')} {_ISOLATED} - - - - - - - - NR_ANON_MAPPED "
        f"{_FILES} {_TEMP}",
        eras.Bracket("5.8", "6.1", _MEMORY),
    ),
    (
        (6, 17),
        f"{_LRU} {_SLAB.replace('BLE', 'BLE_B')} {_ISOLATED} - - - - - - - - NR_ANON_MAPPED "
        f"{_FILES} NR_SHMEM",
        eras.Bracket("6.12", "7.3", _MEMORY),
    ),
)
"""``enum node_stat_item`` from 0 on; there was none before 4.8. Slabs in bytes (``_B``) are that
for control groups only: a node counts pages."""


def numbers_of(items: str) -> dict[str, int]:
    """Give the named counters with their numbers."""
    return {name: number for number, name in enumerate(items.split()) if name != "-"}


def count_of(items: str) -> int:
    """Give how many counters have a place."""
    return len(items.split())
