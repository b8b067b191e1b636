"""Whether what looks like a VMCOREINFO text is the kernel's own, and which of several to go by.

Memory has other copies: of other kernels in the page cache, of this one in freed buffers, and where
a capture kernel runs there are two kernels. A text counts only if a kernel could have written it
and the utsname to which it points has its release and its byte order. Texts that contradict each
other in nothing but the time of the crash are of one kernel. Among those of several the memory
decides: how many of the pointers that a text names are pointers there.

Source: Linux kernel/vmcore_info.c (vmcoreinfo_data, vmcoreinfo_note), include/linux/elfcore.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from vmemmap.address import ByteOrder
from vmemmap.errors import FactError, ReadError
from vmemmap.facts.uts import ORDER_OF_MACHINE, Utsname, find_utsname
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.facts.vmcoreinfo.text_starts import NOTE_HEAD_BYTES
from vmemmap.linear_map import LinearMemory, linear_phys
from vmemmap.source.base import PhysicalSource

_TEXT_MAX = 65536
_TEXT_MIN = 64
_NOTE_NAME = b"VMCOREINFO\0\0"
_NAME_AT = 12
_PAGE_BYTES = 4096
_ALLOWED = bytes([10, *range(32, 127)])
_UNFINISHED = re.compile(rb"CRASHTIME=[0-9]+")
"""Up to 3.4 the kernel ends the text with this and no newline."""
_IMAGE_SPAN = 1 << 30
"""No kernel's image is longer; they have about 50 MiB."""
_USUAL_SPAN = 64 << 20
"""What a text names within this lies in the image; beyond, it may be what the kernel allocated."""
POINTERS = ("vmemmap_list", "log_buf", "prb", "node_data", "mem_section")
"""Where every kernel that names them has a pointer into the linear map, or zero."""


@dataclass(frozen=True)
class FoundText:
    """A VMCOREINFO text found in memory.

    Attributes:
        text: The text, from OSRELEASE on, without NULs at its end.
        phys: Physical address of the note or text.
        form: ``note``: the complete ELF note; ``data``: the bare text.
        order: For a note, the memory's byte order, which its first word shows.
        pointers: How many of the pointers that it names are pointers in memory.
        strays: How many of them are neither a pointer there nor zero.
    """

    text: bytes
    phys: int
    form: Literal["note", "data"]
    order: ByteOrder | None
    pointers: int = 0
    strays: int = 0

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
        """When the kernel says that it crashed (seconds since 1970); 0 if it does not."""
        value = self.info.text("CRASHTIME") if "CRASHTIME" in self.info else ""
        return int(value) if value.isascii() and value.isdigit() else 0

    @property
    def image_phys(self) -> int:
        """Where the kernel's image begins: at 0, but for a capture kernel."""
        return linear_phys(_optional_symbol(self.info, "_stext") or 0) or 0

    @property
    def agreement(self) -> int:
        """How far memory bears the text out."""
        return self.pointers - self.strays

    def __str__(self) -> str:
        moved = f", whose image is at {self.image_phys:#x}" if self.image_phys else ""
        crashed = ", crashed" if self.crash_time else ""
        return f"the {self.form} at {self.phys:#x} of kernel {self.release}{moved}{crashed}"


def read_candidate(source: PhysicalSource, start: int) -> FoundText | None:
    """Give the text that begins at a physical address, if a kernel of this memory wrote it."""
    found = _read_note(source, start) or _read_bare(source, start)
    uts = _utsname_of(source, found.info) if found is not None else None
    if found is None or uts is None or uts.release != found.release:
        return None
    order = ORDER_OF_MACHINE.get(uts.machine, found.order)
    if order is None:
        return found
    if found.order not in (None, order):
        return None
    pointers, strays = _follow_pointers(LinearMemory(source, order), found.info)
    return replace(found, pointers=pointers, strays=strays)


def best_first(found: Iterable[FoundText]) -> tuple[FoundText, ...]:
    """Give one text of each kernel, that of the dumped one first.

    A kernel that memory bears out goes before one that it does not, and the machine's before its
    capture kernel. Of one kernel's texts one where a kernel keeps it goes before a copy that lies
    elsewhere, the note before the bare text, and then the last and the longest that was written.
    """
    ordered = sorted(
        found,
        key=lambda text: (
            text.agreement < 0,
            text.image_phys > 0,
            -text.agreement,
            _place(text),
            text.form != "note",
            -text.crash_time,
            -len(text.text),
            text.phys,
        ),
    )
    best: list[FoundText] = []
    for text in ordered:
        if not any(_same_kernel(text, other) for other in best):
            best.append(text)
    return tuple(best)


def release_in_memory(source: PhysicalSource, text: bytes) -> str | None:
    """Give the release in the utsname where a VMCOREINFO text says that it is, or None."""
    uts = _utsname_of(source, Vmcoreinfo(text))
    return uts.release if uts is not None else None


def is_valid(text: bytes) -> bool:
    """Tell a text that a kernel wrote from one that only begins like it."""
    if text.translate(None, _ALLOWED) or b"%" in text.partition(b"\n")[0]:
        return False
    last = text.rpartition(b"\n")[2]
    if last and not _UNFINISHED.fullmatch(last):
        return False
    info = Vmcoreinfo(text)
    try:
        info.page_size()
        return _is_plausible(info)
    except FactError:
        return False


def read_up_to_nul(source: PhysicalSource, phys: int) -> bytes:
    """Read a text as far as it can be had, up to its NUL or the longest that a kernel writes."""
    text = b""
    while len(text) < _TEXT_MAX:
        # Up to the page's end: what follows may not be there.
        size = _PAGE_BYTES - (phys + len(text)) % _PAGE_BYTES
        try:
            part = source.read(phys + len(text), size)
        except ReadError:
            return text
        text += part.split(b"\0")[0]
        if b"\0" in part:
            break
    return text


def _same_kernel(one: FoundText, other: FoundText) -> bool:
    """Tell whether two texts contradict each other in nothing but the time of the crash."""
    ours, theirs = (_values(text) for text in (one, other))
    return all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys() - {b"CRASHTIME"})


def _values(found: FoundText) -> dict[bytes, bytes]:
    lines = (line.partition(b"=") for line in found.text.split(b"\n"))
    return {key: value for key, _, value in lines}


def _place(text: FoundText) -> int:
    """Rank where a text lies: in the image, where no copy does; on a page of its own; elsewhere.

    Static arrays lie before the last symbol that the text names: mem_section is linked later. What
    stands behind room for a note's header on a page of its own is the text of a damaged note.
    """
    in_page = text.phys % _PAGE_BYTES
    if in_page == 0:
        return 1
    if text.form == "data" and in_page == NOTE_HEAD_BYTES:
        return 2
    return 0 if text.image_phys <= text.phys < _last_symbol(text) else 2


def _last_symbol(text: FoundText) -> int:
    """Give the physical address of the last symbol that a text names in its kernel's image."""
    last = start = text.image_phys
    for key in text.info:
        if key.startswith("SYMBOL("):
            try:
                phys = linear_phys(text.info.integer(key)) or 0
            except FactError:
                continue
            if last < phys < start + _USUAL_SPAN:
                last = phys
    return last


def _is_plausible(info: Vmcoreinfo) -> bool:
    """Tell whether a kernel's image can be where the text has it."""
    uts = info.symbol("init_uts_ns")
    start = _optional_symbol(info, "_stext")
    if start is None:
        return True
    root = _optional_symbol(info, "swapper_pg_dir")
    inside = range(start, start + _IMAGE_SPAN)
    return (
        linear_phys(start) is not None
        and uts in inside
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


def _follow_pointers(memory: LinearMemory, info: Vmcoreinfo) -> tuple[int, int]:
    """Count the named pointers that are pointers in memory, and those that are something else."""
    pointers = strays = 0
    for name in POINTERS:
        try:
            symbol = _optional_symbol(info, name)
            value = memory.word(symbol) if symbol is not None else 0
        except (FactError, ReadError):
            continue
        pointers += value != 0 and linear_phys(value) is not None
        strays += value != 0 and linear_phys(value) is None
    return pointers, strays


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
        if int.from_bytes(head[:4], order) == 11 and _TEXT_MIN <= length <= _TEXT_MAX:
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
