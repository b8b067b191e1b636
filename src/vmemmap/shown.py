"""How objects show themselves: long tables short, in text and HTML; and texts that can be anything.

What stands in a dump can be anything, so in HTML all of it is escaped. So can a file's name, whose
bytes need not be UTF-8: Python has them as lone surrogates, which no file holds and no strict
reader of JSON takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

_HEAD, _TAIL = 6, 2
"""How many rows of a long table are shown, at its beginning and its end."""


_BYTE = re.compile("[\udc80-\udcff]")
"""A byte of a file's name that is no UTF-8, as Python has it (PEP 383)."""


def as_utf8(text: str) -> str:
    r"""Give a text that a file can hold: bytes of a file's name that are no UTF-8 are ``\xff``."""
    text = _BYTE.sub(lambda byte: _escape(byte[0]), text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escaped(text: str, *, ascii_only: bool = False) -> str:
    r"""Give a text that stays in its line and does nothing to a terminal.

    What cannot be printed is escaped as in Python (``\n``, ``\x1b``, ``\u202e``), and bytes of a
    file's name that are no UTF-8 as ``\xff``; backslashes are doubled where anything is.

    Args:
        text: Any text.
        ascii_only: Escape all but ASCII.
    """
    if text.isprintable() and (not ascii_only or text.isascii()):
        return text
    return "".join(
        c if c.isprintable() and c != "\\" and (not ascii_only or c.isascii()) else _escape(c)
        for c in text
    )


def _escape(character: str) -> str:
    if _BYTE.match(character):
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


class ShortTable:
    """A table of which the first rows and the last are shown.

    Args:
        title: What it is, and how long.
        names: The names of the columns.
        count: How many rows it has.
        row: Gives the texts of one.
        all_rows: Show all of them.
    """

    def __init__(
        self,
        title: str,
        names: Sequence[str],
        count: int,
        row: Callable[[int], Sequence[str]],
        *,
        all_rows: bool = False,
    ) -> None:
        self._title, self._names = title, names
        self._count, self._row, self._all = count, row, all_rows

    def as_text(self) -> str:
        """Give a line for the title, the names, and each row that is shown."""
        rows = [list(self._names), *(list(row) for row in self._rows())]
        widths = [max(len(row[at]) for row in rows if row) for at in range(len(self._names))]
        lines = [
            "  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True))
            if row
            else "..."
            for row in rows
        ]
        return "\n".join([self._title, *(lines if self._count else [])])

    def as_html(self) -> str:
        """Give a table with a caption; what is in it is escaped."""
        from html import escape

        def line(texts: Sequence[str], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)}</tr>"

        gap = ["..."] + [""] * (len(self._names) - 1)
        rows = "".join(line(list(row) or gap, "td") for row in self._rows())
        heading = line(self._names, "th")
        caption = f"<caption>{escape(self._title)}</caption>"
        return f"<table>{caption}<thead>{heading}</thead><tbody>{rows}</tbody></table>"

    def _rows(self) -> Iterator[Sequence[str]]:
        """Yield the rows that are shown, and an empty one for those between."""
        if self._all or self._count <= _HEAD + _TAIL + 1:
            yield from map(self._row, range(self._count))
            return
        yield from map(self._row, range(_HEAD))
        yield ()
        yield from map(self._row, range(self._count - _TAIL, self._count))
