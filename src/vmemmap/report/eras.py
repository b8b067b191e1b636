"""The record of ``vmemmap simulate --explain-era``: what holds in a release, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict, final

from vmemmap.report.text import wrapped

if TYPE_CHECKING:
    from vmemmap.simulate.eras import Bracket
    from vmemmap.simulate.explain import EraRow

COLUMNS = ("name", "what", "value", "since", "until", "known", "doubt")


class EraRowRecord(TypedDict):
    """What holds of one thing.

    Attributes:
        name: A short name, the same in every release.
        what: The question that it answers.
        value: The answer, in words.
        since: The release from which on it holds; null for the oldest known.
        until: The release in which something else begins to hold; null when nothing does.
        known: Whether it is known to hold in this release; else a change may or may not be in it.
        doubt: Where it is not known, between which releases the change came, and who says what.
    """

    name: str
    what: str
    value: str
    since: str | None
    until: str | None
    known: bool
    doubt: str | None


@final
class EraRecord(TypedDict):
    """What the model's tables hold for a release, with --explain-era.

    Attributes:
        release: The release.
        rows: What holds.
    """

    release: str
    rows: list[EraRowRecord]


def era(release: str, rows: Sequence[EraRow]) -> EraRecord:
    """Make the record of a release."""
    return {
        "release": release,
        "rows": [
            {
                "name": row.name,
                "what": row.what,
                "value": row.value,
                "since": row.since,
                "until": row.until,
                "known": not row.doubts,
                "doubt": "; ".join(map(_doubt, row.doubts)) or None,
            }
            for row in rows
        ],
    }


def _doubt(bracket: Bracket) -> str:
    text = f"changed after {bracket.after} and by {bracket.by}"
    return f"{text} ({bracket.why})" if bracket.why else text


def era_lines(record: EraRecord) -> Iterator[str]:
    """Give what holds in a release, a row after the other."""
    yield f"What the model holds for {record['release']}\n"
    for row in record["rows"]:
        span = " ".join(
            f"{word} {release}"
            for word, release in (("since", row["since"]), ("until", row["until"]))
            if release is not None
        )
        yield from wrapped(row["what"], "  ", "  ")
        below = " " * 25
        value = f"{row['value']}{f' ({span})' if span else ''}"
        yield from wrapped(value, f"    {row['name']:20} ", below)
        if row["doubt"] is not None:
            yield from wrapped(f"not known: {row['doubt']}", below, below)
    doubtful = sum(not row["known"] for row in record["rows"])
    yield f"{doubtful} of {len(record['rows'])} are not known of this very release\n"
