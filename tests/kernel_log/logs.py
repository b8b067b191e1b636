"""Logs of every era with known messages, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from builders.kernel_era import Layout
from builders.machine import Machine, build_machine
from builders.printk import CPU_CALLER, CharacterLog, LocklessLog, Message, RecordLog

ORDERS = ("little", "big")
SECOND = 10**9

ODD_TEXTS = (
    b"",
    b"plain",
    b"two\nlines and a tab\t.",
    b"\x1b[31mred\x1b[0m \x00\x07\x7f \xc3\xa9 \xff",
    b" starts and ends with spaces ",
    b"x" * 900,
    b"<3>[    1.000000] looks like a head",
)


def messages(count: int) -> list[Message]:
    """Give *count* messages that differ in everything."""
    return [
        Message(
            text=ODD_TEXTS[number % len(ODD_TEXTS)] + b" #%d" % number if number % 11 else b"",
            ts_nsec=number * 1_234_567_891 + 999 if number % 5 else number * 100_001 * SECOND,
            level=number % 8,
            facility=(0, 0, 1, 3, 23)[number % 5],
            caller_id=(number * 7919) | (CPU_CALLER if number % 3 == 0 else 0),
        )
        for number in range(count)
    ]


def machine_of(order: Any, release: str = "6.1.0-50", **options: Any) -> Machine:
    layout: Layout = "c00c" if release >= "5" else "f000"
    return build_machine(
        byte_order=order, blocks=2, store="none", release=release, layout=layout, **options
    )


def fill(log: CharacterLog | RecordLog | LocklessLog, count: int) -> None:
    for message in messages(count):
        log.add(message)


__all__ = [
    "ODD_TEXTS",
    "ORDERS",
    "CharacterLog",
    "LocklessLog",
    "RecordLog",
    "fill",
    "machine_of",
    "messages",
]
