"""The log as a ring of characters, as kernels before 3.5 keep it.

A line is what printk was given behind ``<level>`` and, where the kernel was told to, the time:
``<6>[    1.234567] text``. ``log_end`` counts all characters ever written, and the ring holds the
last ``log_buf_len`` of them, so that the oldest line can lack its beginning.

Source: Linux kernel/printk.c up to v3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmemmap.address import is_power_of_two
from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.kernel_log.damage import LogDamage
from vmemmap.kernel_log.log_memory import KernelVariables, LogBuffer
from vmemmap.kernel_log.record import LogRecord, RecordPlace

RING_MAX_BYTES = 1 << 31
"""The kernel accepts no more for log_buf_len=."""
_STEP_BYTES = 1 << 16
_LINE_MAX_BYTES = 1 << 16
"""printk's own buffer has 1024; a line that does not end is given out in pieces."""
_HEAD = re.compile(rb"(?:<(\d{1,3})>)?(?:\[ *(\d{1,12})\.(\d{6})\] )?")


def walk_character_ring(kernel: KernelVariables, damage: LogDamage) -> Iterator[LogRecord]:
    """Yield the log's lines, oldest first.

    Raises:
        FactError: VMCOREINFO does not say where the ring is, or what it says is impossible.
    """
    size = kernel.u32("log_buf_len")
    if not is_power_of_two(size) or size > RING_MAX_BYTES:
        raise FactInvalid(
            f"log_buf_len is {size:#x}; expected a power of two of at most {RING_MAX_BYTES:#x}",
            name="log_buf_len",
        )
    ring = LogBuffer(kernel.memory, "log_buf", kernel.pointer("log_buf"), size)
    end = kernel.u32("log_end")
    # log_end has 32 bits and starts again from 0; logged_chars then still knows of more.
    kept = min(max(end, kernel.u32("logged_chars")), size)
    line = _Line()
    for at, part in _characters(ring, end, kept, damage):
        *lines, last = part.split(b"\n")
        for text in lines:
            line.add(ring.virt + at, text)
            yield line.record()
            at += len(text) + 1
            line = _Line()
        line.add(ring.virt + at, last)
        while len(line.text) > _LINE_MAX_BYTES:
            first, line = line.split(_LINE_MAX_BYTES)
            yield first.record()
    if line.text:
        yield line.record()


def _characters(
    ring: LogBuffer, end: int, kept: int, damage: LogDamage
) -> Iterator[tuple[int, bytes]]:
    """Yield the last *kept* characters before the free-running index *end*, and where they are."""
    at, left = (end - kept) % ring.size, kept
    while left:
        step = min(left, ring.size - at, _STEP_BYTES - at % _STEP_BYTES)
        try:
            yield at, ring.get(at, step)
        except FactMissing as error:
            damage.add("log_unreadable", f"{step} characters of the log are missing: {error}")
        at, left = (at + step) % ring.size, left - step


class _Line:
    """A line as it is put together: its text, and where the pieces of it lie."""

    def __init__(self) -> None:
        self.text = b""
        self.pieces: list[tuple[int, int]] = []

    def add(self, virt: int, text: bytes) -> None:
        """Add what stands at an address."""
        if text:
            self.text += text
            self.pieces.append((virt, len(text)))

    def split(self, size: int) -> tuple[_Line, _Line]:
        """Give the first bytes as a line of their own, and the rest as another."""
        lines, left = (_Line(), _Line()), self.text
        for virt, length in self.pieces:
            into = min(max(size - len(lines[0].text), 0), length)
            lines[0].add(virt, left[:into])
            lines[1].add(virt + into, left[into:length])
            left = left[length:]
        return lines

    def record(self) -> LogRecord:
        """Give it as a record."""
        return _record(self.text, RecordPlace(text=tuple(self.pieces)))


def _record(line: bytes, place: RecordPlace) -> LogRecord:
    match = _HEAD.match(line)
    assert match is not None
    prefix, seconds, micros = match.groups()
    return LogRecord(
        data=line[match.end() :],
        time_ns=None if seconds is None else int(seconds) * 10**9 + int(micros) * 1000,
        level=None if prefix is None else int(prefix) & 7,
        facility=None if prefix is None else int(prefix) >> 3,
        head=match[0],
        place=place,
    )
