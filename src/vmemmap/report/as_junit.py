"""Findings as JUnit XML, which nearly every CI system shows: one test case for each code.

Every finding that `check` knows is a case; it fails if it was met at a severity that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from vmemmap.explanations import explanations
from vmemmap.report.members import FindingRecord


def junit(path: str, findings: Iterable[FindingRecord], failing: Sequence[str]) -> str:
    """Give the XML text.

    Args:
        path: The dump, as the user named it.
        findings: The findings in the JSON form of `check`.
        failing: The severities that make a case fail.
    """
    met: dict[str, list[FindingRecord]] = {
        code: [] for code, known in explanations().items() if known.command == "check"
    }
    for finding in findings:
        met.setdefault(finding["code"], []).append(finding)
    cases, failures = [], 0
    for code, found in met.items():
        bad = [finding for finding in found if finding["severity"] in failing]
        text = "\n".join(f"{finding['severity']}: {finding['message']}" for finding in found)
        body = ""
        if bad:
            failures += 1
            body = f"<failure message={_attribute(bad[0]['message'])}>{_text(text)}</failure>"
        elif found:
            body = f"<system-out>{_text(text)}</system-out>"
        cases.append(
            f"  <testcase classname={_attribute(path)} name={_attribute(code)}>{body}</testcase>\n"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="vmemmap check" tests="{len(cases)}" failures="{failures}" errors="0">\n'
        f"{''.join(cases)}</testsuite>\n"
    )


def _text(text: str) -> str:
    # XML has no way to write most control characters.
    return escape("".join(c if c.isprintable() or c == "\n" else "?" for c in text))


def _attribute(text: str) -> str:
    return quoteattr("".join(c if c.isprintable() else "?" for c in text))
