"""Records to JSON, the stable form for programs: addresses are "0x..." texts, counts integers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

JsonObject = dict[str, Any]


def dump(record: JsonObject | list[JsonObject]) -> str:
    """Give a record as indented JSON text with a newline at its end."""
    return json.dumps(record, indent=2) + "\n"


def dump_with_rows(
    head: JsonObject,
    key: str,
    rows: Iterable[JsonObject],
    tail: JsonObject | Callable[[], JsonObject],
) -> Iterator[str]:
    """Give a record with one long array in pieces of text, a row a line, without holding it whole.

    Args:
        head: Members before the array.
        key: The array's name.
        rows: The array's elements.
        tail: Members after it, or what gives them once all rows have been written.
    """
    yield "{\n"
    for name, value in head.items():
        yield f"  {json.dumps(name)}: {json.dumps(value)},\n"
    yield f"  {json.dumps(key)}: ["
    between = "\n    "
    for row in rows:
        yield between + json.dumps(row)
        between = ",\n    "
    yield "]" if between.startswith("\n") else "\n  ]"
    for name, value in (tail() if callable(tail) else tail).items():
        yield f",\n  {json.dumps(name)}: {json.dumps(value)}"
    yield "\n}\n"
