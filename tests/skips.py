"""What a run has left out, told in few lines: a count for each thing that is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

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


def summary(skipped: Iterable[Any], markexpr: str) -> Iterator[str]:
    """Give a line for each reason, the most frequent first, and one for what is marked ``full``.

    Args:
        skipped: Reports of skipped tests, as pytest has them.
        markexpr: Which marks were asked for.
    """
    reasons = Counter(_reason(report.longrepr) for report in skipped)
    for reason, count in reasons.most_common():
        yield f"skipped {count}: {reason}"
    if markexpr == "not full":
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
