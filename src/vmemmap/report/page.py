"""The record of ``vmemmap page``: single struct pages, decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, final

from vmemmap.errors import TranslateError
from vmemmap.report.members import HexAddress, hex_address, hex_or_none
from vmemmap.report.palette import paint
from vmemmap.report.text import named, plain, wrapped

if TYPE_CHECKING:
    from vmemmap.pages.page import PageInfo
    from vmemmap.vmcore import Vmcore

COLUMNS = (
    *("pfn", "phys", "virt", "kind", "reason", "flags", "flags_raw", "refcount", "mapcount"),
    *("page_type", "mapping", "mapping_kind", "private", "head", "order", "node", "zone"),
    *("zone_name", "fields_origin", "section", "online", "early", "entry", "struct_phys"),
    *("file_offset", "error"),
)


@final
class DecodedRecord(TypedDict):
    """What one struct page says; members are null where it cannot be known.

    Attributes:
        pfn: Page frame number.
        phys: Physical address of the page that it describes.
        virt: Virtual address of the struct page itself.
        kind: What the page is, as in the counts of `usage`; absent where no section has it.
        reason: For unknown, absent and damaged pages: why, in words; else empty.
        flags: Names of the flags that are set, lowest bit first.
        flags_raw: The flags word.
        refcount: How many references there are.
        mapcount: How often it is mapped; null where the field has a page type instead.
        page_type: The page type as it stands in _mapcount.
        mapping: The mapping word.
        mapping_kind: anon, ksm, movable, file, none, or other where the word is something else.
        private: The private word.
        head: pfn of the compound's head, the page itself if it is that; null outside compounds.
        order: Order of the compound or of the free block that it heads or lies in.
        node: NUMA node.
        zone: Index of the zone.
        zone_name: Name of the zone.
        fields_origin: Where the place of node and zone in the flags is known from.
        section: Number of the section.
        online: Whether the section is online.
        early: Whether the section has been there since boot; null before kernels marked it.
        entry: Index in the list of the entry that backs the struct page.
        struct_phys: Physical address of the struct page.
        file_offset: Where the dump file has its bytes, or, compressed, the page with them.
        rescued: Only where the list does not lead to that entry: how it was found.
    """

    pfn: int
    phys: HexAddress
    virt: HexAddress
    kind: str
    reason: str
    flags: list[str]
    flags_raw: HexAddress | None
    refcount: int | None
    mapcount: int | None
    page_type: HexAddress | None
    mapping: HexAddress | None
    mapping_kind: str | None
    private: HexAddress | None
    head: int | None
    order: int | None
    node: int | None
    zone: int | None
    zone_name: str | None
    fields_origin: str | None
    section: int | None
    online: bool | None
    early: bool | None
    entry: int | None
    struct_phys: HexAddress | None
    file_offset: int | None
    rescued: NotRequired[str]


@final
class NoPageRecord(TypedDict):
    """A page that was asked for and cannot be found.

    Attributes:
        pfn: The page frame number, if that was given.
        virt: The address, if that was given.
        error: A stable word: no_such_page, or what `vtop` says of the address.
        reason: The same in words.
    """

    pfn: NotRequired[int]
    virt: NotRequired[HexAddress]
    error: str
    reason: str


PageRecord = DecodedRecord | NoPageRecord
"""What is known of one page."""


def record(core: Vmcore, by: Literal["pfn", "virt"], number: int) -> PageRecord:
    """Make the record of one page.

    Args:
        core: The dump.
        by: What *number* is: a pfn, or an address as `Vmcore.page_of` takes it.
        number: Which page.
    """
    try:
        info = core.pages[number] if by == "pfn" else core.page_of(number)
    except (TranslateError, IndexError) as error:
        code = error.code if isinstance(error, TranslateError) else "no_such_page"
        if by == "pfn":
            return {"pfn": number, "error": code, "reason": str(error)}
        return {"virt": hex_address(number), "error": code, "reason": str(error)}
    row = _decoded(info)
    if info.entry is not None:
        rescued = core.backing[info.entry].rescued
        if rescued is not None:
            row["rescued"] = rescued
    return row


def _decoded(info: PageInfo) -> DecodedRecord:
    return {
        "pfn": info.pfn,
        "phys": hex_address(info.phys),
        "virt": hex_address(info.virt),
        "kind": info.kind.word,
        "reason": info.reason,
        "flags": list(info.flags),
        "flags_raw": hex_or_none(info.flags_raw),
        "refcount": info.refcount,
        "mapcount": info.mapcount,
        "page_type": hex_or_none(info.page_type),
        "mapping": hex_or_none(info.mapping),
        "mapping_kind": info.mapping_kind,
        "private": hex_or_none(info.private),
        "head": info.head,
        "order": info.order,
        "node": info.node,
        "zone": info.zone,
        "zone_name": info.zone_name,
        "fields_origin": info.fields_origin,
        "section": info.section,
        "online": info.online,
        "early": info.early,
        "entry": info.entry,
        "struct_phys": hex_or_none(info.struct_phys),
        "file_offset": info.file_offset,
    }


def is_wrong(row: PageRecord) -> bool:
    """Tell whether a page was not found, or its struct page is damaged or cannot be read."""
    return "error" in row or bool(row["reason"])


def rows(records: Iterable[PageRecord]) -> Iterator[dict[str, object]]:
    """Give the rows of the CSV form: the names of the flags in one field."""
    for row in records:
        yield {**row, "flags": "|".join(row["flags"]) if "flags" in row else ""}


def lines(records: Iterable[PageRecord]) -> Iterator[str]:
    """Give single pages, a paragraph each."""
    between = ""
    for row in records:
        yield between
        if "error" in row:
            name = f"pfn {row['pfn']}" if "pfn" in row else row["virt"]
            yield from wrapped(f"{name}: {plain(row['reason'])}")
        else:
            yield from _paragraph(row)
        between = "\n"


def _paragraph(row: DecodedRecord) -> Iterator[str]:
    yield f"pfn {row['pfn']}, physical {row['phys']}: {paint(row['kind'], 'heading')}\n"
    if row["reason"]:
        yield from _line("reason", row["reason"])
    yield from _line("struct page", _where(row))
    section = f"{row['section']}"
    for name, is_so in (("online", row["online"]), ("early", row["early"])):
        if is_so is not None:
            section += f", {name}" if is_so else f", not {name}"
    yield from _line("section", section)
    if row["flags_raw"] is None:
        return
    yield from _line("flags", f"{row['flags_raw']}  {' '.join(row['flags']) or '-'}")
    if row["node"] is None:
        yield from _line("node, zone", "cannot be known")
    else:
        zone = f"{row['zone']} ({row['zone_name']})" if row["zone_name"] else f"{row['zone']}"
        origin = row["fields_origin"]
        yield from _line("node, zone", f"node {row['node']}, zone {zone}  [{origin}]")
    counts = [f"refcount {row['refcount']}"]
    if row["mapcount"] is not None:
        counts.append(f"mapcount {row['mapcount']}")
    if row["page_type"] is not None:
        counts.append(f"page type {row['page_type']}")
    yield from _line("counts", ", ".join(counts))
    yield from _line("mapping", f"{row['mapping']}  {row['mapping_kind']}")
    yield from _line("private", row["private"])
    if row["order"] is not None:
        head = f", head pfn {row['head']}" if row["head"] is not None else ""
        yield from _line("block", f"order {row['order']}{head}")
    elif row["head"] is not None:
        yield from _line("block", f"head pfn {row['head']}")


def _where(row: DecodedRecord) -> str:
    text = str(row["virt"])
    if row["struct_phys"] is not None:
        text += f", physical {row['struct_phys']}"
    if row["entry"] is not None:
        text += f", list entry {row['entry']}"
    if row["file_offset"] is not None:
        text += f", file offset {row['file_offset']:#x}"
    return text


def _line(name: str, text: object) -> Iterator[str]:
    return named(name, plain(text), 13)
