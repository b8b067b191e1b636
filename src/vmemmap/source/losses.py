"""What a dump's file lacks of the memory that its writer meant to keep, and why: the first cause.

Whatever else fails in such a dump mostly follows from that, so that every command tells it first.
It knows no format; each container works its losses out itself.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """One cause, and what was lost by it.

    Attributes:
        cause: What happened to the file, as far as the file itself tells.
        lost: How much is lost, in words, such as "320 of 1220 pages are lost"; empty where that is
            not known.
        first_phys: The lowest physical address that is lost (bytes), or None.
    """

    cause: str
    lost: str = ""
    first_phys: int | None = None

    def __str__(self) -> str:
        return f"{self.cause}: {self.lost}" if self.lost else self.cause


def tell_of(losses: tuple[Loss, ...], warnings: list[str]) -> None:
    """Put losses before all other warnings; a warning that only names the cause goes.

    Args:
        losses: What is lost.
        warnings: One line each; changed.
    """
    told = [str(loss) for loss in losses]
    causes = {loss.cause for loss in losses}
    warnings[:] = told + [line for line in warnings if line not in causes and line not in told]
