"""Records to CSV, with a heading line; the columns are those of the JSON form."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence


class _Line:
    """A file that remembers the last thing written to it."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def lines(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Give the heading and the rows as CSV lines; a member that a row lacks is an empty field."""
    line = _Line()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(columns)
    yield line.text
    for row in rows:
        writer.writerow([_field(row.get(column)) for column in columns])
        yield line.text


def _field(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        return value.encode("unicode_escape").decode("ascii")
    return "" if value is None else value
