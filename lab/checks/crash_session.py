"""A session of crash on a dump of a machine: what is asked, and what it said, kept beside the dump.

A session under qemu-user takes about a minute, most of it to read the debugging information.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.checks import peer_run
from lab.checks.guest_kernel import parse_modules, parse_vmallocinfo
from lab.checks.machine_facts import misread_by_peers, said
from lab.checks.opened import Opened
from lab.checks.peer_crash import OPTIONS, is_complete, script
from lab.results import Result

SECONDS = 400
STRUCT_PAGE_WORDS = 8
WORDS_READ = 64
SYMBOLS_PER_MODULE = 6
PAGES_OF_A_REGION = 48
BEFORE_IOREMAP = 0x8000_0000
"""I/O space of the PCI host bridges comes first, then what drivers map."""
MOST_SCATTERED = 400

LINEAR = 0xC << 60


def questions(opened: Opened) -> str:
    """Write the session for a dump."""
    return script(addresses(opened), struct_page_runs(opened))


def ask(machine: Result, dump: Path, text: str, name: str, *also: str) -> str:
    """Have a session, or take it from what is kept of an earlier one.

    Skips the test where crash cannot be had, or is known to misread such a machine.

    Args:
        machine: Whose kernel it is.
        dump: The dump.
        text: The session, as `questions` gives it.
        name: Under which it is kept.
        also: What tells whether the dump is still the same, if its size and time do not.
    """
    if misread_by_peers(machine):
        pytest.skip("crash reads one page of the root table of 64 KiB: wrong on radix with 4 KiB")
    if machine.debug_vmlinux is None:
        pytest.skip("crash needs the kernel's debugging information, which was not fetched")
    crash, vmlinux = peer_run.find(machine, "usr/bin/crash"), Path(machine.debug_vmlinux)
    files = (crash, vmlinux) if also else (crash, vmlinux, dump)
    key = peer_run.key_of([*OPTIONS, text, *also], *files)
    answer = peer_run.kept(machine, f"{name}.crash.txt", key)
    if answer is None:
        commands = machine.folder / peer_run.KEPT / f"{name}.crash.cmd"
        commands.parent.mkdir(exist_ok=True)
        commands.write_text(text)
        answer = peer_run.run(machine, [crash, *OPTIONS, "-i", commands, vmlinux, dump], SECONDS)
        peer_run.keep(machine, f"{name}.crash.txt", key, answer)
    if not is_complete(answer):
        pytest.fail(f"crash does not read {dump.name}: {answer.strip()[-300:]}")
    return answer


def struct_page_runs(opened: Opened) -> list[tuple[int, int]]:
    """Give some struct pages of each memory block: address and how many words."""
    base, page = int(opened.core.facts["vmemmap_base"].value), opened.page_size
    size = 8 * STRUCT_PAGE_WORDS
    runs = []
    for block in opened.blocks:
        for phys in (block.start, (block.start + block.end) // 2, block.end):
            at = base + phys // page * size - (8 * WORDS_READ if phys == block.end else 0)
            runs.append((at, WORDS_READ))
    return runs


def addresses(opened: Opened) -> list[int]:
    """Choose addresses of all regions by what the guest said, mapped ones and others."""
    machine, page = opened.machine, opened.page_size
    virts: list[int] = []
    for at, count in struct_page_runs(opened):
        virts += [at, at + 8 * count - 1, at + 8 * count]
    # Where entries meet, and the ends of the list: what lies just outside is not mapped.
    entries = [int(entry.virt) for entry in opened.core.backing]
    size = opened.core.backing.block_size or 0
    for virt in spaced(entries, MOST_SCATTERED // 8):
        virts += [virt - 1, virt, virt + size - 1, virt + size]
    for block in opened.blocks:
        virts += [LINEAR + block.start, LINEAR + block.end - 1]
    symbols = opened.kallsyms
    for module in parse_modules(said(machine, "modules")):
        own = [symbol.address for symbol in symbols if symbol.module == module.name]
        virts += spaced(own, SYMBOLS_PER_MODULE)
    starts = {
        region.name: region.start
        for region in opened.core.layout.regions
        if region.method == "page_table" and region.name != "vmemmap"
    }
    for name, start in starts.items():
        extra = (start + BEFORE_IOREMAP,) if "io" in name.lower() else ()
        for low in (start, *extra):
            virts += [low + page * at for at in range(PAGES_OF_A_REGION)]
    for area in parse_vmallocinfo(said(machine, "vmallocinfo"))[: MOST_SCATTERED // 4]:
        virts += [area.start, area.end - page, area.end - page - 1]
    return list(dict.fromkeys(virt for virt in virts if virt < 1 << 64))


def spaced(values: list[int], count: int) -> list[int]:
    """Give some of the values, evenly spaced, first and last among them."""
    if len(values) <= count:
        return values
    return [values[at * (len(values) - 1) // (count - 1)] for at in range(count)]
