"""What a dump says of itself and its kernel, beside the guest; and that nothing is amiss."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from lab.checks.guest_kernel import boot_memory, capture_room
from lab.checks.guest_memory import join, system_ram
from lab.checks.machine_facts import mmu_of, said
from lab.checks.opened import Opened
from lab.results import Result
from vmemmap import Severity

EDGE_BYTES = 1 << 16


def test_info_names_release_page_size_and_mmu(machine: Result, opened: Opened) -> None:
    facts = opened.core.facts
    version = said(machine, "version")
    assert version.startswith(f"Linux version {facts['release'].value} ")
    assert str(facts["release"].value) == machine.release
    assert facts["mmu"].value == mmu_of(machine)
    assert opened.core.kernel.order == "little"
    # The guest says how large a page is by naming both pages and KiB of the same memory.
    managed = sum(zone.counts["managed"] for zone in opened.zones)
    assert managed * opened.page_size == opened.meminfo["MemTotal"] << 10


def test_block_size_is_what_the_log_says(machine: Result, opened: Opened) -> None:
    """``vmemmap start = ..`` and ``Page orders: linear mapping = 16, .. vmemmap = 16``, on hash."""
    log = opened.said_then("dmesg")
    order = re.search(r"Page orders: .*vmemmap = (\d+)", log)
    start = re.search(r"vmemmap start +[:=] 0x([0-9a-f]+)", log)
    if start is not None:
        assert opened.core.facts["vmemmap_base"].value == int(start[1], 16)
    if mmu_of(machine) == "hash":
        assert order is not None, "the log does not tell"
        assert opened.core.backing.block_size == 1 << int(order[1])
    elif len(opened.core.backing):
        assert opened.core.backing.block_size == 2 << 20, "radix maps it by 2 MiB"


def test_check_finds_nothing(opened: Opened, run_vmemmap: Callable[..., str]) -> None:
    said = run_vmemmap("check", opened.machine.path(opened.dump))  # with exit code 0
    assert "the list holds together" in said
    report = opened.core.check()
    assert [f for f in report.findings if f.severity is not Severity.INFO] == []
    assert opened.core.source.warnings == []
    assert not opened.core.source.is_incomplete()


def test_census_meets_nothing_odd(opened: Opened) -> None:
    usage = opened.usage
    assert (usage.damaged, usage.unknown, usage.findings) == (0, {}, ())
    assert sum(usage.kinds.values()) == usage.pages == len(opened.core.pages)


def test_dump_claims_no_memory_that_the_guest_had_not(machine: Result, opened: Opened) -> None:
    ram = system_ram(said(machine, "iomem"))
    for low, high in opened.core.source.ranges().tolist():
        assert any(start <= low and high <= end for start, end in ram), f"{low:#x} to {high:#x}"
    gaps = [(end, start) for (_, end), (start, _) in pairwise([*ram, (1 << 52, 0)])]
    for low, high in gaps:
        for phys in (low, low + EDGE_BYTES, (low + high) // 2, high - 1):
            assert opened.core.why_absent(phys) is not None, hex(phys)


def test_dump_has_all_memory_that_it_can(machine: Result, opened: Opened) -> None:
    """QEMU leaves nothing out, the kernel what the capture kernel was to run in.

    Whether the kernel's own dump has hot-added memory depends on when that was loaded.
    """
    found = [tuple(row) for row in opened.core.source.ranges().tolist()]
    if opened.dump.maker == "qemu":
        assert found == system_ram(said(machine, "iomem"))
        return
    log = opened.said_then("dmesg")
    room = capture_room(log)
    assert room is not None, "the log does not say where the capture kernel was to run"
    for _, low, high in boot_memory(log):
        assert any(start <= low and high <= end for start, end in join([*found, room]))
