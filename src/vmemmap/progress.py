"""How long work tells how far it has come; who listens, and what is shown, is no matter of it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "no_progress"]


class Progress(Protocol):
    """Whoever is told how far work has come."""

    def __call__(self, what: str, done: int, total: int | None, /) -> None:
        """Take note of it; at the end of a piece of work *done* is *total*.

        Args:
            what: What is being done, in words.
            done: How much of it is done, in whatever the work counts.
            total: How much there is, or None if that is unknown.
        """
        ...


def no_progress(what: str, done: int, total: int | None, /) -> None:
    """Tell nobody; the default."""
