"""The top of the page: what crashed, whether the dump is whole, whether the list holds together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vmemmap.errors import FactError, VmemmapError
from vmemmap.explanations import Explanation, explanations
from vmemmap.facts.uts import FIELDS
from vmemmap.findings import Finding, Severity
from vmemmap.units import count_text, size_text

if TYPE_CHECKING:
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.dump import Dump
    from vmemmap.pages.count.usage import Usage
    from vmemmap.picture.log import LogView

FINE, DOUBT, BAD, UNTOLD = "fine", "doubt", "bad", "untold"
"""How something stands; the style sheet and the template have a colour and a sign for each."""
_FINDINGS_SHOWN = 200


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
    """Give what crashed, as names and values; what is not known says so."""
    rows = [("kernel", _asked(lambda: dump.kernel.release.value))]
    uts = _uts(dump)
    rows.append(("built", uts.get("version") or "unknown"))
    rows.append(("machine", _asked(lambda: dump.kernel.machine.value)))
    rows.append(("name", uts.get("nodename") or "unknown"))
    rows.append(("crashed at", _crash_time(dump)))
    mmu = _asked(lambda: dump.evidence.mmu.value)
    page = _asked(lambda: size_text(dump.kernel.page_size.value))
    order = _asked(lambda: dump.kernel.memory_byte_order.value)
    rows.append(("memory management", f"{mmu} MMU, {page} pages, {order}-endian"))
    source = dump.source
    level = f", dump level {source.dump_level}" if source.dump_level is not None else ""
    codec = f", {source.codec}" if source.codec else ""
    rows.append(("file", f"{source.path} ({source.format}{codec}{level})"))
    if log is not None and log.panic:
        rows.append(("last words", log.panic))
    return rows


def _asked(ask: object) -> str:
    """Give an answer, or "unknown" where there is none."""
    assert callable(ask)
    try:
        return str(ask())
    except VmemmapError:
        return "unknown"


def _uts(dump: Dump) -> dict[str, str]:
    try:
        found = dump.kernel.utsname
        raw = found.raw if found is not None else dump.source.utsname
    except VmemmapError:
        raw = dump.source.utsname
    size = len(raw) // len(FIELDS)
    texts = [raw[at * size : (at + 1) * size].split(b"\0")[0] for at in range(len(FIELDS))]
    return {
        name: text.decode("utf-8", "backslashreplace")
        for name, text in zip(FIELDS, texts, strict=True)
    }


def _crash_time(dump: Dump) -> str:
    try:
        info = dump.kernel.vmcoreinfo
        seconds = int(info.text("CRASHTIME")) if "CRASHTIME" in info else 0
        if seconds > 0:
            return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (VmemmapError, ValueError, OverflowError, OSError):
        pass
    return "unknown: VMCOREINFO does not say when, if it crashed at all"


def verdicts(
    dump: Dump, check: CheckReport | None, why_unchecked: str, counted: Usage | None
) -> list[Verdict]:
    """Give what a reader wants to know first, in words.

    Args:
        dump: The dump.
        check: What a check of it found; None if there was none to be had.
        why_unchecked: Why.
        counted: Its census, likewise.
    """
    return [_file(dump), _list(dump, check, why_unchecked), _coverage(check), _pages(counted)]


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
    entries = count_text(check.entries, "entry")
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


def _coverage(check: CheckReport | None) -> Verdict:
    found = check.coverage if check is not None else None
    if found is None:
        return Verdict("Coverage", UNTOLD, "It cannot be told")
    counts = found.counts
    words = f"{counts.covered} of {count_text(counts.sections, 'section')} are backed"
    state = FINE if counts.covered == counts.sections else BAD
    return Verdict(
        "Coverage", state, words, f"{counts.covered_pages} of {counts.pages} struct pages"
    )


def _pages(counted: Usage | None) -> Verdict:
    if counted is None:
        return Verdict("Struct pages", UNTOLD, "They cannot be counted")
    unread = sum(counted.unknown.values())
    if unread:
        why = ", ".join(f"{count} {why}" for why, count in counted.unknown.items())
        words = f"{unread} of {counted.pages} cannot be read"
        return Verdict("Struct pages", BAD if unread * 2 > counted.pages else DOUBT, words, why)
    if counted.damaged:
        return Verdict("Struct pages", BAD, f"{counted.damaged} of {counted.pages} are damaged")
    return Verdict("Struct pages", FINE, f"All {counted.pages} can be read")


def explained(findings: Iterable[Finding]) -> tuple[list[ExplainedFinding], int]:
    """Give findings with what they mean, and how many more there are than are shown."""
    known, found = explanations(), list(dict.fromkeys(findings))
    shown = [ExplainedFinding(each, known.get(each.code)) for each in found[:_FINDINGS_SHOWN]]
    return shown, len(found) - len(shown)
