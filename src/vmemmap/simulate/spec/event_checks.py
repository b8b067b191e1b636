"""Whether the hotplug events of a machine can be, each after those before it."""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import Run
from vmemmap.errors import SpecError
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import MIB, SECTION_BYTES, SUBSECTION_BYTES, Kernel
from vmemmap.simulate.spec.checks import check_range, one_of
from vmemmap.simulate.spec.parts import HotplugEvent, MemoryRange

MAX_EVENTS = 1024


def check_events(
    events: tuple[HotplugEvent, ...],
    kernel: Kernel,
    memory: tuple[MemoryRange, ...],
    image: tuple[Run, ...],
    nodes: int,
) -> None:
    """Check the events in their order.

    Args:
        events: The events.
        kernel: The kernel.
        memory: What is there at boot.
        image: Where the kernel is.
        nodes: So many nodes there can be, numbered from 0, beside those with memory at boot.

    Raises:
        SpecError: One of them cannot be; names its field as the TOML file has it.
    """
    if len(events) > MAX_EVENTS:
        raise SpecError("event", f"{len(events)} events are more than {MAX_EVENTS}")
    present = [_Present(part.start, part.end) for part in memory]
    booted = {part.node for part in memory}
    for index, event in enumerate(events):
        where = f"event[{index}]"
        one_of(f"{where}.kind", event.kind, ("add", "remove"))
        small = event.device and kernel.at(eras.SUBSECTION_HOTPLUG)
        unit = SUBSECTION_BYTES if small else SECTION_BYTES
        check_range(where, event.start, event.size, kernel, unit)
        if event.kind == "add":
            _check_add(where, event, present, kernel)
            if event.node not in booted and not 0 <= event.node < nodes:
                raise SpecError(
                    f"{where}.node",
                    f"node {event.node} does not exist (memory at boot is on {_list(booted)})",
                )
            present.append(
                _Present(event.start, event.end, event.device, bool(event.altmap), event.online)
            )
        else:
            present = _take_out(where, event, present)
            if any(event.start < part.end and part.start < event.end for part in image):
                raise SpecError(f"{where}.start", "the kernel itself is there")


def _list(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


@dataclass(frozen=True, slots=True)
class _Present:
    """Memory that is there between two events."""

    start: int
    end: int
    device: bool = False
    altmap: bool = False
    online: bool = True

    def __str__(self) -> str:
        return f"{self.start:#x} to {self.end:#x}"


def _check_add(where: str, event: HotplugEvent, present: list[_Present], kernel: Kernel) -> None:
    for part in present:
        if event.start < part.end and part.start < event.end:
            raise SpecError(f"{where}.start", f"memory is there already: {part}")
    if event.altmap and not event.device and (kernel.mmu != "radix" or kernel.version < (6, 6)):
        raise SpecError(
            f"{where}.altmap",
            "memmap_on_memory needs the radix MMU and 6.6; for device memory set device = true",
        )
    if event.altmap:
        if kernel.at(eras.ALTMAPS) == "none":
            raise SpecError(f"{where}.altmap", f"{kernel.release} has no altmap; it came with 4.13")
        if event.altmap % kernel.page_size or not 0 < event.altmap < event.size:
            raise SpecError(
                f"{where}.altmap",
                f"{event.altmap:#x} is no number of whole pages inside the range",
            )
    if event.reserve % kernel.page_size or not 0 <= event.reserve <= event.altmap:
        raise SpecError(
            f"{where}.reserve",
            f"{event.reserve:#x} is no number of whole pages at the start of the altmap",
        )
    if not event.online and event.device:
        raise SpecError(f"{where}.online", "device memory never comes online")
    if event.compound:
        _check_compound(where, event, kernel)
    if event.lmb:
        _check_lmb(where, event)


def _check_lmb(where: str, event: HotplugEvent) -> None:
    one_of(f"{where}.lmb", event.lmb, tuple(MIB << shift for shift in range(4, 9)))
    if event.device or event.altmap:
        raise SpecError(f"{where}.lmb", "RAM alone comes in LMBs, and here without an altmap")
    if (event.start | event.size) % event.lmb:
        raise SpecError(
            f"{where}.lmb", f"start and size are to be multiples of {event.lmb >> 20} MiB"
        )


def _check_compound(where: str, event: HotplugEvent, kernel: Kernel) -> None:
    sizes = (2 * MIB, 1 << 30) if kernel.mmu == "radix" else (16 * MIB,)
    if not event.device:
        raise SpecError(f"{where}.compound", "only device memory comes in compound pages")
    if not kernel.at(eras.COMPOUND_DEVICES):
        raise SpecError(
            f"{where}.compound", "device memory has been made of compound pages since 5.17"
        )
    one_of(f"{where}.compound", event.compound, sizes)
    if (event.start | event.size) % event.compound:
        raise SpecError(
            f"{where}.compound", f"start and size are to be multiples of {event.compound >> 20} MiB"
        )


def _take_out(where: str, event: HotplugEvent, present: list[_Present]) -> list[_Present]:
    """Take a range out of what is present; it may be part of what was added, or several parts."""
    kept: list[_Present] = []
    left, online = event.size, set[bool]()
    for part in present:
        low, high = max(part.start, event.start), min(part.end, event.end)
        if low >= high:
            kept.append(part)
            continue
        if event.device and not part.device:
            raise SpecError(f"{where}.device", f"no device memory is there: {part}")
        whole = (part.start, part.end) == (event.start, event.end)
        if (part.device or part.altmap) and not whole:
            raise SpecError(f"{where}.size", f"what is there leaves as a whole: {part}")
        online.add(part.online)
        kept += [
            _Present(start, end, online=part.online)
            for start, end in ((part.start, low), (high, part.end))
            if start < end
        ]
        left -= high - low
    if left:
        raise SpecError(
            f"{where}.start",
            f"cannot remove {event.start:#x} to {event.end:#x}: {left:#x} bytes are not there",
        )
    if len(online) > 1:
        raise SpecError(f"{where}.size", "some of it is online and some is not: remove each alone")
    return kept
