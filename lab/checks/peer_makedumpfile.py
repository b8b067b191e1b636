"""What makedumpfile's report says it would leave out.

Source: makedumpfile.c, print_report(), show_version().
"""

from __future__ import annotations

import re

NAMES = {
    "zero": "Pages filled with zero",
    "cache": "Non-private cache pages",
    "cache_private": "Private cache pages",
    "user": "User process data pages",
    "free": "Free pages",
    "hwpoison": "Hwpoison pages",
    "offline": "Offline pages",
    "pages": "Original pages",
}
"""Our names for the lines of its report."""
MESSAGES = 4 + 8 + 16
"""Its message level: errors, debugging and the report, but no progress bars."""


def options(level: int) -> list[object]:
    """Give the options with which it reports a level and writes nothing."""
    return ["--message-level", MESSAGES, "--dry-run", "-d", level]


def parse_report(said: str) -> dict[str, int] | None:
    """Read its counts by our names; None if it did not come so far."""
    counts = {}
    for name, line in NAMES.items():
        found = re.search(rf"^ *{line} *: 0x([0-9a-f]+)", said, re.MULTILINE)
        if found is None:
            return None
        counts[name] = int(found[1], 16)
    return counts


def parse_version(said: str) -> tuple[int, ...]:
    """Read its version, such as (1, 7, 8)."""
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()
