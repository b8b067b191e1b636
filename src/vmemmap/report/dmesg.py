"""The record of ``vmemmap dmesg``: the kernel's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypedDict

from vmemmap.report.as_json import LongRecord
from vmemmap.report.members import FindingRecord, finding_records

if TYPE_CHECKING:
    from vmemmap.kernel_log.record import KernelLog, LogRecord

COLUMNS = ("seq", "time_ns", "level", "facility", "caller", "text")


class MessageRecord(TypedDict):
    r"""One message of the kernel.

    Attributes:
        seq: Its number since boot; null where the kernel does not record it.
        time_ns: Nanoseconds since boot, likewise.
        level: 0 (emergency) to 7 (debug), likewise.
        facility: As in syslog, 0 for the kernel's own messages, likewise.
        caller: Who printed it: T123 a task, C3 a processor; likewise.
        text: The message, which can have more than one line; what is no UTF-8 stands as \xff.
    """

    seq: int | None
    time_ns: int | None
    level: int | None
    facility: int | None
    caller: str | None
    text: str


class DmesgRecord(TypedDict):
    """The kernel's log.

    Attributes:
        form: How the kernel keeps it: lockless (since 5.10), records (3.5 to 5.9) or characters.
        records: The messages, oldest first.
        findings: What is wrong with the log.
    """

    form: str
    records: list[MessageRecord]
    findings: list[FindingRecord]


def record(log: KernelLog, chosen: Iterable[LogRecord]) -> LongRecord:
    """Make the record of a log, a `DmesgRecord`; its messages are made one by one.

    Args:
        log: The log.
        chosen: The messages to show.
    """
    return LongRecord(
        "records",
        rows(chosen),
        head={"form": log.form},
        # What is wrong with the log is known when all of it has been read.
        tail=lambda: {"findings": finding_records(log.findings)},
    )


def rows(chosen: Iterable[LogRecord]) -> Iterator[MessageRecord]:
    """Yield messages in the JSON form."""
    for message in chosen:
        yield {
            "seq": message.seq,
            "time_ns": message.time_ns,
            "level": message.level,
            "facility": message.facility,
            "caller": message.caller,
            "text": message.text,
        }


def lines(chosen: Iterable[LogRecord]) -> Iterator[str]:
    """Give messages as vmcore-dmesg prints them."""
    return (message.line + "\n" for message in chosen)


def decorated_lines(
    chosen: Iterable[LogRecord], booted: float | None, *, callers: bool
) -> Iterator[str]:
    """Give messages with the date, as ``dmesg -T`` does, or with who printed them, as printk does.

    Args:
        chosen: The messages.
        booted: When the kernel booted, seconds since 1970; None to show the time since then.
        callers: Whether to show who printed each.
    """
    from time import asctime, gmtime

    for message in chosen:
        if message.time_ns is None:
            yield message.line + "\n"  # of a character ring, which has what the kernel put there
            continue
        if booted is None:
            seconds, rest = divmod(message.time_ns, 1_000_000_000)
            head = f"[{seconds:5}.{rest // 1000:06}]"
        else:
            head = f"[{asctime(gmtime(booted + message.time_ns / 1e9))}]"
        if callers:
            head += f"[{message.caller or '-':>6}]"
        yield message.line_behind(f"{head} ".encode()) + "\n"
