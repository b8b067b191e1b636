"""The row of one dump: what the questions of a survey give, asked in this process.

A question that cannot be answered leaves its columns null, and says why in ``error``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import vmemmap
from vmemmap.errors import FactError, VmemmapError
from vmemmap.findings import Severity
from vmemmap.shown import as_utf8
from vmemmap.survey.dumps import SurveyedDump
from vmemmap.vmcore import Vmcore, open_vmcore

Row = dict[str, Any]
FINDINGS_AT_MOST = 200
"""Of one dump; how many there are is in the row all the same."""


def ask_dump(
    dump: SurveyedDump, ask: Sequence[str], storage: Mapping[str, Any] | None = None
) -> Row:
    """Ask a dump, and give its row; whatever is wrong with the dump is in the row.

    Args:
        dump: The dump.
        ask: Of `QUESTIONS`, those to ask.
        storage: Options for URLs.
    """
    row, began = empty_row(dump, ask), time.monotonic()
    try:
        with open_vmcore(dump.opened_as, *dump.more, storage=storage) as core:
            for name in ask:
                try:
                    row |= QUESTIONS[name](core)
                except FactError as error:
                    if row["error"] is None:
                        _put_error(row, name, error)
            if "ram_bytes" in row:  # another question may have had to read it
                row["ram_bytes"] = _ram_bytes(core)
            if (traffic := core.source.traffic) is not None:
                row |= {"requests": traffic.requests, "fetched_bytes": traffic.bytes}
    except VmemmapError as error:
        _put_error(row, "open", error)
    row["seconds"] = time.monotonic() - began
    return row


def empty_row(dump: SurveyedDump, ask: Sequence[str]) -> Row:
    """Give a row that says nothing yet but what was asked, of which dump, and when."""
    return {
        "address": dump.address,
        "version": dump.version,
        "vmemmap": vmemmap.__version__,
        "members": dump.members,
        "asked": sorted(ask),
        "surveyed_at": datetime.now(UTC),
        "error_code": None,
        "error": None,
    }


def _put_error(row: Row, question: str, error: VmemmapError) -> None:
    row |= {"error_code": type(error).__name__, "error": as_utf8(f"{question}: {error}")}


def _info(core: Vmcore) -> Row:
    source, facts = core.source, core.facts
    if not len(facts) and facts.missing:
        raise next(iter(facts.missing.values()))
    values = {name: fact.value for name, fact in facts.items()}
    row: Row = {
        "format": source.format,
        "dump_level": source.dump_level,
        "incomplete": source.is_incomplete(),
        "ram_bytes": _ram_bytes(core),
        "stored_bytes": source.stored_bytes(),
        "warnings": [as_utf8(warning) for warning in source.warnings],
    }
    for name in ("release", "machine", "memory_byte_order", "mmu", "layout"):
        row[name] = None if values.get(name) is None else str(values[name])
    for name in ("page_size", "struct_page_size"):
        row[name] = None if values.get(name) is None else int(values[name])
    return row


def _ram_bytes(core: Vmcore) -> int | None:
    """Tell how much memory the dump covers; None where that is much to fetch of a far one."""
    ranges = core.source.cheap_ranges()
    return None if ranges is None else int((ranges[:, 1] - ranges[:, 0]).sum())


def _list(core: Vmcore) -> Row:
    table = core.backing
    entries = len(table)
    return {
        "entries": entries,
        "block_size": table.block_size if entries else None,
        "vmemmap_bytes": entries * table.block_size if entries else 0,
    }


def _check(core: Vmcore) -> Row:
    report = core.check()
    found = [
        {"code": f.code, "severity": str(f.severity), "message": f.message} for f in report.findings
    ]
    return {
        "findings": found[:FINDINGS_AT_MOST],
        "errors": sum(f.severity is Severity.ERROR for f in report.findings),
        "cautions": sum(f.severity is Severity.WARNING for f in report.findings),
    }


def _usage(core: Vmcore) -> Row:
    usage = core.usage()
    page_size = None
    with suppress(FactError):
        page_size = core.kernel.page_size.value
    return {
        "pages": usage.pages,
        "kinds": [
            {
                "kind": str(kind),
                "pages": int(pages),
                "bytes": None if page_size is None else int(pages) * page_size,
            }
            for kind, pages in usage.kinds.items()
        ],
    }


QUESTIONS: dict[str, Callable[[Vmcore], Row]] = {
    "info": _info,
    "list": _list,
    "check": _check,
    "usage": _usage,
}
"""What can be asked, as the commands of these names do."""


def check_questions(ask: Sequence[str]) -> None:
    """Check that something is asked, and nothing but `QUESTIONS`.

    Raises:
        ValueError: It is not so.
    """
    unknown = sorted(set(ask) - set(QUESTIONS))
    if unknown or not ask:
        raise ValueError(f"expected questions of {', '.join(QUESTIONS)}, found {unknown}")


def failed_row(dump: SurveyedDump, ask: Sequence[str], code: str, why: str) -> Row:
    """Give the row of a dump that could not be asked at all."""
    return empty_row(dump, ask) | {"error_code": code, "error": shown_line(why)}


def shown_line(text: str) -> str:
    """Put a text of whatever origin into one line that can be printed."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]
