"""The record of ``vmemmap extract``: what went into a dump that can be shared, by class."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.extract.classes import CLASS_TEXTS, OPTIONAL, STILL_REVEALED, Shown
from vmemmap.report.text import count_text, size_text
from vmemmap.shown import escaped

if TYPE_CHECKING:
    from vmemmap.extract.extract import Extracted
    from vmemmap.extract.manifest import Manifest

COLUMNS = ("name", "bytes")
_WIDTH = 80


class ShownRecord(TypedDict):
    """What is shown of one class.

    Attributes:
        name: The class.
        bytes: Bytes of memory.
        holds: What it is.
        reveals: What somebody learns from it.
    """

    name: str
    bytes: int
    holds: str
    reveals: str


class ScrubbedRecord(TypedDict):
    """What was replaced in the kernel's log.

    Attributes:
        kind: Of text.
        places: In how many places.
    """

    kind: str
    places: int


class ExtractRecord(TypedDict):
    """An extract.

    Attributes:
        file: The file.
        manifest: What is in it, by runs, with a checksum each.
        file_bytes: Size of the file.
        pages: Pages of memory in it.
        shown: What is shown of them, by class; every other byte of them is zero.
        missing: What answers given on the extract may lack, in words.
        reveals: What every extract tells whoever has it.
        scrubbed: What was replaced in the kernel's log, by kind.
        rescued: Blocks in it that were found without the list.
        hidden_addresses: Whether addresses that no answer needs were left out.
    """

    file: str
    manifest: str
    file_bytes: int
    pages: int
    shown: list[ShownRecord]
    missing: list[str]
    reveals: str
    scrubbed: list[ScrubbedRecord]
    rescued: int
    hidden_addresses: bool


def record(file: str, extracted: Extracted) -> ExtractRecord:
    """Make the record of an extract.

    Args:
        file: Where it was written.
        extracted: What went into it.
    """
    from vmemmap.extract.manifest import manifest_path

    return {
        "file": file,
        "manifest": str(manifest_path(file)),
        "file_bytes": extracted.file_bytes,
        "pages": extracted.pages,
        "shown": [
            {
                "name": shown.value,
                "bytes": extracted.bytes_shown[shown],
                "holds": text.holds,
                "reveals": text.reveals,
            }
            for shown, text in CLASS_TEXTS.items()
            if shown in extracted.bytes_shown
        ],
        "missing": list(extracted.missing),
        "reveals": STILL_REVEALED,
        "scrubbed": [{"kind": kind, "places": count} for kind, count in extracted.scrubbed.items()],
        "rescued": extracted.rescued,
        "hidden_addresses": extracted.hidden_addresses,
    }


def lines(record: ExtractRecord) -> Iterator[str]:
    """Make the text of a record."""
    size = size_text(record["file_bytes"])
    yield f"{escaped(record['file'])}: {size}, {count_text(record['pages'], 'page')}\n"
    yield f"{escaped(record['manifest'])}: what is in it, byte by byte\n\n"
    for shown in record["shown"]:
        yield f"  {shown['name']:14}{size_text(shown['bytes']):>12}\n"
    yield "\n"
    if record["rescued"]:
        yield f"{count_text(record['rescued'], 'block')} in it found without the list\n"
    if record["scrubbed"]:
        counts = (f"{row['kind']} {row['places']}" for row in record["scrubbed"])
        yield from _folded(
            f"replaced in the kernel's log: {', '.join(counts)}. No pattern knows every name: read "
            f"it (vmemmap dmesg {escaped(record['file'])}) before you share it"
        )
    for text in record["missing"]:
        yield from _folded(f"not in it: {text}")
    yield from _folded(f"it still tells: {record['reveals']}")


def rows(record: ExtractRecord) -> list[ShownRecord]:
    """Give the rows of the CSV form."""
    return record["shown"]


def class_lines() -> Iterator[str]:
    """Say what an extract shows, and what each class reveals."""
    for shown, text in CLASS_TEXTS.items():
        yield f"{shown.value}{', only --with ' + shown.value if shown in OPTIONAL else ''}\n"
        yield from _folded(text.holds, "  ")
        yield from _folded(f"reveals: {text.reveals}", "  ")
    yield from _folded(
        "Nothing else is ever in an extract: no page of a process, no page cache, no object of the "
        "slab allocator but those named above, no stack, no register."
    )


def explained(manifest: Manifest, phys: int) -> Iterator[str]:
    """Say why a byte of memory is in an extract, or that it is not."""
    from vmemmap.extract.manifest import find_run

    run = find_run(manifest, phys)
    if run is None:
        yield f"{phys:#x}: not shown: the byte is zero in the extract, or its page is not in it\n"
        return
    text = CLASS_TEXTS[Shown(run["shown"])]
    yield f"{phys:#x}: {run['shown']}, of {run['size']} bytes from {run['phys']:#x} on\n"
    yield from _folded(text.holds, "  ")
    yield from _folded(f"reveals: {text.reveals}", "  ")


def explained_offset(manifest: Manifest, offset: int, found: int | str) -> Iterator[str]:
    """Say what a byte of the file is.

    Args:
        manifest: What is in the extract.
        offset: Where the byte is.
        found: The physical address of the page whose data it is a part of; or what it is, in words.
    """
    from vmemmap.extract.manifest import runs_within

    if isinstance(found, str):
        yield f"{offset:#x}: {found}\n"
        return
    size = manifest["page_size"]
    yield f"{offset:#x}: in the data of the page at {found:#x}, of which these bytes are shown:\n"
    for run in runs_within(manifest, found, found + size):
        start, end = max(run["phys"], found), min(run["phys"] + run["size"], found + size)
        yield f"  {start:#x} - {end:#x}  {run['shown']}\n"


def _folded(text: str, indent: str = "") -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent):
        yield line + "\n"
