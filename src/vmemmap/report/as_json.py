"""Records to JSON, the stable form for programs: addresses are "0x..." texts, counts integers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Record = Mapping[str, object]
"""A JSON object: the TypedDict of a command."""


@dataclass(frozen=True, slots=True)
class LongRecord:
    """A record with one long array that is made while it is written, and never held whole.

    Attributes:
        key: The array's name.
        rows: The array's elements; or the JSON of one or more, with a comma, a line break and four
            spaces between them.
        head: Members before the array.
        tail: Gives the members after it, once all rows have been written.
    """

    key: str
    rows: Iterable[Record | str]
    head: Record = field(default_factory=dict)
    tail: Callable[[], Record] = dict


def dump(record: Record | Sequence[Record]) -> str:
    """Give a record as indented JSON text with a newline at its end."""
    return json.dumps(record, indent=2) + "\n"


def lines(record: Record | Sequence[Record] | LongRecord) -> Iterator[str]:
    """Give a record in pieces of text; the rows of a long one in a line each."""
    if not isinstance(record, LongRecord):
        yield dump(record)
        return
    yield "{\n"
    for name, value in record.head.items():
        yield f"  {json.dumps(name)}: {json.dumps(value)},\n"
    yield f"  {json.dumps(record.key)}: ["
    between = "\n    "
    for row in record.rows:
        yield between + (row if isinstance(row, str) else json.dumps(row))
        between = ",\n    "
    yield "]" if between.startswith("\n") else "\n  ]"
    for name, value in record.tail().items():
        yield f",\n  {json.dumps(name)}: {json.dumps(value)}"
    yield "\n}\n"
