"""What came of filtering a dump, in numbers of pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file that was written.

    Attributes:
        path: Its name; ``-`` for a stream.
        size_bytes: Its size; of a flattened one the size of what is in it.
        pages: How many pages it has.
        pfn_start: First pfn that it is for: 0, if it is no member of a split dump.
        pfn_end: The pfn after the last.
    """

    path: str
    size_bytes: int
    pages: int
    pfn_start: int
    pfn_end: int


@dataclass(frozen=True, slots=True)
class Made:
    """What the writer of a form came to make; the fields of `FilterResult` that depend on it."""

    kept: int
    zero: int
    partial: int
    lost: int
    lost_pfns: tuple[int, ...]
    copied: int
    files: tuple[OutputFile, ...]


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What stayed, what went, and why. All counts are of pages.

    Attributes:
        level: The dump level, with whatever the input had been filtered by before.
        form: ``kdump`` or ``elf``.
        codec: How pages are compressed: zstd, zlib, lzo, snappy or none.
        page_size: Size of a page in bytes.
        pages: Pages of the dump's memory, which is the sum of kept, gone and absent, and of zero
            in an ELF file.
        kept: Pages that the output is to have.
        gone: Pages left out, by class: cache, cache_private, user, free, hwpoison, offline; and
            struct_pages, which were asked to go with the pages that they describe.
        zero: Pages full of zeros: of a kdump file those that share one copy, which are among the
            kept; of an ELF file those that were left out.
        absent: Pages that would have stayed, but that the input does not have.
        unclassified: Pages that stay because nothing tells what they are, by the reason.
        partial: Pages of which the input has a part; the rest of them is zeros.
        lost: Pages that could not be read.
        lost_pfns: The first of them.
        copied: Pages that were compressed already and copied as they were.
        files: The files, in the order of their pfns.
        warnings: What kept the decision from being made as it should, a line each.
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
    lost_pfns: tuple[int, ...]
    copied: int
    files: tuple[OutputFile, ...]
    warnings: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)
