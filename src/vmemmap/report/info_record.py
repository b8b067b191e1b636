"""What ``vmemmap info --format json`` prints: a dump and its kernel, each fact with its origin."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from vmemmap.address import ByteOrder
from vmemmap.report.members import FactRecord, FindingRecord, HexAddress, HexRange


class ExtractOfRecord(TypedDict):
    """What an extract says of itself.

    Attributes:
        version: Of the package that made it.
        classes: What of the memory is in it; every other byte of its pages reads as zero, whatever
            it was.
        hidden_addresses: Whether addresses that no answer needs were left out.
        rescued: Blocks in it that were found without the list.
        scrubbed: Kinds of text that were replaced in the kernel's log.
    """

    version: str
    classes: list[str]
    hidden_addresses: bool
    rescued: int
    scrubbed: list[str]


class DumpRecord(TypedDict):
    """The dump file.

    Attributes:
        path: The file; the first one of a split dump.
        format: elf or kdump.
        container_byte_order: Order of the container's own fields, not of the memory in it.
        memory_byte_order: Order of the kernel's memory.
        page_size: The container's page size in bytes, or the kernel's where it has none.
        dump_level: makedumpfile's level, 0 to 31, where the container records it.
        codec: How pages are compressed, as the container's header says; null for ELF, and where
            they are not.
        header_version: Of a kdump-compressed file; null for ELF.
        incomplete: The writer did not finish, as the container says or its size shows.
        ranges: The memory that the dump covers, stored or not, as physical addresses; null where
            it lies far away, and they are much to fetch.
        ranges_missing: Only where the ranges are null: why, in words.
        memory_end: Only where the ranges are null: where the last of them ends.
        stored_bytes: Only where the ranges are null: how many bytes of memory are in the file.
        warnings: One line each about what is odd in the container.
        extract: What it says of itself if it is an extract, else null.
    """

    path: str
    format: str
    container_byte_order: ByteOrder
    memory_byte_order: str | None
    page_size: int | None
    dump_level: int | None
    codec: str | None
    header_version: int | None
    incomplete: bool
    ranges: list[HexRange] | None
    ranges_missing: NotRequired[str]
    memory_end: NotRequired[HexAddress]
    stored_bytes: NotRequired[int | None]
    warnings: list[str]
    extract: ExtractOfRecord | None


class KernelRecord(TypedDict):
    """The kernel that was dumped.

    Attributes:
        release: As uname gives it.
        machine: As uname gives it: ppc64 or ppc64le.
        mmu: hash or radix.
        page_size: Bytes in a page.
    """

    release: str | None
    machine: str | None
    mmu: str | None
    page_size: int | None


class MissingRecord(TypedDict):
    """A fact that cannot be told.

    Attributes:
        name: The fact.
        reason: Why not, in words.
    """

    name: str
    reason: str


class VmemmapRecord(TypedDict):
    """The array of struct pages, and the list that backs it.

    Attributes:
        base: Virtual address of the struct page of pfn 0.
        block_size: Bytes in a block; null where the kernel keeps no list.
        entries: How many entries the list has, as far as it goes.
        struct_page_size: Bytes in a struct page.
        bytes: Bytes in all blocks together.
        node_pages: How many pages hold the list's nodes.
        unused_slots: Slots of those pages that hold no listed node.
        findings: What is wrong with the list.
    """

    base: HexAddress | None
    block_size: int | None
    entries: int
    struct_page_size: int | None
    bytes: int
    node_pages: int
    unused_slots: int
    findings: list[FindingRecord]


class PackageRecord(TypedDict):
    """The package that read the dump.

    Attributes:
        version: Its version.
        compiled: Whether its compiled module is there; without it pages are counted several times
            slower.
    """

    version: str
    compiled: bool


class InfoRecord(TypedDict):
    """What a dump and its kernel are; members that cannot be told are null.

    Attributes:
        dump: The file.
        kernel: The kernel.
        facts: Every fact that was established, in that order.
        missing: The facts that could not be, the first of which is the cause of others.
        system: What was running and how it ended: node_name, version, banner, build_id, cpus,
            crash_time (seconds since 1970), uptime (seconds), panic; those that can be told.
        system_missing: The others, with the reason.
        vmemmap: The list; null where the dump does not say so much as where it is.
        package: What read it.
    """

    dump: DumpRecord
    kernel: KernelRecord
    facts: list[FactRecord]
    missing: list[MissingRecord]
    system: list[FactRecord]
    system_missing: list[MissingRecord]
    vmemmap: VmemmapRecord | None
    package: PackageRecord
