"""What ``vmemmap simulate --format json`` prints: a simulated dump, and what tools must find in it.

What is known because the model made it is counted in ``simulate/crash/answers.py``.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict, final

from vmemmap.address import ByteOrder
from vmemmap.report.designs import DesignRecord
from vmemmap.report.members import HexAddress, HexRange


class FileRecord(TypedDict):
    """The dump that was written.

    Attributes:
        path: The file.
        bytes: Its length.
        disk_bytes: What it takes on disk; holes take nothing.
        ranges: The memory that it covers, as physical addresses.
    """

    path: str
    bytes: int
    disk_bytes: int
    ranges: list[HexRange]


class SimulatedKernelRecord(TypedDict):
    """The kernel that was simulated.

    Attributes:
        release: As uname would give it.
        page_size: Bytes in a page.
        byte_order: Order of its memory.
        mmu: hash or radix.
        struct_page_size: Bytes in a struct page.
    """

    release: str
    page_size: int
    byte_order: ByteOrder
    mmu: str
    struct_page_size: int


class BackingRecord(TypedDict):
    """The list as it was before any damage.

    Attributes:
        base: Virtual address of the struct page of pfn 0.
        block_size: Bytes in a block.
        entries: How many nodes are linked.
        node_pages: Pages that nodes were cut from.
        never_used: Slots of those pages that were never handed out.
        freed: Nodes that wait to be used again.
        waste_bytes: Bytes of those pages that hold no linked node.
        no_node: Blocks that are mapped but not in the list, by virtual address.
        no_mapping: Blocks that are in the list but not mapped.
    """

    base: HexAddress
    block_size: int
    entries: int
    node_pages: int
    never_used: int
    freed: int
    waste_bytes: int
    no_node: list[HexAddress]
    no_mapping: list[HexAddress]


class EventRecord(TypedDict):
    """What became of a boot or a hotplug event.

    Attributes:
        what: In words.
        result: As the kernel would name it.
        calls: The kernel functions it went through, in the order of their first call.
    """

    what: str
    result: str
    calls: list[str]


class UseRecord(TypedDict):
    """Pages of the memory that the dump covers, by what they are used for.

    Attributes:
        total: All that have struct pages.
        free: Free pages.
        cache: Page cache.
        cache_private: Page cache with private data of a filesystem.
        anonymous: Memory of processes.
        slab: Memory of the slab allocator.
        huge: Huge pages.
        hwpoison: Pages whose memory has failed.
        offline: Pages that are logically offline.
        kernel: In use, and none of the others.
    """

    total: int
    free: int
    cache: int
    cache_private: int
    anonymous: int
    slab: int
    huge: int
    hwpoison: int
    offline: int
    kernel: int


class LeftOutRecord(TypedDict):
    """Those of the pages that makedumpfile could leave out, by its classes.

    Attributes:
        cache: Page cache.
        cache_private: Page cache with private data of a filesystem.
        user: Memory of processes, huge pages among it where makedumpfile can tell them.
        free: Free pages.
        hwpoison: Pages whose memory has failed.
        offline: Pages that are logically offline.
    """

    cache: int
    cache_private: int
    user: int
    free: int
    hwpoison: int
    offline: int


class HarmRecord(TypedDict):
    """A damage that was done before the dump was written.

    Attributes:
        name: Its kind.
        findings: Codes of findings, of which `check` has to give at least one.
        node: The list node concerned.
        virt: The vmemmap address concerned.
        phys: The physical address concerned.
    """

    name: str
    findings: list[str]
    node: HexAddress | None
    virt: HexAddress | None
    phys: HexAddress | None


@final
class SimulatedRecord(TypedDict):
    """A simulated dump: what it is, and what a tool has to find in it.

    Attributes:
        dump: The file.
        kernel: The kernel.
        vmemmap: The list.
        events: The boot and every event, in order.
        crashed: When the machine crashed.
        lock: What kept two hotplug operations apart.
        nodes: The NUMA nodes that there were at boot.
        pages: What the pages are used for.
        makedumpfile: Those that makedumpfile could leave out.
        notes: What is remarkable about this machine, a sentence each.
        damage: Only with --damage: what was done.
        truth: Only with --truth: the file that says what each page is.
        blocks: Only with --compare-designs: for how many blocks.
        designs: Only with --compare-designs: what the list costs in each design.
    """

    dump: FileRecord
    kernel: SimulatedKernelRecord
    vmemmap: BackingRecord
    events: list[EventRecord]
    crashed: str
    lock: str
    nodes: list[int]
    pages: UseRecord
    makedumpfile: LeftOutRecord
    notes: list[str]
    damage: NotRequired[list[HarmRecord]]
    truth: NotRequired[str]
    blocks: NotRequired[int]
    designs: NotRequired[list[DesignRecord]]


class DamageKindRecord(TypedDict):
    """A kind of damage that can be done, with --list-damage.

    Attributes:
        name: The kind, as --damage takes it.
        findings: Codes of findings, of which `check` has to give at least one.
        what: What is done, in words.
    """

    name: str
    findings: list[str]
    what: str
