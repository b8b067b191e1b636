"""The record of ``vmemmap extract``: what went into a dump that can be shared, by class."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.extract.classes import CLASS_TEXTS, STILL_REVEALED, Shown
from vmemmap.report.text import count_text, size_text

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
    """

    file: str
    manifest: str
    file_bytes: int
    pages: int
    shown: list[ShownRecord]
    missing: list[str]
    reveals: str


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
    }


def lines(record: ExtractRecord) -> Iterator[str]:
    """Make the text of a record."""
    size = size_text(record["file_bytes"])
    yield f"{record['file']}: {size}, {count_text(record['pages'], 'page')}\n"
    yield f"{record['manifest']}: what is in it, byte by byte\n\n"
    for shown in record["shown"]:
        yield f"  {shown['name']:14}{shown['bytes']:>14} bytes\n"
    yield "\n"
    for text in record["missing"]:
        yield from _folded(f"not in it: {text}")
    yield from _folded(f"it still tells: {record['reveals']}")


def rows(record: ExtractRecord) -> list[ShownRecord]:
    """Give the rows of the CSV form."""
    return record["shown"]


def class_lines() -> Iterator[str]:
    """Say what an extract shows, and what each class reveals."""
    for shown, text in CLASS_TEXTS.items():
        yield f"{shown.value}\n"
        yield from _folded(text.holds, "  ")
        yield from _folded(f"reveals: {text.reveals}", "  ")
    yield from _folded(
        "Nothing else is ever in an extract: no page of a process, no page cache, no object of the "
        "slab allocator but those named above, no stack, no kernel log, no register."
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


def _folded(text: str, indent: str = "") -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent):
        yield line + "\n"
