"""Words and widths of the text for people, which the commands share.

Each command's text is made from its record, so that it cannot say another thing than the JSON. No
line is wider than the terminal, or 80 columns where there is none, but for what cannot be broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from vmemmap.shown import escaped
from vmemmap.units import count_text as count_text
from vmemmap.units import duration_text as duration_text
from vmemmap.units import size_text as size_text
from vmemmap.units import time_text as time_text

_LINE_WIDTH = 80
INDENT = "    "


def line_width() -> int:
    """Give how wide a line may be: as wide as the terminal, or 80 columns in pipes and files."""
    if not sys.stdout.isatty():
        return _LINE_WIDTH
    import shutil  # together with all the packers that it knows it takes a while

    return max(shutil.get_terminal_size().columns, 40)


def fitted(
    start: str, parts: Iterable[str], gap: str = "  ", indent: str = INDENT
) -> Iterator[str]:
    """Give a line, or where it would be wider than the terminal (80 columns in pipes), several.

    Args:
        start: What the line begins with, if anything; stays alone if not all parts fit behind it.
        parts: What is kept in one piece.
        gap: What stands between parts.
        indent: What further lines begin with.
    """
    words = list(parts)
    width = line_width()
    whole = f"{start}  {gap.join(words)}"
    if len(whole) <= width:
        yield f"{whole.rstrip()}\n"
        return
    if start:
        yield f"{start.rstrip()}\n"
    yield from _filled("", words, gap, indent, indent, width)


def fitted_behind(start: str, parts: Iterable[str], indent: str = INDENT) -> Iterator[str]:
    """Give as many lines as it takes, the first parts behind *start* and the others below it."""
    return _filled(start, parts, " ", "", indent, line_width())


def wrapped(text: str, first: str = "", indent: str = INDENT) -> Iterator[str]:
    """Give a sentence in as many lines as it takes.

    Args:
        text: The sentence.
        first: What its first line begins with.
        indent: What the others begin with.
    """
    yield from _filled(first, text.split(), " ", "", indent, line_width())


def _filled(
    line: str, words: Iterable[str], gap: str, first: str, indent: str, width: int
) -> Iterator[str]:
    """Fill lines with words; *line* is what the first begins with, *first* what indents it."""
    begun = first + line
    empty = True
    for word in words:
        if not empty and len(begun) + len(gap) + len(word) > width:
            yield f"{begun.rstrip()}\n"
            begun, empty = indent, True
        begun += ("" if empty else gap) + word
        empty = False
    if begun.strip():
        yield f"{begun.rstrip()}\n"


def named(name: str, value: str, width: int = 12) -> Iterator[str]:
    """Give a name and its value, a paragraph of its own that hangs behind the name."""
    yield from wrapped(value, f"  {name:{width}}", " " * (width + 2))


def plain(value: object) -> str:
    """Give a text that cannot do anything to a terminal: all but printable ASCII is escaped."""
    return escaped(str(value), ascii_only=True)
