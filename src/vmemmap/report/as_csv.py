"""Records to CSV, with a heading line; the columns are those of the JSON form."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence

from vmemmap.shown import escaped


class _Line:
    """A file that remembers the last thing written to it."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def lines(columns: Sequence[str], records: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Give the heading and the rows as CSV lines; a member that a row lacks is an empty field."""
    yield from rows(columns, [dict(zip(columns, columns, strict=True))])
    yield from rows(columns, records)


def rows(columns: Sequence[str], records: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The same without the heading."""
    line = _Line()
    writer = csv.writer(line, lineterminator="\n")
    for record in records:
        writer.writerow([_field(record.get(column)) for column in columns])
        yield line.text


def _field(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return escaped(value, ascii_only=True)
    return "" if value is None else value
