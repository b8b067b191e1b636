"""The charts: bars in parts, columns, points, lines, and stretches to scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vmemmap.drawing.marks import Scale, Value, drawing, number, tag, text, title

GREY = "#8a8f98"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar, a column or a stretch.

    Attributes:
        name: What it is.
        value: How much of it there is, never negative.
        colour: Its colour where no style sheet says another.
        style: The class that a style sheet knows it by.
        words: How the value is told; the value itself where empty.
    """

    name: str
    value: float
    colour: str
    style: str = ""
    words: str = ""

    @property
    def told(self) -> str:
        """Name and value, as people read them."""
        return f"{self.name}: {self.words or number(self.value)}"


def bar(name: str, parts: Sequence[Part], total: float, height: float = 16) -> str:
    """Draw one bar in parts; it takes the width that it is given.

    Args:
        name: What screen readers say before the parts.
        parts: From left to right.
        total: What the whole width stands for.
        height: Its height.
    """
    at, marks = 0.0, []
    for part in parts:
        wide = 1000 * part.value / total if total else 0.0
        if part.value:
            marks.append(_block(at, 0, wide, height, part))
        at += wide
    told = "; ".join(part.told for part in parts if part.value)
    return drawing(1000, height, f"{name}: {told or 'nothing'}", *marks, stretched=True)


def _block(x: float, y: float, wide: float, high: float, part: Part) -> str:
    return tag(
        "rect",
        title(part.told),
        x=x,
        y=y,
        width=max(wide, 0.5),
        height=high,
        fill=part.colour,
        class_=part.style or None,
    )


def columns(name: str, groups: Sequence[tuple[str, Sequence[Part]]], height: float = 200) -> str:
    """Draw columns in parts, with the sum above each.

    Args:
        name: What screen readers say of it.
        groups: From left to right: what stands below the column, and its parts from the bottom up.
        height: Height of the whole.
    """
    width, left, top, bottom = max(64 * len(groups), 200), 8, 20, 24
    sums = [sum(part.value for part in parts) for _, parts in groups]
    scale = Scale(0, max([*sums, 1]), height - bottom, top)
    step = (width - 2 * left) / max(len(groups), 1)
    marks = [_line(left, scale.start, width - left, scale.start)]
    for turn, ((label, parts), total) in enumerate(zip(groups, sums, strict=True)):
        x, below = left + turn * step, 0.0
        for part in parts:
            if part.value:
                foot, head = scale.at(below), scale.at(below + part.value)
                marks.append(_block(x + step * 0.15, head, step * 0.7, max(foot - head, 0.5), part))
            below += part.value
        middle = x + step / 2
        marks.append(text(middle, scale.at(total) - 5, number(total), "middle", class_="value"))
        marks.append(text(middle, height - 8, label, "middle", class_="axis"))
    return drawing(width, height, name, *marks)


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one sort, or a line through them.

    Attributes:
        name: What they are.
        places: Their x and y.
        colour: As for `Part`.
        style: Likewise.
        joined: Whether a line goes through them.
    """

    name: str
    places: Sequence[tuple[float, float]]
    colour: str
    style: str = ""
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a plot.

    Attributes:
        low: Its least number.
        high: Its greatest.
        ticks: The numbers that are written on it.
        words: How a number is written.
        name: What it measures.
        logarithmic: As for `Scale`.
    """

    low: float
    high: float
    ticks: Sequence[float]
    words: Callable[[float], str]
    name: str = ""
    logarithmic: bool = False


def plot(
    name: str,
    series: Sequence[Points],
    x: Axis,
    y: Axis,
    *,
    size: tuple[float, float] = (640, 320),
    margins: tuple[float, float, float, float] = (28, 16, 44, 130),
    radius: float = 2,
    named: bool = False,
    ground: str | None = None,
) -> str:
    """Draw points and lines over two axes.

    Args:
        name: What screen readers say of it.
        series: What is drawn, the first one lowest.
        x: The axis below.
        y: The axis at the left.
        size: Width and height.
        margins: Room at the top, the right, the bottom and the left.
        radius: Of a point.
        named: Whether each line's name stands at its end.
        ground: The colour behind it all, for a drawing that stands by itself.
    """
    (width, height), (top, right, bottom, left) = size, margins
    across = Scale(x.low, x.high, left, width - right, x.logarithmic)
    up = Scale(y.low, y.high, height - bottom, top, y.logarithmic)
    marks = [tag("rect", width=width, height=height, fill=ground)] if ground else []
    for tick in y.ticks:
        marks.append(_line(left, up.at(tick), width - right, up.at(tick), "grid"))
        marks.append(text(left - 8, up.at(tick) + 4, y.words(tick), "end", class_="axis"))
    for tick in x.ticks:
        place = across.at(tick)
        marks.append(_line(place, height - bottom, place, height - bottom + 4))
        marks.append(text(place, height - bottom + 18, x.words(tick), "middle", class_="axis"))
    marks.append(text(left, top - 12, y.name, class_="axis-name"))
    marks.append(text(width - right, height - 8, x.name, "end", class_="axis-name"))
    for each in series:
        places = [(across.at(a), up.at(b)) for a, b in each.places]
        marks.append(_points(each, places, radius))
        if named and places:
            end_x, end_y = places[-1]
            marks.append(text(end_x + 8, end_y + 4, each.name, fill=each.colour))
    return drawing(width, height, name, *marks)


def _points(each: Points, places: Sequence[tuple[float, float]], radius: float) -> str:
    """Draw one series: all of its points are one path, which is short and quickly shown."""
    marks = []
    style: dict[str, Value] = {"stroke": each.colour, "class_": each.style or None}
    if each.joined:
        line = " ".join(f"{number(a)},{number(b)}" for a, b in places)
        marks.append(tag("polyline", points=line, fill="none", stroke_width=2, **style))
    dots = "".join(f"M{number(a)} {number(b)}h0" for a, b in places)
    if dots:
        marks.append(
            tag(
                "path",
                d=dots,
                fill="none",
                stroke_width=2 * radius,
                stroke_linecap="round",
                **style,
            )
        )
    return tag("g", title(each.name), *marks)


def stretches(
    name: str, parts: Sequence[tuple[float, Part]], total: float, *, labels: bool = True
) -> str:
    """Draw stretches where they begin, to scale, with a name below each that has the room.

    Args:
        name: What screen readers say of it.
        parts: Where each begins, and how long it is.
        total: How long the whole is.
        labels: Whether names are written.
    """
    width, high = 1200.0, 34.0
    scale = Scale(0, total, 0, width)
    marks = [
        tag("rect", x=0, y=0, width=width, height=high, fill="none", stroke=GREY, class_="frame")
    ]
    for start, part in parts:
        x, end = scale.at(start), scale.at(start + part.value)
        marks.append(_block(x, 0, max(end - x, 1.5), high, part))
        if labels and end - x > 7 * len(part.name):
            marks.append(text((x + end) / 2, high + 16, part.name, "middle", class_="axis"))
    return drawing(width, high + (22 if labels else 0), name, *marks)


def boxes(name: str, parts: Sequence[Part]) -> str:
    """Draw boxes side by side, as wide as their values, each with its name and value in it."""
    width, high = 1200.0, 46.0
    total = sum(part.value for part in parts) or 1
    marks, at = [], 0.0
    for part in parts:
        wide = width * part.value / total
        marks.append(_block(at, 0, wide, high, part))
        middle = at + wide / 2
        if wide > 24:
            marks.append(text(middle, 19, part.name, "middle", class_="in-box"))
            marks.append(
                text(middle, 37, part.words or number(part.value), "middle", class_="in-box")
            )
        at += wide
    edges = _edges(parts, width / total)
    marks += [_line(edge, 0, edge, high, "frame") for edge in edges]
    return drawing(width, high, name, *marks)


def _edges(parts: Sequence[Part], unit: float) -> list[float]:
    places = [0.0]
    for part in parts:
        places.append(places[-1] + part.value * unit)
    return [after for _, after in pairwise(places)][:-1]


def _line(x1: float, y1: float, x2: float, y2: float, style: str = "axis-line") -> str:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=GREY, stroke_width=0.5, class_=style)


def lines_of(points: Mapping[str, Sequence[tuple[float, float]]]) -> list[Points]:
    """Give lines in colours that are told apart by everyone, in the order of their names."""
    return [
        Points(name, places, LINE_COLOURS[turn % len(LINE_COLOURS)], joined=True)
        for turn, (name, places) in enumerate(points.items())
    ]


LINE_COLOURS = ("#1b6ca8", "#c4572b", "#555555", "#0a7d5a")
