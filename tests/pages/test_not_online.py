"""Memory that is present and not online: its struct pages mean nothing, whatever they hold.

The machines are simulated kernels with a piece of memory that never came online; in each era its
struct pages hold something else. What is expected is counted from the spec alone.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import vmemmap
from breadth import pairs
from oracles.simulated import crash, event, spec_of
from vmemmap import Kind
from vmemmap.simulate import Machine, PagePlan

FIRST = (4096 << 20) >> 16
PAGES = (64 << 20) >> 16
CASES = [
    pytest.param(*case.values, id="-".join(map(str, case.values)), marks=case.marks)
    for case in pairs(
        product(
            ("4.14.0", "4.18.0", "5.4.0", "6.1.0", "6.12.0", "7.2.0"),
            ("hash", "radix"),
            ("stale", "poison"),
            ("little", "big"),
        )
    )
]


def of_machine(release: str, mmu: str, hold: str, order: Any = "little", **more: Any) -> Any:
    return spec_of(
        release,
        mmu=mmu,
        byte_order=order,
        debug_vm=hold == "poison",
        memory=((0, 0, 128), (1, 256, 64)),
        events=(event("add", 4096, 64, 1, online=False),),
        pages=PagePlan(cache=20, slab=16, anonymous=5),
        **more,
    )


@pytest.mark.parametrize(("release", "mmu", "hold", "order"), CASES)
def test_it_is_offline_and_on_no_node(release, mmu, hold, order, tmp_path) -> None:
    made = crash(of_machine(release, mmu, hold, order), tmp_path / "vmcore")
    with vmemmap.open(made.path) as core:
        usage, report = core.usage(), core.check()
        rows = np.concatenate(list(core.pages.scan(("pfn", "kind", "node", "zone"))))
        one = core.pages[FIRST + 7]
    offline = rows[rows["kind"] == Kind.OFFLINE]
    assert offline["pfn"].tolist() == list(range(FIRST, FIRST + PAGES))
    assert set(offline["node"].tolist()) == set(offline["zone"].tolist()) == {-1}
    assert usage.kinds["offline"] == PAGES
    assert usage.kinds["device"] == usage.kinds["damaged"] == usage.kinds["unknown"] == 0
    assert {zone.node: zone.pages for zone in usage.zones if zone.node is None} == {None: PAGES}
    assert {zone.node for zone in usage.zones} == {None, 0, 1}
    assert usage.managed == (192 << 20 >> 16) - usage.kinds["reserved"]
    assert one.kind is Kind.OFFLINE
    assert one.online is False
    assert "not online" in one.reason
    assert (one.node, one.zone, one.refcount, one.flags) == (None, None, None, ())
    assert not [finding for finding in report.findings if finding.severity != "info"]


def test_before_sections_were_marked_online_it_cannot_be_told(tmp_path) -> None:
    """Until 4.12: the struct pages are initialised, and reserved until they come online."""
    made = crash(of_machine("4.4.0", "hash", "stale"), tmp_path / "vmcore")
    with vmemmap.open(made.path) as core:
        usage, one = core.usage(), core.pages[FIRST]
    assert usage.sections_offline is None
    assert (one.kind, one.node, one.online) == (Kind.RESERVED, 1, None)


@pytest.mark.parametrize("release", ["4.4.0", "6.1.0"])
def test_within_another_node_s_span_it_says_nothing_of_that(release) -> None:
    """Node 0 spans what came to node 1 and is not online, which is in no node's span by itself."""
    spec = of_machine(release, "hash", "stale")
    machine = Machine(spec)
    machine.add_memory(8192 << 20, "32M", 0)
    with vmemmap.open(machine) as core:
        zones = {zone.node for zone in core.usage().zones if zone.node is not None}
        assert zones == {0, 1}
        assert [core.pages[pfn].node for pfn in (16, 4200, (8192 << 20) >> 16)] == [0, 1, 0]
        coverage = core.check().coverage
        assert coverage is not None
        assert set(coverage.nodes) <= {0, 1}


def test_it_can_leave_again_and_come_online_later() -> None:
    spec = of_machine("6.1.0", "hash", "stale")
    machine = Machine(spec)
    machine.boot().run_events()
    assert machine.remove_memory(4096 << 20, "64M").word == "done"
    assert machine.add_memory(4096 << 20, "64M", 1).word == "done"
    assert machine.pages.home(1).total == 128 << 20 >> 16
    assert not machine.idle
