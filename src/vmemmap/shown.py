"""How objects show themselves: sizes and counts in words, long tables short, in text and HTML.

What stands in a dump can be anything, so in HTML all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

_HEAD, _TAIL = 6, 2
"""How many rows of a long table are shown, at its beginning and its end."""


def size_text(size_bytes: int) -> str:
    """Put a size into words, in the largest unit that fits: 64 KiB, 1.5 MiB, 1 byte."""
    for shift, unit in ((50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size_bytes >= 1 << shift:
            return f"{size_bytes / (1 << shift):.4g} {unit}"
    return count_text(size_bytes, "byte")


def count_text(count: int, noun: str) -> str:
    """Put a count into words: 1 page, 3 pages; *noun* is the word for one."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count} {noun if count == 1 else plural}"


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
