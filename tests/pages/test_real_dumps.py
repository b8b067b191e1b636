"""The real dumps of 6.1: makedumpfile's counts to the page, crash's figures, the guest's own word.

The witnesses' output lies beside the repository (shared/truth), as the dumps do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import vmemmap
from vmemmap import Kind

DUMPS = {
    "hash-64k-6.1": ("vmcore.d31.zlib", "vmcore.d31.elf.zst"),
    "radix-64k-6.1": ("vmcore.d31.zlib", "vmcore.d31.elf.zst"),
}
CASES = [(machine, file) for machine, files in DUMPS.items() for file in files]
WORDS = {
    "cache": "Non-private cache pages",
    "cache_private": "Private cache pages",
    "user": "User process data pages",
    "free": "Free pages",
    "hwpoison": "Hwpoison pages",
    "offline": "Offline pages",
}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "/".join(case))
def opened(request, real_dump: Callable[[str], Path]):
    machine, file = request.param
    with vmemmap.open(real_dump(f"{machine}/{file}")) as core:
        yield machine, core, core.usage()


def number(pattern: str, text: str, base: int = 10) -> int:
    """Give the number that a pattern finds in a witness's output."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found, pattern
    return int(found[1], base)


def excluded(text: str, level: int) -> dict[str, int]:
    """Read makedumpfile's counts for a level, and how many pages it started from."""
    block = text.split(f"== -d {level}\n")[1].split("\n== ")[0]
    rows = WORDS | {"original": "Original pages"}
    return {name: number(rf"{words}\s*: 0x([0-9a-f]+)", block, 16) for name, words in rows.items()}


def test_makedumpfile_leaves_out_the_same_pages(opened, truth) -> None:
    machine, _, usage = opened
    text = truth(f"{machine}.makedumpfile.txt")
    for level in (2, 4, 8, 16, 30, 31):
        expected = excluded(text, level)
        assert usage.original_pages == expected.pop("original")
        assert usage.makedumpfile[level] == expected, level


def test_crash_counts_the_same(opened, truth) -> None:
    machine, core, usage = opened
    text = truth(f"{machine}.crash.txt")
    said = {
        name: number(rf"^ *{words} +(\d+)", text)
        for name, words in (
            ("total", "TOTAL MEM"),
            ("free", "FREE"),
            ("cached", "CACHED"),
            ("slab", "SLAB"),
        )
    }
    found = usage.as_crash
    # crash takes CACHED from NR_FILE_PAGES, the 20th of the node's counters, to which each CPU adds
    # what it keeps for itself only now and then: two pages here, as its own counter says.
    if machine == "hash-64k-6.1":
        kept = 0xC000_0000_021B_4AC0 + 1034813440  # per_cpu_nodestats + __per_cpu_offset[0]
        said["cached"] += core.read(kept + 1 + 19, 1)[0]
    else:
        assert found.pop("cached") == excluded(truth(f"{machine}.makedumpfile.txt"), 2)["cache"]
        assert abs(said.pop("cached") - 1462) < 10
    assert found == said


def test_the_guest_says_the_same_of_its_zone(opened, truth) -> None:
    machine, _, usage = opened
    text = truth(f"{machine}.guest-zoneinfo.txt").split("Node 0, zone  Movable")[0]
    (zone,) = usage.zones
    said = {name: number(rf" {name} +(\d+)", text) for name in ("spanned", "managed")}
    assert (zone.node, zone.zone, zone.name) == (0, 0, "Normal")
    assert zone.pages == zone.info.spanned == said["spanned"]
    assert usage.managed == zone.info.managed == said["managed"]
    # The file was read a moment before the crash; slab and anonymous pages move.
    slab = sum(int(count) for count in re.findall(r"nr_slab_\w+ (\d+)", text))
    assert abs(usage.kinds["slab"] - slab) < 10
    assert usage.free == zone.info.free


def test_sections_are_those_of_crash(opened, truth) -> None:
    machine, core, usage = opened
    rows = re.findall(r"^ *(\d+) +c0\w+ +c00c\w+ +c00c\w+ +(PMOE?) +(\d+)", truth(
        f"{machine}.crash.txt"
    ), re.MULTILINE)  # fmt: skip
    assert len(rows) == usage.sections == 96
    for number, state, pfn in rows:
        run = core.pages.sections.find(int(pfn))
        assert run is not None
        assert run.start <= int(number) < run.end
        assert run.online is True
        assert run.early == state.endswith("E")


def test_nothing_is_damaged_or_unknown(opened) -> None:
    _, core, usage = opened
    assert (usage.damaged, usage.unknown, usage.findings) == (0, {}, ())
    assert usage.fields_origin == "derived"
    assert sum(usage.kinds.values()) == usage.pages == len(core.pages)
    info = core.pages[0]
    assert info.kind is Kind.RESERVED
    assert info.flags == ("reserved",)


def test_qemu_dump_of_a_running_machine(real_dump) -> None:
    """Big-endian headers around little-endian memory; hot-added memory is in the dump."""
    with vmemmap.open(real_dump("qemu-hash-64k-6.1/dump.kdump-zlib")) as core:
        usage = core.usage()
        assert usage.pages == 3 * 16384
        (zone,) = usage.zones
        assert zone.info is not None
        assert zone.info.free is not None
        assert usage.managed == zone.info.managed
        assert usage.free is not None
        assert abs(usage.free - zone.info.free) < 100  # it was running
        assert not usage.unknown
