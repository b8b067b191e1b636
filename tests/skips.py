"""What a run has left out, told in few lines: a count for each thing that is missing.

A hook of pytest that a conftest.py takes up by importing it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

ALIKE = (
    (
        r"(the full-size dump|the witness|the guest's kallsyms).* beside this repository",
        "full-size dumps, and what other tools say of them, are not beside this repository",
    ),
    (
        r"the fixture .* was cut from another machine than .*",
        "fixtures were cut from other machines than the full-size dumps: make corpus",
    ),
    (
        r".*vmlinux-\S+ is absent: (.*)",
        r"the kernels' debugging information is absent: \1",
    ),
)
"""Reasons that differ in a name alone, and what is said for all of them."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    """Say after everything else but pytest's own last line what was skipped."""
    yield
    whole = bool(config.getoption("numprocesses", None))  # as make test asks for it
    left_out = whole and config.option.markexpr == "not full"
    for line in summary(terminalreporter.stats.get("skipped", []), left_out=left_out):
        terminalreporter.write_line(line)


def summary(skipped: Iterable[Any], *, left_out: bool) -> Iterator[str]:
    """Give a line for each reason, the most frequent first, and one for what is marked ``full``.

    Args:
        skipped: Reports of skipped tests, as pytest has them.
        left_out: This is a whole run without what is marked ``full``.
    """
    reasons = Counter(_reason(report.longrepr) for report in skipped)
    for reason, count in reasons.most_common():
        yield f"skipped {count}: {reason}"
    if left_out:
        yield "left to make test-full: what is marked full, and three quarters of the examples"


def _reason(longrepr: Any) -> str:
    """Give why a test was skipped, in the words for all such."""
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    reason = reason.removeprefix("Skipped: ")
    for pattern, words in ALIKE:
        match = re.fullmatch(pattern, reason)
        if match:
            return match.expand(words)
    return reason
