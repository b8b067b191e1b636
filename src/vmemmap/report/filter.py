"""The record of ``vmemmap filter``: what stayed of a dump, what went, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NotRequired, TypedDict

from vmemmap.report.page_runs import write_page_runs
from vmemmap.report.text import count_text, size_text
from vmemmap.shown import escaped

if TYPE_CHECKING:
    from vmemmap.filter.decision import PageRun
    from vmemmap.filter.estimate import Estimate
    from vmemmap.filter.result import FilterResult

COLUMNS = ("fate", "pages", "bytes")
_WORTH = 0.9
"""What an output has to be of its input, at most, to be worth it."""
_WORDS = {
    "cache": "page cache",
    "cache_private": "page cache, private",
    "user": "memory of processes",
    "free": "free",
    "hwpoison": "failed memory",
    "offline": "offline",
    "struct_pages": "struct pages",
}


class FileRecord(TypedDict):
    """One file that was written.

    Attributes:
        path: Its name.
        bytes: Its size; of a flattened one the size of what is in it.
        pages: How many pages it has.
        pfn_start: First pfn that it is for; 0 but for members of a split dump.
        pfn_end: The pfn after the last.
    """

    path: str
    bytes: int
    pages: int
    pfn_start: int
    pfn_end: int


class FilterRecord(TypedDict):
    """What stayed of a dump, what went, and what came of it. Counts are of pages.

    Attributes:
        level: The dump level, with whatever the input had been filtered by before.
        form: kdump or elf.
        codec: How pages are compressed: zstd, zlib, lzo, snappy or none.
        page_size: Size of a page in bytes.
        pages: Pages of the dump's memory.
        kept: Pages that the output has, or would have.
        gone: Pages left out, by makedumpfile's classes; struct_pages are those that went with the
            pages that they describe.
        zero: Pages full of zeros: in a kdump file they share one copy and are among the kept; of an
            ELF file they are left out at odd levels.
        absent: Pages that would have stayed, but that the input does not have.
        unclassified: Pages that stay because nothing tells what they are, by the reason.
        partial: Pages of which the input has a part; the rest of them is zeros.
        lost: Pages that could not be read.
        copied: Pages that were compressed already and copied as they were.
        bytes: Bytes of all files together; with --dry-run by the sample.
        error_bytes: Only with --dry-run: bytes is off by less, 19 times of 20.
        sampled: Only with --dry-run: pages that were looked at.
        saves: Only with --dry-run: how many bytes larger the output would be if a class stayed.
        input_bytes: Only with --dry-run: what the input takes on disk; null for a stream.
        worth: Only with --dry-run: whether the output is smaller by a tenth at least; null where
            the size of the input is not known.
        files: The files, in the order of their pfns; none with --dry-run.
        warnings: What kept the decision from being made as it should.
    """

    level: int
    form: str
    codec: str
    page_size: int
    pages: int
    kept: int
    gone: dict[str, int]
    zero: int
    absent: int
    unclassified: dict[str, int]
    partial: int
    lost: int
    copied: int
    bytes: int
    error_bytes: NotRequired[int]
    sampled: NotRequired[int]
    saves: NotRequired[dict[str, int]]
    input_bytes: NotRequired[int | None]
    worth: NotRequired[bool | None]
    files: list[FileRecord]
    warnings: list[str]


class RunRecord(TypedDict):
    """A line of the manifest: pages in a row with one fate.

    Attributes:
        pfn_start: The first pfn.
        pfn_end: The one after the last.
        fate: kept, the class by which they went, or absent.
    """

    pfn_start: int
    pfn_end: int
    fate: str


def record(result: FilterResult) -> FilterRecord:
    """Make the record of what was written."""
    return {
        "level": result.level,
        "form": result.form,
        "codec": result.codec,
        "page_size": result.page_size,
        "pages": result.pages,
        "kept": result.kept,
        "gone": result.gone,
        "zero": result.zero,
        "absent": result.absent,
        "unclassified": result.unclassified,
        "partial": result.partial,
        "lost": result.lost,
        "copied": result.copied,
        "bytes": result.size_bytes,
        "files": [
            {
                "path": file.path,
                "bytes": file.size_bytes,
                "pages": file.pages,
                "pfn_start": file.pfn_start,
                "pfn_end": file.pfn_end,
            }
            for file in result.files
        ],
        "warnings": list(result.warnings),
    }


def estimate_record(found: Estimate, input_bytes: int | None) -> FilterRecord:
    """Make the record of what would be written; *input_bytes* is what the input takes on disk."""
    worth = None if input_bytes is None else found.size_bytes <= input_bytes * _WORTH
    return {
        "level": found.level,
        "form": found.form,
        "codec": found.codec,
        "page_size": found.page_size,
        "pages": found.pages,
        "kept": found.kept,
        "gone": found.gone,
        "zero": found.zero,
        "absent": found.absent,
        "unclassified": found.unclassified,
        "partial": 0,
        "lost": 0,
        "copied": 0,
        "bytes": found.size_bytes,
        "error_bytes": found.error_bytes,
        "sampled": found.sampled,
        "saves": found.saves,
        "input_bytes": input_bytes,
        "worth": worth,
        "files": [],
        "warnings": list(found.warnings),
    }


def rows(made: FilterRecord) -> list[dict[str, object]]:
    """Give the rows of the CSV form: a fate each."""
    fates = {"kept": made["kept"], **made["gone"], "absent": made["absent"]}
    size = made["page_size"]
    return [{"fate": fate, "pages": n, "bytes": n * size} for fate, n in fates.items()]


def lines(made: FilterRecord, *, stats: bool = False) -> Iterator[str]:
    """Give the text: what is in the output, and with *stats* what became of every page."""
    size = made["page_size"]
    how = made["form"] if made["form"] == "elf" else f"{made['form']}, {made['codec']}"
    kept = f"{count_text(made['kept'], 'page')} of {made['pages']}"
    if "sampled" in made:
        error = f" (give or take {size_text(made['error_bytes'])})" if made["error_bytes"] else ""
        yield f"would be {size_text(made['bytes'])}{error}: {how}, level {made['level']}, {kept}\n"
        if made["worth"] is False and made["input_bytes"] is not None:
            yield f"  not worth it: the input takes {size_text(made['input_bytes'])} on disk\n"
        elif made["pages"] and made["kept"] * 20 > made["pages"] * 19:
            yield "  hardly anything goes at this level: only compression makes the dump smaller\n"
    for file in made["files"]:
        part = f", pfns {file['pfn_start']} to {file['pfn_end']}" * (len(made["files"]) > 1)
        yield f"{escaped(file['path'])}: {size_text(file['bytes'])}: {how}, level {made['level']}, "
        yield f"{count_text(file['pages'], 'page')}{part}\n"
    saves = made.get("saves", {})
    if not stats and not saves:
        return
    fates = [("kept", "kept", made["kept"]), ("", "  full of zeros", made["zero"])]
    fates += [(word, _WORDS.get(word, word), count) for word, count in made["gone"].items()]
    fates.append(("", "not in the input", made["absent"]))
    if saves:
        saves = saves | {"kept": made["bytes"]}
        yield f"  {'':20} {'pages':>12}  {'memory':>10}  in the output\n"
    for fate, word, count in fates:
        line = f"  {word:20} {count:>12}  {size_text(count * size):>10}"
        if fate in saves:
            line += f"  {size_text(saves[fate]):>10}{'' if fate == 'kept' else ' saved'}"
        yield line + "\n"


def notes(made: FilterRecord) -> Iterator[str]:
    """Give what is to be said beside, one line each."""
    yield from made["warnings"]
    if made["unclassified"]:
        reasons = ", ".join(f"{count} {why}" for why, count in made["unclassified"].items())
        yield f"kept without knowing what they are: {reasons}"
    if made["partial"]:
        yield f"filled up with zeros: {count_text(made['partial'], 'page')}, had in part only"
    if made["lost"]:
        yield f"lost: {count_text(made['lost'], 'page')} of the input cannot be read"


def write_manifest(file: BinaryIO, runs: Iterable[PageRun], *, parquet: bool) -> None:
    """Write the manifest, a `RunRecord` a line, or a row of Parquet.

    Raises:
        OutputError: pyarrow is missing, for Parquet.
        OSError: The file cannot be written.
    """
    types = {"pfn_start": "uint64", "pfn_end": "uint64", "fate": "string"}
    write_page_runs(file, runs, types, parquet=parquet)
