"""What ``vmemmap report A B --format json`` prints of the difference between two dumps."""

from __future__ import annotations

from typing import TypedDict

from vmemmap.report.members import FindingRecord, HexAddress


class CommonRecord(TypedDict):
    """Whether two dumps have something in common.

    Attributes:
        answer: yes, no or unknown.
        evidence: What that rests on, in words.
    """

    answer: str
    evidence: str


class FactChangeRecord(TypedDict):
    """A fact that differs.

    Attributes:
        name: Its name.
        before: Its value in the first, as text; null where it is unknown there.
        after: The same of the second.
    """

    name: str
    before: str | None
    after: str | None


class EntryChangeRecord(TypedDict):
    """A block of the vmemmap that is not backed as it was.

    Attributes:
        virt: Its virtual address.
        fate: moved, new or gone.
        phys_before: What backed it; null where nothing did.
        phys_after: What backs it.
    """

    virt: HexAddress
    fate: str
    phys_before: HexAddress | None
    phys_after: HexAddress | None


class EntryChangesRecord(TypedDict):
    """The lists, paired by virtual address.

    Attributes:
        block_size: Bytes in a block.
        same: Blocks that are backed by the same memory.
        moved: Those that are backed by other memory.
        new: Those that were not backed.
        gone: Those that are backed no more.
        order_kept: Whether the entries of both lists stand in one order.
        changed: All but the same, by rising address, the first ten thousand.
        changed_more: How many more there are.
    """

    block_size: int
    same: int
    moved: int
    new: int
    gone: int
    order_kept: bool
    changed: list[EntryChangeRecord]
    changed_more: int


class KindChangeRecord(TypedDict):
    """Pages of a kind.

    Attributes:
        kind: The kind.
        before: How many there are in the first; null where that is not told.
        after: The same of the second.
    """

    kind: str
    before: int | None
    after: int | None


class NodeChangeRecord(TypedDict):
    """Pages of a node.

    Attributes:
        node: Its number; null for pages that do not tell theirs.
        kinds: Its pages by kind.
    """

    node: int | None
    kinds: list[KindChangeRecord]


class TransitionRecord(TypedDict):
    """Pages that were of one kind and are of another.

    Attributes:
        before: The kind that they were of; absent where they had no struct page.
        after: The kind that they are of, likewise.
        pages: How many.
    """

    before: str
    after: str
    pages: int


class FreeBlocksChangeRecord(TypedDict):
    """Free blocks of an order.

    Attributes:
        order: The order.
        before: How many there are in the first.
        after: The same of the second.
    """

    order: int
    before: int
    after: int


class PageChangesRecord(TypedDict):
    """The pages, paired.

    Attributes:
        changed: Pages that are of another kind than before.
        not_compared: Pages in stretches with more runs of kinds than are kept, not among these.
        transitions: What became what, the most pages first.
        kinds: All pages by kind.
        nodes: The same by node.
        free_blocks: Free blocks by order; null where they are not told.
    """

    changed: int
    not_compared: int
    transitions: list[TransitionRecord]
    kinds: list[KindChangeRecord]
    nodes: list[NodeChangeRecord]
    free_blocks: list[FreeBlocksChangeRecord] | None


class MissingPartRecord(TypedDict):
    """A part that could not be compared.

    Attributes:
        part: entries or pages.
        reason: Why.
    """

    part: str
    reason: str


class ComparisonRecord(TypedDict):
    """Two dumps compared.

    Attributes:
        before: The first file.
        after: The second.
        machine: Whether they are of one machine.
        kernel: Whether they are of one kernel.
        boot: Whether it was booted but once.
        page_size: Bytes in a page.
        seconds: How many seconds the second was taken after the first; null if nothing tells.
        facts: The facts that differ.
        facts_alike: How many do not.
        entries: The lists; null where they cannot be compared.
        pages: The pages; likewise.
        findings_new: What is wrong with the second only.
        findings_gone: What is wrong with the first only.
        missing: What could not be compared.
    """

    before: str
    after: str
    machine: CommonRecord
    kernel: CommonRecord
    boot: CommonRecord
    page_size: int
    seconds: int | None
    facts: list[FactChangeRecord]
    facts_alike: int
    entries: EntryChangesRecord | None
    pages: PageChangesRecord | None
    findings_new: list[FindingRecord]
    findings_gone: list[FindingRecord]
    missing: list[MissingPartRecord]
