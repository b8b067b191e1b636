"""Sections of a page, each made by itself, so that what fails in one is told there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from markupsafe import Markup

from vmemmap.errors import VmemmapError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a page.

    Attributes:
        name: Its anchor.
        title: Its heading.
        body: What is in it.
        reason: Why there is nothing in it; empty where there is.
    """

    name: str
    title: str
    body: Markup
    reason: str = ""


@dataclass(slots=True)
class Attempts:
    """What was asked for while a page was made, and what of it could not be had.

    Attributes:
        reasons: Why something is not there, by its name.
        faults: What went wrong by our own fault.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def ask(self, name: str, ask: Callable[[], T]) -> T | None:
        """Ask for something; None where it cannot be had, and then the reason is kept."""
        self.reasons.pop(name, None)
        try:
            return ask()
        except VmemmapError as error:
            self.reasons[name] = str(error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            self.reasons[name] = f"a fault of vmemmap itself: {type(error).__name__}: {error}"
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
        return None

    def section(self, name: str, title: str, make: Callable[[], Markup]) -> Section:
        """Make a section, unless a reason against it is known already."""
        reason = self.reasons.get(name)
        if not reason:
            body = self.ask(name, make)
            if body is not None:
                return Section(name, title, body)
        return Section(name, title, Markup(""), self.reasons[name])
