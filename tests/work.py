"""How much work a call does, in a measure that is the same on every machine and however busy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_of(ask: Callable[[], Any]) -> int:
    """Count the lines of Python that a call runs, each as often as it runs.

    What numpy does in one line counts as one: a loop over a million elements shows, a million
    elements in one operation do not. It takes some ten times as long as the call alone.
    """
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        ask()
    finally:
        sys.settrace(before)
    return count
