"""The census beside the guest's zoneinfo, buddyinfo, meminfo and slabinfo.

What the kernel fixes when memory comes (spanned, present, managed, reserved) is equal. What moves
is compared with the kernel's own counter in the same dump, which may lag by what each CPU keeps for
itself, and with the guest's files, which are a moment older: in between each CPU may have filled or
emptied its list of free pages once (`drift`), and the process that read the files has gone.

Sources: Linux mm/vmstat.c (stat_threshold), mm/page_alloc.c (decay_pcp_high, nr_pcp_alloc).
"""

from __future__ import annotations

import numpy as np
import pytest

from lab.checks.guest_memory import Zone, parse_slabinfo
from lab.checks.opened import Opened
from vmemmap import Kind
from vmemmap.pages.count.usage import ZoneUsage

BATCH_SCALE_MAX = 5
"""A list is filled or emptied by at most batch << 5 pages at a time (PCP_BATCH_SCALE_MAX)."""
PROCESS_BYTES = 512 << 10
"""What the shell and the cat of the guest's init, both from one busybox, have for themselves."""
ONE_PAGE_EACH = 8
"""Page tables, kernel stack and the like of a process that has gone, in pages."""


def drift(zone: Zone) -> int:
    """Give how many pages may go between the free lists and those of the CPUs at one time."""
    return sum(batch << BATCH_SCALE_MAX for batch in zone.batches) + zone.lag


def skip_if_busy(opened: Opened) -> None:
    """Skip a test if the machine was to do something after it had written its files."""
    if script := opened.machine.spec.get("script"):
        pytest.skip(f"the guest's files are from before its script {script}")


def zone_of(opened: Opened, zone: Zone) -> ZoneUsage:
    """Give our count of the guest's zone."""
    found = [row for row in opened.usage.zones if (row.node, row.name) == (zone.node, zone.name)]
    assert len(found) == 1, (zone.node, zone.name)
    return found[0]


def process_pages(opened: Opened) -> int:
    """Give how many pages the processes that read the files may have had."""
    return PROCESS_BYTES // opened.page_size + ONE_PAGE_EACH


def test_zones_are_those_of_the_guest(opened: Opened) -> None:
    found = [(row.node, row.name) for row in opened.usage.zones]
    assert found == [(zone.node, zone.name) for zone in opened.zones]


def test_zones_have_the_size_that_the_guest_says(opened: Opened) -> None:
    for zone in opened.zones:
        info = zone_of(opened, zone).info
        assert info is not None
        assert (info.spanned, info.present, info.managed) == tuple(
            zone.counts[word] for word in ("spanned", "present", "managed")
        )


def test_struct_pages_are_as_many_as_are_present(opened: Opened) -> None:
    offline = sum(block.end - block.start for block in opened.blocks if not block.online)
    present = sum(zone.counts["present"] for zone in opened.zones)
    assert opened.usage.pages == present + offline // opened.page_size
    if offline:
        pytest.skip("pages of offline blocks name no zone for sure")
    for zone in opened.zones:
        assert zone_of(opened, zone).pages == zone.counts["present"]


def test_pages_of_offline_blocks_are_offline_and_on_no_node(opened: Opened) -> None:
    """What the guest does not use, whatever was in the memory of its struct pages before."""
    pages = sorted(
        pfn
        for block in opened.blocks
        if not block.online
        for pfn in range(block.start // opened.page_size, block.end // opened.page_size)
    )
    rows = np.concatenate(list(opened.core.pages.scan(("pfn", "kind", "node", "zone"))))
    rows = rows[np.isin(rows["pfn"], pages) & (rows["kind"] != Kind.UNKNOWN)]
    assert opened.usage.kinds["offline"] >= len(rows)
    assert {(row["kind"], row["node"], row["zone"]) for row in rows} <= {(Kind.OFFLINE, -1, -1)}


def test_managed_and_reserved_are_exact(opened: Opened) -> None:
    usage = opened.usage
    managed = sum(zone.counts["managed"] for zone in opened.zones)
    assert usage.managed == managed == (opened.meminfo["MemTotal"] << 10) // opened.page_size
    assert usage.kinds["reserved"] == usage.pages - managed - usage.kinds["offline"]
    for zone in opened.zones:
        reserved = zone_of(opened, zone).kinds.get("reserved", 0)
        assert reserved == zone.counts["present"] - zone.counts["managed"]


def test_free_pages_are_what_the_kernel_counts_in_the_dump(opened: Opened) -> None:
    """The same moment: they differ by no more than the CPUs may keep for themselves."""
    for zone in opened.zones:
        row = zone_of(opened, zone)
        assert row.info is not None
        assert row.info.free is not None
        free = row.kinds["free"]
        assert free is not None
        assert abs(free - row.info.free) <= zone.lag


def test_free_pages_are_what_the_guest_counted(opened: Opened) -> None:
    skip_if_busy(opened)
    for zone in opened.zones:
        free = zone_of(opened, zone).kinds["free"]
        assert free is not None
        assert abs(free - zone.counts["free"]) <= drift(zone)
    moved = sum(drift(zone) for zone in opened.zones)
    free = opened.usage.free
    assert free is not None
    assert free == opened.usage.kinds["free"]
    assert abs(free - (opened.meminfo["MemFree"] << 10) // opened.page_size) <= moved


def test_free_blocks_by_order_are_those_of_buddyinfo(opened: Opened) -> None:
    """Pages that come or go split or join one block of each order above."""
    skip_if_busy(opened)
    counted = opened.buddyinfo
    theirs = [sum(counts) for counts in zip(*counted.values(), strict=True)]
    assert opened.usage.free_blocks is not None
    ours = list(opened.usage.free_blocks)
    assert len(ours) == len(theirs)
    moved = sum(drift(zone) for zone in opened.zones)
    total = sum(n << order for order, n in enumerate(theirs))
    if total == opened.usage.free:
        assert ours == theirs, "as many are free, but in other blocks"
        return
    for order, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        assert abs(our - their) <= (moved >> order) + len(opened.zones), f"order {order}"


def test_page_cache_is_what_the_guest_counted(opened: Opened) -> None:
    """In the guest it is its root file system, which does not change."""
    counted = sum(zone.per_node.get("nr_file_pages", 0) for zone in opened.zones)
    swap_cache = opened.meminfo["SwapCached"]
    assert swap_cache == 0
    lag = sum(zone.lag for zone in opened.zones)
    found = opened.usage.kinds["cache"] + opened.usage.kinds["cache_private"]
    assert abs(found - counted) <= lag
    assert abs(found - ((opened.meminfo["Cached"] + opened.meminfo["Buffers"]) << 10)
               // opened.page_size) <= lag  # fmt: skip


def test_anonymous_pages_are_what_the_guest_counted(opened: Opened) -> None:
    counted = sum(zone.per_node.get("nr_anon_pages", 0) for zone in opened.zones)
    most = process_pages(opened) + sum(zone.lag for zone in opened.zones)
    assert abs(opened.usage.kinds["anon"] - counted) <= most
    assert opened.usage.kinds["anon"] > 0, "init itself has some"


def test_slab_pages_are_those_of_slabinfo(opened: Opened) -> None:
    """Of each cache as many slabs as it says, tails included; large kmallocs are no slabs."""
    rows = parse_slabinfo(opened.said_then("slabinfo"))
    assert len(rows) > 50
    pages = sum(per_slab * slabs for per_slab, slabs in rows.values())
    # A fork or an exit may need or free a slab in any of the caches that a process uses.
    most = process_pages(opened) + sum(zone.lag for zone in opened.zones)
    assert abs(opened.usage.kinds["slab"] - pages) <= most
    counted = sum(
        zone.per_node.get(name, 0)
        for zone in opened.zones
        for name in ("nr_slab_reclaimable", "nr_slab_unreclaimable")
    )
    assert opened.usage.kinds["slab"] <= counted + most
