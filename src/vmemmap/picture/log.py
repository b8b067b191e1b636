"""The kernel's log on the page: as many of its last lines as there is room for, and the panic."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmemmap.kernel_log.record import LEVELS

if TYPE_CHECKING:
    from vmemmap.findings import Finding
    from vmemmap.kernel_log.record import KernelLog

PANIC = re.compile(
    r"Kernel panic - not syncing|kernel BUG at|BUG: |Oops: |Unable to handle kernel|"
    r"[Ss]ys[Rr]q ?: (?:SysRq : )?Trigger a crash|Unrecoverable exception"
)
"""What a line has in it that tells why a kernel died."""
_LINE_MAX = 2000
_MARKUP_BYTES = 34
"""About what the page needs for a line beside its text."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log.

    Attributes:
        words: Time and text, as vmcore-dmesg prints them.
        level: The name of its level, or an empty text.
        panic: Whether it tells why the kernel died.
    """

    words: str
    level: str
    panic: bool


@dataclass(frozen=True, slots=True)
class LogView:
    """The part of the log that is shown.

    Attributes:
        lines: Its last lines.
        before: How many lines there are before them.
        panic: The line that tells first why the kernel died; empty if none does.
        findings: What is wrong with the log.
    """

    lines: list[LogLine]
    before: int
    panic: str
    findings: tuple[Finding, ...]


def view_log(log: KernelLog, room: int) -> LogView:
    """Read the log, and keep its last lines.

    Args:
        log: The log.
        room: How many bytes of the page they may take.
    """
    kept: deque[LogLine] = deque()
    taken = before = 0
    panic = ""
    for record in log:
        level = LEVELS[record.level] if record.level is not None and record.level < 8 else ""
        for words in record.line.split("\n"):
            telling = PANIC.search(words) is not None
            # What follows the first is the same disaster told again, down to the panic.
            panic = panic or (words if telling else "")
            line = LogLine(words[:_LINE_MAX], level, telling)
            kept.append(line)
            taken += _size(line)
            while taken > room:
                taken -= _size(kept.popleft())
                before += 1
    return LogView(list(kept), before, panic, log.findings)


def _size(line: LogLine) -> int:
    escaped = sum(line.words.count(each) for each in "<>&\"'")
    return len(line.words) + 4 * escaped + _MARKUP_BYTES
