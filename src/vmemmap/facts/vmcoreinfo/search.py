"""VMCOREINFO found in the dumped memory itself, for dumps whose container carries none.

The kernel builds the text at boot in a page of its own, and keeps a complete ELF note of it at the
start of another allocation. Both begin on a page, so only the beginnings of pages are looked at;
what else holds such a text (the format in the kernel's code, tools in the page cache) does not. A
copy counts only if the utsname it points to has the same release, which tells the text of this
kernel from one left over from another.

Source: Linux kernel/vmcore_info.c (vmcoreinfo_data, vmcoreinfo_note).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vmemmap.address import ByteOrder
from vmemmap.errors import FactError, FactMissing, ReadError
from vmemmap.facts.uts import find_utsname
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import LinearMemory, linear_phys
from vmemmap.source.base import PHYS_END, PhysicalSource

_TEXT_START = b"OSRELEASE="
_NOTE_NAME = b"VMCOREINFO\0\0"
_NAME_AT, _TEXT_AT = 12, 24
_HEAD_BYTES = 64
_LOW_MEMORY = 4 << 30
_TEXT_MAX = 65536
_TEXT_MIN = 64
_CANDIDATES_MAX = 64
"""An honest memory has a handful of pages that begin like the text."""
_ALLOWED = bytes([10, *range(32, 127)])

Tell = Callable[[float], None]
"""Told how far a search has come, 0 to 1."""


@dataclass(frozen=True, slots=True)
class FoundText:
    """A VMCOREINFO text found in memory.

    Attributes:
        text: The text, from OSRELEASE on, without NULs at its end.
        phys: Physical address of the note or page that holds it.
        form: ``note``: the complete ELF note; ``data``: the bare text.
        order: For a note, the memory's byte order, which its first word shows.
    """

    text: bytes
    phys: int
    form: Literal["note", "data"]
    order: ByteOrder | None


def find_in_memory(
    source: PhysicalSource, tell: Tell = lambda _: None, patience_seconds: float | None = None
) -> FoundText | None:
    """Search the dump's memory for the kernel's VMCOREINFO.

    Args:
        source: The dump.
        tell: Told how far it has come.
        patience_seconds: Give up after so long; None to look at everything.

    Returns:
        The first note whose utsname agrees; else the best of what was found; else None. Pages are
        looked at in 64 KiB steps first, in 4 KiB steps if that finds nothing, and low memory, where
        the kernel most likely keeps it, before all of it.

    Raises:
        FactMissing: The patience ran out.
    """
    left = _CANDIDATES_MAX
    began = time.process_time()  # not the clock on the wall: a busy machine is no hostile dump
    for until, unit_bytes in itertools.product((_LOW_MEMORY, PHYS_END), (65536, 4096)):
        best: FoundText | None = None
        for heads in source.heads(unit_bytes, _HEAD_BYTES, until):
            tell(heads.done)
            if patience_seconds is not None and time.process_time() - began > patience_seconds:
                raise FactMissing(
                    "the dump's headers carry no VMCOREINFO, and the kernel's own copy was not "
                    f"found in {patience_seconds:g} s of work in its memory in "
                    f"{unit_bytes >> 10} KiB steps ({heads.done:.0%} done); name the text with "
                    "--vmcoreinfo, or search on a terminal, which goes on to the end",
                    name="VMCOREINFO",
                )
            for row in np.flatnonzero(_looks_right(heads.data)).tolist()[:left]:
                left -= 1
                found = _find_text(source, int(heads.phys[row]), heads.data[row].tobytes())
                if found is None or not _agrees_with_utsname(source, found.text):
                    continue
                if found.form == "note":
                    return found
                best = best or found
        if best is not None:
            return best
    return None


def find_by_symbols(source: PhysicalSource, vmcoreinfo_data: int) -> bytes | None:
    """Find the text where a vmlinux says that the kernel keeps it.

    Args:
        source: The dump.
        vmcoreinfo_data: Address of the symbol: the text itself up to 4.12, a pointer to it since.

    Returns:
        The text, or None if there is none that a kernel wrote.
    """
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    try:
        pointers = [LinearMemory(source, order).word(vmcoreinfo_data) for order in orders]
    except ReadError:
        return None
    for virt in (vmcoreinfo_data, *pointers):
        phys = linear_phys(virt)
        text = _read_up_to_nul(source, phys) if phys is not None else b""
        if text.startswith(_TEXT_START) and _is_valid(text):
            return text
    return None


def _looks_right(
    data: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which page beginnings have the start of the text where it can be."""
    text = np.frombuffer(_TEXT_START, dtype=np.uint8)
    bare = (data[:, : len(text)] == text).all(axis=1)
    note = (data[:, _TEXT_AT : _TEXT_AT + len(text)] == text).all(axis=1)
    return np.asarray(bare | note)


def _find_text(source: PhysicalSource, phys: int, head: bytes) -> FoundText | None:
    """Give the text behind a page beginning that looks right, if a kernel wrote it."""
    if head.startswith(_TEXT_START):
        text = _read_up_to_nul(source, phys)
        return FoundText(text, phys, "data", None) if _is_valid(text) else None
    if head[_NAME_AT:_TEXT_AT] != _NOTE_NAME or head[8:12] != bytes(4):
        return None
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    for order in orders:
        length = int.from_bytes(head[4:8], order)
        if int.from_bytes(head[:4], order) == 11 and _TEXT_MIN <= length <= _TEXT_MAX:
            try:
                text = source.read(phys + _TEXT_AT, length).rstrip(b"\0")
            except ReadError:
                return None
            return FoundText(text, phys, "note", order) if _is_valid(text) else None
    return None


def _read_up_to_nul(source: PhysicalSource, phys: int) -> bytes:
    text = b""
    while len(text) < _TEXT_MAX:
        try:
            part = source.read(phys + len(text), 4096)
        except ReadError:
            return text
        text += part.split(b"\0")[0]
        if b"\0" in part:
            break
    return text


def _is_valid(text: bytes) -> bool:
    """Tell a text that a kernel wrote from one that only begins like it."""
    odd = text.translate(None, _ALLOWED)
    if odd or not text.endswith(b"\n") or b"%" in text.split(b"\n")[0]:
        return False
    info = Vmcoreinfo(text)
    try:
        info.page_size()
        info.symbol("init_uts_ns")
    except FactError:
        return False
    return True


def _agrees_with_utsname(source: PhysicalSource, text: bytes) -> bool:
    """Check that the kernel that the text describes is the one in this memory."""
    return release_in_memory(source, text) == Vmcoreinfo(text).text("OSRELEASE")


def release_in_memory(source: PhysicalSource, text: bytes) -> str | None:
    """Give the release in the utsname where a VMCOREINFO text says that it is, or None."""
    try:
        phys = linear_phys(Vmcoreinfo(text).symbol("init_uts_ns"))
        uts = find_utsname(source, phys, (0, 4)) if phys is not None else None
        return uts.release if uts is not None else None
    except (FactError, ReadError):
        return None
