"""Checks an extract against its manifest, with nothing of this package: it can go with the extract.

``python checker.py OUT`` does it; it needs Python, and for pages compressed with zstd one of its
libraries. It parses the file itself, byte by byte, and says what is not as the manifest has it:

- every run of the manifest has its checksum, and every other byte of every page is zero;
- the file has no page, note, header field or left-over bytes beside those;
- what decompresses to a page ends where the page's data does.

Source: makedumpfile's diskdump_mod.h (kdump-compressed files); the ELF-64 object file format.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO

CLASSES = {
    *("kernel", "list", "sections", "nodes", "areas", "page_tables", "struct_pages", "rescued"),
    *("dmesg", "symbols", "types", "crash"),
}
NOTES = {("VMCOREINFO", 0): "vmcoreinfo_sha256", ("VMEMMAP", 1): "note_sha256"}
MAIN_BYTES, SUB_BYTES, DESCRIPTOR_BYTES = 464, 104, 24
UTSNAME_AT, NAME_BYTES = 12, 65
HIDDEN_NAMES = {1: "the node's name", 3: "the kernel's version", 5: "the domain's name"}
PAGE_SIZES = (4096, 65536)
VERSION = 1
NOTES_MAX = 1 << 24
BITMAP_MAX = 1 << 29  # of 16 TiB of memory in pages of 4 KiB
FOUND_MAX = 1000
DESCRIPTORS_AT_ONCE = 4096
Stored = Iterator[tuple[int, bytes]]


class Unusable(ValueError):
    """The file or the manifest is none that can be compared; says why."""


def check(path: str, manifest: dict[str, Any] | None = None) -> list[str]:
    """Compare an extract with its manifest.

    Args:
        path: The extract.
        manifest: What is beside it, decoded; None to read it.

    Returns:
        What does not agree, in words, a thousand lines at most; nothing if all does.

    Raises:
        Unusable: One of the two is damaged, or of a form that is not known.
        OSError: One of them cannot be read.
    """
    if manifest is None:
        with open(f"{path}.manifest.json", "rb") as beside:
            try:
                manifest = json.load(beside)
            except (ValueError, RecursionError) as error:
                raise Unusable(f"the manifest is no JSON: {error}") from None
    with open(path, "rb") as file:
        return _Check(file, manifest).run()[:FOUND_MAX]


def place_of(path: str, manifest: dict[str, Any], offset: int) -> int | str:
    """Say what a byte of an extract is.

    Args:
        path: The extract.
        manifest: What is beside it, decoded.
        offset: Where the byte is in the file.

    Returns:
        The physical address of the page whose data it is a part of, or what else it is, in words.

    Raises:
        Unusable, OSError: As for `check`.
    """
    with open(path, "rb") as file:
        found = _Check(file, manifest)
        found.wanted = offset
        found.run()
    if offset >= found.size:
        return f"behind the end of the file, which has {found.size:#x} bytes"
    return "room between the parts of the file: zero" if found.place is None else found.place


class _Run:
    """The run of the manifest that is being compared, and after it the next."""

    def __init__(self, runs: list[tuple[int, int, str, str]]) -> None:
        self._left = iter(runs)
        self._begin()

    def _begin(self) -> None:
        self._start, self._end, _, self._expected = next(self._left, (0, 0, "", ""))
        self._at, self._whole, self._digest = self._start, True, hashlib.sha256()

    def add(self, at: int, data: bytes) -> None:
        """Take some of its bytes, in order."""
        self._whole &= at == self._at
        self._digest.update(data)
        self._at = at + len(data)

    def wrong(self) -> list[str]:
        """End it, and say what is wrong with it."""
        start, size = self._start, self._end - self._start
        whole = self._whole and self._at == self._end
        same = self._digest.hexdigest() == self._expected
        self._begin()
        if not whole:
            return [f"the {size} bytes at {start:#x} are not all in the file"]
        return [] if same else [f"the {size} bytes at {start:#x} are others"]


class _Check:
    def __init__(self, file: BinaryIO, manifest: Any) -> None:
        self.file, self.found = file, []  # type: BinaryIO, list[str]
        self.used: list[tuple[int, int]] = []
        self.wanted, self.place = -1, None  # type: int, int | str | None
        self.size = file.seek(0, 2)
        if not isinstance(manifest, dict) or manifest.get("page_size") not in PAGE_SIZES:
            raise Unusable("the manifest has no page size that a kernel has")
        for name in ("runs", "classes"):
            if not isinstance(manifest.get(name, []), list):
                raise Unusable(f"the manifest's {name} are no list")
        if manifest.get("version", VERSION) != VERSION:
            raise Unusable(
                f"the manifest is of version {manifest['version']!r}; expected {VERSION}"
            )
        self.manifest, self.page_size = manifest, int(manifest["page_size"])
        self.runs = self._runs()

    def _runs(self) -> list[tuple[int, int, str, str]]:
        """Give the manifest's runs, checked: start, end, class and checksum."""
        runs, end = [], 0
        known = self.manifest.get("classes")
        for run in self.manifest.get("runs", ()):
            try:
                start, size = int(run["phys"]), int(run["size"])
                name, digest = str(run["shown"]), str(run["sha256"])
            except (KeyError, TypeError, ValueError, OverflowError):
                raise Unusable("the manifest has a run that is none") from None
            if size < 1 or start < end:
                raise Unusable(f"the manifest's run at {start:#x} is out of order or empty")
            if name not in CLASSES:
                self.found.append(f"the run at {start:#x} is of no known class: {name!r}")
            elif known is not None and name not in known:
                self.found.append(f"the run at {start:#x} is of a class that is not named: {name}")
            end = start + size
            runs.append((start, end, name, digest))
        return runs

    def run(self) -> list[str]:
        """Compare all."""
        head = self._read(0, 16, "the header")
        if head[:8] == b"KDUMP   ":
            pages = self._kdump()
        elif head[:4] == b"\x7fELF":
            pages = self._elf()
        else:
            raise Unusable("it is neither kdump-compressed nor ELF")
        self._pages(pages)
        self._unused()
        return self.found

    def _read(self, at: int, size: int, what: int | str) -> bytes:
        """Read bytes of the file, and take note that they have a meaning."""
        if at < 0 or size < 0 or at + size > self.size:
            raise Unusable(f"it ends at {self.size:#x}; expected {size} bytes at {at:#x}")
        if at <= self.wanted < at + size and self.place is None:
            self.place = what
        if self.used and self.used[-1][1] == at:
            self.used[-1] = self.used[-1][0], at + size
        elif self.used[-1:] != [(at, at + size)]:
            self.used.append((at, at + size))
        self.file.seek(at)
        return self.file.read(size)

    def _pages(self, pages: Stored) -> None:
        """Compare every page that the file has with the runs."""
        row, unnamed, run = 0, 0, _Run(self.runs)
        for phys, data in pages:
            at, end, named = phys, phys + len(data), False
            while row < len(self.runs) and self.runs[row][0] < end:
                start, stop = self.runs[row][:2]
                if stop > phys:
                    named, begin, until = True, max(start, at), min(stop, end)
                    self._is_zero(at, data[at - phys : begin - phys])
                    run.add(begin, data[begin - phys : until - phys])
                    at = until
                    if until < stop:
                        break
                self.found += run.wrong()
                row += 1
            self._is_zero(at, data[at - phys :])
            unnamed += not named
        for _ in self.runs[row:]:
            self.found += run.wrong()
        if unnamed:
            self.found.append(f"{unnamed} pages are in the file that the manifest does not name")

    def _is_zero(self, at: int, data: bytes) -> None:
        if data.count(0) != len(data):
            into = next(i for i, byte in enumerate(data) if byte)
            self.found.append(f"the byte at {at + into:#x} is shown and in no run")

    def _notes(self, at: int, size: int, order: str) -> None:
        """Check that the notes are those two, and what they say."""
        if size > NOTES_MAX:
            raise Unusable(f"its notes have {size} bytes")
        data, into, seen = self._read(at, size, "the notes"), 0, set()
        while into + 12 <= size:
            name_bytes, desc_bytes, kind = struct.unpack_from(order + "3I", data, into)
            desc_at = into + 12 + (name_bytes + 3) // 4 * 4
            name = data[into + 12 : into + 12 + name_bytes].rstrip(b"\0").decode("latin-1")
            desc = data[desc_at : desc_at + desc_bytes]
            into = desc_at + (desc_bytes + 3) // 4 * 4
            if (name, kind) not in NOTES or (name, kind) in seen:
                self.found.append(f"there is a note {name} ({kind:#x})")
                continue
            seen.add((name, kind))
            if hashlib.sha256(desc).hexdigest() != self.manifest.get(NOTES[name, kind]):
                self.found.append(f"{name} is another one")
        if into != size:
            self.found.append("there are bytes behind the notes")
        self.found += [f"there is no note {name}" for name, _ in NOTES.keys() - seen]

    def _kdump(self) -> Stored:
        """Check the headers of a kdump-compressed file; give its pages, by rising address."""
        main = self._read(0, MAIN_BYTES, "the header")
        order = next((o for o in "<>" if 1 <= struct.unpack_from(o + "i", main, 8)[0] <= 16), None)
        if order is None:
            raise Unusable("its header has no version")
        _, block, sub_blocks, map_blocks = struct.unpack_from(order + "IIII", main, 424)
        if block != self.page_size:
            raise Unusable(f"its blocks have {block} bytes, and pages {self.page_size}")
        for row in range(6):
            text = main[UTSNAME_AT + row * NAME_BYTES :][:NAME_BYTES]
            if row in HIDDEN_NAMES and text.strip(b"\0"):
                self.found.append(f"the header has {HIDDEN_NAMES[row]}")
            elif text.partition(b"\0")[2].strip(b"\0"):
                self.found.append(f"the header has bytes behind the end of text {row}")
        names = hashlib.sha256(main[UTSNAME_AT : UTSNAME_AT + 6 * NAME_BYTES]).hexdigest()
        if names != self.manifest.get("utsname_sha256"):
            self.found.append("the header's release and machine are others")
        if main[402:424].strip(b"\0") or main[444:MAIN_BYTES].strip(b"\0"):
            self.found.append("the header has the time of the crash, or what else it should not")
        sub = self._read(block, SUB_BYTES, "the sub-header")
        (phys_base,) = struct.unpack_from(order + "Q", sub, 0)
        text_at, text_size, notes_at, notes_size, erased_at, erased = struct.unpack_from(
            order + "qQqQqQ", sub, 32
        )
        if phys_base or erased_at or erased:
            self.found.append("the sub-header says more than it should")
        self._notes(notes_at, notes_size, order)
        if not notes_at <= text_at <= text_at + text_size <= notes_at + notes_size:
            self.found.append("VMCOREINFO is not in the notes")
        maps_at, half = (1 + sub_blocks) * block, map_blocks * block // 2
        if half > BITMAP_MAX:
            raise Unusable(f"its bitmaps have {half} bytes each; expected at most {BITMAP_MAX}")
        memory = self._read(maps_at, half, "the bitmap of all memory")
        stored = self._read(maps_at + half, half, "the bitmap of the pages in the file")
        if int.from_bytes(stored, "little") & ~int.from_bytes(memory, "little"):
            self.found.append("there are pages outside of the memory")
        return self._kdump_pages(order, maps_at + 2 * half, stored)

    def _kdump_pages(self, order: str, at: int, stored: bytes) -> Stored:
        before: tuple[tuple[int, int, int], bytes] | None = None
        places = (
            match.start() * 8 + bit
            for match in re.finditer(rb"[^\0]", stored, re.DOTALL)
            for bit in range(8)
            if match[0][0] >> bit & 1
        )
        while pfns := list(islice(places, DESCRIPTORS_AT_ONCE)):
            raw = self._read(at, len(pfns) * DESCRIPTOR_BYTES, "the descriptors of pages")
            at += len(raw)
            rows = struct.iter_unpack(order + "qIIQ", raw)
            for pfn, (offset, size, flags, page_flags) in zip(pfns, rows, strict=True):
                if page_flags:
                    self.found.append(f"the descriptor of page {pfn:#x} has page flags")
                key = offset, size, flags
                if before is None or before[0] != key:  # pages of zeros share one
                    before = key, self._page(pfn * self.page_size, key)
                yield pfn * self.page_size, before[1]

    def _page(self, phys: int, stored: tuple[int, int, int]) -> bytes:
        offset, size, flags = stored
        if size > self.page_size:
            raise Unusable(f"a page takes {size} bytes at {offset:#x}")
        data = self._read(offset, size, phys)
        page, rest = _decoder(flags)(data, self.page_size)
        if rest:
            self.found.append(f"there are {rest} bytes behind the page's data at {offset:#x}")
        if len(page) != self.page_size:
            raise Unusable(f"the data at {offset:#x} is no page")
        return page

    def _elf(self) -> Stored:
        """Check the headers of an ELF file; give its memory in pieces of a page."""
        order = {1: "<", 2: ">"}.get(self._read(5, 1, "the header")[0])
        if order is None:
            raise Unusable("it has no byte order")
        header = struct.unpack(order + "16xHHIQQQIHHHHHH", self._read(0, 64, "the header"))
        table_at, sections_at, count, sections = header[4], header[5], header[9], header[11]
        if count == 0xFFFF and sections:
            (count,) = struct.unpack_from(
                order + "I", self._read(sections_at, 64, "the header"), 44
            )
        rows = [
            struct.unpack(
                order + "IIQQQQQQ", self._read(table_at + 56 * row, 56, "the program headers")
            )
            for row in range(count)
        ]
        for kind, _, at, _, _, size, _, _ in rows:
            if kind == 4:
                self._notes(at, size, order)
            elif kind != 1:
                self.found.append(f"there is a segment of type {kind:#x}")
        if [row[0] for row in rows].count(4) != 1:
            self.found.append("there is not one segment of notes")
        loads = sorted((row[4], row[2], row[5]) for row in rows if row[0] == 1)
        return self._elf_pages(loads)

    def _elf_pages(self, loads: list[tuple[int, int, int]]) -> Stored:
        for phys, at, size in loads:
            if phys % self.page_size or size % self.page_size:
                self.found.append(f"the segment at {phys:#x} is no whole pages")
            for into in range(0, size, self.page_size):
                piece = min(self.page_size, size - into)
                yield phys + into, self._read(at + into, piece, phys + into)

    def _unused(self) -> None:
        """Check that what has no meaning in the file is zero."""
        end = 0
        for start, stop in [*sorted(self.used), (self.size, self.size)]:
            for at in range(end, start, 1 << 20):
                self.file.seek(at)
                data = self.file.read(min(1 << 20, start - at))
                if data.count(0) != len(data):
                    self.found.append(f"the file has bytes of no meaning from {at:#x} on")
                    break
            end = max(end, stop)


def _decoder(flags: int) -> Callable[[bytes, int], tuple[bytes, int]]:
    """Give what decompresses a page, and tells how many bytes it left."""
    decoders: dict[int, Callable[[bytes, int], tuple[bytes, int]]] = {
        0: lambda data, _size: (data, 0),
        1: _from_zlib,
        0x20: _from_zstd,
    }
    if flags not in decoders:
        raise Unusable(f"pages are compressed in a way that is not known here ({flags:#x})")
    return decoders[flags]


def _from_zlib(data: bytes, size: int) -> tuple[bytes, int]:
    stream = zlib.decompressobj()
    try:
        page = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise Unusable(f"a page is damaged: {error}") from None
    return page, len(stream.unused_data) + len(stream.unconsumed_tail)


def _from_zstd(data: bytes, size: int) -> tuple[bytes, int]:
    try:
        import zstandard
    except ImportError:
        raise Unusable("pages are compressed with zstd: pip install zstandard") from None
    stream = zstandard.ZstdDecompressor(max_window_size=1 << 24).decompressobj()
    try:
        if zstandard.frame_content_size(data) not in (size, -1):
            raise Unusable("a page is damaged: it is of another size")
        page = stream.decompress(data)
    except zstandard.ZstdError as error:
        raise Unusable(f"a page is damaged: {error}") from None
    return page, len(stream.unused_data)


def main(paths: list[str]) -> int:
    """Check the files that were named; give the exit code."""
    code = 0
    for path in paths:
        try:
            found = check(path)
        except (OSError, Unusable) as error:
            found = [str(error)]
        for line in found:
            sys.stderr.write(f"{path}: {line}\n")
        if not found:
            sys.stdout.write(f"{path}: every byte is as its manifest says, and of a known class\n")
        code |= bool(found)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
