"""Whether what looks like a VMCOREINFO text is the kernel's own, and which of several to go by.

Memory has other copies: of other kernels in the page cache, of this one in freed buffers, and where
a capture kernel runs there are two kernels. A text counts only if a kernel could have written it
and the utsname to which it points has its release and its byte order. Texts that differ in the time
of the crash alone are of one kernel. Among those of several the memory decides: how many of the
pointers that a text names are pointers there.

Source: Linux kernel/vmcore_info.c (vmcoreinfo_data, vmcoreinfo_note), include/linux/elfcore.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from vmemmap.address import ByteOrder
from vmemmap.errors import FactError, ReadError
from vmemmap.facts.uts import ORDER_OF_MACHINE, Utsname, find_utsname
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.facts.vmcoreinfo.text_starts import NOTE_HEAD_BYTES
from vmemmap.linear_map import LinearMemory, linear_phys, linear_phys_many
from vmemmap.source.base import PhysicalSource

TEXT_MAX = 65536
_TEXT_MIN = 64
_NOTE_NAME = b"VMCOREINFO\0\0"
_NAME_AT = 12
_PART_BYTES = 4096
_PAGE_BYTES = 4096
_LINE = re.compile(rb"[A-Za-z][\w-]*(?:\([ -~]*\))?=[ -~]*", re.ASCII)
_UNFINISHED = re.compile(rb"CRASHTIME=[0-9]+")
"""Up to 3.4 the kernel ends the text with this and no newline."""
_IMAGE_SPAN = 1 << 30
"""No kernel's image is longer; they have about 50 MiB."""
_POINTERS = (
    ("vmemmap_list", 1),
    ("log_buf", 1),
    ("prb", 1),
    ("node_data", 4),
    ("mem_section", 64),
)
"""Symbols whose content is a pointer into the linear map, or so many of them (or zeros)."""


@dataclass(frozen=True)
class FoundText:
    """A VMCOREINFO text found in memory.

    Attributes:
        text: The text, from OSRELEASE on, without NULs at its end.
        phys: Physical address of the note or text.
        form: ``note``: the complete ELF note; ``data``: the bare text.
        order: For a note, the memory's byte order, which its first word shows.
        agreement: How many of the pointers that it names are pointers in memory, less those that
            are not.
    """

    text: bytes
    phys: int
    form: Literal["note", "data"]
    order: ByteOrder | None
    agreement: int = 0

    @cached_property
    def info(self) -> Vmcoreinfo:
        """The text, parsed."""
        return Vmcoreinfo(self.text)

    @property
    def release(self) -> str:
        """OSRELEASE."""
        return self.info.text("OSRELEASE")

    @property
    def crash_time(self) -> int:
        """When the kernel says that it crashed (seconds); 0 if it does not."""
        value = self.info.text("CRASHTIME") if "CRASHTIME" in self.info else ""
        return int(value) if value.isascii() and value.isdigit() else 0

    @property
    def image_phys(self) -> int:
        """Where the kernel's image begins: at 0, but for a capture kernel."""
        return linear_phys(_optional_symbol(self.info, "_stext") or 0) or 0

    @property
    def kernel(self) -> bytes:
        """The text without the time of the crash: the same for every copy of one kernel's."""
        return _UNFINISHED.sub(b"", self.text).rstrip(b"\n")

    def __str__(self) -> str:
        moved = f", whose image is at {self.image_phys:#x}" if self.image_phys else ""
        crashed = ", crashed" if self.crash_time else ""
        return f"the {self.form} at {self.phys:#x} of kernel {self.release}{moved}{crashed}"


def read_candidate(source: PhysicalSource, start: int) -> FoundText | None:
    """Give the text that begins at a physical address, if a kernel of this memory wrote it."""
    found = _read_note(source, start) or _read_bare(source, start)
    if found is None:
        return None
    uts = _utsname_of(source, found.info)
    if uts is None or uts.release != found.release:
        return None
    order = ORDER_OF_MACHINE.get(uts.machine)
    if found.order is not None and order is not None and order != found.order:
        return None
    if order is None and found.order is None:
        return found
    agreement = _agreement(LinearMemory(source, found.order or order or "big"), found.info)
    return FoundText(found.text, found.phys, found.form, found.order, agreement)


def best_first(found: Iterable[FoundText]) -> tuple[FoundText, ...]:
    """Give one text of each kernel, that of the dumped one first.

    A kernel of which a text leads to more pointers goes before one of which it does not, and the
    machine's before its capture kernel. Of one kernel's texts the note goes before the bare text,
    one on a page of its own before one inside a page, and then the last of it that was written.
    """
    ordered = sorted(
        found,
        key=lambda text: (
            text.agreement < 0,
            text.image_phys > 0,
            -text.agreement,
            text.form != "note",
            text.phys % _PAGE_BYTES != 0,
            -text.crash_time,
            text.phys,
        ),
    )
    kernels: dict[bytes, FoundText] = {}
    for text in ordered:
        kernels.setdefault(text.kernel, text)
    return tuple(kernels.values())


def release_in_memory(source: PhysicalSource, text: bytes) -> str | None:
    """Give the release in the utsname where a VMCOREINFO text says that it is, or None."""
    uts = _utsname_of(source, Vmcoreinfo(text))
    return uts.release if uts is not None else None


def is_valid(text: bytes) -> bool:
    """Tell a text that a kernel wrote from one that only begins like it."""
    *lines, last = text.split(b"\n")
    if last and not _UNFINISHED.fullmatch(last):
        return False
    if not all(map(_LINE.fullmatch, lines)) or b"%" in lines[0]:
        return False
    info = Vmcoreinfo(text)
    try:
        info.page_size()
        info.symbol("init_uts_ns")
        return _is_plausible(info)
    except FactError:
        return False


def _is_plausible(info: Vmcoreinfo) -> bool:
    """Tell whether the kernel's image can be where the text has it."""
    start = _optional_symbol(info, "_stext")
    if start is None:
        return True
    root = _optional_symbol(info, "swapper_pg_dir")
    inside = range(start, start + _IMAGE_SPAN)
    return (
        linear_phys(start) is not None
        and info.symbol("init_uts_ns") in inside
        and (root is None or (root in inside and root % _PAGE_BYTES == 0))
    )


def _optional_symbol(info: Vmcoreinfo, name: str) -> int | None:
    return info.symbol(name) if f"SYMBOL({name})" in info else None


def _utsname_of(source: PhysicalSource, info: Vmcoreinfo) -> Utsname | None:
    try:
        phys = linear_phys(info.symbol("init_uts_ns"))
        return find_utsname(source, phys, (0, 4)) if phys is not None else None
    except (FactError, ReadError):
        return None


def _agreement(memory: LinearMemory, info: Vmcoreinfo) -> int:
    """Count the symbols that lead to pointers, less those that lead to something else."""
    agreement = 0
    for name, count in _POINTERS:
        try:
            address = _optional_symbol(info, name)
            if address is None:
                continue
            words = memory.words(address, count).astype(np.uint64)
        except (FactError, ReadError):
            continue
        words = words[words != 0]
        _, linear = linear_phys_many(words)
        if len(words):
            agreement += 1 if linear.all() else -1
    return agreement


def _read_note(source: PhysicalSource, start: int) -> FoundText | None:
    """Give the text of a whole note, by the text's address."""
    phys = start - NOTE_HEAD_BYTES
    try:
        head = source.read(phys, NOTE_HEAD_BYTES) if phys >= 0 else b""
    except ReadError:
        return None
    if head[_NAME_AT:] != _NOTE_NAME or head[8:_NAME_AT] != bytes(4):
        return None
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    for order in orders:
        length = int.from_bytes(head[4:8], order)
        if int.from_bytes(head[:4], order) == 11 and _TEXT_MIN <= length <= TEXT_MAX:
            try:
                text = source.read(start, length).rstrip(b"\0")
            except ReadError:
                return None
            return FoundText(text, phys, "note", order) if is_valid(text) else None
    return None


def _read_bare(source: PhysicalSource, start: int) -> FoundText | None:
    """Give the text up to its NUL."""
    text = read_up_to_nul(source, start)
    return FoundText(text, start, "data", None) if is_valid(text) else None


def read_up_to_nul(source: PhysicalSource, phys: int) -> bytes:
    """Read a text as far as it can be had, up to its NUL or the longest that a kernel writes."""
    text = b""
    while len(text) < TEXT_MAX:
        # Up to the page's end: what follows may not be there.
        size = _PART_BYTES - (phys + len(text)) % _PART_BYTES
        try:
            part = source.read(phys + len(text), size)
        except ReadError:
            return text
        text += part.split(b"\0")[0]
        if b"\0" in part:
            break
    return text
