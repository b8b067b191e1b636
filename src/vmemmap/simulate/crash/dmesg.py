"""The messages of a machine's life: what its kernel's log holds at the crash.

Lines of boot, of failures and of warnings are those that a ppc64 kernel of the release prints; that
an event is over is said in this model's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vmemmap.simulate import eras
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.printk import Message
from vmemmap.simulate.crash.warn import Warner, warning_lines
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.mm.outcome import Printed
from vmemmap.simulate.spec.parts import MemoryRange

EMERG, WARN, NOTICE, INFO, DEBUG = 0, 4, 5, 6, 7
EVENT_NS = 10 * 10**9
"""Between two hotplug events; the first comes this long after boot."""
LINE_NS = 17_000
FIRST_PID = 1000
"""Of the tasks that add and remove memory, less one."""
MAP_LINES: eras.Table[tuple[str, ...]] = (
    (eras.OLDEST, ()),
    (
        (5, 2),
        (
            "hash-mmu: kernel vmalloc start  ",
            "hash-mmu: kernel IO start       ",
            "hash-mmu: kernel vmemmap start  ",
        ),
    ),
    (
        (5, 4),
        ("vmalloc start    ", "IO start         ", "vmemmap start    "),
        eras.Bracket("5.2.1", "5.6"),
    ),
)
"""Since Linux commit 0034d395f89d (in v5.2) the map is printed, under radix with the same wrong
prefix as under hash."""
NODE_RANGES_ARE_PFNS: eras.Table[bool] = (
    (eras.OLDEST, True),
    ((3, 6), False, eras.Bracket("2.6.35.6", "4.9")),
)
"""Whether the memory of boot is told by page frames, and not by addresses."""


def dmesg(machine: CrashedMachine) -> list[Message]:
    """Give what was said at boot, of every event, of what failed, and of the end."""
    messages: list[Message] = []
    for start, level, text in _said(machine):
        last = messages[-1].time_ns + LINE_NS if messages else 0
        messages.append(Message(max(start, last), level, text))
    return messages


def _said(machine: CrashedMachine) -> Iterator[tuple[int, int, str]]:
    """Yield each message's earliest time (ns), level and text."""
    for level, text in _boot(machine):
        yield 0, level, text
    warned = 0
    for number, outcome in enumerate(machine.outcomes):
        when = number * EVENT_NS
        warner = Warner(0, "swapper", 0) if not number else Warner(FIRST_PID + number, "drmgr", 0)
        for said in outcome.said:
            if isinstance(said, Printed):
                yield when, said.level, said.text
                continue
            for text in warning_lines(machine.kernel, said, replace(warner, warned_before=warned)):
                yield when, WARN, text
            warned += 1
        if not number:  # free_area_init() comes after sparse_init()
            for level, text in _memory(machine.kernel, machine.spec.memory):
                yield when, level, text
        else:
            level = INFO if outcome.result == 0 else WARN
            yield when, level, f"memory hotplug: {outcome.what}: {outcome.word}"
    crash = len(machine.outcomes) * EVENT_NS
    reason = machine.reason or "sysrq triggered crash"
    yield crash, EMERG, f"Kernel panic - not syncing: {reason}"


def _boot(machine: CrashedMachine) -> Iterator[tuple[int, str]]:
    """Yield level and text of what is said before any memory has struct pages."""
    kernel = machine.kernel
    if kernel.mmu == "hash":
        virtual = kernel.page_shift
        vmemmap = machine.vmemmap.block_size.bit_length() - 1
        yield (
            DEBUG,
            f"Page orders: linear mapping = 24, virtual = {virtual}, io = {virtual}, "
            f"vmemmap = {vmemmap}",
        )
    yield NOTICE, f"Linux version {kernel.release} (vmemmap.simulate)"
    regions = kernel.regions
    for form, region in zip(
        kernel.at(MAP_LINES), (regions.vmalloc, regions.io, regions.vmemmap), strict=False
    ):
        yield INFO, f"{form} = {region.start:#x}"


def _memory(kernel: Kernel, memory: Sequence[MemoryRange]) -> Iterator[tuple[int, str]]:
    """Yield what is said of the memory that is there."""
    ascending = sorted(memory, key=lambda part: part.start)
    if kernel.at(NODE_RANGES_ARE_PFNS):
        yield WARN, f"early_node_map[{len(ascending)}] active PFN ranges"
        for part in ascending:
            first, last = part.start >> kernel.page_shift, part.end >> kernel.page_shift
            yield WARN, f"    {part.node}: {first:#010x} -> {last:#010x}"
        return
    yield INFO, "Early memory node ranges"
    for part in ascending:
        yield INFO, f"  node {part.node:3}: [mem {part.start:#018x}-{part.end - 1:#018x}]"
