"""Words and widths of the text for people, which the commands share.

Each command's text is made from its record, so that it cannot say another thing than the JSON.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vmemmap.units import count_text as count_text
from vmemmap.units import size_text as size_text

if TYPE_CHECKING:
    from rich.console import Console  # imported only where a table is printed: it takes a while

_PIPE_WIDTH = 200
_LINE_WIDTH = 80
_INDENT = "    "


def console() -> Console:
    """Give a console that collects its text: colours on a terminal, no wrapping in pipes.

    It does not write: rich would end the program itself when a pipe closes.
    """
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        force_terminal=sys.stdout.isatty(),
        width=_width(_PIPE_WIDTH),
        highlight=False,
        markup=False,
        emoji=False,
    )


def _width(in_pipes: int) -> int:
    if not sys.stdout.isatty():
        return in_pipes
    import shutil  # together with all the packers that it knows it takes a while

    return shutil.get_terminal_size().columns


def fitted(start: str, parts: Iterable[str], gap: str = "  ") -> Iterator[str]:
    """Give a line, or where it would be wider than the terminal (80 columns in pipes), several.

    Args:
        start: What the line begins with, if anything; stays alone if not all parts fit behind it.
        parts: What is kept in one piece.
        gap: What stands between parts.
    """
    words = list(parts)
    width = _width(_LINE_WIDTH)
    whole = f"{start}  {gap.join(words)}"
    if len(whole) <= width:
        yield f"{whole.rstrip()}\n"
        return
    if start:
        yield f"{start.rstrip()}\n"
    line = ""
    for word in words:
        if line and len(_INDENT) + len(line) + len(gap) + len(word) > width:
            yield f"{_INDENT}{line}\n"
            line = ""
        line += (gap if line else "") + word
    if line:
        yield f"{_INDENT}{line}\n"


def plain(value: object) -> str:
    """Give a text that cannot do anything to a terminal: all but printable ASCII is escaped."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")
