"""The top of the page: what crashed, whether the dump is whole, whether the list holds together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmemmap.errors import FactError, VmemmapError
from vmemmap.explanations import Explanation, explanations
from vmemmap.facts.fact import Facts
from vmemmap.findings import Finding, Severity
from vmemmap.units import count_text, duration_text, size_text, time_text

if TYPE_CHECKING:
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.dump import Dump
    from vmemmap.pages.count.usage import Usage
    from vmemmap.picture.log import LogView

FINE, DOUBT, BAD, UNTOLD = "fine", "doubt", "bad", "untold"
"""How something stands; the style sheet and the template have a colour and a sign for each."""
_FINDINGS_SHOWN = 200
NO_COVERAGE = "neither mem_section nor the list can be used"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that a reader wants to know first.

    Attributes:
        what: What it is about.
        state: How it stands.
        words: The answer.
        detail: More of it.
    """

    what: str
    state: str
    words: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ExplainedFinding:
    """A finding, and what its code means where that is known."""

    finding: Finding
    explanation: Explanation | None


def identity(dump: Dump, log: LogView | None) -> list[tuple[str, str]]:
    """Give what crashed, as names and values; what is not known says so, and why."""
    source, system, why = dump.source, Facts(), ""
    try:
        system = dump.system
    except VmemmapError as error:
        why = str(error)
    mmu = _asked(lambda: dump.evidence.mmu.value)
    page = _asked(lambda: size_text(dump.kernel.page_size.value))
    order = _asked(lambda: dump.kernel.memory_byte_order.value)
    level = f", dump level {source.dump_level}" if source.dump_level is not None else ""
    codec = f", {source.codec}" if source.codec else ""

    def told(name: str, shown: Callable[[Any], str] = str) -> str:
        fact = system.get(name)
        if fact is None:
            return f"unknown: {system.missing.get(name, why)}"
        return ("at least " if "at least" in fact.detail else "") + shown(fact.value)

    rows = [
        ("panic", told("panic")),
        ("kernel", _asked(lambda: dump.kernel.release.value)),
        ("built", told("version")),
        ("machine", _asked(lambda: dump.kernel.machine.value)),
        ("name", told("node_name")),
        ("crashed at", told("crash_time", time_text)),
        ("had run for", told("uptime", duration_text)),
        ("processors", told("cpus")),
        ("memory management", f"{mmu} MMU, {page} pages, {order}-endian"),
        ("file", f"{source.path} ({source.format}{codec}{level})"),
    ]
    panic = system.get("panic")
    if log is not None and log.panic and (panic is None or str(panic.value) not in log.panic):
        rows.insert(1, ("first sign", log.panic))
    return rows


def _asked(ask: Callable[[], Any]) -> str:
    """Give an answer, or "unknown" where there is none."""
    try:
        return str(ask())
    except VmemmapError:
        return "unknown"


def verdicts(
    dump: Dump, check: CheckReport | None, counted: Usage | None, reasons: Mapping[str, str]
) -> list[Verdict]:
    """Give what a reader wants to know first, in words.

    Args:
        dump: The dump.
        check: What a check of it found; None if there was none to be had.
        counted: Its census, likewise.
        reasons: Why, under "check" and "usage".
    """
    why_unchecked, why_uncounted = reasons.get("check", ""), reasons.get("usage", "")
    return [
        _file(dump),
        _list(dump, check, why_unchecked),
        _coverage(check, why_unchecked),
        _pages(counted, why_uncounted),
    ]


def _file(dump: Dump) -> Verdict:
    source = dump.source
    losses = source.losses()
    if losses or source.is_incomplete():
        words = "; ".join(str(loss) for loss in losses) or "its writer did not finish"
        return Verdict("The file", BAD, "It lacks something", words)
    level = source.dump_level
    if level:
        return Verdict(
            "The file",
            FINE,
            "It is whole",
            f"pages were left out of it on purpose, at level {level}",
        )
    return Verdict("The file", FINE, "It is whole")


def _list(dump: Dump, check: CheckReport | None, why: str) -> Verdict:
    if check is None:
        return Verdict("The list", UNTOLD, "It cannot be checked", why)
    errors = [f for f in check.findings if f.severity is Severity.ERROR]
    warnings = [f for f in check.findings if f.severity is Severity.WARNING]
    entries = count_text(check.entries, "entry", ",")
    if check.rescued:
        entries += f", and {check.rescued} rescued"
    if errors:
        detail = ", ".join(dict.fromkeys(f.code for f in errors))
        return Verdict("The list", BAD, f"It is damaged ({entries})", detail)
    if warnings:
        detail = ", ".join(dict.fromkeys(f.code for f in warnings))
        return Verdict("The list", DOUBT, f"It holds together, with doubts ({entries})", detail)
    if not check.entries:
        return Verdict("The list", FINE, "It is empty, as this kernel leaves it", _no_list(dump))
    return Verdict("The list", FINE, f"It holds together ({entries})")


def _no_list(dump: Dump) -> str:
    try:
        return "the page tables map the vmemmap" if dump.evidence.mmu.value == "radix" else ""
    except FactError:
        return ""


def _coverage(check: CheckReport | None, why: str) -> Verdict:
    found = check.coverage if check is not None else None
    if found is None:
        return Verdict(
            "Coverage", UNTOLD, "It cannot be told", why if check is None else NO_COVERAGE
        )
    counts = found.counts
    sections = count_text(counts.sections, "section", ",")
    words = f"{counts.covered:,} of {sections} are backed"
    state = FINE if counts.covered == counts.sections else BAD
    return Verdict(
        "Coverage", state, words, f"{counts.covered_pages:,} of {counts.pages:,} struct pages"
    )


def _pages(counted: Usage | None, reason: str) -> Verdict:
    if counted is None:
        return Verdict("Struct pages", UNTOLD, "They cannot be counted", reason)
    unread = sum(counted.unknown.values())
    if unread:
        why = ", ".join(f"{count:,} {why}" for why, count in counted.unknown.items())
        words = f"{unread:,} of {counted.pages:,} cannot be read"
        return Verdict("Struct pages", BAD if unread * 2 > counted.pages else DOUBT, words, why)
    if counted.damaged:
        words = f"{counted.damaged:,} of {counted.pages:,} are damaged"
        return Verdict("Struct pages", BAD, words)
    return Verdict("Struct pages", FINE, f"All {counted.pages:,} can be read")


def explained(findings: Iterable[Finding]) -> tuple[list[ExplainedFinding], int]:
    """Give findings with what they mean, and how many more there are than are shown."""
    known, found = explanations(), list(dict.fromkeys(findings))
    shown = [ExplainedFinding(each, known.get(each.code)) for each in found[:_FINDINGS_SHOWN]]
    return shown, len(found) - len(shown)
