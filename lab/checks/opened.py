"""A dump opened once for all checks of it, with what the guest said at its moment."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import vmemmap
from lab.checks.guest_kernel import Symbol, parse_kallsyms
from lab.checks.guest_memory import (
    Block,
    Zone,
    parse_buddyinfo,
    parse_meminfo,
    parse_memory_blocks,
    parse_zoneinfo,
)
from lab.checks.machine_facts import said
from lab.results import Dump, Result


class Opened:
    """A dump and what is known of its machine.

    Attributes:
        machine: The machine.
        dump: The dump's record.
        core: The dump, opened.
    """

    def __init__(self, machine: Result, dump: Dump) -> None:
        self.machine, self.dump = machine, dump
        self.core = vmemmap.open(machine.path(dump))

    @cached_property
    def usage(self) -> vmemmap.Usage:
        """The census, taken once."""
        return self.core.usage()

    @cached_property
    def kallsyms(self) -> list[Symbol]:
        """What the guest's kallsyms had."""
        return parse_kallsyms(said(self.machine, "kallsyms"))

    @property
    def page_size(self) -> int:
        """The kernel's page size, in bytes."""
        return self.core.kernel.page_size.value

    @property
    def blocks(self) -> list[Block]:
        """The memory blocks that the guest had."""
        return parse_memory_blocks(said(self.machine, "memory-blocks"))

    @property
    def struct_pages(self) -> list[tuple[int, int]]:
        """Where the struct pages of each memory block are: virtual addresses, half-open."""
        base = int(self.core.facts["vmemmap_base"].value)
        size = self.core.kernel.struct_page_size.value
        page = self.page_size
        return [
            (base + block.start // page * size, base + block.end // page * size)
            for block in self.blocks
        ]

    @property
    def zones(self) -> list[Zone]:
        """The guest's zones that have memory, at the dump's moment."""
        zones = parse_zoneinfo(self.said_then("zoneinfo"))
        return [zone for zone in zones if zone.counts["spanned"]]

    @property
    def buddyinfo(self) -> dict[tuple[int, str], list[int]]:
        """The guest's free blocks, at the dump's moment."""
        return parse_buddyinfo(self.said_then("buddyinfo"))

    @property
    def meminfo(self) -> dict[str, int]:
        """The guest's meminfo in KiB, at the dump's moment."""
        return parse_meminfo(self.said_then("meminfo"))

    def said_then(self, name: str) -> str:
        """Give what the guest said a moment before the dump; skips the test without it."""
        return said(self.machine, f"{self.dump.moment}/{name}")


class Opener:
    """Keeps the dumps of one machine open, and what was found out about them, for all tests."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._open: dict[str, Opened] = {}

    def open(self, machine: Result, dump: Dump) -> Opened:
        """Give an opened dump; those of other machines are closed."""
        if machine.folder != self._folder:
            self.close()
            self._folder = machine.folder
        if dump.file not in self._open:
            self._open[dump.file] = Opened(machine, dump)
        return self._open[dump.file]

    def close(self) -> None:
        """Close all."""
        for opened in self._open.values():
            opened.core.close()
        self._open.clear()
