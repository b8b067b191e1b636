"""Damage to a crashed machine's list, one kind at a time, with what a checker has to find.

Each kind changes a snapshot's memory, or what its dump will cover, just before it is written. What
is broken is chosen from the list itself, so that the same name works on every machine that has what
it takes: enough entries, freed nodes, hot-added memory.

Where a kind was a bug in the field, its number is that of the project's list of field bugs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmemmap.errors import SpecError
from vmemmap.simulate.crash.vmcore import Snapshot
from vmemmap.simulate.kernel import SECTION_SHIFT
from vmemmap.simulate.memory.image import PHYS as VARIABLE
from vmemmap.simulate.memory.image import SWAPPER_PG_DIR
from vmemmap.simulate.memory.physical import phys_of, virt_of
from vmemmap.simulate.mm.backing_list import LIST, PHYS, VIRT_ADDR

ENTRIES_AT_LEAST = 8


@dataclass(frozen=True, slots=True)
class Harm:
    """What was done.

    Attributes:
        name: The kind of damage.
        findings: Codes of findings, of which a checker has to give at least one.
        node: The list node concerned, or None.
        virt: The vmemmap address concerned, or None.
        phys: The physical address concerned, or None.
    """

    name: str
    findings: tuple[str, ...]
    node: int | None = None
    virt: int | None = None
    phys: int | None = None


class Scene:
    """A snapshot about to be damaged.

    Attributes:
        snapshot: The snapshot.
        machine: Its machine.
        entries: The list as it was: (node, phys, virt_addr) of each entry, head first.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.machine = snapshot.machine
        self.entries = self.machine.walk()

    def poke(self, node: int, member: int, value: int) -> None:
        """Overwrite a word of a list node."""
        self.machine.memory.store_u64(phys_of(node) + member, value)

    def point(self, place: int, target: int) -> None:
        """Make what points at entry *place* point at *target* instead; 0 is the head."""
        if place:
            self.poke(self.entries[place - 1][0], LIST, target)
        else:
            self.machine.memory.store_u64(VARIABLE["vmemmap_list"], target)

    def at(self, third: int) -> int:
        """Give the place of an entry about one third or two thirds down the list."""
        return max(1, len(self.entries) * third // 3)

    def spare_page(self) -> int:
        """Give the physical address of a page that nothing uses, in memory the dump covers."""
        shift, ranges = self.machine.kernel.page_shift, self.snapshot.ranges
        for start, end in self.snapshot.owners.free.tolist():
            for pfn in range(end - 1, start - 1, -1):
                phys = pfn << shift
                if any(low <= phys < high for low, high in ranges):
                    return phys
        raise SpecError("damage", "the machine has no free page in the dump")

    def hot_added(self) -> tuple[int, int]:
        """Give memory that was added, is there at the crash, and is no device."""
        for event in reversed(self.machine.spec.events):
            there = all(
                self.machine.sparsemem.flags(section) & 2
                for section in range(event.start >> SECTION_SHIFT, event.end >> SECTION_SHIFT)
            )
            if event.kind == "add" and not event.device and there:
                return event.start, event.end
        raise SpecError("damage", "this kind needs memory that was hot-added and is still there")


Apply = Callable[[Scene], tuple[int | None, int | None, int | None]]
"""Does the damage; gives node, virt and phys concerned."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of damage: its finding codes, what it is in words, and how to do it."""

    findings: tuple[str, ...]
    what: str
    apply: Apply


def _links(place: Callable[[Scene], int], target: Callable[[Scene], int]) -> Apply:
    """Damage one pointer of the list."""

    def apply(scene: Scene) -> tuple[int | None, int | None, int | None]:
        here, there = place(scene), target(scene)
        scene.point(here, there)
        return there or scene.entries[here - 1][0], None, None

    return apply


def _member(member: int, value: Callable[[Scene, int], int]) -> Apply:
    """Damage one member of an entry in the middle; *value* is given the scene and its place."""

    def apply(scene: Scene) -> tuple[int | None, int | None, int | None]:
        place = scene.at(1)
        node, phys, virt = scene.entries[place]
        new = value(scene, place)
        scene.poke(node, member, new)
        return node, new if member == VIRT_ADDR else virt, new if member == PHYS else phys

    return apply


def _node_zero(scene: Scene) -> tuple[int | None, int | None, int | None]:
    node, phys, virt = scene.entries[scene.at(1)]
    for member in (LIST, PHYS, VIRT_ADDR):
        scene.poke(node, member, 0)
    return node, virt, phys


def _off_grid(scene: Scene) -> tuple[int | None, int | None, int | None]:
    place = scene.at(1)
    node, phys, virt = scene.entries[place]
    copy = virt_of(scene.spare_page()) + 8
    for member in (LIST, PHYS, VIRT_ADDR):
        scene.poke(copy, member, scene.machine.memory.load_u64(phys_of(node) + member))
    scene.point(place, copy)
    return copy, virt, phys


def _overlap(scene: Scene) -> tuple[int | None, int | None, int | None]:
    """Let two nodes share a word: the second's pointer is the first's virt_addr."""
    place = scene.at(1)
    (_, phys, virt), (_, next_phys, next_virt) = scene.entries[place : place + 2]
    first = virt_of(scene.spare_page())
    words = (first + 16, phys, virt, next_phys, next_virt)
    for number, word in enumerate(words):
        scene.poke(first, 8 * number, word)
    scene.point(place, first)
    return first + 16, next_virt, next_phys


def _drop_node_page(scene: Scene) -> tuple[int | None, int | None, int | None]:
    size = scene.machine.kernel.page_size
    node, phys, virt = scene.entries[scene.at(1)]
    page = phys_of(node) // size * size
    scene.snapshot.missing.append((page, page + size))
    first = next(entry for entry in scene.entries if phys_of(entry[0]) // size * size == page)
    return first[0], virt, phys


def _hot_node_page(scene: Scene) -> tuple[int | None, int | None, int | None]:
    """Move the newest node to the first page of hot-added memory, which the dump then lacks."""
    start, end = scene.hot_added()
    node, phys, virt = scene.entries[0]
    moved = virt_of(start)
    scene.poke(moved, LIST, scene.machine.memory.load_u64(phys_of(node) + LIST))
    scene.poke(moved, PHYS, phys)
    scene.poke(moved, VIRT_ADDR, virt)
    for member in (LIST, PHYS, VIRT_ADDR):
        scene.poke(node, member, 0)
    scene.point(0, moved)
    scene.snapshot.missing.append((start, end))
    return moved, virt, phys


def _hot_memory(scene: Scene) -> tuple[int | None, int | None, int | None]:
    start, end = scene.hot_added()
    scene.snapshot.missing.append((start, end))
    return None, None, start


def _stale(scene: Scene) -> tuple[int | None, int | None, int | None]:
    memory = scene.machine.memory
    if not memory.load_u32(VARIABLE["num_freed"]):
        raise SpecError("damage", "this kind needs nodes that were freed: remove memory")
    freed = memory.load_u64(VARIABLE["next"])
    scene.point(scene.at(2), freed)
    return freed, None, None


def _lost_entry(scene: Scene) -> tuple[int | None, int | None, int | None]:
    """Take an entry off the list as if it had never been made (field bug 25)."""
    place = scene.at(1)
    node, phys, virt = scene.entries[place]
    scene.point(place, scene.machine.memory.load_u64(phys_of(node) + LIST))
    for member in (LIST, PHYS, VIRT_ADDR):
        scene.poke(node, member, 0)
    return node, virt, phys


def _lost_sections(scene: Scene) -> tuple[int | None, int | None, int | None]:
    """Forget all sections of the block with the highest address."""
    machine = scene.machine
    kernel, sparsemem = machine.kernel, machine.sparsemem
    node, phys, virt = max(scene.entries, key=lambda entry: entry[2])
    size = kernel.struct_page_size
    first = (virt - kernel.vmemmap_base) // size // kernel.pages_per_section
    last = -(-(virt + machine.block_size - kernel.vmemmap_base) // size)
    for section in range(first, -(-last // kernel.pages_per_section)):
        at = sparsemem.entry_phys(section)
        if at is not None:
            machine.memory.store_u64(at, 0)
    return node, virt, phys


def _drop_head(scene: Scene) -> tuple[int | None, int | None, int | None]:
    size = scene.machine.kernel.page_size
    page = VARIABLE["vmemmap_list"] // size * size
    scene.snapshot.missing.append((page, page + size))
    return None, None, VARIABLE["vmemmap_list"]


def _variable(name: str, value: int) -> Apply:
    def apply(scene: Scene) -> tuple[int | None, int | None, int | None]:
        scene.machine.memory.store_u32(VARIABLE[name], value)
        return None, None, VARIABLE[name]

    return apply


def _psize_shift(scene: Scene) -> tuple[int | None, int | None, int | None]:
    memory = scene.machine.memory
    shift = scene.machine.block_size.bit_length() - 1
    at = VARIABLE["mmu_psize_defs"]
    while memory.load_u32(at) != shift:
        at += 8
    memory.store_u32(at, 77)
    return None, None, at


def _radix(scene: Scene) -> tuple[int | None, int | None, int | None]:
    lines = scene.snapshot.vmcoreinfo.decode().splitlines()
    kept = [line for line in lines if not line.startswith("NUMBER(RADIX_MMU)")]
    scene.snapshot.vmcoreinfo = "".join(f"{x}\n" for x in [*kept, "NUMBER(RADIX_MMU)=1"]).encode()
    return None, None, None


def _other(scene: Scene, place: int, member: int) -> int:
    """Give a word of the entry after *place*."""
    return scene.entries[(place + 1) % len(scene.entries)][1 if member == PHYS else 2]


KINDS: dict[str, Kind] = {
    "cycle_self": Kind(
        ("list_cycle",), "a node points to itself (field bug 14)",
        _links(lambda s: s.at(1), lambda s: s.entries[s.at(1) - 1][0]),
    ),
    "cycle_head": Kind(
        ("list_cycle",), "a node points to the newest one (field bug 14)",
        _links(lambda s: s.at(1), lambda s: s.entries[0][0]),
    ),
    "cycle_middle": Kind(
        ("list_cycle",), "a node points to one in the middle (field bug 14)",
        _links(lambda s: s.at(2), lambda s: s.entries[s.at(1)][0]),
    ),
    "cycle_long": Kind(
        ("list_cycle",), "the oldest node points to the newest (field bug 14)",
        _links(lambda s: len(s.entries), lambda s: s.entries[0][0]),
    ),
    "cross_link": Kind(
        ("list_truncated",), "a node points past a third of the list",
        _links(lambda s: s.at(1), lambda s: s.entries[s.at(2)][0]),
    ),
    "truncated": Kind(
        ("list_truncated",), "a node in the middle ends the list",
        _links(lambda s: s.at(1), lambda _: 0),
    ),
    "head_zero": Kind(
        ("list_empty",), "vmemmap_list is NULL (field bug 3)", _links(lambda _: 0, lambda _: 0)
    ),
    "head_missing": Kind(
        ("list_head_unreadable", "psize_index"), "vmemmap_list is not in the dump (field bug 9)",
        _drop_head,
    ),
    "node_zero": Kind(("node_zero",), "a node is all zero", _node_zero),
    "node_outside": Kind(
        ("node_outside_memory",), "a pointer leads out of memory",
        _links(lambda s: s.at(1), lambda _: virt_of(1 << 45)),
    ),
    "node_unaligned": Kind(
        ("node_misaligned",), "a pointer leads between two words",
        _links(lambda s: s.at(1), lambda s: s.entries[s.at(1)][0] + 4),
    ),
    "node_off_grid": Kind(("node_off_grid",), "a node lies between slots", _off_grid),
    "node_overlap": Kind(("node_overlap",), "two nodes share a word", _overlap),
    "node_page_missing": Kind(
        ("node_outside_memory",), "a page of nodes is not in the dump (field bug 19)",
        _drop_node_page,
    ),
    "node_page_hot_added": Kind(
        ("node_outside_memory",), "the newest page of nodes is in memory that the dump lacks",
        _hot_node_page,
    ),
    "stale_nodes": Kind(("stale_nodes",), "the list leads into freed nodes", _stale),
    "virt_below": Kind(
        ("virt_outside_region",), "virt_addr lies below the vmemmap",
        _member(VIRT_ADDR, lambda s, _: s.machine.kernel.vmemmap_base - s.machine.block_size),
    ),
    "virt_beyond": Kind(
        ("virt_outside_region",), "virt_addr lies beyond the vmemmap",
        _member(VIRT_ADDR, lambda s, _: (1 << 64) - 2 * s.machine.block_size),
    ),
    "virt_unaligned": Kind(
        ("virt_misaligned",), "virt_addr is no multiple of the block size",
        _member(VIRT_ADDR, lambda s, p: s.entries[p][2] + 64),
    ),
    "virt_duplicate": Kind(
        ("virt_duplicate",), "two entries have the same virt_addr",
        _member(VIRT_ADDR, lambda s, p: _other(s, p, VIRT_ADDR)),
    ),
    "phys_unaligned": Kind(
        ("phys_misaligned",), "phys is no multiple of the block size",
        _member(PHYS, lambda s, p: s.entries[p][1] + 64),
    ),
    "phys_impossible": Kind(
        ("phys_impossible",), "phys is beyond any physical address (field bug 15)",
        _member(PHYS, lambda _s, _p: 1 << 60),
    ),
    "phys_duplicate": Kind(
        ("phys_duplicate",), "two entries have the same block",
        _member(PHYS, lambda s, p: _other(s, p, PHYS)),
    ),
    "phys_overlap": Kind(
        ("phys_overlap",), "a block begins inside another",
        _member(PHYS, lambda s, p: _other(s, p, PHYS) + s.machine.block_size // 2),
    ),
    "phys_outside": Kind(
        ("phys_outside_memory",), "a block lies where no memory is (field bug 26)",
        _member(PHYS, lambda _s, _p: 1 << 43),
    ),
    "block_over_nodes": Kind(
        ("block_over_nodes",), "a block lies over the nodes",
        _member(PHYS, lambda s, p: _down(s, phys_of(s.entries[p][0]))),
    ),
    "block_over_kernel": Kind(
        ("block_over_kernel",), "a block lies over the kernel",
        _member(PHYS, lambda s, _: _down(s, SWAPPER_PG_DIR)),
    ),
    "psize_index": Kind(
        ("psize_index",), "mmu_vmemmap_psize is no index", _variable("mmu_vmemmap_psize", 99)
    ),
    "psize_shift": Kind(("psize_shift",), "the block size is impossible", _psize_shift),
    "radix_mmu": Kind(
        ("mmu_against_list", "mmu_conflict"), "VMCOREINFO says radix (field bug 4)", _radix
    ),
    "entry_lost": Kind(
        ("section_without_entry",), "a block has no entry (field bug 25)", _lost_entry
    ),
    "sections_lost": Kind(
        ("entry_without_section",), "an entry's memory is not present (field bug 12)",
        _lost_sections,
    ),
    "hot_memory_missing": Kind(
        ("memory_not_in_dump",), "hot-added memory is not in the dump", _hot_memory
    ),
}  # fmt: skip
"""Every kind of damage, by name."""


def _down(scene: Scene, phys: int) -> int:
    """Give the block-aligned address at or below *phys*."""
    return phys // scene.machine.block_size * scene.machine.block_size


def apply_damage(snapshot: Snapshot, name: str) -> Harm:
    """Damage a snapshot.

    Args:
        snapshot: Of a machine that does not run on; its memory is changed.
        name: One of `KINDS`.

    Raises:
        SpecError: There is no such kind, or the machine has not what it takes.
    """
    if name not in KINDS:
        raise SpecError("damage", f"{name!r} is none of {', '.join(KINDS)}")
    scene = Scene(snapshot)
    if len(scene.entries) < ENTRIES_AT_LEAST:
        raise SpecError(
            "damage",
            f"the list has {len(scene.entries)} entries, too few to damage one of "
            f"{ENTRIES_AT_LEAST} or more: give the machine more memory, or smaller blocks",
        )
    kind = KINDS[name]
    node, virt, phys = kind.apply(scene)
    return Harm(name, kind.findings, node, virt, phys)
