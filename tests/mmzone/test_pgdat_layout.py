"""How many zones there are, by the room that zones and zonelists have in pglist_data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.machine import build_machine
from vmcore.machine_source import facts_of
from vmemmap.mmzone.pgdat_layout import read_pgdat_layout, zone_counts


@pytest.mark.parametrize("zones", [1, 2, 3, 4])
@pytest.mark.parametrize("cache_pointer", [8, 0])
def test_zones_of_a_kernel_without_numa(zones: int, cache_pointer: int) -> None:
    """It has one zonelist, which until 4.3 began with a pointer to a cache that only NUMA has."""
    facts = facts_of(build_machine(store="none", blocks=2))
    layout = read_pgdat_layout(facts.vmcoreinfo, numa=False)
    room = zones * layout.zone_size + cache_pointer + 16 * (zones + 1)
    assert zone_counts(replace(layout, nr_zones=layout.node_zones + room)) == [zones]
