"""What a machine is, by what its guest said; and which dumps of it makedumpfile has spoiled.

Source: makedumpfile arch/ppc64.c, ppc64_vtop_level4() (reads one page of a root table of 64 KiB,
still so in June 2026); its commit f50c015 ("Fix wrong exclusion of compound tail pages on Linux 7.1
and later", June 2026, after 1.7.9).
"""

from __future__ import annotations

import re

import pytest

from lab.checks.guest_memory import parse_meminfo, parse_zoneinfo
from lab.results import Dump, Result

USER_LEVEL = 8
TAILS_CHANGED = (7, 1)
RADIX_WITHOUT_LIST = (6, 6)
"""Since Linux commit 368a0590d954 (in v6.6) radix has populate functions of its own."""


def said(machine: Result, name: str) -> str:
    """Give what the guest said; skips the test if it did not."""
    if not machine.has_guest(name):
        pytest.skip(f"the guest left no {name}")
    return machine.guest(name)


def release_of(machine: Result) -> tuple[int, int]:
    """Give the first two numbers of the kernel's release."""
    found = re.match(r"(\d+)\.(\d+)", machine.release)
    assert found, machine.release
    return int(found[1]), int(found[2])


def mmu_of(machine: Result) -> str:
    """Give the MMU as the guest's /proc/cpuinfo has it; it is not the dump that tells."""
    found = re.search(r"^MMU\s*: (\w+)", said(machine, "cpuinfo"), re.MULTILINE)
    if found is None:
        pytest.skip("the guest's cpuinfo does not tell the MMU")
    return found[1].lower()


def page_size_of(machine: Result) -> int:
    """Give the page size, in bytes: the guest gives the same memory in pages and in KiB."""
    moment = machine.dumps[0].moment
    zones = parse_zoneinfo(said(machine, f"{moment}/zoneinfo"))
    pages = sum(zone.counts["managed"] for zone in zones)
    return round((parse_meminfo(said(machine, f"{moment}/meminfo"))["MemTotal"] << 10) / pages)


def keeps_list(machine: Result) -> bool:
    """Tell if the kernel of a machine keeps the list."""
    return mmu_of(machine) == "hash" or release_of(machine) < RADIX_WITHOUT_LIST


def spoiled(machine: Result, dump: Dump) -> str | None:
    """Say why a dump is useless; None if it is not."""
    told = machine.has_guest("cpuinfo") and machine.has_guest(f"{dump.moment}/zoneinfo")
    if told and dump.maker == "makedumpfile" and dump.level and misread_by_peers(machine):
        return (
            "makedumpfile left out the wrong pages: on radix with 4 KiB pages it reads one page of "
            "the root table of 64 KiB"
        )
    return None


def loses_tails(machine: Result, level: int, version: tuple[int, ...] = (1, 7, 9)) -> str | None:
    """Say why a level takes too much with it; None if it does not.

    Args:
        machine: The machine.
        level: makedumpfile's dump level.
        version: makedumpfile's version.
    """
    if level & USER_LEVEL and release_of(machine) >= TAILS_CHANGED and version < (1, 7, 10):
        return (
            "makedumpfile takes first tails of compounds for user pages: since 7.1 the member that "
            "tells tails has another name, which it knows since June 2026 only"
        )
    return None


def misread_by_peers(machine: Result) -> bool:
    """Tell if crash and makedumpfile cannot follow the kernel's page tables."""
    return mmu_of(machine) == "radix" and page_size_of(machine) == 4096


def sound(machine: Result, moment: str) -> list[Dump]:
    """Give the dumps of a moment that are not spoiled; all of them if there are no others."""
    dumps = [dump for dump in machine.dumps if dump.moment == moment]
    return [dump for dump in dumps if not spoiled(machine, dump)] or dumps


def fullest(machine: Result, moment: str) -> Dump:
    """Give the dump of a moment with the most pages: the kernel's own if there is one, as ELF."""
    return min(
        sound(machine, moment),
        key=lambda dump: (dump.level, dump.maker != "kernel", "elf" not in dump.file),
    )
