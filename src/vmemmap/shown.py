"""How objects show themselves: long tables short, in text and HTML.

What stands in a dump can be anything, so in HTML all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

_HEAD, _TAIL = 6, 2
"""How many rows of a long table are shown, at its beginning and its end."""


def as_utf8(text: str) -> str:
    """Give a text that a file can hold: bytes of a file's name that are no UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
