"""What records of several commands have in common: addresses as texts, findings, facts.

A record is a TypedDict: JSON has its members in the same order and by the same names. A member that
can be absent is NotRequired; one that is there but not known is None. The docstrings are also the
descriptions in the JSON Schemas, which ``tools/schemas.py`` makes from these types.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NewType, NotRequired, TypedDict

from vmemmap.facts.fact import Origin
from vmemmap.findings import Severity

if TYPE_CHECKING:
    from vmemmap.facts.fact import AnyFact
    from vmemmap.findings import Finding

HexAddress = NewType("HexAddress", str)
"""An address, or another word of memory, as ``0x`` and hex digits: JSON's numbers end at 2**53."""
HEX_ADDRESS = r"^0x[0-9a-f]+$"
"""The form of a `HexAddress`."""
HexRange = tuple[HexAddress, HexAddress]
"""Start and end of a range of addresses; the end is not in it."""


class EntryRecord(TypedDict):
    """A list entry: a block of struct pages.

    Attributes:
        node: Virtual address of the struct vmemmap_backing; 0x0 where only the block was found.
        phys: Physical start of the block.
        virt: vmemmap address that the block backs.
        pfn_start: First pfn whose struct page begins in the block; null for a block outside the
            vmemmap.
        pfn_end: The pfn after the last such.
        rescued: Only where the list does not lead to it: how it was found, node_page (its node
            was) or struct_pages (the block alone was).
    """

    node: HexAddress
    phys: HexAddress
    virt: HexAddress
    pfn_start: int | None
    pfn_end: int | None
    rescued: NotRequired[str]


class FindingRecord(TypedDict):
    """Something that is wrong or unusual in the dump.

    Attributes:
        code: A stable word for programs; `vmemmap explain CODE` says what it means.
        severity: How bad it is.
        node: Virtual address of the list node concerned.
        virt: Virtual address concerned.
        phys: Physical address concerned.
        message: One sentence for people.
    """

    code: str
    severity: Severity
    node: HexAddress | None
    virt: HexAddress | None
    phys: HexAddress | None
    message: str


class FactRecord(TypedDict):
    """A fact about the kernel, and where it comes from.

    Attributes:
        name: A stable name, such as page_size or vmemmap_list.
        value: A number, a text, or an address as text with 0x.
        origin: Where the value comes from.
        detail: The evidence in words: which key, which address.
    """

    name: str
    value: int | str
    origin: Origin
    detail: str


def hex_address(value: int) -> HexAddress:
    """Give an address in the JSON form."""
    return HexAddress(f"{value:#x}")


def hex_or_none(value: int | None) -> HexAddress | None:
    """Give an address in the JSON form, if there is one."""
    return None if value is None else hex_address(value)


def hex_ranges(ranges: Iterable[Iterable[int]]) -> list[HexRange]:
    """Give ranges, pairs of start and end, in the JSON form."""
    return [(hex_address(start), hex_address(end)) for start, end in ranges]


def finding_record(finding: Finding) -> FindingRecord:
    """Give a finding in the JSON form."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "node": hex_or_none(finding.node),
        "virt": hex_or_none(finding.virt),
        "phys": hex_or_none(finding.phys),
        "message": finding.message,
    }


def finding_records(findings: Iterable[Finding]) -> list[FindingRecord]:
    """Give findings in the JSON form."""
    return [finding_record(finding) for finding in findings]


def fact_record(fact: AnyFact) -> FactRecord:
    """Give a fact in the JSON form."""
    return {
        "name": fact.name,
        "value": fact.shown if fact.is_address else fact.value,
        "origin": fact.origin,
        "detail": fact.detail,
    }
