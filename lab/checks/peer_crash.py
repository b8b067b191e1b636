"""What crash says of a dump: a session's script, and its output taken apart.

Source: crash ppc64.c (ppc64_dump_machdep_table, ppc64_vtop), memory.c (dump_kmeminfo,
dump_page_lists, dump_memory_nodes, display_memory); version 8 and 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Version 9.0.2 does not know struct module of 7.2, and no question here is about it.
OPTIONS = ["--no_crashrc", "--no_scroll", "--no_modules"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``vtop`` gives for an address.

    Attributes:
        phys: The physical address; None for "(not mapped)".
        levels: Level and entry of each page table on the way, as they were printed.
    """

    phys: int | None
    levels: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Session:
    """What crash said in a session.

    Attributes:
        release: The kernel's release by ``sys``.
        base: vmemmap_base; None if it was not told, likewise the next two.
        count: vmemmap_cnt.
        block_size: vmemmap_psize.
        list_lines: The lines of the list, as they are.
        totals: ``kmem -i``: TOTAL MEM, FREE, CACHED, SLAB ... in pages.
        free_blocks: ``kmem -f``: blocks by order, all zones and lists together.
        free_found: How many free pages it found on its way; its own count of them.
        sections: ``kmem -n``: number and state (P, M, O, E) and first pfn of each.
        vtop: Answers by address.
        words: 64-bit words by address.
    """

    release: str = ""
    base: int | None = None
    count: int | None = None
    block_size: int | None = None
    list_lines: list[str] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    free_blocks: dict[int, int] = field(default_factory=dict)
    free_found: int | None = None
    sections: list[tuple[int, str, int]] = field(default_factory=list)
    vtop: dict[int, Answer] = field(default_factory=dict)
    words: dict[int, int] = field(default_factory=dict)


_STATE = ("bt -a", "ps", "log", "mount", "dev", "runq", "timer", "swap", "kmem -s", "kmem -v")
"""What people ask of any dump: not taken apart here, but the same of all dumps of a moment."""


def script(vtop: list[int], words: list[tuple[int, int]]) -> str:
    """Write a session that asks for all this, for addresses and for runs of 64-bit words."""
    lines = ["sys", "help -m", "kmem -i", "kmem -f", "kmem -n"]
    lines += _STATE
    lines += [f"rd -64 {virt:x} {count}" for virt, count in words]
    lines += [f"vtop {virt:x}" for virt in vtop]
    return "\n".join([*lines, "q", ""])


_SETTING = re.compile(r"\s*vmemmap_(base|cnt|psize): ([0-9a-f]+)$")
_ENTRY = re.compile(r"\s*vmemmap_list\[\d+\]: virt: [0-9a-f]+  phys: [0-9a-f]+$")
_TOTAL = re.compile(r" +([A-Z][A-Z ]+[A-Z]) +(\d+) ")
_AREA = re.compile(r" *(\d+) +\d+k +c[0-9a-f]{15} +(\d+) +(\d+)$")
_SECTION = re.compile(r" *(\d+) +c[0-9a-f]{15} +[0-9a-f]+ +[0-9a-f]+ +([PMOED]+) +(\d+)")
_PHYS = re.compile(r"([0-9a-f]{16})  ([0-9a-f]+|\(not mapped\))\s*$")
_LEVEL = re.compile(r" *(PGD|PUD|PMD|PTE): +[0-9a-f]+ => ([0-9a-f]+)$")
_WORDS = re.compile(r"([0-9a-f]{16}):  ([0-9a-f]{16})(?: ([0-9a-f]{16}))?")


def is_complete(said: str) -> bool:
    """Tell if a session came to its end."""
    return bool(re.search(r"^crash> q$", said, re.MULTILINE))


def parse_session(said: str) -> Session:
    """Read a session's output, command by command."""
    found = Session()
    for part in re.split(r"^crash> ", said, flags=re.MULTILINE)[1:]:
        command, _, body = part.partition("\n")
        words = command.split()
        if words:
            _read(found, words, body.splitlines())
    return found


def _read(found: Session, words: list[str], lines: list[str]) -> None:
    if words == ["sys"]:
        rows = (line.partition(":") for line in lines)
        found.release = {name.strip(): value.strip() for name, _, value in rows}.get("RELEASE", "")
    elif words == ["help", "-m"]:
        _read_machine(found, lines)
    elif words == ["kmem", "-i"]:
        totals = (_TOTAL.match(line + " ") for line in lines)
        found.totals = {row[1]: int(row[2]) for row in totals if row}
    elif words == ["kmem", "-f"]:
        for row in filter(None, map(_AREA.match, lines)):
            order = int(row[1])
            found.free_blocks[order] = found.free_blocks.get(order, 0) + int(row[2])
        total = re.search(r"nr_free_pages: \d+ +\((?:found (\d+)|verified)\)", "\n".join(lines))
        if total:
            found.free_found = int(total[1] or total[0].split()[1])
    elif words == ["kmem", "-n"]:
        sections = (_SECTION.match(line) for line in lines)
        found.sections = [(int(row[1]), row[2], int(row[3])) for row in sections if row]
    elif words[0] == "vtop":
        answer = next((row for row in map(_PHYS.match, lines) if row), None)
        if answer and int(answer[1], 16) == int(words[1], 16):
            phys = None if answer[2].startswith("(") else int(answer[2], 16)
            levels = tuple((row[1], int(row[2], 16)) for row in map(_LEVEL.match, lines) if row)
            found.vtop[int(words[1], 16)] = Answer(phys, levels)
    elif words[0] == "rd":
        for row in filter(None, map(_WORDS.match, lines)):
            for at, word in enumerate(filter(None, row.groups()[1:])):
                found.words[int(row[1], 16) + 8 * at] = int(word, 16)


def _read_machine(found: Session, lines: list[str]) -> None:
    for line in lines:
        if setting := _SETTING.match(line):
            if setting[1] == "base":
                found.base = int(setting[2], 16)
            elif setting[1] == "cnt":
                found.count = int(setting[2])
            else:
                found.block_size = int(setting[2])
        elif _ENTRY.match(line):
            found.list_lines.append(line)


def comparable(said: str) -> list[str]:
    """Give the lines of a session that are the same of every dump with the same contents.

    Left out are those that name the file, and those that tell where crash's own buffers are.
    """
    own = re.compile(r" *(DUMPFILE|pgd|pud|pmd|ptbl): ")
    return [line.rstrip() for line in said.splitlines() if not own.match(line)]
