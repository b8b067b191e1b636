"""Simulated machines for the witnesses, and what the plan of each says about its pages.

What is expected comes from the spec and from the allocators, never from struct pages: those are
what is being tested. The dump's bytes are read here with a few lines of their own.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.mm.usage import Use

MIB = 1 << 20
Version = tuple[int, ...]
Frames = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

KINDS = {
    Use.CACHE: "cache",
    Use.CACHE_PRIVATE: "cache_private",
    Use.ANONYMOUS: "user",
    Use.HUGE: "huge",
    Use.HWPOISON: "hwpoison",
    Use.OFFLINE: "offline",
    Use.SLAB: "kept",
    Use.VMALLOC: "kept",
}

RELEASES = [
    *("2.6.35", "2.6.36", "2.6.37", "2.6.38", "2.6.39", "3.0", "3.2", "3.4", "3.7", "3.9", "3.10"),
    *("3.12", "3.13", "3.14", "3.16", "3.17", "4.1", "4.2", "4.4", "4.5", "4.6", "4.7", "4.10"),
    *("4.12", "4.14", "4.15", "4.16", "4.17", "4.18", "4.19", "4.20", "5.1", "5.2", "5.3", "5.4"),
    *("5.5", "5.7", "5.9", "5.10", "5.11", "5.13", "5.14", "5.15", "6.1", "6.2", "6.3", "6.4"),
    *("6.6.9", "6.8", "6.9", "6.10", "6.11", "6.12", "6.13", "6.14", "6.17", "6.19", "7.0", "7.1"),
    *("7.2", "7.3"),
]
"""One of every stretch in which nothing changes that a dump shows."""


class Dump(NamedTuple):
    """A machine that has crashed, and its dump."""

    machine: Machine
    path: Path


def numbers(release: str) -> Version:
    """Give the numbers of a release: (6, 1, 0) of 6.1.0-50-powerpc64le."""
    match = re.match(r"[\d.]*\d", release)
    assert match, release
    return tuple(map(int, match[0].split(".")))


def spec_of(
    release: str, *, page: int = 65536, mmu: str = "hash", memory: Any = None, **more: Any
) -> MachineSpec:
    """A small machine of two nodes with a hole between, and pages of every kind in both."""
    huge = (2 * MIB if mmu == "radix" else 16 * MIB) // page
    plan = PagePlan(
        cache=300,
        cache_private=77,
        anonymous=211,
        slab=64,
        huge=2 * huge,
        hwpoison=3,
        offline=5 if numbers(release) >= (5, 2) else 0,
        vmalloc=13,
    )
    ranges = memory or ((0, 0, 192), (1, 256, 128))
    return MachineSpec(
        memory=tuple(MemoryRange(node, start * MIB, size * MIB) for node, start, size in ranges),
        release=release,
        page_size=page,
        mmu=mmu,  # type: ignore[arg-type]
        pages=more.pop("pages", plan),
        **more,
    )


def event(kind: Any, start: int, size: int, node: int = 0, **more: Any) -> HotplugEvent:
    """A hotplug event; start and size in MiB."""
    return HotplugEvent(kind, start * MIB, size * MIB, node, **more)


def crash(spec: MachineSpec, path: Path) -> Dump:
    # ext4 writes a file to the disk at once that takes the place of another: seconds each time.
    path.unlink(missing_ok=True)
    machine = Machine(spec).boot().run_events()
    assert machine.crashed is None
    assert [outcome.word for outcome in machine.outcomes] == ["done"] * len(machine.outcomes)
    machine.crash(path)
    return Dump(machine, path)


def loads(path: Path) -> list[tuple[int, int, int]]:
    """Read the PT_LOAD headers of an ELF dump: (physical address, file offset, bytes)."""
    with path.open("rb") as file:
        head = file.read(64)
        order = "<" if head[5] == 1 else ">"
        at, size, count = (
            struct.unpack_from(order + "Q", head, 32)[0],
            *struct.unpack_from(order + "HH", head, 54),
        )
        file.seek(at)
        table = file.read(size * count)
    found = []
    for row in range(count):
        kind, _flags, offset, _virt, phys, file_size, size_in_memory, _align = struct.unpack_from(
            order + "IIQQQQQQ", table, row * size
        )
        if kind == 1:
            assert file_size == size_in_memory
            found.append((phys, offset, file_size))
    return found


def bytes_at(path: Path, phys: int, size: int) -> bytes:
    """Read the dump's bytes at a physical address; they must all lie in one PT_LOAD."""
    for start, offset, length in loads(path):
        if start <= phys and phys + size <= start + length:
            with path.open("rb") as file:
                file.seek(offset + phys - start)
                return file.read(size)
    raise LookupError(f"{phys:#x} is not in {path.name}")


def frames(dump: Dump) -> Frames:
    """The page frames that the dump holds, ascending."""
    page = dump.machine.kernel.page_size
    parts = [np.arange(phys, phys + size, page) // page for phys, _, size in loads(dump.path)]
    return np.concatenate(parts)


def zero_pages(dump: Dump) -> Mask:
    """Which of the dump's page frames hold nothing but zeros."""
    page = dump.machine.kernel.page_size
    parts = []
    with dump.path.open("rb") as file:
        for _phys, offset, size in loads(dump.path):
            data = np.memmap(dump.path, np.uint64, "r", offset, (size // page, page // 8))
            zero = np.ones(len(data), dtype=np.bool_)
            for start, end in written(file.fileno(), offset, offset + size):
                for first in range((start - offset) // page, -(-(end - offset) // page), 256):
                    part = data[first : min(first + 256, -(-(end - offset) // page))]
                    zero[first : first + len(part)] = ~part.any(axis=1)
            parts.append(zero)
    return np.concatenate(parts)


def written(fd: int, offset: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the parts of a stretch of a sparse file that are no holes."""
    while offset < end:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:
            return  # a hole up to the end of the file
        if offset < end:
            stop = os.lseek(fd, offset, os.SEEK_HOLE)
            yield offset, min(stop, end)
            offset = stop


def kinds(dump: Dump) -> npt.NDArray[np.str_]:
    """What each of the dump's page frames is used for, as far as makedumpfile tells kinds apart."""
    machine, pfns = dump.machine, frames(dump)
    found = np.full(len(pfns), "kept", "U16")
    owned = [(part, "free") for node in machine.pages.nodes for part in free_parts(machine, node)]
    owned += [((run.start, run.end), KINDS[run.use]) for run in machine.usage.runs]
    for (start, end), kind in owned:
        low, high = np.searchsorted(pfns, [start, end])
        found[low:high] = kind
    return found


def free_parts(machine: Machine, node: int) -> list[tuple[int, int]]:
    return [*machine.pages.free_ranges(node), *machine.pages.cma_ranges(node)]


def excluded(by_frame: npt.NDArray[np.str_], level: int, release: Version) -> dict[str, Mask]:
    """Which page frames makedumpfile takes out at a dump level, by the name of its count.

    It is told what a huge page is by kernels from 3.16 on except 4.4 and 4.5, and what a poisoned
    page is from 3.9 on.
    """
    huge = release >= (3, 16) and not (4, 4) <= release < (4, 6)
    poison = release >= (3, 9)
    wanted = {
        "cache": ["cache"] if level & 6 else [],
        "cache_private": ["cache_private"] if level & 4 else [],
        "user": ["user", *(["huge"] if huge else [])] if level & 8 else [],
        "free": ["free"] if level & 16 else [],
        "hwpoison": ["hwpoison"] if poison else [],
        "offline": ["offline"],
    }
    return {name: np.isin(by_frame, members) for name, members in wanted.items()}
