"""The messages of a machine's life: what its kernel's log holds at the crash.

The wording is this model's own where the kernel prints nothing; the vmemmap and memory lines are
those that a ppc64 kernel prints at boot.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.printk import Message

EMERG, WARN, NOTICE, INFO = 0, 4, 5, 6
EVENT_NS = 10 * 10**9
"""Between two hotplug events; the first comes this long after boot."""
LINE_NS = 17_000


def dmesg(machine: CrashedMachine) -> list[Message]:
    """Give what was said at boot, of every event, of what failed, and of the end."""
    messages: list[Message] = []
    for start, level, text in _said(machine):
        last = messages[-1].time_ns + LINE_NS if messages else 0
        messages.append(Message(max(start, last), level, text))
    return messages


def _said(machine: CrashedMachine) -> Iterator[tuple[int, int, str]]:
    """Yield each message's earliest time (ns), level and text."""
    kernel, spec = machine.kernel, machine.spec
    vmemmap = machine.vmemmap.block_size.bit_length() - 1
    yield 0, NOTICE, f"Linux version {kernel.release} (vmemmap.simulate)"
    if kernel.mmu == "hash":
        virtual = kernel.page_shift
        yield (
            0,
            INFO,
            (
                f"Page orders: linear mapping = 24, virtual = {virtual}, io = {virtual}, "
                f"vmemmap = {vmemmap}"
            ),
        )
    for name, region in (
        ("vmalloc start    ", kernel.regions.vmalloc),
        ("IO start         ", kernel.regions.io),
        ("vmemmap start    ", kernel.regions.vmemmap),
    ):
        yield 0, INFO, f"{name} = {region.start:#x}"
    yield 0, INFO, "Early memory node ranges"
    for part in sorted(spec.memory, key=lambda part: part.start):
        yield 0, INFO, f"  node {part.node:3}: [mem {part.start:#018x}-{part.end - 1:#018x}]"
    if machine.lost_sections:
        yield 0, WARN, f"sparse_init: {machine.lost_sections} sections have no struct pages"
    for number, outcome in enumerate(machine.outcomes[1:], 1):
        level = INFO if outcome.result == 0 else WARN
        yield number * EVENT_NS, level, f"memory hotplug: {outcome.what}: {outcome.word}"
    for virt in machine.vmemmap.losses.no_node:
        yield 0, WARN, f"vmemmap_populate: block {virt:#x} has no list node"
    for virt in machine.vmemmap.losses.no_mapping:
        yield 0, WARN, f"vmemmap_populate: Unable to create vmemmap mapping of {virt:#x}"
    crash = len(machine.outcomes) * EVENT_NS
    reason = machine.reason or "sysrq triggered crash"
    yield crash, EMERG, f"Kernel panic - not syncing: {reason}"
