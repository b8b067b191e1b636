"""SVG elements as text, and scales from numbers to places.

Source: W3C SVG 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

Value = str | float | None


def tag(name: str, *children: str, **attributes: Value) -> str:
    """Write an element.

    Args:
        name: Its name.
        children: What is in it, as markup: text has to be escaped, as `text` does.
        attributes: Its attributes; ``class_`` is class, ``stroke_width`` is stroke-width. One that
            is None is left out.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = value if isinstance(value, str) else number(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    inner = "".join(children)
    return f"<{' '.join(parts)}>{inner}</{name}>" if inner else f"<{' '.join(parts)}/>"


def number(value: float) -> str:
    """Write a number with no more digits than a picture needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, words: str, anchor: str | None = None, **attributes: Value) -> str:
    """Write a text; *anchor* is ``middle`` or ``end`` where it does not begin at *x*."""
    return tag("text", escape(words), x=x, y=y, text_anchor=anchor, **attributes)


def title(words: str) -> str:
    """Write what is shown when the mouse rests on the element that this is in."""
    return tag("title", escape(words))


def drawing(width: float, height: float, name: str, *children: str, stretched: bool = False) -> str:
    """Write a whole drawing.

    Args:
        width: Width of what is drawn, in its own units.
        height: Height, likewise.
        name: What screen readers say of it.
        children: What is in it, as markup.
        stretched: It takes whatever room there is, and does not keep its proportions.
    """
    return tag(
        "svg",
        *children,
        xmlns="http://www.w3.org/2000/svg",
        width=None if stretched else width,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=name,
        preserveAspectRatio="none" if stretched else None,
        class_="stretched" if stretched else "drawing",
        font_family="sans-serif",
        font_size="12",
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Where numbers stand on an axis.

    Attributes:
        low: The least number.
        high: The greatest.
        start: Where the least stands.
        end: Where the greatest stands; may be below *start*.
        logarithmic: Whether equal ratios, and not equal differences, are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Give the place of a number."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int) -> list[float]:
        """Give round numbers on the axis, about so many; decimal ones."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = _round_up((self.high - self.low) / max(about, 1), (1, 2, 5, 10))
        return list(_multiples(self.low, self.high, step))

    def binary_ticks(self, about: int) -> list[int]:
        """Give numbers on the axis that are round in binary, about so many."""
        wanted = max((self.high - self.low) / max(about, 1), 1)
        step = 1 << math.ceil(math.log2(wanted))
        return [int(tick) for tick in _multiples(self.low, self.high, step)]


def _multiples(low: float, high: float, step: float) -> Iterator[float]:
    if not step:
        yield low
        return
    for turn in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield turn * step


def _round_up(value: float, choices: tuple[int, ...]) -> float:
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(choice * power for choice in choices if choice * power >= value * (1 - 1e-9))
