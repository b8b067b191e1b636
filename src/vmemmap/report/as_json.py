r"""Records to JSON, the stable form for programs: addresses are "0x..." texts, counts integers.

All of it is Unicode, so that strict readers take it: a byte of a file's name that is no UTF-8 is
the text ``\xff``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmemmap.shown import as_utf8

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
    return _json(record, indent=2) + "\n"


def lines(record: Record | Sequence[Record] | LongRecord) -> Iterator[str]:
    """Give a record in pieces of text; the rows of a long one in a line each."""
    if not isinstance(record, LongRecord):
        yield dump(record)
        return
    yield "{\n"
    for name, value in record.head.items():
        yield f"  {_json(name)}: {_json(value)},\n"
    yield f"  {_json(record.key)}: ["
    between = "\n    "
    for row in record.rows:
        yield between + (row if isinstance(row, str) else _json(row))
        between = ",\n    "
    yield "]" if between.startswith("\n") else "\n  ]"
    for name, value in record.tail().items():
        yield f",\n  {_json(name)}: {_json(value)}"
    yield "\n}\n"


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent)
    # A lone surrogate, or one of a pair: seldom enough to look twice.
    return json.dumps(_unicode(value), indent=indent) if "\\ud" in text else text


def _unicode(value: object) -> object:
    if isinstance(value, str):
        return as_utf8(value)
    if isinstance(value, Mapping):
        return {key: _unicode(member) for key, member in value.items()}
    return [*map(_unicode, value)] if isinstance(value, (list, tuple)) else value
