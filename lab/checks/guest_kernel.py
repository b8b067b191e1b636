"""What a guest said of its kernel: symbols, modules, vmalloc areas, and what its log tells.

Sources: Linux kernel/kallsyms.c (s_show), kernel/module/procfs.c (m_show), mm/vmalloc.c (s_show),
mm/mm_init.c (free_area_init), kernel/printk/printk.c (msg_print_ext_body),
arch/powerpc/platforms/pseries/hotplug-memory.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Symbol:
    """A line of /proc/kallsyms; *module* is empty for the kernel's own, [bpf] and such included."""

    address: int
    kind: str
    name: str
    module: str = ""


def parse_kallsyms(text: str) -> list[Symbol]:
    """Read /proc/kallsyms, in its order."""
    rows = (line.split() for line in text.splitlines())
    return [
        Symbol(int(row[0], 16), row[1], row[2], row[3].strip("[]") if len(row) > 3 else "")
        for row in rows
        if len(row) >= 3
    ]


@dataclass(frozen=True, slots=True)
class Module:
    """A line of /proc/modules; *base* is 0 where the kernel does not tell it."""

    name: str
    size: int
    base: int


def parse_modules(text: str) -> list[Module]:
    """Read /proc/modules."""
    rows = re.findall(r"^(\S+) (\d+) .* (0x[0-9a-f]+)", text, re.MULTILINE)
    return [Module(name, int(size), int(base, 16)) for name, size, base in rows]


@dataclass(frozen=True, slots=True)
class Area:
    """A line of /proc/vmallocinfo.

    Attributes:
        start: Its first byte.
        end: After its last; a guard page that maps nothing is part of it.
        pages: How many pages the kernel allocated for it, or None.
        phys: What it maps if that is I/O memory, or None.
    """

    start: int
    end: int
    pages: int | None
    phys: int | None


def parse_vmallocinfo(text: str) -> list[Area]:
    """Read /proc/vmallocinfo; no area at all where the kernel hides the addresses.

    Without ``no_hash_pointers`` on its command line it prints hashes of 32 bits for them.
    """
    areas = []
    for line in text.splitlines():
        found = re.match(r"0x([0-9a-f]{16})-0x([0-9a-f]{16}) +(\d+)", line)
        if found is None:
            continue
        start, end = int(found[1], 16), int(found[2], 16)
        if end - start != int(found[3]):
            return []
        pages = re.search(r" pages=(\d+)", line)
        phys = re.search(r" phys=0x([0-9a-f]+)", line)
        areas.append(
            Area(start, end, int(pages[1]) if pages else None, int(phys[1], 16) if phys else None)
        )
    return areas


def log_text(line: str) -> str:
    """Give a line of dmesg without time and caller."""
    return re.sub(r"^(\[ *\d+\.\d+\](\[ *[TC]\d+\])?) ", "", line)


def boot_memory(log: str) -> list[tuple[int, int, int]]:
    """Give the memory at boot as the log tells it: node, start, end (half-open)."""
    rows = re.findall(r"^.*?\] +node +(\d+): \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\]$", log, re.M)
    return [(int(node), int(low, 16), int(high, 16) + 1) for node, low, high in rows]


def capture_room(log: str) -> tuple[int, int] | None:
    """Give the memory kept for a capture kernel (half-open); None if the log does not tell."""
    if found := re.search(r"crashkernel reserved: 0x([0-9a-f]+) - 0x([0-9a-f]+)", log):
        return int(found[1], 16), int(found[2], 16)
    if found := re.search(r"Reserving (\d+)MB of memory at (\d+)MB for crashkernel", log):
        size, start = int(found[1]) << 20, int(found[2]) << 20
        return start, start + size
    return None


@dataclass(frozen=True, slots=True)
class Hotplug:
    """An LMB that was added or removed; its size is that of a memory block on this platform."""

    kind: Literal["add", "remove"]
    start: int


def hotplug(log: str) -> list[Hotplug]:
    """Give what came and went, in the order of the log."""
    rows = re.findall(r"Memory at ([0-9a-f]+) \(drc index \w+\) was hot-(added|removed)", log)
    return [Hotplug("add" if word == "added" else "remove", int(at, 16)) for at, word in rows]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as /dev/kmsg gives it: number, microseconds since boot, level, facility, text."""

    seq: int
    micros: int
    level: int
    facility: int
    data: bytes


def parse_kmsg(text: str) -> list[Message]:
    """Read what /dev/kmsg gave, as text with surrogates for what is no UTF-8."""
    found = []
    for line in text.encode(errors="surrogateescape").split(b"\n"):
        if not line or line.startswith(b" "):  # such lines say which device it is about
            continue
        head, _, data = line.partition(b";")
        prefix, seq, micros = (int(word) for word in head.split(b",")[:3])
        data = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), data)
        found.append(Message(seq, micros, prefix & 7, prefix >> 3, data))
    return found
