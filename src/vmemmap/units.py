"""Numbers and kinds of things as people read them: sizes, counts, times."""

from __future__ import annotations


def size_text(size_bytes: int) -> str:
    """Put a size into words, in the largest unit that fits: 64 KiB, 1.5 MiB, 1 byte."""
    for shift, unit in ((50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size_bytes >= 1 << shift:
            return f"{size_bytes / (1 << shift):.4g} {unit}"
    return count_text(size_bytes, "byte")


def count_text(count: int, noun: str, separator: str = "") -> str:
    """Put a count into words: 1 page, 3 pages; *noun* is the word for one.

    Args:
        count: The count.
        noun: As above.
        separator: What stands between its thousands, ``,`` or nothing.
    """
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:{separator}} {noun if count == 1 else plural}"


def duration_text(seconds: int) -> str:
    """Put a duration into words as crash does: 00:01:54, or 3 days, 04:05:06."""
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{count_text(days, 'day')}, {clock}" if days else clock


def time_text(seconds: int) -> str:
    """Put a time since 1970 into words: 2026-11-22 08:24:41 UTC."""
    from time import gmtime, strftime

    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(seconds))
