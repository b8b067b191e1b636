"""What ``vmemmap simulate --trace --format json`` prints: what a kernel did, step by step."""

from __future__ import annotations

from typing import TypedDict, final

from vmemmap.report.members import HexAddress


class EntryRecord(TypedDict):
    """An entry of the list.

    Attributes:
        node: Address of its node.
        phys: Where the block is.
        virt_addr: What it backs.
    """

    node: HexAddress
    phys: HexAddress
    virt_addr: HexAddress


class ListStateRecord(TypedDict):
    """The list at one moment.

    Attributes:
        head: What vmemmap_list points to; 0x0 for NULL.
        entries: How many entries it has.
        newest: The first of them, head first.
    """

    head: HexAddress
    entries: int
    newest: list[EntryRecord]


class NodeStateRecord(TypedDict):
    """The allocator of nodes, and the node that is worked on, at one moment.

    Attributes:
        next: Where the allocator goes on.
        num_left: How many fresh nodes its page has left.
        num_freed: How many freed nodes wait.
        page: The page that the node lies in; null without a node.
        slot: Which node of the page it is.
        node: The node.
        list: Its pointer to the next one.
    """

    next: HexAddress
    num_left: int
    num_freed: int
    page: HexAddress | None
    slot: int | None
    node: EntryRecord | None
    list: HexAddress | None


class BlockStateRecord(TypedDict):
    """The block that is worked on, at one moment.

    Attributes:
        virt: Where it is in the vmemmap.
        listed: Whether an entry of the list says so.
        phys: Where that entry says that its memory is.
        mapped: Where the hardware finds it; null while it is not mapped.
    """

    virt: HexAddress
    listed: bool
    phys: HexAddress | None
    mapped: HexAddress | None


class StateRecord(TypedDict):
    """What a store can change.

    Attributes:
        list: The list.
        nodes: The page of nodes.
        block: The block; null where none is worked on.
    """

    list: ListStateRecord
    nodes: NodeStateRecord
    block: BlockStateRecord | None


class OmittedRecord(TypedDict):
    """Steps that were like others, and are not listed.

    Attributes:
        blocks: How many blocks the kernel began to look at in them.
        loads: How many loads they had.
        stores: How many stores.
        entries: How many stores into page tables.
    """

    blocks: int
    loads: int
    stores: int
    entries: int


class StepRecord(TypedDict):
    """One thing that the kernel did.

    Attributes:
        kind: enter or leave (a function), load, store, alloc, free, map, unmap, bolt (an entry of
            the hash page table), entry (a store into a page table), pages (stores into struct
            pages, summed up), lock, unlock, print, warn, crash, or omitted.
        depth: How many functions it is in.
        function: The innermost of them.
        what: Of an access the name of what is there, of a function its arguments, else words.
        phys: The physical address that it is about.
        size: How many bytes.
        before: Of a store, also into a page table, what was there.
        after: Of a store what is there now, of a load what was found, of a mapping where.
        state_before: Of a store the state before it.
        state_after: Of a store the state after it.
        omitted: What is left out here.
    """

    kind: str
    depth: int
    function: str
    what: str
    phys: HexAddress | None
    size: int | None
    before: HexAddress | None
    after: HexAddress | None
    state_before: StateRecord | None
    state_after: StateRecord | None
    omitted: OmittedRecord | None


class TraceRecord(TypedDict):
    """What one kernel did.

    Attributes:
        release: The kernel.
        what: The boot or the event, in words.
        result: What came of it, as the kernel would name it.
        entries_before: The list's length before.
        entries_after: And after.
        counts: How many steps of each kind there were, with those that are not listed.
        steps: The steps, in order.
    """

    release: str
    what: str
    result: str
    entries_before: int
    entries_after: int
    counts: dict[str, int]
    steps: list[StepRecord]


@final
class TracesRecord(TypedDict):
    """A boot or an event, step by step, with --trace.

    Attributes:
        traces: One for each --era, in their order.
    """

    traces: list[TraceRecord]
