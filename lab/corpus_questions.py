"""What crash is asked for a fixture: addresses and runs of words, and the session's script.

Choosing the questions may use vmemmap and what the guest said; the answers are crash's alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import vmemmap
from lab.checks.guest_kernel import parse_vmallocinfo
from lab.results import Result

LINEAR = 0xC << 60
MOST_BLOCKS = 40
"""So many blocks are asked about where there are more, spread over the list."""
MOST_PAGES_OF_AN_AREA = 600
WORDS = 8
POINTS = 60
"""So many places are asked about where there are fewer blocks."""
UNMAPPED = (0xC007_FFFF_FFFF_FFF8, 0xC008_FFFF_0000_0000, 0xC00A_FFFF_0000_0000)


@dataclass(frozen=True, slots=True)
class Questions:
    """What to ask.

    Attributes:
        vtop: Addresses to translate.
        words: Address and count of runs of 64-bit words to read.
        commands: Further commands.
    """

    vtop: list[int]
    words: list[tuple[int, int]]
    commands: tuple[str, ...] = ()

    def script(self, prefix: int | None = None) -> str:
        """Write crash's script; with *prefix* only for addresses whose upper 16 bits it is."""
        lines = ["help -m", *self.commands]
        lines += [f"rd -64 {at:x} {n}" for at, n in self.words if prefix in (None, at >> 48)]
        lines += [f"vtop {at:x}" for at in self.vtop if prefix in (None, at >> 48)]
        return "\n".join([*lines, "q", ""])

    @property
    def prefixes(self) -> list[int]:
        """The upper 16 bits of the addresses, each once."""
        found = [at >> 48 for at in (*self.vtop, *(at for at, _ in self.words))]
        return list(dict.fromkeys(found))


def questions(machine: Result, core: vmemmap.Vmcore, *, areas: bool) -> Questions:
    """Choose the questions for a dump."""
    vtop, words = list[int](), list[tuple[int, int]]()
    page, backing = core.kernel.page_size.value, core.backing
    size = backing.block_size or 2 << 20
    entries = list(backing) if len(backing) <= MOST_BLOCKS else _spaced(list(backing))
    starts = [int(entry.virt) for entry in entries] or _blocks_of_memory(core, size)
    for entry in entries:
        words.append((int(entry.node), 3))
    for virt in starts:
        vtop += [virt, virt + 64, virt + size - 8, virt + size - 1, virt + page]
        inside = range(virt, virt + size, max(page, size * len(starts) // POINTS // 8 * 8))
        vtop += [at + 8 * i for i, at in enumerate(inside)]
        words += [(at, WORDS) for at in inside]
    top = max(starts) + size
    vtop += [top, top + (1 << 40), min(starts) + size // 2 + 3]
    for phys in (0, page, 0x100_0008, 0x1000_0000 - 1):
        vtop.append(LINEAR + phys)
    vtop += UNMAPPED
    paged = [region for region in core.layout.regions if region.method == "page_table"]
    for region in paged:
        vtop += [region.start, region.start + page, region.start + 16 * page + 5]
    if areas:
        for area in parse_vmallocinfo(machine.guest("vmallocinfo")):
            every = range(area.start, area.end, page)
            step = max(1, len(every) // MOST_PAGES_OF_AN_AREA)
            vtop += [at + 8 * (at // page % 64) for at in every[::step]]
            vtop.append(area.end - 1)
    return Questions(list(dict.fromkeys(vtop)), list(dict.fromkeys(words)))


def of_an_extract(asked: Questions, core: vmemmap.Vmcore, commands: tuple[str, ...]) -> Questions:
    """Ask instead what an extract can answer.

    Args:
        asked: What was to be asked; all its addresses stay.
        core: The dump.
        commands: Further commands.

    Returns:
        The words are those that an extract shows as they are: of nodes, and of struct pages the one
        with both counts.
    """
    nodes = {int(entry.node) for entry in core.backing}
    words = [run for run in asked.words if run[0] in nodes]
    layout, base = core.page_model.layout, int(core.facts["vmemmap_base"].value)
    if layout.mapcount is not None and layout.refcount is not None:
        assert layout.mapcount // 8 == layout.refcount // 8
        for at, _ in asked.words:
            if at not in nodes:
                page_at = base + (at - base) // layout.size * layout.size
                words.append((page_at + layout.mapcount // 8 * 8, 1))
    return Questions(asked.vtop, list(dict.fromkeys(words)), commands)


def _spaced(entries: list[vmemmap.Entry]) -> list[vmemmap.Entry]:
    last = len(entries) - 1
    return [entries[i * last // (MOST_BLOCKS - 1)] for i in range(MOST_BLOCKS)]


def _blocks_of_memory(core: vmemmap.Vmcore, size: int) -> list[int]:
    """Where struct pages lie on a kernel that keeps no list, by the sections it has."""
    base, per_page = (
        int(core.facts["vmemmap_base"].value),
        int(core.facts["struct_page_size"].value),
    )
    found = dict[int, None]()
    for run in core.pages.sections:
        low, high = base + run.first_pfn * per_page, base + run.end_pfn * per_page
        found |= dict.fromkeys(range(low // size * size, high, size))
    return list(found)[:MOST_BLOCKS]
