"""A record of the kernel's log, and the log as what can be iterated.

Source: Linux include/linux/kern_levels.h, kernel/printk/printk.c (print_caller).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, overload

from vmemmap.findings import Finding
from vmemmap.frames import Tabular
from vmemmap.kernel_log.damage import LogDamage
from vmemmap.units import count_text

LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
"""The names of the levels 0 to 7, as dmesg has them."""

_NOT_PLAIN = re.compile(rb"[^\t-\r -~]")
_SHOWN = 8
_KEPT_MAX = 1 << 16
"""How many records are kept for who goes through the log next; a few MiB."""
_CALLER_IS_CPU = 1 << 31


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record lies in the kernel's memory, as pieces of kernel virtual address and size.

    Attributes:
        words: What says where the message is, how long it is, and who logged it when.
        text: The message itself, in order; with what the kernel put before it, in a character ring.
    """

    words: tuple[tuple[int, int], ...] = ()
    text: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LogRecord:
    r"""One message of the kernel.

    Attributes:
        data: The message as it was logged, without the line's end; can have more than one line.
        time_ns: Nanoseconds since boot, or None where the kernel did not record it.
        level: 0 (emergency) to 7 (debug), or None.
        facility: As in syslog, 0 for the kernel's own messages, or None.
        caller: Who printed it: ``T123`` a task, ``C3`` a processor; None if not recorded.
        seq: Number of the message since boot, or None.
        head: What the kernel itself put before the message, in a character ring only:
            ``<6>[    1.234567] ``.
        place: Where it lies in memory.
    """

    data: bytes
    time_ns: int | None = None
    level: int | None = None
    facility: int | None = None
    caller: str | None = None
    seq: int | None = None
    head: bytes = b""
    place: RecordPlace = field(default=RecordPlace(), compare=False, repr=False)

    @property
    def text(self) -> str:
        r"""The message as text; what is no UTF-8 stands as ``\xff``."""
        return self.data.decode("utf-8", "backslashreplace")

    @property
    def line(self) -> str:
        r"""The message as kexec-tools' vmcore-dmesg prints it, without the line's end.

        All but printable ASCII and white space stands as ``\x1b``. (In a character ring
        vmcore-dmesg leaves such characters as they are; here they cannot reach a terminal either.)
        """
        if self.head or self.time_ns is None:
            return self.line_behind(self.head)
        seconds, rest = divmod(self.time_ns, 1_000_000_000)
        return self.line_behind(b"[%5d.%06d] " % (seconds, rest // 1000))

    def line_behind(self, head: bytes) -> str:
        """The message behind another head than vmcore-dmesg's, likewise without the line's end."""
        return _NOT_PLAIN.sub(_escaped, head + self.data).decode("ascii")


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % match[0][0]


def caller_text(caller_id: int) -> str:
    """Put printk's caller_id as the kernel does: T and a task's number, or C and a processor's."""
    letter = "C" if caller_id & _CALLER_IS_CPU else "T"
    return f"{letter}{caller_id & ~_CALLER_IS_CPU}"


class KernelLog(Tabular):
    """The kernel's log, oldest record first; can be iterated again and again.

    Args:
        form: How the kernel keeps it: ``lockless`` (since 5.10), ``records`` (3.5 to 5.9) or
            ``characters`` (before).
        walk: Yields the records, and takes note of what is damaged.


    Attributes:
        form: As given.
    """

    def __init__(self, form: str, walk: Callable[[LogDamage], Iterator[LogRecord]]) -> None:
        self.form = form
        self._walk = walk
        self._damage = LogDamage()
        self._count: int | None = None
        self._kept: list[LogRecord] | None = None

    def __iter__(self) -> Iterator[LogRecord]:
        # list() asks for the length between this and the first record.
        if self._kept is not None:
            kept, self._kept = self._kept, None
            yield from kept
            return
        self._damage = LogDamage()
        yield from self._walk(self._damage)

    def __len__(self) -> int:
        """Count the records, which reads all of the log."""
        if self._count is None:
            count, kept = 0, list[LogRecord]()
            for count, record in enumerate(self, 1):
                if count <= _KEPT_MAX:
                    kept.append(record)
            self._count = count
            self._kept = kept if count <= _KEPT_MAX else None
        return self._count

    @overload
    def __getitem__(self, place: int) -> LogRecord: ...
    @overload
    def __getitem__(self, place: slice) -> list[LogRecord]: ...
    def __getitem__(self, place: int | slice) -> LogRecord | list[LogRecord]:
        """Give a record by its place, -1 for the last, or some; this reads all of the log."""
        return [*self][place]

    def __bool__(self) -> bool:
        """Tell whether there is a record; no more than that is read."""
        return next(iter(self), None) is not None

    @property
    def text(self) -> str:
        """All of it as vmcore-dmesg prints it, a line a message."""
        return "".join(f"{record.line}\n" for record in self)

    def __repr__(self) -> str:
        """Give the last messages, which reads all of the log."""
        count, last = 0, deque[LogRecord](maxlen=_SHOWN)
        for record in self:
            count += 1
            last.append(record)
        bad = f", {count_text(len(self.findings), 'finding')}" if self.findings else ""
        title = f"KernelLog: {count_text(count, 'record')} ({self.form}){bad}"
        lines = [title, *(["..."] if count > _SHOWN else []), *(record.line for record in last)]
        return "\n".join(lines)

    def columns(self) -> dict[str, list[Any]]:
        """Give the columns of a table, a row a message; none where it is not recorded."""
        records = [*iter(self)]
        names = ("seq", "time_ns", "level", "facility", "caller", "text")
        return {name: [getattr(record, name) for record in records] for name in names}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found wrong by the last iteration, as far as it has come."""
        return self._damage.findings
