"""Damage to a crashed machine's list, one kind at a time, with what a checker has to find.

Each kind changes a snapshot's memory, or what its dump will cover, just before it is written; how,
is in ``list_edits.py``. Where a kind was a bug in the field, its number is that of the project's
list of field bugs.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.errors import SpecError
from vmemmap.simulate.crash import list_edits as edits
from vmemmap.simulate.crash.list_edits import Edit, ListEditor
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.memory.physical import phys_of, virt_of
from vmemmap.simulate.mm.backing_list import PHYS_AT, VIRT_ADDR_AT

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


@dataclass(frozen=True, slots=True)
class DamageKind:
    """A kind of damage: its finding codes, what it is in words, and how it is done."""

    findings: tuple[str, ...]
    what: str
    edit: Edit


DAMAGE_KINDS: dict[str, DamageKind] = {
    "cycle_self": DamageKind(
        ("list_cycle",), "a node points to itself (field bug 14)",
        edits.pointer(lambda e: e.at(1), lambda e: e.entries[e.at(1) - 1].node),
    ),
    "cycle_head": DamageKind(
        ("list_cycle",), "a node points to the newest one (field bug 14)",
        edits.pointer(lambda e: e.at(1), lambda e: e.entries[0].node),
    ),
    "cycle_middle": DamageKind(
        ("list_cycle",), "a node points to one in the middle (field bug 14)",
        edits.pointer(lambda e: e.at(2), lambda e: e.entries[e.at(1)].node),
    ),
    "cycle_long": DamageKind(
        ("list_cycle",), "the oldest node points to the newest (field bug 14)",
        edits.pointer(lambda e: len(e.entries), lambda e: e.entries[0].node),
    ),
    "cross_link": DamageKind(
        ("list_truncated",), "a node points past a third of the list",
        edits.pointer(lambda e: e.at(1), lambda e: e.entries[e.at(2)].node),
    ),
    "truncated": DamageKind(
        ("list_truncated",), "a node in the middle ends the list",
        edits.pointer(lambda e: e.at(1), lambda _: 0),
    ),
    "head_zero": DamageKind(
        ("list_empty",), "vmemmap_list is NULL (field bug 3)",
        edits.pointer(lambda _: 0, lambda _: 0),
    ),
    "head_missing": DamageKind(
        ("list_head_unreadable", "psize_index"), "vmemmap_list is not in the dump (field bug 9)",
        edits.hide_head,
    ),
    "node_zero": DamageKind(("node_zero",), "a node is all zero", edits.clear_node),
    "node_outside": DamageKind(
        ("node_outside_memory",), "a pointer leads out of memory",
        edits.pointer(lambda e: e.at(1), lambda _: virt_of(1 << 45)),
    ),
    "node_unaligned": DamageKind(
        ("node_misaligned",), "a pointer leads between two words",
        edits.pointer(lambda e: e.at(1), lambda e: e.entries[e.at(1)].node + 4),
    ),
    "node_off_grid": DamageKind(
        ("node_off_grid",), "a node lies between slots", edits.move_off_grid
    ),
    "node_overlap": DamageKind(("node_overlap",), "two nodes share a word", edits.overlap_nodes),
    "node_page_missing": DamageKind(
        ("node_outside_memory",), "a page of nodes is not in the dump (field bug 19)",
        edits.hide_node_page,
    ),
    "node_page_hot_added": DamageKind(
        ("node_outside_memory",), "the newest page of nodes is in memory that the dump lacks",
        edits.hide_hot_node_page,
    ),
    "stale_nodes": DamageKind(
        ("stale_nodes",), "the list leads into freed nodes", edits.stale_pointer
    ),
    "virt_below": DamageKind(
        ("virt_outside_region",), "virt_addr lies below the vmemmap",
        edits.member(VIRT_ADDR_AT, lambda e, _: e.machine.kernel.vmemmap_base - e.block_size),
    ),
    "virt_beyond": DamageKind(
        ("virt_outside_region",), "virt_addr lies beyond the vmemmap",
        edits.member(VIRT_ADDR_AT, lambda e, _: (1 << 64) - 2 * e.block_size),
    ),
    "virt_unaligned": DamageKind(
        ("virt_misaligned",), "virt_addr is no multiple of the block size",
        edits.member(VIRT_ADDR_AT, lambda e, i: e.entries[i].virt_addr + 64),
    ),
    "virt_duplicate": DamageKind(
        ("virt_duplicate",), "two entries have the same virt_addr",
        edits.member(VIRT_ADDR_AT, lambda e, i: e.other(i, VIRT_ADDR_AT)),
    ),
    "phys_unaligned": DamageKind(
        ("phys_misaligned",), "phys is no multiple of the block size",
        edits.member(PHYS_AT, lambda e, i: e.entries[i].phys + 64),
    ),
    "phys_impossible": DamageKind(
        ("phys_impossible",), "phys is beyond any physical address (field bug 15)",
        edits.member(PHYS_AT, lambda _e, _i: 1 << 60),
    ),
    "phys_duplicate": DamageKind(
        ("phys_duplicate",), "two entries have the same block",
        edits.member(PHYS_AT, lambda e, i: e.other(i, PHYS_AT)),
    ),
    "phys_swapped": DamageKind(
        ("block_elsewhere",), "two entries have each other's block", edits.swap_blocks
    ),
    "phys_overlap": DamageKind(
        ("phys_overlap",), "a block begins inside another",
        edits.member(PHYS_AT, lambda e, i: e.other(i, PHYS_AT) + e.block_size // 2),
    ),
    "phys_outside": DamageKind(
        ("phys_outside_memory",), "a block lies where no memory is (field bug 26)",
        edits.member(PHYS_AT, lambda _e, _i: 1 << 43),
    ),
    "block_over_nodes": DamageKind(
        ("block_over_nodes",), "a block lies over the nodes",
        edits.member(PHYS_AT, lambda e, i: e.block_around(phys_of(e.entries[i].node))),
    ),
    "block_over_kernel": DamageKind(
        ("block_over_kernel",), "a block lies over the kernel",
        edits.member(PHYS_AT, lambda e, _: e.block_around(e.image.swapper_pg_dir)),
    ),
    "psize_index": DamageKind(
        ("psize_index",), "mmu_vmemmap_psize is no index", edits.variable("mmu_vmemmap_psize", 99)
    ),
    "psize_shift": DamageKind(("psize_shift",), "the block size is impossible", edits.psize_shift),
    "radix_mmu": DamageKind(
        ("mmu_against_list", "mmu_conflict"), "VMCOREINFO says radix (field bug 4)", edits.radix_mmu
    ),
    "entry_lost": DamageKind(
        ("section_without_entry",), "a block has no entry (field bug 25)", edits.lose_entry
    ),
    "sections_lost": DamageKind(
        ("entry_without_section",), "an entry's memory is not present (field bug 12)",
        edits.lose_sections,
    ),
    "hot_memory_missing": DamageKind(
        ("memory_not_in_dump",), "hot-added memory is not in the dump", edits.hide_hot_memory
    ),
}  # fmt: skip
"""Every kind of damage, by name."""


def apply_damage(snapshot: Snapshot, name: str) -> Harm:
    """Damage a snapshot.

    Args:
        snapshot: Of a machine that does not run on; its memory is changed.
        name: One of `DAMAGE_KINDS`.

    Raises:
        SpecError: There is no such kind, or the machine has not what it takes.
    """
    if name not in DAMAGE_KINDS:
        raise SpecError("damage", f"{name!r} is none of {', '.join(DAMAGE_KINDS)}")
    editor = ListEditor(snapshot)
    if len(editor.entries) < ENTRIES_AT_LEAST:
        raise SpecError(
            "damage",
            f"the list has {len(editor.entries)} entries, too few to damage one of "
            f"{ENTRIES_AT_LEAST} or more: give the machine more memory, or smaller blocks",
        )
    kind = DAMAGE_KINDS[name]
    place = kind.edit(editor)
    return Harm(name, kind.findings, place.node, place.virt, place.phys)
