"""The colours of all text, by what they mean; none where the terminal, or its user, wants none.

Whatever has a colour is told by a word, too. Not more than the eight colours that every terminal
has, so that they stand out on a light ground and on a dark one.

Source: https://no-color.org; ECMA-48, 8.3.117 (SGR).
"""

from __future__ import annotations

import os
import re
import sys
from typing import Literal, TextIO

Role = Literal["heading", "quiet", "good", "error", "warning", "info", "mark"]
"""What a piece of text is."""

_CODES: dict[Role, str] = {
    "heading": "1",
    "quiet": "2",
    "good": "32",
    "error": "1;31",
    "warning": "33",
    "info": "36",
    "mark": "36",
}
ROLE_OF_SEVERITY: dict[str, Role] = {"error": "error", "warning": "warning", "info": "info"}
"""How the severities of findings are painted."""
_SEVERITY = re.compile(r"\b(error|warning|info)(?=: )")


def has_colours(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal with colours, and its user wants them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, role: Role, stream: TextIO | None = None) -> str:
    """Give a text in the colour of its role, for stdout or another stream.

    It must fit its line before: what makes the colour counts as characters.
    """
    if not text or not has_colours(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[role]}m{text}\x1b[0m"


def paint_severity(line: str, stream: TextIO) -> str:
    """Paint the first of the words error, warning and info in a line that a colon follows."""
    if not has_colours(stream):
        return line
    return _SEVERITY.sub(
        lambda m: f"\x1b[{_CODES[ROLE_OF_SEVERITY[m[1]]]}m{m[1]}\x1b[0m", line, count=1
    )
